//! Sampling: which observations a component keeps if there are too many successes to keep them all.
//!
//! The applied rate is recorded with the observation, and statistics weight by it. Otherwise keeping
//! every failure and a tenth of the successes would turn a success rate of 99% into 91%.

use serde::{Deserialize, Serialize};

use crate::observation::{MIN_SAMPLE_RATE, Outcome};

/// The share of observations that a component keeps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SamplingPolicy {
    /// The share of successes that is kept. Failures and timeouts are always kept: they are few, and
    /// the tuner learns most from them.
    pub success_rate: f64,
}

impl Default for SamplingPolicy {
    fn default() -> Self {
        Self { success_rate: 0.1 }
    }
}

impl SamplingPolicy {
    pub const KEEP_ALL: Self = Self { success_rate: 1.0 };

    /// The sample rate to record with the observation, or `None` to drop the observation.
    ///
    /// `u` is a random draw by the caller, uniform in `[0, 1)`. A rate of zero or below (or NaN) keeps
    /// no successes. A rate below [`MIN_SAMPLE_RATE`] is raised to it.
    pub fn decide(&self, outcome: Outcome, u: f64) -> Option<f64> {
        if outcome != Outcome::Success || self.success_rate >= 1.0 {
            return Some(1.0);
        }
        if self.success_rate > 0.0 {
            let rate = self.success_rate.max(MIN_SAMPLE_RATE);
            return (u < rate).then_some(rate);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tenth_of_the_successes_is_kept_by_default() {
        let policy = SamplingPolicy::default();
        let kept = (0..1000)
            .filter(|i| policy.decide(Outcome::Success, f64::from(*i) / 1000.0) == Some(0.1));
        assert_eq!(kept.count(), 100);
    }

    #[test]
    fn a_rate_of_zero_keeps_no_success() {
        let policy = SamplingPolicy { success_rate: 0.0 };
        assert_eq!(policy.decide(Outcome::Success, 0.0), None);
        assert_eq!(policy.decide(Outcome::Failure, 0.0), Some(1.0));
    }

    proptest! {
        #[test]
        fn failures_and_timeouts_are_always_kept(rate: f64, u in 0.0..1.0) {
            let policy = SamplingPolicy { success_rate: rate };
            prop_assert_eq!(policy.decide(Outcome::Failure, u), Some(1.0));
            prop_assert_eq!(policy.decide(Outcome::Timeout, u), Some(1.0));
        }

        #[test]
        fn a_recorded_rate_is_valid_in_an_observation(rate: f64, u in 0.0..1.0) {
            let policy = SamplingPolicy { success_rate: rate };
            if let Some(recorded) = policy.decide(Outcome::Success, u) {
                prop_assert!((MIN_SAMPLE_RATE..=1.0).contains(&recorded));
            }
        }
    }
}
