//! The jobs: each is a pass over stored state that can be called once (from the CLI or a test)
//! and that the scheduler runs on a timer. A pass takes nothing but what is stored and the time;
//! it may be repeated, interrupted, and run beside itself in another process.

pub mod check;
pub mod guard;
pub mod history;
pub mod leases;
pub mod reconcile;
pub mod rejected;
pub mod replay;
pub mod retain;
pub mod scheduler;
pub mod score;
pub mod tune;

use std::sync::Arc;

/// Where the time comes from: epoch milliseconds. Production reads the system's clock; tests set
/// their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    pub fn system() -> Self {
        Self(Arc::new(|| chrono::Utc::now().timestamp_millis()))
    }

    pub fn from_fn(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub fn now(&self) -> i64 {
        (self.0)()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}
