//! f0-learning lets a platform learn from its own outcomes: components write observations to
//! Firestore; the service scores them, keeps statistics, and proposes better versions of the
//! policies that the components run by.
//!
//! Dependencies point down: [`jobs`] call [`store`] and [`domain`]; [`domain`] calls nothing, and
//! nothing in it awaits, reads a clock or draws a random number of its own.

pub mod archive;
pub mod collector;
pub mod domain;
pub mod health;
pub mod http;
pub mod jobs;
pub mod metrics;
pub mod simulation;
pub mod store;
