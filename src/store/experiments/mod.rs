//! `ops_experiments`: which versions are being compared, how that stands and how it ended; and
//! `ops_state/experiment|{id}`: what was known of both when the present stage began.
//!
//! A running A/B test also stands on the active version, as `candidate`, where components read it.
//! Both change in the same commits. Whatever makes another version active ends what runs.

mod discard;
mod document;
mod end;
mod follow;
mod ramp;
mod read;
mod start;

pub(in crate::store) use document::OpenExperiment;
pub use start::ExperimentRequest;

/// Who moves experiments on, and takes versions back.
pub const GUARD: &str = "policy-guard";

/// The field of a version that says when it was taken back.
pub(in crate::store) const ROLLED_BACK_AT: &str = "rolledBackAt";

/// The field of an active version that names its candidate.
pub(in crate::store) const CANDIDATE: &str = "candidate";
