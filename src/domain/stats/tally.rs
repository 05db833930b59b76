//! Everything that was ever counted under one name, without windows: what a version of a policy
//! has earned.

use serde::{Deserialize, Serialize};

use super::bucket::Bucket;
use super::series::DecodeError;
use super::window::WindowStats;
use crate::domain::observation::Observation;
use crate::domain::reward::Reward;

/// Raised whenever the layout of anything within changes.
const FORMAT: u8 = 2;

/// Of fixed size, and exact to merge, as all statistics here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(Bucket);

#[derive(Serialize, Deserialize)]
struct Wire<B> {
    format: u8,
    bucket: B,
}

impl Tally {
    pub fn add(&mut self, observation: &Observation, reward: &Reward) {
        self.0.add(observation, reward);
    }

    pub fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0);
    }

    /// The figures over all that was counted.
    pub fn stats(&self) -> WindowStats {
        self.0.stats(0)
    }

    pub fn encode(&self) -> Vec<u8> {
        let wire = Wire { format: FORMAT, bucket: &self.0 };
        postcard::to_allocvec(&wire).expect("integers and sequences of known length always encode")
    }

    /// Reads what [`Tally::encode`] wrote, and refuses anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.first() {
            Some(&FORMAT) | None => {}
            Some(&found) => return Err(DecodeError::Format { found }),
        }
        let wire: Wire<Bucket> = postcard::from_bytes(bytes).map_err(DecodeError::Encoding)?;
        Ok(Self(wire.bucket))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::observation::Outcome;
    use crate::domain::reward::{RewardConfig, score};

    fn counted(latencies: &[f64]) -> Tally {
        let mut tally = Tally::default();
        for latency in latencies {
            let observation = Observation {
                id: "o".to_owned(),
                ts: 0,
                component: "c".to_owned(),
                outcome: Outcome::Success,
                duration_ms: *latency,
                tokens_in: None,
                tokens_out: None,
                cost_usd: None,
                policy_version: None,
                error_code: None,
                sample_rate: 0.5,
            };
            tally.add(&observation, &score(&RewardConfig::default(), &observation));
        }
        tally
    }

    proptest! {
        #[test]
        fn parts_merge_into_the_whole_and_come_back_from_storage(
            latencies in proptest::collection::vec(0.0..10_000.0_f64, 0..40), cut in 0..40_usize
        ) {
            let cut = cut.min(latencies.len());
            let whole = counted(&latencies);
            let mut merged = counted(&latencies[cut..]);
            merged.merge(&counted(&latencies[..cut]));
            prop_assert_eq!(&merged, &whole);
            prop_assert_eq!(Tally::decode(&whole.encode()).unwrap(), whole.clone());
            prop_assert_eq!(whole.stats().n, latencies.len() as u64);
            prop_assert_eq!(whole.stats().population, 2.0 * latencies.len() as f64);
        }

        #[test]
        fn rubbish_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Tally::decode(&bytes);
        }
    }
}
