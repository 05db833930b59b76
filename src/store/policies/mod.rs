//! `ops_policies`: the versions of each policy. A version's `params` are written once, when the
//! version is created; afterwards only its status and what explains it change, in transactions
//! that also write the audit entry: `propose` for the tuner, `transition` for everybody else.

mod auto_activate;
mod document;
mod effectiveness;
mod override_by_hand;
mod pin;
mod propose;
mod read;
mod transition;
mod tuner;

pub use auto_activate::AutoOutcome;
pub use effectiveness::{DEFAULT_EFFECT_DAYS, MAX_EFFECT_DAYS};
pub use override_by_hand::OverrideParams;
pub use propose::{NewDraft, ProposeOutcome};
pub use read::PolicyFilter;
pub(in crate::store) use transition::{PolicySnapshot, patch};
pub use tuner::TunerMemory;

/// Who creates the drafts of the tune job, and activates them where flags allow it.
pub const TUNER: &str = "policy-updater";
