//! `ops_policies`: the versions of each policy. The `params` of a version are written once, when it
//! is created; afterwards only its status and the fields that explain it change, in transactions
//! that also write the audit entry: `propose` for the tuner, `store::change` for all others.

mod auto_activate;
mod create;
mod effectiveness;
mod envelopes;
mod holdback;
mod override_by_hand;
mod pin;
mod propose;
mod read;
mod refusals;
mod renew;
mod transition;
mod tuner;

pub use auto_activate::{AutoLimits, AutoOutcome};
pub use create::FirstVersion;
pub use effectiveness::{DEFAULT_EFFECT_DAYS, MAX_EFFECT_DAYS};
pub use envelopes::EnvelopeTerms;
pub use override_by_hand::OverrideParams;
pub use propose::{NewDraft, ProposeOutcome};
pub use read::{ActiveVersions, PolicyFilter};
pub use refusals::PastRefusals;
pub use tuner::TunerMemory;
