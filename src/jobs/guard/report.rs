//! What a guard pass did about each experiment.

use std::fmt;

use tracing::Level;

use crate::jobs::{JobReport, LogLine};
use crate::observability::health::Health;
use crate::observability::printable;
use f0_learning_core::document::Experiment;
use f0_learning_core::estimate::Measured;
use f0_learning_core::experiment::{Breach, Kind, Status};
use f0_learning_core::plural::count;

/// What was done about each open experiment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GuardReport {
    pub outcomes: Vec<GuardOutcome>,
    /// The open experiments, and the active versions in one, that cannot be read, and why.
    pub unreadable: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct GuardOutcome {
    pub experiment: Experiment,
    pub action: GuardAction,
    /// What a watch is based on, if it was evaluated.
    pub basis: Option<String>,
    /// The change of the mean reward, if it was evaluated and can be known.
    pub change: Option<Measured>,
    pub notes: Notes,
}

/// What a person should know of an experiment, whatever was done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notes {
    /// Documents of the policy's components in the last 7 days that name no version.
    pub unversioned: u64,
    /// That the components do not seem to use the candidate.
    pub unserved: Option<String>,
}

/// What was done about one experiment.
#[derive(Clone, Debug, PartialEq)]
pub enum GuardAction {
    NoChange,
    NextStage {
        share: f64,
    },
    /// The candidate is proven to be better, and an admin is asked to activate it.
    AwaitingApproval,
    Promoted,
    RolledBack(Breach),
    /// It ended, and the active version stays as it is.
    Ended(Status),
    /// A step was due, and was refused.
    Skipped(String),
}

impl GuardReport {
    /// How many versions were rolled back.
    pub fn rolled_back(&self) -> usize {
        self.outcomes.iter().filter(|it| matches!(it.action, GuardAction::RolledBack(_))).count()
    }
}

impl JobReport for GuardReport {
    fn summary(&self) -> String {
        let changed = |it: &&GuardOutcome| it.action != GuardAction::NoChange;
        let (all, changed) = (self.outcomes.len(), self.outcomes.iter().filter(changed).count());
        let (rolled_back, unreadable) = (self.rolled_back(), self.unreadable.len());
        format!(
            "{all} tests and watches evaluated, {changed} changed, {rolled_back} rolled back, \
             {unreadable} cannot be read"
        )
    }

    fn log_lines(&self) -> Vec<LogLine> {
        let line = |outcome: &GuardOutcome| LogLine::new(outcome.level(), outcome);
        let unreadable = self.unreadable.iter().map(|why| LogLine::new(Level::ERROR, why));
        self.outcomes.iter().map(line).chain(unreadable).collect()
    }

    fn observe(&self, health: &Health) {
        let policies = health.metrics().policies();
        policies.add_rolled_back(self.rolled_back() as u64);
        for outcome in &self.outcomes {
            if let Some(change) = outcome.change {
                policies.set_reward_change(&outcome.experiment.policy, change);
            }
        }
        let damaged = self.unreadable.iter().map(|why| (why.clone(), "skipped".to_owned()));
        health.set_damaged("guard", &damaged.collect());
    }

    fn forget(health: &Health) {
        health.metrics().policies().forget_measured();
    }
}

impl GuardOutcome {
    fn level(&self) -> Level {
        match self.notes.unserved {
            Some(_) => Level::WARN,
            None => self.action.level(),
        }
    }
}

impl GuardAction {
    fn level(&self) -> Level {
        match self {
            Self::RolledBack(_) | Self::Skipped(_) => Level::WARN,
            Self::NoChange => Level::DEBUG,
            _ => Level::INFO,
        }
    }
}

impl fmt::Display for GuardReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for why in &self.unreadable {
            writeln!(f, "skipped: {}", printable::line(why))?;
        }
        if self.outcomes.is_empty() {
            return f.write_str(match self.unreadable.is_empty() {
                true => "no A/B test or watch is running",
                false => "no other A/B test or watch is running",
            });
        }
        for (index, outcome) in self.outcomes.iter().enumerate() {
            let line = if index == 0 { "" } else { "\n" };
            write!(f, "{line}{}", printable::line(&outcome.to_string()))?;
        }
        Ok(())
    }
}

impl fmt::Display for GuardOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Experiment { policy, candidate, control, kind, .. } = &self.experiment;
        let doing = match kind {
            Kind::Ab => "tested against",
            Kind::Watch => "watched against",
        };
        let action = match (&self.action, &self.basis) {
            (action @ GuardAction::RolledBack(_), Some(basis)) => format!("{action} ({basis})"),
            (action, _) => action.to_string(),
        };
        write!(f, "{policy}@{candidate}, {doing} {control}: {action}")?;
        if let Some(why) = &self.notes.unserved {
            write!(f, "; {why}")?;
        }
        match self.notes.unversioned {
            0 => Ok(()),
            n => write!(f, "; {}", unversioned_note(n)),
        }
    }
}

impl fmt::Display for GuardAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoChange => f.write_str("no change"),
            Self::NextStage { share } => write!(f, "now has {:.0}% of the units", share * 100.0),
            Self::AwaitingApproval => f.write_str(
                "awaiting approval: proven to be better; activate it, or stop the experiment",
            ),
            Self::Promoted => f.write_str("activated: proven to be better"),
            Self::RolledBack(breach) => write!(f, "rolled back: {breach}"),
            Self::Ended(status) => write!(f, "ended: {}", status.as_str()),
            Self::Skipped(why) => write!(f, "skipped: {why}"),
        }
    }
}

/// That observations of the policy's components count for none of its versions.
pub(super) fn unversioned_note(n: u64) -> String {
    format!(
        "not compared: {} of the policy's components in the last 7 days without a version in \
         policyVersion",
        count(n, "observation")
    )
}
