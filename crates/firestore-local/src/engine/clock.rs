//! The clock that commit times come from.

use std::fmt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::ambient;
use crate::model::time::Micros;

/// The source of the current time: the system clock by default, or the clock of a simulation.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Micros + Send + Sync>);

impl Clock {
    /// A clock in microseconds since the epoch. Commit times rise with every commit even if this
    /// clock does not.
    pub fn from_micros(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || Micros(now())))
    }

    pub fn now(&self) -> Micros {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::from_micros(|| {
            let since = ambient::wall_clock().duration_since(UNIX_EPOCH);
            since.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
        })
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
