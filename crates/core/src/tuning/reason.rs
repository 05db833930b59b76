//! Why there is nothing to propose.

use std::fmt;

use semver::Version;

use super::{MAX_ARMS, Refused, TuningConfigError, TuningInput, budget, checks};
use crate::policy::{ParamsError, PolicyStatus};
use crate::reward::RewardConfigError;
use crate::time::Utc;

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
    /// All other arms have the weight 0.
    OthersAtZero {
        arm: String,
        at_zero: Vec<String>,
    },
    TooManyArms {
        arms: usize,
    },
    /// No arm has enough observations to be judged; the number of each.
    TooFewSamples {
        min_samples: u64,
        samples: Vec<ArmCount>,
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
    /// By what is believed, other weights are not worth a version.
    BelievedBest {
        leader: String,
        p_best: f64,
        gain: f64,
        observations: u64,
        min_samples: u64,
    },
    /// No arm is proven to be worse than another, or to fail.
    NothingProven {
        leader: String,
        p_best: f64,
        observations: u64,
        /// The arms whose earlier observations do not count, because their rewards changed.
        restarted: Vec<ArmCount>,
        /// The observations that cannot be compared, because they name no version of the policy.
        unnamed: u64,
    },
    /// The arms' shares of the actions contradict the weights; the detail of the failed check.
    SampleRatio(String),
    /// Too many documents of an arm were rejected, so that nothing can be said in its favour; the
    /// detail of the failed check.
    RejectedShare(String),
    /// A reason, and what the observations leave out or make incomparable.
    Noted {
        reason: Box<Reason>,
        notes: Vec<String>,
    },
    /// The last draft proposes the same; its status.
    AlreadyProposed {
        version: Version,
        status: PolicyStatus,
    },
    /// The same direction was refused, and neither enough time has passed nor has the evidence
    /// changed materially.
    Vetoed {
        policy: String,
        version: Version,
        how: Refused,
        by: String,
        /// Epoch milliseconds, like `until`.
        at: i64,
        until: i64,
    },
    /// The active version is a step of the tuner, and too few observations name it.
    AwaitingFeedback {
        version: Version,
        have: u64,
        need: u64,
        /// Epoch milliseconds: when the tuner continues if no observation names it.
        until: Option<i64>,
    },
}

/// The observations of an arm, and since when they count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArmCount {
    pub arm: String,
    pub n: u64,
    /// Epoch milliseconds: older observations were ignored; 0 if none were.
    pub since: i64,
    /// How often the arm restarted in the period.
    pub restarts: u32,
}

impl Reason {
    /// Adds what the observations leave out, if the reason is about them.
    #[must_use]
    pub(super) fn noted(self, input: &TuningInput) -> Self {
        let is_about_observations = matches!(
            self,
            Self::TooFewSamples { .. }
                | Self::NothingProven { .. }
                | Self::SampleRatio(_)
                | Self::AlreadyBest { .. }
                | Self::GainTooSmall { .. }
                | Self::BelievedBest { .. }
        );
        if !is_about_observations {
            return self;
        }
        // The reason itself counts the observations of each arm.
        let counts = matches!(self, Self::TooFewSamples { .. });
        match checks::notes(input, !counts) {
            notes if notes.is_empty() => self,
            notes => Self::Noted { reason: Box::new(self), notes },
        }
    }

    /// Whether the weights are the best within the bounds, so that only wider bounds could change them.
    pub fn is_at_best(&self) -> bool {
        match self {
            Self::Noted { reason, .. } => reason.is_at_best(),
            Self::AlreadyBest { .. } => true,
            Self::BelievedBest { observations, min_samples, .. } => observations >= min_samples,
            _ => false,
        }
    }

