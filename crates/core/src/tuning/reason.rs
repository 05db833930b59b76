//! Why there is nothing to propose.

use std::fmt;

use semver::Version;

use super::{MAX_ARMS, TuningConfigError};
use crate::policy::{ParamsError, PolicyStatus};
use crate::reward::RewardConfigError;

/// Why there is nothing to propose.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// `config/tuning` is invalid.
    InvalidConfig(TuningConfigError),
    /// The thresholds in `config/reward_config` are invalid.
    InvalidThresholds(RewardConfigError),
    /// The active version's weights are invalid.
    InvalidWeights(ParamsError),
    SingleArm {
        arm: String,
    },
    TooManyArms {
        arms: usize,
    },
    /// No arm has enough observations to be judged; the number of each.
    TooFewSamples {
        min_samples: u64,
        samples: Vec<(String, u64)>,
    },
    /// No weights respect the floor and the step bound and add up to 1.
    Infeasible {
        arms: usize,
        floor: f64,
        step: f64,
    },
    /// The best weights within the bounds are the current weights, or nearly.
    AlreadyBest {
        largest_change: f64,
        min_change: f64,
    },
    GainTooSmall {
        gain: f64,
        min_gain: f64,
    },
    /// No arm is proven to be worse than another, or to fail.
    NothingProven {
        leader: String,
        p_best: f64,
        observations: u64,
        /// The observations that cannot be compared, because they name no version of the policy.
        unnamed: u64,
    },
    /// The arms' shares of the actions contradict the weights; the detail of the failed check.
    SampleRatio(String),
    /// The last draft proposes the same; its status.
    AlreadyProposed {
        version: Version,
        status: PolicyStatus,
    },
}

impl Reason {
    /// A fixed name, for metrics and log fields.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidConfig(_) => "invalid-config",
            Self::InvalidThresholds(_) => "invalid-thresholds",
            Self::InvalidWeights(_) => "invalid-weights",
            Self::SingleArm { .. } => "single-arm",
            Self::TooManyArms { .. } => "too-many-arms",
            Self::TooFewSamples { .. } => "too-few-samples",
            Self::Infeasible { .. } => "infeasible",
            Self::AlreadyBest { .. } => "already-best",
            Self::GainTooSmall { .. } => "gain-too-small",
            Self::NothingProven { .. } => "nothing-proven",
            Self::SampleRatio(_) => "sample-ratio",
            Self::AlreadyProposed { .. } => "already-proposed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidConfig(error) => write!(f, "config/tuning is invalid: {error}"),
            Self::InvalidThresholds(error) => {
                write!(f, "config/reward_config is invalid: {error}")
            }
            Self::InvalidWeights(error) => write!(f, "the active version cannot be tuned: {error}"),
            Self::SingleArm { arm } => {
                write!(f, "{arm} is the only arm: there is no other to compare it with")
            }
            Self::TooManyArms { arms } => {
                write!(f, "too many arms: at most {MAX_ARMS} are supported, the policy has {arms}")
            }
            Self::TooFewSamples { min_samples, samples } => {
                write!(f, "too few samples: an arm needs {min_samples}; {}", Samples(samples))
            }
            Self::NothingProven { leader, p_best, observations, unnamed } => {
                write!(
                    f,
                    "nothing proven: after {observations} observations no arm is proven to be worse \
                     than another; {leader} is the best with probability {p_best:.2}"
                )?;
                match unnamed {
                    0 => Ok(()),
                    unnamed => write!(
                        f,
                        "; arms are compared within versions, and {} observations name no \
                         policyVersion of this policy: record it with each observation",
                        Grouped(*unnamed)
                    ),
                }
            }
            Self::SampleRatio(detail) => write!(
                f,
                "{detail}: a component does not follow the policy, or does not record all actions; fix \
                 the component, or set sampleRatioCheck to false in config/tuning"
            ),
            Self::Infeasible { arms, floor, step } => write!(
                f,
                "no valid weights: {arms} arms cannot all have at least {floor} and change by at most \
                 {step}; lower explorationFloor or raise stepBound in config/tuning"
            ),
            Self::AlreadyBest { largest_change, min_change } => write!(
                f,
                "the weights are already the best within the bounds: the largest change would be \
                 {largest_change:.4}, and minChange is {min_change}"
            ),
            Self::GainTooSmall { gain, min_gain } => {
                write!(
                    f,
                    "the expected gain after all steps is {gain:.4}, below minGain {min_gain}"
                )
            }
            Self::AlreadyProposed { version, status: PolicyStatus::Draft } => {
                write!(f, "{version} already proposes the same and awaits approval")
            }
            Self::AlreadyProposed { version, status } => {
                write!(f, "{version} already proposed the same and is {status}")
            }
        }
    }
}

/// `1,200`.
pub(super) struct Grouped(pub u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.chars().enumerate() {
            let left = digits.len() - at;
            let comma = if at > 0 && left.is_multiple_of(3) { "," } else { "" };
            write!(f, "{comma}{digit}")?;
        }
        Ok(())
    }
}

/// `gpt-5 has 12, gemini has 3`; only the first few of many.
struct Samples<'a>(&'a [(String, u64)]);

impl fmt::Display for Samples<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        for (i, (arm, n)) in self.0.iter().take(SHOWN).enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{arm} has {n}")?;
        }
        match self.0.len().checked_sub(SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, " and {more} more"),
        }
    }
}
