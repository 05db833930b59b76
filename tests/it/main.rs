//! What crosses modules, through the protocol: every test works on a local Firestore with a
//! project of its own, through the production code path.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod api;
mod auto_activation;
mod binary;
mod buckets;
mod collection;
mod collector;
mod credentials;
mod decisions;
mod deployment;
mod effects;
mod experiment_races;
mod experiments;
mod experiments_by_hand;
mod jwt;
mod kills;
mod month;
mod propensity;
mod races;
mod reconcile;
mod retention;
mod rivals;
mod scoring;
mod server;
mod sharded_indexes;
mod shards;
mod specification;
mod support;
mod trace;
mod transitions;
mod tuning;
