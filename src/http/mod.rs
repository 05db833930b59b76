//! The HTTP server: probes for Cloud Run, metrics, and under `/ops` the API for decisions on
//! policies. Handlers check the role, call the store, and convert the result to a view; they contain
//! no domain logic.

pub mod auth;
mod extract;
mod openapi;
mod ops;
mod probes;
mod problem;
mod views;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::observability::health::Health;
use crate::store::Store;
use f0_learning_core::Clock;

pub use auth::{
    AdminToken, ClientAddress, Credentials, CredentialsError, Firebase, MIN_TOKEN_BYTES,
};
pub use openapi::document;

/// How long an open connection may delay the end of the process.
const PATIENCE: Duration = Duration::from_secs(1);

/// Four times the largest params that are accepted.
const MAX_BODY_BYTES: usize = 1 << 20;

/// The state that the handlers share.
#[derive(Debug)]
pub struct Api {
    health: Arc<Health>,
    clock: Clock,
    credentials: Option<Credentials>,
    client_address: ClientAddress,
    throttle: auth::Throttle,
    store: OnceLock<Store>,
}

impl Api {
    /// Without `credentials` no caller can be authenticated: the routes that change something do not
    /// exist, and those that read are closed.
    pub fn new(health: Arc<Health>, clock: Clock, credentials: Option<Credentials>) -> Arc<Self> {
        Self::with_client_address(health, clock, credentials, ClientAddress::Peer)
    }

    pub fn with_client_address(
        health: Arc<Health>,
        clock: Clock,
        credentials: Option<Credentials>,
        client_address: ClientAddress,
    ) -> Arc<Self> {
        let (throttle, store) = (auth::Throttle::default(), OnceLock::new());
        Arc::new(Self { health, clock, credentials, client_address, throttle, store })
    }

    /// Opens `/ops`, once Firestore has been reached.
    pub fn serve(&self, store: Store) {
        let _ = self.store.set(store);
    }
}

/// A running HTTP server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

pub fn router(api: Arc<Api>) -> Router {
    let (router, document) = openapi::routes(api.credentials.is_some()).split_for_parts();
    let router = router.merge(openapi::route(document));
    let router = router.fallback(problem::not_found);
    router
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(axum::middleware::map_response(no_store))
        .with_state(api)
}

/// Responses are current and confidential: no cache may store them.
async fn no_store(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

impl Server {
    /// Listens on `address`; port 0 takes a free one.
    pub async fn start(address: SocketAddr, api: Arc<Api>) -> std::io::Result<Self> {
        Self::serve(address, router(api)).await
    }

    /// The same for a server whose host is known: requests with another `Host` are refused, so that
    /// a page in a browser cannot reach the server by a name that it made resolve to this machine.
    pub async fn start_for_hosts(
        address: SocketAddr,
        api: Arc<Api>,
        is_ours: fn(&str) -> bool,
    ) -> std::io::Result<Self> {
        let check = move |request: Request, next: Next| async move {
            let host = request.headers().get(header::HOST);
            match host.map(|host| host.to_str().unwrap_or_default()) {
                Some(host) if !is_ours(host) => problem::wrong_host(),
                // HTTP/1.0 has no hosts, and no browser sends it.
                _ => next.run(request).await,
            }
        };
        Self::serve(address, router(api).layer(from_fn(check))).await
    }

    async fn serve(address: SocketAddr, router: Router) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let task = tokio::spawn(async move {
            axum::serve(listener, service).with_graceful_shutdown(stopped).await
        });
        Ok(Self { address, stop, task })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting requests and waits a moment for the current ones.
    pub async fn shutdown(self) {
        self.stop.cancel();
        match tokio::time::timeout(PATIENCE, self.task).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the HTTP server failed"),
            Ok(Err(error)) => tracing::error!(%error, "the HTTP server panicked"),
            Err(_) => tracing::warn!("closed a connection that a client kept open"),
        }
    }
}
