//! The memory of responses. A list may read and write mebibytes, and a client may be slow to take
//! them: all of them together are bounded, and a request that does not fit waits, or is refused.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;

/// What one permit stands for, in bytes.
const UNIT: usize = 1 << 10;

/// What all responses may take, in bytes: those that are being made, and those that are being sent.
const ALL_BYTES: usize = 64 << 20;

/// What a response may take while it is made, in bytes: the documents of a page, their JSON, and its
/// text. So two are made at a time, while others are sent.
const MAKING_BYTES: usize = 24 << 20;

/// How long a request waits until it is refused.
const PATIENCE: Duration = Duration::from_secs(10);

/// Seconds after which a refused request may be repeated.
const RETRY_AFTER_S: u32 = 2;

/// What a connection is given of a response at a time. The rest counts until it is taken.
const FRAME_BYTES: usize = 64 << 10;

/// The memory that responses have left.
#[derive(Clone, Debug)]
pub struct ResponseMemory(Arc<Semaphore>);

impl Default for ResponseMemory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ALL_BYTES / UNIT)))
    }
}

/// Where a request keeps what it was given, until its response is sent.
#[derive(Clone, Debug, Default)]
struct Slot(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl ResponseMemory {
    /// Waits until there is memory for the response to a request that reads the store. Requests without
    /// a valid credential do not come as far.
    ///
    /// # Errors
    /// There is none for too long.
    pub async fn reserve(&self, parts: &Parts) -> Result<(), Problem> {
        let Some(slot) = parts.extensions.get::<Slot>() else { return Ok(()) };
        let units = u32::try_from(MAKING_BYTES / UNIT).unwrap_or(u32::MAX);
        let permit = self.0.clone().acquire_many_owned(units);
        match tokio::time::timeout(PATIENCE, permit).await {
            Ok(Ok(permit)) => {
                *slot.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
                Ok(())
            }
            _ => {
                let detail = "too many large responses at once: try again later";
                let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
                Err(problem.after(RETRY_AFTER_S))
            }
        }
    }
}

/// Keeps the memory of a response reserved until the connection has taken it.
pub async fn bounded(mut request: Request, next: Next) -> Response {
    let slot = Slot::default();
    request.extensions_mut().insert(slot.clone());
    let response = next.run(request).await;
    let permit = slot.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut permit) = permit else { return response };
    if response.body().size_hint().exact().is_none() {
        // A stream of events, which has no end and holds little at a time.
        return response;
    }
    let (parts, body) = response.into_parts();
    let bytes = match axum::body::to_bytes(body, usize::MAX).await {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::error!(%error, "a response cannot be read");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let units = bytes.len().div_ceil(UNIT).min(permit.num_permits());
    // The rest is free for others at once.
    let held = permit.split(units);
    Response::from_parts(parts, Body::new(Sent { bytes, _held: held }))
}

/// A response that is sent piece by piece.
struct Sent {
    bytes: Bytes,
    _held: Option<OwnedSemaphorePermit>,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let n = self.bytes.len().min(FRAME_BYTES);
        let frame = self.bytes.split_to(n);
        Poll::Ready((n > 0).then(|| Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}
