//! What an operator sees of the running service: readiness, metrics and log lines. Jobs report here;
//! nothing here knows a job.

pub mod health;
pub mod logging;
pub mod metrics;
