//! The local Firestore as its clients see it: every RPC and every guarantee of the protocol, over
//! gRPC, through the `firestore` crate.
//!
//! A test states what Firestore does. If the documentation leaves a choice, the test states which
//! choices it accepts.

#![expect(clippy::unwrap_used, reason = "a test or its helper fails on an unexpected answer")]
#![expect(clippy::disallowed_methods, reason = "waits are bounded by the machine's clock")]

mod aggregations;
mod bank;
mod bills;
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
mod indexes;
mod isolation;
mod limits;
mod listen;
mod listings;
mod locks;
mod meter;
mod model;
mod partitions;
mod preconditions;
mod query_pair;
mod read_times;
mod refused_queries;
mod rules;
mod semantics;
mod shutdown;
mod support;
mod transactions;
mod transforms;
mod unsupported;
mod values;
mod write_stream;
