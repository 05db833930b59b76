//! A local Firestore: the server side of `google.firestore.v1` over gRPC, in memory or durable in
//! a folder. It does not depend on the data that is kept in it.
//!
//! `model` holds Firestore's semantics as pure functions, `engine` stores documents, and `service`
//! implements the protocol. `rules` decides what users may do, and `indexes` which queries and documents
//! the declared indexes allow. `service` depends on `engine`, and `engine` on `model`.

mod ambient;
mod codec;
mod connection;
mod engine;
mod faults;
#[cfg(test)]
mod fuzz;
mod hosts;
mod http;
pub mod indexes;
mod locks;
mod meter;
mod model;
pub mod options;
pub mod proto;
pub mod rules;
mod server;
mod service;
mod transactions;

pub use engine::{Clock, OpenError};
pub use faults::{Fault, FaultCode, Plan, PlanError, Rule};
pub use hosts::is_loopback_host;
pub use meter::{
    Bill, Billed, Budget, Charged, Exceeded, Line, Operations, Prices, PricesError, Report,
    Storage, Stored, Usage,
};
pub use server::{Builder, Error, Running, Server};
pub use transactions::{Concurrency, ConcurrencyError};
