//! The jobs: each is a pass over stored state that can be called once (from the CLI or a test)
//! and that the scheduler runs on a timer. A pass takes nothing but what is stored and the time;
//! it may be repeated, interrupted, and run beside itself in another process.

pub mod check;
pub mod guard;
pub mod leases;
pub mod reconcile;
pub mod rejected;
pub mod retain;
pub mod scheduler;
pub mod score;
pub mod tune;
