//! The client against a local Firestore.

mod policy;
mod recorder;
mod support;
