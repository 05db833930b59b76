//! `ops_policies`: the versions of each policy. A version's `params` are written once, when the
//! version is created; afterwards only its status and what explains it change, in transactions
//! that also write the audit entry: `propose` for the tuner, `transition` for everybody else.

mod auto_activate;
mod document;
mod override_by_hand;
mod pin;
mod propose;
mod read;
mod transition;

pub use auto_activate::AutoOutcome;
pub use override_by_hand::OverrideParams;
pub use propose::{NewDraft, ProposeOutcome};
pub use read::PolicyFilter;
pub(in crate::store) use transition::{Standing, patch};

/// Who creates the drafts of the tune job, and activates them where flags allow it.
pub const TUNER: &str = "policy-updater";
