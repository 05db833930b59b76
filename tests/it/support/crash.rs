//! Crashes: a future that is dropped in the middle of its work.

use std::task::Poll;

/// Polls a future at most `polls` times beyond the first and then drops it, as if its process had
/// crashed at that `await`. Gives the output if the future completes before.
pub async fn crash_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    tokio::pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}
