//! Deciding on better weights for the arms of a policy.
//!
//! [`decide()`] is the only place where this decision is made: a pure function of [`TuningInput`],
//! which returns a [`Proposal`] with its [`Evidence`], or the [`Reason`] why there is none. A caller
//! that loads the last draft only when there is something to propose uses [`assess()`]. The tune job
//! loads the input and stores the result.
//!
//! Proposed weights are non-negative, sum to exactly 1, and respect the exploration floor and the
//! step bound (`tests::a_proposal_respects_every_bound`).

mod allocate;
mod believe;
pub mod blocks;
pub mod budget;
mod checks;
mod config;
mod decide;
mod encoded;
pub mod envelope;
mod evidence;
mod identify;
mod input;
pub mod memory;
mod notes;
mod past;
mod projection;
mod reason;
pub mod rewards;
mod standing;
mod stored_basis;
#[cfg(test)]
mod tests;
mod weight_ranges;

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};

pub use crate::policy::WEIGHT_STEPS;
pub use believe::{Basis, BeliefEvidence, Bound, MoveCause, Pressed, Pressing, Side};
pub use checks::{
    COST_SHARE_MARGIN, Check, Quantity, RewardRestart, SCALE_FACTOR, Shift, Signals, Unmatched,
    UnmatchedComponent, of_observations,
};
pub use config::{
    ARM_PLACEHOLDER, Allocation, Goal, PolicyTuning, TuningConfig, TuningConfigError,
};
pub use decide::{Assessment, assess, decide, within_bounds};
pub use evidence::{ArmEvidence, Difference, Evidence, Gain, Within, arm_evidence, rule};
pub use input::{ArmInput, LastDraft, TuningInput, max_weight};
pub use past::{
    Known, Past, PastDraft, PastVersion, Refusal, Refused, Step, named_versions, refusals, refuses,
    veto_note,
};
pub use reason::{ArmCount, Reason};
pub use standing::proofs;

/// The most arms of a tunable policy: with more, each share would be too small to collect evidence.
pub const MAX_ARMS: usize = 200;

/// The result of a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    Propose(Box<Proposal>),
    /// There is nothing to propose.
    None(Reason),
}

impl Decision {
    pub fn proposal(&self) -> Option<&Proposal> {
        match self {
            Self::Propose(proposal) => Some(proposal),
            Self::None(_) => None,
        }
    }
}

/// A version to draft.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    pub weights: BTreeMap<String, f64>,
    /// The expected rise of the mean reward, if every arm keeps its mean reward. The evidence
    /// contains its bounds.
    pub expected_gain: f64,
    /// The arms whose weight changes.
    pub changes: Vec<ArmChange>,
    pub evidence: Evidence,
    /// The proposal in plain text.
    pub notes: String,
    /// The open draft with the same weights, whose evidence this renews.
    pub renews: Option<Version>,
}

/// The change of the weight of one arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArmChange {
    pub arm: String,
    pub from: f64,
    pub to: f64,
}
