//! The server below the routes: who may keep a connection open, and for how long. No client can use
//! up the connections, the memory or the patience of the process:
//!
//! - a request's head and its body must arrive in time, and its response must be read in time;
//! - there are at most [`Limits::connections`] connections. One more closes the connection that has
//!   been idle for longest. If all are busy, [`Limits::reserve`] more are accepted, which only get
//!   answers to probes;
//! - a connection without requests is closed after [`Limits::idle`].

mod connections;
mod guarded;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::Api;
use super::problem::Problem;
use connections::{Connections, Opened, Seat};
use guarded::Guarded;

/// How long an open connection may delay the end of the process.
const PATIENCE: Duration = Duration::from_secs(1);
/// The most bytes of a request's head that are kept in memory.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long to wait if the process has no file descriptor left for a new connection.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How much of the server a client may take up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections that may be open at once. A container usually has 1,024 file descriptors or more.
    pub connections: usize,
    /// More connections for probes, while all others are busy.
    pub reserve: usize,
    /// From the first byte of a request to the end of its head.
    pub head: Duration,
    /// From the end of the head to the end of the body.
    pub body: Duration,
    /// How long a client may not read of its response.
    pub stall: Duration,
    /// How long a connection may be open without a request. Longer than proxies keep theirs for
    /// reuse (commonly 60 s), so that it is they who close.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            reserve: 32,
            head: Duration::from_secs(10),
            body: Duration::from_secs(20),
            stall: Duration::from_secs(20),
            idle: Duration::from_secs(75),
        }
    }
}

/// When the body of a request must have arrived; the extractor of bodies looks at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyDeadline(pub tokio::time::Instant);

/// A running HTTP server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens on `address`; port 0 takes a free one.
    pub async fn start(address: SocketAddr, api: Arc<Api>) -> std::io::Result<Self> {
        Self::start_within(address, api, Limits::default()).await
    }

    /// The same within other limits.
    pub async fn start_within(
        address: SocketAddr,
        api: Arc<Api>,
        limits: Limits,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let host = Host { router: super::router(api), limits, stop: stop.clone() };
        Ok(Self { address, stop, task: tokio::spawn(host.accept(listener)) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting requests and waits a moment for the current ones.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        match tokio::time::timeout(PATIENCE, &mut self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the HTTP server panicked"),
            Err(_) => tracing::warn!("closed a connection that a client kept open"),
        }
    }
}

/// What all connections share.
#[derive(Clone)]
struct Host {
    router: Router,
    limits: Limits,
    stop: CancellationToken,
}

impl Host {
    async fn accept(self, listener: TcpListener) {
        let connections = Arc::new(Connections::new(self.limits));
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            // Dropping the stream closes it.
            if let Some(opened) = connections.open() {
                tasks.spawn(self.clone().serve(stream, peer, opened));
            }
        }
        drop(listener);
        tasks.close();
        tasks.wait().await;
    }

    async fn serve(self, stream: TcpStream, peer: SocketAddr, opened: Opened) {
        let _ = stream.set_nodelay(true);
        let activity = opened.activity();
        let answer = service_fn(|request| {
            let request = request_of(request, peer, self.limits.body);
            let (router, activity) = (self.router.clone(), activity.clone());
            async move {
                let _request = activity.request();
                Ok::<_, Infallible>(respond(router, activity.seat(), request).await)
            }
        });
        let io = TokioIo::new(Guarded::new(stream, activity.clone(), self.limits));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.idle)
            .max_buf_size(MAX_HEAD_BYTES)
            .keep_alive(activity.seat() == Seat::Ordinary)
            .serve_connection(io, answer);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            // Another connection needs the place of this idle one.
            () = activity.closed() => Ok(()),
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, %peer, "a connection ended with an error");
        }
    }
}

fn request_of(
    request: Request<hyper::body::Incoming>,
    peer: SocketAddr,
    body: Duration,
) -> Request<Body> {
    let mut request = request.map(Body::new);
    let extensions = request.extensions_mut();
    extensions.insert(ConnectInfo(peer));
    extensions.insert(BodyDeadline(tokio::time::Instant::now() + body));
    request
}

async fn respond(router: Router, seat: Seat, request: Request<Body>) -> Response {
    if seat == Seat::Reserve
        && !matches!(request.uri().path(), "/health" | "/healthz" | "/ready" | "/readyz")
    {
        let detail = "all connections are busy; try again later";
        let mut response =
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).after(1).into_response();
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    match router.oneshot(request).await {
        Ok(response) => response,
    }
}
