//! The f0-learning service: its store, jobs, API and archive. The pure logic is the crate
//! [`f0_learning_core`]; what components use is the crate [`f0_learning_client`].
//!
//! Dependencies point down: [`http`] calls [`jobs`] and [`store`]; [`jobs`] call [`store`] and the
//! core; the core calls nothing.

pub mod archive;
pub mod http;
pub mod import;
pub mod jobs;
pub mod notify;
pub mod observability;
mod outgoing;
pub mod security_rules;
pub mod store;
