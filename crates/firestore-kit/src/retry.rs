//! When a call to Firestore is made again, and after how long: the one place that decides it.
//!
//! | what failed | how | what is done |
//! |---|---|---|
//! | a read, a create-only batch, the begin of a transaction | for the moment ([`is_transient`](crate::is_transient)) | the same call again |
//! | a commit | refused: somebody else was first ([`is_refusal`](crate::is_refusal)) | the state is read again |
//! | a commit | nobody knows whether it was applied ([`is_transient`](crate::is_transient)) | the state is read again, which tells |
//! | a read in a transaction | ABORTED | the whole transaction again |
//! | anything | for good | the caller is told |
//!
//! A second create-only batch changes nothing that the first has created, and a commit is never
//! repeated blindly: whoever made it reads the state, and goes on from what is there.
//!
//! Calls are repeated with exponential backoff and jitter, and within a budget that all calls of a
//! [`Db`](crate::Db) share: when most of them fail, repeating each of them would only add to
//! what keeps Firestore from answering (gRPC proposal A6, "retry throttling"). Each call has a
//! deadline of its own, see [`rpc`](crate::rpc).

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::error::Result;

/// How often a call is made, and how long to wait between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// Before the second attempt; doubled before each further one.
    pub first_delay: Duration,
    pub max_delay: Duration,
}

impl Default for RetryPolicy {
    /// A call gives up after about three seconds of waiting: longer than a failover of Firestore's
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

/// Tokens in the full budget, in tenths. Calls are repeated while more than half of it is left.
const FULL: i64 = 1_000;
/// A failure costs one token, a success gives half of one back: with up to a third of all calls
/// failing for the moment, each is repeated as often as the policy allows.
const FAILURE: i64 = 10;
const SUCCESS: i64 = 5;

/// The policy, and what is left of the budget.
#[derive(Debug)]
pub struct Retry {
    policy: RetryPolicy,
    tokens: AtomicI64,
}

impl Default for Retry {
    fn default() -> Self {
        Self::new(RetryPolicy::default())
    }
}

impl Retry {
    pub fn new(policy: RetryPolicy) -> Self {
        Self { policy, tokens: AtomicI64::new(FULL) }
    }

    fn spend(&self, change: i64) -> i64 {
        let changed = |tokens: i64| Some((tokens + change).clamp(0, FULL));
        let before = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed);
        (before.unwrap_or_else(|tokens| tokens) + change).clamp(0, FULL)
    }

    /// Runs `call` until it succeeds, fails for good, or attempts or budget are used up.
    pub async fn repeat<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut attempt = 1;
        loop {
            match call().await {
                Ok(done) => {
                    self.spend(SUCCESS);
                    return Ok(done);
                }
                Err(error) if error.is_transient() => {
                    let left = self.spend(-FAILURE);
                    if attempt >= self.policy.attempts || left <= FULL / 2 {
                        return Err(error);
                    }
                    tracing::debug!(attempt, %error, "call to Firestore failed; trying again");
                    self.wait(attempt).await;
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits as long as the policy has it after so many attempts.
    pub async fn wait(&self, attempt: u32) {
        tokio::time::sleep(self.policy.delay(attempt, rand::random())).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use firestore::gcloud_sdk::tonic::Status;

    use super::*;
    use crate::error::Error;

    fn failing(status: Status) -> Error {
        Error::rpc("read of", "things/x", status)
    }

    #[tokio::test(start_paused = true)]
    async fn a_transient_failure_is_tried_again_until_it_succeeds() {
        let calls = Cell::new(0);
        let retry = Retry::default();
        let outcome = retry.repeat(|| async {
            calls.set(calls.get() + 1);
            if calls.get() < 3 { Err(failing(Status::unavailable("soon"))) } else { Ok(7) }
        });
        assert_eq!(outcome.await.unwrap(), 7);
        assert_eq!(calls.get(), 3);
    }

    async fn calls_until_given_up(retry: &Retry, status: &Status) -> u32 {
        let calls = Cell::new(0);
        let outcome: Result<()> = retry
            .repeat(|| async {
                calls.set(calls.get() + 1);
                Err(failing(status.clone()))
            })
            .await;
        assert!(outcome.is_err());
        calls.get()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lasting_failure_is_not_tried_again_and_a_transient_one_not_for_ever() {
        let retry = Retry::default();
        let attempts = RetryPolicy::default().attempts;
        assert_eq!(calls_until_given_up(&retry, &Status::permission_denied("no")).await, 1);
        assert_eq!(calls_until_given_up(&retry, &Status::unavailable("no")).await, attempts);
    }

    #[tokio::test(start_paused = true)]
    async fn when_most_calls_fail_none_is_repeated_until_some_succeed_again() {
        let retry = Retry::default();
        let away = Status::unavailable("no");
        for _ in 0..100 {
            calls_until_given_up(&retry, &away).await;
        }
        assert_eq!(calls_until_given_up(&retry, &away).await, 1);
        for _ in 0..200 {
            retry.repeat(|| async { Ok(()) }).await.unwrap();
        }
        assert_eq!(calls_until_given_up(&retry, &away).await, RetryPolicy::default().attempts);
    }

    #[test]
    fn delays_double_up_to_their_bound() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.delay(1, 1.0), policy.first_delay);
        assert_eq!(policy.delay(2, 1.0), policy.first_delay * 2);
        assert_eq!(policy.delay(2, 0.0), policy.first_delay);
        assert_eq!(policy.delay(60, 1.0), policy.max_delay);
    }
}
