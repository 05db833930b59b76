//! The local Firestore as its clients see it: every RPC and every promise of the protocol, over
//! gRPC, through the `firestore` crate.
//!
//! A test states what Firestore does. Where the documentation leaves a choice, the test says which
//! choices it admits.

#![expect(clippy::unwrap_used, reason = "tests and their helpers end where an answer is wrong")]

mod aggregations;
mod bank;
mod binary;
mod commits;
mod crate_client;
mod cursors;
mod disk;
mod documents;
mod faults;
mod filters;
mod groups;
mod hostile;
mod isolation;
mod limits;
mod listen;
mod listings;
mod meter;
mod model;
mod partitions;
mod preconditions;
mod query_pair;
mod read_times;
mod refused_queries;
mod shutdown;
mod support;
mod transactions;
mod transforms;
mod unsupported;
mod values;
mod write_stream;