    /// A fixed name, for metrics and log fields.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Noted { reason, .. } => reason.code(),
            Self::InvalidConfig(_) => "invalid-config",
            Self::InvalidThresholds(_) => "invalid-thresholds",
            Self::InvalidWeights(_) => "invalid-weights",
            Self::SingleArm { .. } | Self::OthersAtZero { .. } => "single-arm",
            Self::TooManyArms { .. } => "too-many-arms",
            Self::TooFewSamples { .. } => "too-few-samples",
            Self::Infeasible { .. } => "infeasible",
            Self::AlreadyBest { .. } => "already-best",
            Self::GainTooSmall { .. } => "gain-too-small",
            Self::BelievedBest { .. } => "believed-best",
            Self::NothingProven { .. } => "nothing-proven",
            Self::SampleRatio(_) => "sample-ratio",
            Self::RejectedShare(_) => "rejected-share",
            Self::AlreadyProposed { .. } => "already-proposed",
            Self::Vetoed { .. } => "vetoed",
            Self::AwaitingFeedback { .. } => "awaiting-feedback",
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
            Self::OthersAtZero { arm, at_zero } => write!(
                f,
                "{arm} is the only arm with a weight above 0; {} at 0, and an arm at 0 stays at 0 until \
                 an admin gives it a weight, for example with `policies override`",
                Subjects(at_zero)
            ),
            Self::TooManyArms { arms } => {
                write!(f, "too many arms: at most {MAX_ARMS} are supported, the policy has {arms}")
            }
            Self::TooFewSamples { min_samples, samples } => {
                write!(f, "too few samples: an arm needs {min_samples}; {}", Samples(samples))
            }
            Self::BelievedBest { observations, min_samples, .. } if observations < min_samples => {
                write!(
                    f,
                    "too few samples: all arms together have {observations}, and {min_samples} are \
                     needed"
                )
            }
            Self::BelievedBest { leader, p_best, gain, observations, .. } => write!(
                f,
                "other weights are not worth a version: after {observations} observations {leader} \
                 is the best with probability {p_best:.2}, and the weights within the bounds that \
                 follow gain {gain:.4}"
            ),
            Self::NothingProven { leader, p_best, observations, restarted, unnamed } => {
                write!(
                    f,
                    "nothing proven: after {observations} observations no arm is proven to be worse \
                     than another; {leader} is the best with probability {p_best:.2}"
                )?;
                if !restarted.is_empty() {
                    write!(f, "; {}", Samples(restarted))?;
                }
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
            Self::RejectedShare(detail) => write!(
                f,
                "{detail}: what could not be scored may be what failed, so that no weight moves in \
                 favour of such an arm; `observations quarantined` shows why, correct the documents \
                 and requeue them, or raise maxRejectedShare in config/tuning"
            ),
            Self::Noted { reason, notes } => {
                write!(f, "{reason}")?;
                notes.iter().try_for_each(|note| write!(f, "; {note}"))
            }
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
            Self::Vetoed { policy, version, how, by, at, until } => write!(
                f,
                "{by} {how} {version} at {}: the tuner does not move the weights in that direction \
                 again before {}, unless the evidence changes materially; `policies pin {policy} \
                 --reason WHY` keeps the tuner away for longer",
                Utc(*at),
                Utc(*until)
            ),
            Self::AwaitingFeedback { version, have, need, until } => {
                write!(
                    f,
                    "awaiting feedback: {have} of {need} observations name the active version \
                     {version} in policyVersion, and the next step waits for them"
                )?;
                match until {
                    Some(until) => write!(f, "; if none does, it waits until {}", Utc(*until)),
                    None => Ok(()),
                }
            }
        }
    }
}

/// `gemini and claude are`, `claude is`.
struct Subjects<'a>(&'a [String]);

impl fmt::Display for Subjects<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [one] => write!(f, "{one} is"),
            many => write!(f, "{} are", many.join(", ")),
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
struct Samples<'a>(&'a [ArmCount]);

impl fmt::Display for Samples<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        for (i, it) in self.0.iter().take(SHOWN).enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let ArmCount { arm, n, since, restarts } = it;
            write!(f, "{comma}{arm} has {n}{}", Since { since: *since, restarts: *restarts })?;
        }
        match self.0.len().checked_sub(SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, " and {more} more"),
        }
    }
}

/// From when on an arm's observations count, and why; nothing if all count.
pub(super) struct Since {
    pub since: i64,
    pub restarts: u32,
}

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { since, restarts } = self;
        match (restarts, since) {
            (1.., _) if !budget::is_start_of_period(*since) => write!(
                f,
                " (restarted at {}: its rewards changed, and older observations do not count)",
                Utc(*since)
            ),
            (_, 1..) => write!(f, " (since {}: older observations do not count)", Utc(*since)),
            _ => Ok(()),
        }
    }
}
