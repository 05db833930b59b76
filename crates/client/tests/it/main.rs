//! The client against a local Firestore.

#![expect(clippy::unwrap_used, reason = "a helper that fails ends its test")]

mod policy;
mod printed;
mod recorder;
mod support;
mod vectors;
