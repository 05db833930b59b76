//! A local Firestore: the server side of `google.firestore.v1` over gRPC, in memory or durable in
//! a folder. It knows nothing of what is kept in it.
//!
//! `model` holds Firestore's semantics as pure functions, `engine` stores, `service` speaks the
//! protocol; dependencies point in the other direction.

mod codec;
mod connection;
mod engine;
mod faults;
mod meter;
mod model;
pub mod proto;
mod server;
mod service;
mod transactions;

pub use engine::{Clock, OpenError};
pub use faults::{Fault, FaultCode, Plan, PlanError, Rule};
pub use meter::{Bill, Billed};
pub use server::{Builder, Error, Running, Server};
