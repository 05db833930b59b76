//! Where the jobs take the time from.

use crate::store::{Result, Store};
use f0_learning_core::Clock;

/// The time of passes and leases. What a pass writes cannot be undone if its time was wrong: windows
/// of statistics only move forward, and old documents are deleted. So production asks Firestore, and
/// no clock of a worker's machine can do harm.
#[derive(Clone, Debug)]
pub enum Time {
    Server(Box<Store>),
    /// A clock that a test or a benchmark controls.
    Given(Clock),
}

impl From<Store> for Time {
    fn from(store: Store) -> Self {
        Self::Server(Box::new(store))
    }
}

impl From<Clock> for Time {
    fn from(clock: Clock) -> Self {
        Self::Given(clock)
    }
}

impl Time {
    /// The time in epoch milliseconds, asked for now.
    ///
    /// # Errors
    /// Firestore did not answer. Without its time the pass must not run.
    pub async fn now(&self) -> Result<i64> {
        match self {
            Self::Server(store) => store.now().await,
            Self::Given(clock) => Ok(clock.now()),
        }
    }

    /// The same without a read, if Firestore has answered anything before.
    ///
    /// # Errors
    /// As for [`now`](Self::now).
    pub async fn estimate(&self) -> Result<i64> {
        match self {
            Self::Server(store) => match store.db().estimated_time() {
                Some(time) => Ok(time),
                None => store.now().await,
            },
            Self::Given(clock) => Ok(clock.now()),
        }
    }
}
