//! From what the arms of a policy have earned to better weights, or to the reason for none.
//!
//! [`decide()`] is the one place where that decision is made: a pure function of [`TuningInput`].
//! Loading what goes in and writing what comes out are the tune job's.
//!
//! Whatever weights leave here are non-negative, sum to exactly 1, and respect the exploration
//! floor and the step bound (`tests::a_proposal_keeps_every_bound`).

mod allocate;
mod bounds;
pub mod budget;
mod checks;
mod config;
mod decide;
mod evidence;
mod input;
pub mod memory;
mod notes;
mod projection;
mod reason;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use checks::Check;
pub use config::{ARM_PLACEHOLDER, PolicyTuning, TuningConfig, TuningConfigError};
pub use decide::{decide, within_bounds};
pub use evidence::{ArmEvidence, Difference, Evidence, Gain, RULE, known};
pub use input::{ArmInput, LastDraft, TuningInput, max_weight};
pub use reason::Reason;

/// More arms than this are refused: with shares this small no arm would collect evidence.
pub const MAX_ARMS: usize = 200;

/// Weights are whole multiples of 1/1024. A binary floating-point number holds such a fraction,
/// and every sum of them up to 1, without rounding: the weights add up to exactly 1 in whatever
/// order and language a component adds them.
pub const WEIGHT_STEPS: u16 = 1024;

/// What the tuner made of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    Propose(Box<Proposal>),
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
    /// By how much the mean reward should rise, if every arm keeps earning what it did; the
    /// evidence has the bounds.
    pub expected_gain: f64,
    /// The arms whose weight changes.
    pub changes: Vec<ArmChange>,
    pub evidence: Evidence,
    /// The same for a person to read.
    pub notes: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArmChange {
    pub arm: String,
    pub from: f64,
    pub to: f64,
}
