//! When a call to Firestore is made again, and after how long.
//!
//! Only calls that may be repeated without harm come through [`repeat`]: reads, and writes whose
//! second application is refused or changes nothing (create-only batches). A commit whose answer
//! is lost is never repeated blindly: the job that made it reads the state again and goes on from
//! what it finds.

use std::time::Duration;

use firestore::gcloud_sdk::tonic::Code;

use super::error::{Result, StoreError};

/// Attempts in all, the first included. With the delays below a call gives up after about three
/// seconds: longer than a failover of Firestore's front end, shorter than Cloud Run's ten seconds
/// between SIGTERM and SIGKILL.
const MAX_ATTEMPTS: u32 = 5;
const FIRST_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(2);

/// Codes after which the same call may well succeed (Firestore, "Error codes", column
/// "Recommended action": retry).
pub fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Internal
            | Code::Aborted
    )
}

/// Runs `call` until it succeeds, fails for good, or the attempts are used up.
pub async fn repeat<T, F>(mut call: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut attempt = 1;
    loop {
        match call().await {
            Err(error) if attempt < MAX_ATTEMPTS && transient(&error) => {
                let delay = delay(attempt, rand::random::<f64>());
                tracing::debug!(attempt, ?delay, %error, "call to Firestore failed; trying again");
                tokio::time::sleep(delay).await;
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

fn transient(error: &StoreError) -> bool {
    error.code().is_some_and(is_transient)
}

/// Exponential backoff with full jitter on its upper half; `u` is uniform in 0..1.
pub fn delay(attempt: u32, u: f64) -> Duration {
    let ceiling = FIRST_DELAY.saturating_mul(1 << attempt.min(16).saturating_sub(1)).min(MAX_DELAY);
    ceiling.mul_f64(0.5 + u / 2.0)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use firestore::gcloud_sdk::tonic::Status;

    use super::*;

    fn failing(status: Status) -> StoreError {
        StoreError::rpc("read of", "things/x", status)
    }

    #[tokio::test(start_paused = true)]
    async fn a_transient_failure_is_tried_again_until_it_succeeds() {
        let calls = Cell::new(0);
        let outcome = repeat(|| async {
            calls.set(calls.get() + 1);
            if calls.get() < 3 { Err(failing(Status::unavailable("soon"))) } else { Ok(7) }
        });
        assert_eq!(outcome.await.unwrap(), 7);
        assert_eq!(calls.get(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lasting_failure_is_not_tried_again_and_a_transient_one_not_for_ever() {
        for (status, expected) in
            [(Status::permission_denied("no"), 1), (Status::unavailable("no"), MAX_ATTEMPTS)]
        {
            let calls = Cell::new(0);
            let outcome: Result<()> = repeat(|| async {
                calls.set(calls.get() + 1);
                Err(failing(status.clone()))
            })
            .await;
            assert!(outcome.is_err());
            assert_eq!(calls.get(), expected);
        }
    }

    #[test]
    fn delays_double_up_to_their_bound() {
        assert_eq!(delay(1, 1.0), FIRST_DELAY);
        assert_eq!(delay(2, 1.0), FIRST_DELAY * 2);
        assert_eq!(delay(2, 0.0), FIRST_DELAY);
        assert_eq!(delay(60, 1.0), MAX_DELAY);
    }
}
