//! What people see of the service: readiness, metrics and log lines, and how values and texts are
//! written wherever they are shown. Jobs report here in numbers and text; nothing here depends on a job.

pub mod format;
pub mod health;
pub mod logging;
pub mod metrics;
pub mod otlp;
pub mod printable;
pub mod trace;
