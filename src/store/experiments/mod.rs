//! `ops_experiments`: which versions are being compared, their status and how they ended; and
//! `ops_state/experiment|{id}`: what was counted of both versions before the current stage.
//!
//! A running A/B test is also recorded on the active version, as `candidate`, where components read
//! it; both change in the same commits. Any change of the active version ends its experiments (see
//! `store::lifecycle`).

mod discard;
mod end;
mod estimate;
mod ramp;
mod read;
mod start;

pub use estimate::TestEstimate;
pub use start::ExperimentRequest;
