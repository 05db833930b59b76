//! Why there is nothing to propose.

use std::fmt;

use semver::Version;

use super::{MAX_ARMS, TuningConfigError};
use crate::policy::{ParamsError, PolicyStatus};
use crate::reward::RewardConfigError;

#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// The bounds in `config/tuning` contradict themselves.
    InvalidConfig(TuningConfigError),
    /// The thresholds in `config/reward_config` contradict themselves.
    InvalidThresholds(RewardConfigError),
    /// The active version's weights could not route traffic in the first place.
    InvalidWeights(ParamsError),
    SingleArm {
        arm: String,
    },
    TooManyArms {
        arms: usize,
    },
    /// No arm can be judged; how many observations each has.
    TooFewSamples {
        min_samples: u64,
        samples: Vec<(String, u64)>,
    },
    /// No weights keep floor and step bound and add up to 1.
    Infeasible {
        arms: usize,
        floor: f64,
        step: f64,
    },
    /// The best weights within the bounds are those in force, or nearly.
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
    },
    /// The arms' shares of the actions contradict the weights; what is wrong.
    SampleRatio(String),
    /// The same was drafted before, and still awaits an answer or was answered with no.
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
            Self::InvalidConfig(error) => write!(f, "config/tuning cannot be used: {error}"),
            Self::InvalidThresholds(error) => {
                write!(f, "config/reward_config cannot be used: {error}")
            }
            Self::InvalidWeights(error) => write!(f, "the active version cannot be tuned: {error}"),
            Self::SingleArm { arm } => {
                write!(f, "{arm} is the only arm, there is nothing to weigh it against")
            }
            Self::TooManyArms { arms } => write!(f, "{arms} arms are more than {MAX_ARMS}"),
            Self::TooFewSamples { min_samples, samples } => {
                write!(f, "no arm has the {min_samples} observations that it takes to judge it")?;
                write!(f, ": {}", Samples(samples))
            }
            Self::NothingProven { leader, p_best, observations } => write!(
                f,
                "after {observations} observations no arm is proven to be worse than another; \
                 {leader} is the best with probability {p_best:.2}"
            ),
            Self::SampleRatio(detail) => write!(
                f,
                "{detail}: a component does not follow the policy, or leaves out what it did; \
                 mend it, or set sampleRatioCheck to false in config/tuning"
            ),
            Self::Infeasible { arms, floor, step } => write!(
                f,
                "{arms} arms cannot all have at least {floor} and move by at most {step}: \
                 lower explorationFloor or raise stepBound in config/tuning"
            ),
            Self::AlreadyBest { largest_change, min_change } => write!(
                f,
                "the weights are already the best within the bounds: none would move by more \
                 than {largest_change:.4} (it takes {min_change})"
            ),
            Self::GainTooSmall { gain, min_gain } => {
                write!(f, "the expected gain of {gain:.4}, all steps taken, is below {min_gain}")
            }
            Self::AlreadyProposed { version, status: PolicyStatus::Draft } => {
                write!(f, "{version} proposes the same already and awaits an admin")
            }
            Self::AlreadyProposed { version, status } => {
                write!(f, "{version} proposed the same already and is {status}")
            }
        }
    }
}

/// `gpt-5 12, gemini 3`; of many only the first few.
struct Samples<'a>(&'a [(String, u64)]);

impl fmt::Display for Samples<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        for (i, (arm, n)) in self.0.iter().take(SHOWN).enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{arm} {n}")?;
        }
        match self.0.len().checked_sub(SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, " and {more} more"),
        }
    }
}
