//! Retries: which calls to Firestore are repeated, and after how long. Nothing else decides it.
//!
//! | call | failure | action |
//! |---|---|---|
//! | a read, a create-only batch, the start of a transaction | transient ([`is_transient`](crate::is_transient)) | repeat the call |
//! | a commit | refused: another writer was first ([`is_refusal`](crate::is_refusal)) | the caller reads the state again |
//! | a commit | ambiguous ([`is_transient`](crate::is_transient)) | the caller reads the state again, which shows whether it was applied |
//! | a read in a transaction | ABORTED | repeat the whole transaction |
//! | any | permanent | return the error |
//!
//! A repeated create-only batch does not change the documents that exist, and a commit is never
//! repeated blindly: its caller reads the state and continues from there.
//!
//! Calls are repeated with exponential backoff and jitter, within a budget that all calls of a
//! [`Db`](crate::Db) share: if most calls fail, repeating each of them would only add to the
//! overload (gRPC proposal A6, "retry throttling"). Each call has its own deadline, see
//! [`rpc`](crate::rpc).
//!
//! A crate such as `backon` would replace only [`RetryPolicy::delay`]: the shared budget, which also
//! counts successes, and the waits between the rounds of a batch or a transaction would remain.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::error::Result;

/// How often a call is repeated, and the delays in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// The delay before the second attempt; doubled before each further one.
    pub first_delay: Duration,
    pub max_delay: Duration,
}

impl Default for RetryPolicy {
    /// A call fails after about three seconds of waiting: longer than a failover of Firestore's
    /// front end, shorter than Cloud Run's ten seconds between SIGTERM and SIGKILL.
    fn default() -> Self {
        Self {
            attempts: 5,
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(2),
        }
    }
}

impl RetryPolicy {
    /// Exponential backoff with jitter on its upper half; `u` is uniform in 0..1.
    pub fn delay(&self, attempt: u32, u: f64) -> Duration {
        let doubled = self.first_delay.saturating_mul(1 << attempt.min(16).saturating_sub(1));
        doubled.min(self.max_delay).mul_f64(0.5 + u / 2.0)
    }
}

/// The full budget, in tenths of a token. Calls are repeated while more than half of it is left.
const FULL: i64 = 1_000;
/// A failure costs one token and a success returns half of one: while up to a third of all calls
/// fail transiently, each is repeated as often as the policy allows.
const FAILURE: i64 = 10;
const SUCCESS: i64 = 5;

/// The policy, and the rest of the budget.
#[derive(Debug)]
pub struct Retry {
    policy: RetryPolicy,
    tokens: AtomicI64,
    /// How often a call waited to be repeated.
    repeated: AtomicU64,
}

impl Default for Retry {
    fn default() -> Self {
        Self::new(RetryPolicy::default())
    }
}

impl Retry {
    pub fn new(policy: RetryPolicy) -> Self {
        Self { policy, tokens: AtomicI64::new(FULL), repeated: AtomicU64::new(0) }
    }

    pub fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// Adds to the budget and returns what is left of it.
    fn add_tokens(&self, change: i64) -> i64 {
        let changed = |tokens: i64| Some((tokens + change).clamp(0, FULL));
        let before = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed);
        (before.unwrap_or_else(|tokens| tokens) + change).clamp(0, FULL)
    }

    /// Runs `call` until it succeeds, fails permanently, or uses up its attempts or the budget.
    pub async fn run<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut attempt = 1;
        loop {
            match call().await {
                Ok(done) => {
                    self.add_tokens(SUCCESS);
                    return Ok(done);
                }
                Err(error) if error.is_transient() => {
                    let left = self.add_tokens(-FAILURE);
                    if attempt >= self.policy.attempts || left <= FULL / 2 {
                        return Err(error);
                    }
                    tracing::debug!(attempt, %error, "call to Firestore failed; retrying");
                    self.wait(attempt).await;
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for the policy's delay after attempt number `attempt`.
    pub async fn wait(&self, attempt: u32) {
        self.repeated.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(self.policy.delay(attempt, jitter())).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the jitter of retries, which nothing depends on")]
fn jitter() -> f64 {
    rand::random()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use firestore::gcloud_sdk::tonic::Status;

    use super::*;
    use crate::error::Error;

    fn failing(status: Status) -> Error {
        Error::rpc("read", "things/x", status)
    }

    #[tokio::test(start_paused = true)]
    async fn a_transient_failure_is_retried_until_it_succeeds() {
        let calls = Cell::new(0);
        let retry = Retry::default();
        let outcome = retry.run(|| async {
            calls.set(calls.get() + 1);
            if calls.get() < 3 { Err(failing(Status::unavailable("soon"))) } else { Ok(7) }
        });
        assert_eq!(outcome.await.unwrap(), 7);
        assert_eq!(calls.get(), 3);
    }

    async fn calls_until_failure(retry: &Retry, status: &Status) -> u32 {
        let calls = Cell::new(0);
        let outcome: Result<()> = retry
            .run(|| async {
                calls.set(calls.get() + 1);
                Err(failing(status.clone()))
            })
            .await;
        assert!(outcome.is_err());
        calls.get()
    }

    #[tokio::test(start_paused = true)]
    async fn a_permanent_failure_is_not_retried_and_a_transient_one_at_most_as_often_as_allowed() {
        let retry = Retry::default();
        let attempts = RetryPolicy::default().attempts;
        assert_eq!(calls_until_failure(&retry, &Status::permission_denied("no")).await, 1);
        assert_eq!(calls_until_failure(&retry, &Status::unavailable("no")).await, attempts);
    }

    #[tokio::test(start_paused = true)]
    async fn while_most_calls_fail_none_is_retried_until_others_succeed_again() {
        let retry = Retry::default();
        let away = Status::unavailable("no");
        for _ in 0..100 {
            calls_until_failure(&retry, &away).await;
        }
        assert_eq!(calls_until_failure(&retry, &away).await, 1);
        for _ in 0..200 {
            retry.run(|| async { Ok(()) }).await.unwrap();
        }
        assert_eq!(calls_until_failure(&retry, &away).await, RetryPolicy::default().attempts);
    }

    #[test]
    fn delays_double_up_to_the_maximum() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.delay(1, 1.0), policy.first_delay);
        assert_eq!(policy.delay(2, 1.0), policy.first_delay * 2);
        assert_eq!(policy.delay(2, 0.0), policy.first_delay);
        assert_eq!(policy.delay(60, 1.0), policy.max_delay);
    }
}
