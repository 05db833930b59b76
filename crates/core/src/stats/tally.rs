//! Everything that was ever counted for one policy version, without windows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bucket::Bucket;
use super::series::DecodeError;
use super::timeline::Samples;
use super::window::WindowStats;
use crate::appended::{self, Part};
use crate::estimate::{ArmLog, Sample};
use crate::observation::Observation;
use crate::reward::Reward;

/// The format that is written. A changed layout gets the next number, and the change keeps a reader
/// for each number before, and adds fixtures of it to `tests/formats.rs`.
const FORMAT: u8 = 4;

/// The most components that are counted separately. A policy routes over fewer arms. If more components
/// name a version, none is counted separately, so that the order of observations does not matter.
const MAX_COMPONENTS: usize = 256;

/// The statistics of one policy version. Like all statistics, they are of bounded size and merge
/// exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    bucket: Bucket,
    samples: Samples,
    /// The rewards of each component; `None` once there were too many components.
    rewards: Option<BTreeMap<String, ArmLog>>,
}

impl Default for Tally {
    fn default() -> Self {
        let rewards = Some(BTreeMap::new());
        Self { bucket: Bucket::default(), samples: Samples::default(), rewards }
    }
}

#[derive(Serialize, Deserialize)]
struct Wire<T> {
    format: u8,
    tally: T,
}

/// What is stored after the tally.
#[derive(Serialize, Deserialize)]
struct Added {
    malformed: u64,
    rejected: u64,
    uncounted: u64,
}

impl Tally {
    pub fn add(&mut self, observation: &Observation, reward: &Reward) {
        self.bucket.add(observation, reward);
        self.samples.add(observation, reward);
        if let Some(log) = self.rewards_of(&observation.component) {
            log.add(observation, reward.score);
        }
    }

    /// Counts a document that is not an observation.
    pub fn reject(&mut self) {
        self.bucket.reject();
        self.samples.reject();
    }

    /// A rejected document was released from quarantine.
    pub fn release(&mut self) {
        self.bucket.release();
        self.samples.release();
    }

    pub fn merge(&mut self, other: &Self) {
        self.bucket.merge(&other.bucket);
        self.samples.merge(&other.samples);
        match &other.rewards {
            None => self.rewards = None,
            Some(rewards) => {
                for (component, log) in rewards {
                    if let Some(sum) = self.rewards_of(component) {
                        sum.merge(log);
                    }
                }
            }
        }
    }

    /// Leaves out the rewards in the samples, because they are of another config than those that
    /// follow. Everything else is kept.
    pub fn restart_rewards(&mut self) {
        self.samples.reward = Sample::default();
        self.rewards = Some(BTreeMap::new());
    }

    fn rewards_of(&mut self, component: &str) -> Option<&mut ArmLog> {
        let rewards = self.rewards.as_mut()?;
        if !rewards.contains_key(component) {
            if rewards.len() == MAX_COMPONENTS {
                self.rewards = None;
                return None;
            }
            rewards.insert(component.to_owned(), ArmLog::default());
        }
        self.rewards.as_mut()?.get_mut(component)
    }

    /// The figures of all observations.
    pub fn stats(&self) -> WindowStats {
        self.bucket.stats(0)
    }

    /// The samples that estimates of the version are computed from.
    pub const fn samples(&self) -> &Samples {
        &self.samples
    }

    /// The rewards of each component that named the version; `None` if there were too many components to
    /// count them separately.
    pub const fn rewards(&self) -> Option<&BTreeMap<String, ArmLog>> {
        self.rewards.as_ref()
    }

    /// The bytes to store, at most `most` if possible: if components state very many propensities, their
    /// separate rewards are dropped. Half a million bytes always suffice.
    pub fn encode_within(&mut self, most: usize) -> Vec<u8> {
        let encoded = self.encode();
        if encoded.len() <= most || self.rewards.is_none() {
            return encoded;
        }
        self.rewards = None;
        self.encode()
    }

    pub fn encode(&self) -> Vec<u8> {
        let wire = Wire { format: FORMAT, tally: self };
        let mut bytes = postcard::to_allocvec(&wire)
            .expect("integers and sequences of known length always encode");
        let Samples { rejected, uncounted, .. } = self.samples;
        let added = Added { malformed: self.bucket.malformed(), rejected, uncounted };
        appended::append(&mut bytes, Part::Rejected, &added);
        bytes
    }

