//! What an operator sees of the running service: readiness, metrics and log lines. Jobs report here
//! in numbers and text; nothing here depends on a job.

pub mod health;
pub mod logging;
pub mod metrics;
pub mod printable;
