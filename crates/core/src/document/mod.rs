//! Stored documents that jobs, the API and clients share. Their serde form is the stored form.

mod archive;
mod experiment;
mod flags;
mod policy;

pub use archive::{DocumentKey, Manifest};
pub use experiment::Experiment;
pub use flags::{FlagChanges, Flags, FlagsState, LearningFlags};
pub use policy::{Candidate, Holdback, Pin, Policy};
