//! What a tuning pass decided, policy by policy.

use std::fmt;

use semver::Version;
use tracing::Level;

use crate::jobs::{JobReport, LogLine};
use crate::observability::health::Health;
use crate::observability::metrics::Convergence;
use crate::observability::printable;
use f0_learning_core::document::FlagsState;
use f0_learning_core::plural;
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::tuning::Reason;

#[derive(Clone, Debug, PartialEq)]
pub enum TuneReport {
    /// The flags forbid tuning.
    SwitchedOff(FlagsState),
    Decided(Vec<(String, TuneOutcome)>),
}

/// What was done about one policy.
#[derive(Clone, Debug, PartialEq)]
pub enum TuneOutcome {
    Proposed {
        key: PolicyKey,
        supersedes: Vec<Version>,
        notes: String,
        /// Why the draft awaits approval although the flags let the job activate it.
        left: Option<String>,
    },
    /// The open draft was renewed in place.
    Renewed {
        key: PolicyKey,
        notes: String,
        /// Why it was not activated, if the flags let the job activate drafts.
        left: Option<String>,
    },
    /// The open draft stays as it is, and why it was not activated.
    AwaitingApproval {
        key: PolicyKey,
        left: String,
    },
    /// The flags let the job activate its draft.
    Activated {
        key: PolicyKey,
        replaced: Option<String>,
        audit_id: String,
    },
    NoChange(Reason),
    /// An admin pinned the policy, for this reason.
    Pinned(String),
    /// The policy was changed by another writer; the next pass decides again.
    Conflict(&'static str),
    /// `config/tuning` does not name the policy.
    NotTuned,
    /// The policy has no `modelWeights` to tune.
    NoWeights,
    /// A stored document is invalid. The other policies are still tuned.
    Unusable(String),
}

pub(super) fn unusable(error: &dyn fmt::Display) -> TuneOutcome {
    TuneOutcome::Unusable(error.to_string())
}

impl JobReport for TuneReport {
    fn summary(&self) -> String {
        let Self::Decided(outcomes) = self else { return self.to_string() };
        let count = |is: fn(&TuneOutcome) -> bool| outcomes.iter().filter(|it| is(&it.1)).count();
        format!(
            "{} tuned, {} proposed or renewed, {} activated, {} cannot be tuned",
            plural::count(outcomes.len(), "policy"),
            count(|it| matches!(it, TuneOutcome::Proposed { .. } | TuneOutcome::Renewed { .. })),
            count(|it| matches!(it, TuneOutcome::Activated { .. })),
            count(|it| matches!(it, TuneOutcome::Unusable(_))),
        )
    }

    fn log_lines(&self) -> Vec<LogLine> {
        match self {
            Self::SwitchedOff(FlagsState::Set(_)) => Vec::new(),
            // Missing or malformed flags disable tuning, which may not be intended.
            Self::SwitchedOff(_) => vec![LogLine::new(Level::ERROR, self)],
            Self::Decided(outcomes) => outcomes
                .iter()
                .map(|(policy, outcome)| LogLine {
                    policy: Some(policy.clone()),
                    ..LogLine::new(outcome.level(), outcome)
                })
                .collect(),
        }
    }

    fn observe(&self, health: &Health) {
        let Self::Decided(outcomes) = self else { return };
        let unusable = outcomes.iter().filter_map(|(policy, outcome)| match outcome {
            TuneOutcome::Unusable(why) => Some((format!("policy {policy}"), why.clone())),
            _ => None,
        });
        health.set_damaged("tune", &unusable.collect());
        for (policy, outcome) in outcomes {
            let convergence = outcome.convergence();
            health.metrics().policies().set_convergence(policy, convergence);
        }
    }

    fn forget(health: &Health) {
        health.metrics().policies().forget_tuned();
    }
}

impl TuneOutcome {
    /// Whether the tuner would still move the weights.
    fn convergence(&self) -> Convergence {
        match self {
            Self::Proposed { .. }
            | Self::Renewed { .. }
            | Self::Activated { .. }
            | Self::AwaitingApproval { .. } => Convergence::Moving,
            Self::NoChange(reason) if reason.is_at_best() => Convergence::AtBest,
            _ => Convergence::Unknown,
        }
    }

    fn level(&self) -> Level {
        match self {
            Self::Proposed { .. } | Self::Renewed { .. } | Self::Activated { .. } => Level::INFO,
            Self::Unusable(_) => Level::WARN,
            _ => Level::DEBUG,
        }
    }
}

impl fmt::Display for TuneReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SwitchedOff(flags) => {
                write!(f, "tuning disabled: {}", printable::line(&flags.to_string()))
            }
            Self::Decided(outcomes) if outcomes.is_empty() => {
                f.write_str("no active policy; run `f0-learning seed` to create the first")
            }
            Self::Decided(outcomes) => {
                for (index, (policy, outcome)) in outcomes.iter().enumerate() {
                    let line = if index == 0 { "" } else { "\n" };
                    let policy = printable::line(policy);
                    write!(f, "{line}{policy}: ")?;
                    match outcome {
                        // Notes have several lines.
                        TuneOutcome::Proposed { .. } | TuneOutcome::Renewed { .. } => {
                            write!(f, "{outcome}")?;
                        }
                        other => f.write_str(&printable::line(&other.to_string()))?,
                    }
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for TuneOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proposed { key, supersedes, notes, left } => {
                write!(f, "drafted {key}")?;
                for version in supersedes {
                    write!(f, ", which supersedes {version}")?;
                }
                if let Some(why) = left {
                    write!(f, "; awaiting approval: {why}")?;
                }
                write!(f, "\n{notes}")
            }
            Self::Renewed { key, notes, left } => {
                write!(f, "renewed {key}, which awaits approval")?;
                if let Some(why) = left {
                    write!(f, ": {why}")?;
                }
                write!(f, "\n{notes}")
            }
            Self::AwaitingApproval { key, left } => {
                write!(f, "no change: {key} awaits approval: {left}")
            }
            Self::Activated { key, replaced, audit_id } => {
                write!(f, "activated {key}")?;
                if let Some(version) = replaced {
                    write!(f, ", replacing {version}")?;
                }
                write!(f, " (audit entry {audit_id})")
            }
            Self::NoChange(reason) => write!(f, "no change: {reason}"),
            Self::Pinned(why) => write!(f, "skipped: pinned ({why})"),
            Self::Conflict(why) => write!(f, "conflict: {why}; the next pass decides again"),
            Self::NotTuned => f.write_str("skipped: config/tuning does not name it"),
            Self::NoWeights => f.write_str("skipped: it has no params.modelWeights"),
            Self::Unusable(why) => write!(f, "cannot tune it: {why}"),
        }
    }
}
