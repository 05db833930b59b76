//! Firestore's time, as its answers show it. The machine's own clock may be wrong, and may jump.

use std::sync::{Mutex, PoisonError};

use firestore::gcloud_sdk::tonic::Status;
use prost_types::Timestamp;
use tokio::time::Instant;

use crate::Db;
use crate::error::{Error, Result};
use crate::value::epoch_millis;

/// An answer that is older than the last one by more than this did not arrive out of order: the
/// server's clock was set back. No answer takes longer than this to arrive.
const OUT_OF_ORDER_MS: i64 = 60_000;

/// The time of the newest answer, and when it arrived by the monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct ServerTime(Mutex<Option<Answer>>);

#[derive(Clone, Copy, Debug)]
struct Answer {
    /// In epoch milliseconds.
    time: i64,
    arrived: Instant,
}

impl ServerTime {
    /// Records the time of an answer that has just arrived: of a read outside a transaction, or of a
    /// commit. Times of other answers may be long past.
    pub fn record(&self, time: Option<Timestamp>) {
        if let Some(time) = time {
            self.record_at(epoch_millis(&time), Instant::now());
        }
    }

    fn record_at(&self, time: i64, arrived: Instant) {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_out_of_order = newest.is_some_and(|newest| {
            time < newest.time && newest.time.saturating_sub(time) <= OUT_OF_ORDER_MS
        });
        if !is_out_of_order {
            *newest = Some(Answer { time, arrived });
        }
    }

    fn at(&self, instant: Instant) -> Option<i64> {
        let newest = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let passed = instant.saturating_duration_since(newest.arrived).as_millis();
        Some(newest.time.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX)))
    }
}

impl Db {
    /// Firestore's time in epoch milliseconds: that of the newest answer, and what the monotonic
    /// clock has counted since. It is at most the true time, if the monotonic clock does not run fast;
    /// it falls behind while the machine is suspended. `None` before the first answer.
    pub fn estimated_time(&self) -> Option<i64> {
        self.time.at(Instant::now())
    }

    /// Firestore's time in epoch milliseconds, asked for with the read of this document, which need
    /// not exist.
    ///
    /// # Errors
    /// The read failed, or its answer has no time.
    pub async fn ask_time(&self, collection: &str, id: &str) -> Result<i64> {
        let (_, time) = self.batch_get(vec![self.name(collection, id)], None, None).await?;
        let missing = || {
            let status = Status::internal("the answer has no read time");
            Error::rpc("take the time from a read of", format!("{collection}/{id}"), status)
        };
        time.as_ref().map(epoch_millis).ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_time_goes_on_from_the_newest_answer() {
        let time = ServerTime::default();
        assert_eq!(time.at(Instant::now()), None, "no answer has arrived");
        let start = Instant::now();
        time.record_at(1_000_000, start);
        let later = start + Duration::from_millis(700);
        assert_eq!(time.at(later), Some(1_000_700));
        time.record_at(999_000, later);
        assert_eq!(time.at(later), Some(1_000_700), "an answer out of order changes nothing");
        time.record_at(1_000_900, later);
        assert_eq!(time.at(later), Some(1_000_900));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_whose_clock_is_set_back_is_followed() {
        let time = ServerTime::default();
        let start = Instant::now();
        time.record_at(18_000_000, start);
        time.record_at(1_000, start);
        assert_eq!(time.at(start), Some(1_000));
    }

    #[test]
    fn an_answer_without_a_time_is_not_recorded() {
        let time = ServerTime::default();
        time.record(None);
        assert_eq!(time.at(Instant::now()), None);
    }
}
