//! The source of time.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// A source of time in epoch milliseconds. Production uses the system's clock; tests use a clock
/// that they control.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the home of the wall clock")]
    pub fn system() -> Self {
        let since_epoch = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Arc::new(move || i64::try_from(since_epoch().as_millis()).unwrap_or(i64::MAX)))
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
