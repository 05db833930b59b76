//! Stored documents that jobs, the API and clients share. Their serde form is the stored form.

mod archive;
mod experiment;
mod flags;
mod notice;
mod policy;
mod scoring;

pub use archive::{DocumentKey, Manifest};
pub use experiment::Experiment;
pub use flags::{FlagChanges, Flags, FlagsState, LearningFlags};
pub use notice::{Notice, NoticeKind};
pub use policy::{Candidate, Holdback, Pin, Policy};
pub use scoring::ScoringConfig;