    /// Reads the bytes that [`Tally::encode`] wrote.
    ///
    /// # Errors
    /// Any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.first() {
            Some(4) => {}
            Some(&found) => return Err(DecodeError::Format { found }),
            None => return Err(DecodeError::Inconsistent("they are empty")),
        }
        let (Wire { mut tally, .. }, added): (Wire<Self>, Option<Added>) =
            appended::read(bytes, Part::Rejected).map_err(DecodeError::Encoding)?;
        // An earlier version did not count what was rejected.
        let unknown = Added { malformed: 0, rejected: 0, uncounted: tally.bucket.n() };
        let Added { malformed, rejected, uncounted } = added.unwrap_or(unknown);
        tally.bucket.set_malformed(malformed);
        (tally.samples.rejected, tally.samples.uncounted) = (rejected, uncounted);
        Ok(tally)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::number::{Lossy, whole_u64};
    use crate::observation::Outcome;
    use crate::reward::{RewardConfig, score};

    fn counted(latencies: &[f64]) -> Tally {
        counted_of(latencies, |latency| format!("c{}", whole_u64(latency) % 3))
    }

    fn counted_of(latencies: &[f64], component: impl Fn(f64) -> String) -> Tally {
        let mut tally = Tally::default();
        for latency in latencies {
            let observation = Observation {
                component: component(*latency),
                duration_ms: Some(*latency),
                sample_rate: 0.5,
                // Some observations state a propensity.
                propensity: whole_u64(*latency).is_multiple_of(3).then_some(0.3),
                ..Observation::at(0, Outcome::Success)
            };
            tally.add(&observation, &score(&RewardConfig::default(), &observation));
        }
        tally
    }

    #[test]
    fn components_are_counted_separately_until_there_are_too_many() {
        let each = |latency: f64| format!("c{latency}");
        let all: Vec<f64> = (0..=256).map(f64::from).collect();
        let rewards = counted_of(&all[..256], each).rewards().cloned().unwrap();
        let n = |it: &ArmLog| it.chosen(1.0).map(|it| it.rewards.n()).sum::<f64>();
        assert!(rewards.len() == 256 && rewards.values().all(|it| (n(it) - 1.0).abs() < 1e-6));
        assert_eq!(counted_of(&all, each).rewards(), None);
        let mut merged = counted_of(&all[100..], each);
        merged.merge(&counted_of(&all[..100], each));
        assert_eq!(merged, counted_of(&all, each), "in any order");
    }

    #[test]
    fn a_tally_that_is_too_large_drops_only_the_rewards_by_component() {
        let each = |latency: f64| format!("c{latency}");
        let all: Vec<f64> = (0..200).map(f64::from).collect();
        let mut tally = counted_of(&all, each);
        let (stats, samples, needed) = (tally.stats(), tally.samples().clone(), tally.encode());
        assert_eq!(tally.encode_within(needed.len()), needed, "a tally that fits is unchanged");
        let less = tally.encode_within(needed.len() - 1);
        assert!(less.len() < needed.len() / 2);
        let stored = Tally::decode(&less).unwrap();
        assert_eq!((stored.rewards(), stored.stats()), (None, stats));
        assert_eq!(*stored.samples(), samples, "experiments need the samples");
    }

    proptest! {
        #[test]
        fn parts_merge_into_the_whole_and_the_whole_round_trips(
            latencies in proptest::collection::vec(0.0..10_000.0_f64, 0..40), cut in 0..40_usize
        ) {
            let cut = cut.min(latencies.len());
            let whole = counted(&latencies);
            let mut merged = counted(&latencies[cut..]);
            merged.merge(&counted(&latencies[..cut]));
            prop_assert_eq!(&merged, &whole);
            prop_assert_eq!(Tally::decode(&whole.encode()).unwrap(), whole.clone());
            prop_assert_eq!(whole.stats().n, latencies.len() as u64);
            prop_assert_eq!(whole.stats().population, 2.0 * latencies.len().to_f64());
        }

        #[test]
        fn random_bytes_never_cause_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Tally::decode(&bytes);
        }
    }
}
