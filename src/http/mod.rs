//! The HTTP server: probes for Cloud Run, metrics, under `/ops` the API for decisions on policies, and
//! at `/` the pages for a browser. Handlers check the role, call the store, and convert the result to a view; they contain
//! no domain logic.
//!
//! `server` bounds what a connection may take, `memory` what all responses may, [`auth`] who may call, `host` which names the
//! routes without a credential answer to.

pub mod auth;
mod extract;
mod host;
mod memory;
mod openapi;
mod ops;
mod page;
mod probes;
mod problem;
mod server;
mod views;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::jobs::Time;
use crate::observability::health::Health;
use crate::observability::trace::{self, Trace};
use crate::store::Store;
use f0_learning_core::Clock;
use problem::Problem;

pub use auth::{
    AdminToken, ClientAddress, Credentials, CredentialsError, Firebase, MIN_TOKEN_BYTES,
};
pub use host::Hosts;
pub use openapi::document;
pub use server::{Limits, Server};

/// Four times the largest params that are accepted.
const MAX_BODY_BYTES: usize = 1 << 20;

/// What stands between the callers and this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontEnd {
    pub client_address: ClientAddress,
    pub hosts: Hosts,
}

impl FrontEnd {
    /// None: callers connect to this process.
    pub fn none() -> Self {
        Self { client_address: ClientAddress::Peer, hosts: Hosts::local() }
    }

    /// From `K_SERVICE`, which Cloud Run sets, and `ALLOWED_HOSTS`.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Self {
        // Cloud Run sends to this service only what was addressed to it.
        if variable("K_SERVICE").is_some() {
            return Self { client_address: ClientAddress::Forwarded, hosts: Hosts::any() };
        }
        let names = variable("ALLOWED_HOSTS").unwrap_or_default();
        Self { client_address: ClientAddress::Peer, hosts: Hosts::named(&names) }
    }
}

/// The state that the handlers share.
#[derive(Debug)]
pub struct Api {
    health: Arc<Health>,
    /// By which tokens expire.
    clock: Clock,
    credentials: Option<Credentials>,
    front_end: FrontEnd,
    throttle: auth::Throttle,
    refusals: auth::Refusals,
    memory: memory::ResponseMemory,
    sessions: auth::Sessions,
    pages: page::Shared,
    /// The store, and the time of changes, which is Firestore's.
    store: OnceLock<(Store, Time)>,
}

impl Api {
    /// Without `credentials` no caller can be authenticated: the routes that change something do not
    /// exist, and those that read are closed.
    pub fn new(health: Arc<Health>, clock: Clock, credentials: Option<Credentials>) -> Arc<Self> {
        Self::behind(FrontEnd::none(), health, clock, credentials)
    }

    pub fn behind(
        front_end: FrontEnd,
        health: Arc<Health>,
        clock: Clock,
        credentials: Option<Credentials>,
    ) -> Arc<Self> {
        let (throttle, refusals) = (auth::Throttle::default(), auth::Refusals::default());
        Arc::new(Self {
            sessions: auth::Sessions::of(credentials.as_ref()),
            pages: page::Shared::default(),
            memory: memory::ResponseMemory::default(),
            store: OnceLock::new(),
            health,
            clock,
            credentials,
            front_end,
            throttle,
            refusals,
        })
    }

    /// Opens `/ops`, once Firestore has been reached. Changes carry the time of `time`.
    pub fn serve(&self, store: Store, time: impl Into<Time>) {
        let _ = self.store.set((store, time.into()));
    }

    /// The time of a change, or of an evaluation, in epoch milliseconds.
    async fn now(&self) -> Result<i64, Problem> {
        let (_, time) = self.store.get().ok_or_else(problem::away)?;
        Ok(time.now().await?)
    }
}

async fn not_found(headers: HeaderMap, uri: Uri) -> Response {
    answer(&headers, problem::not_found(&uri))
}

async fn method_not_allowed(headers: HeaderMap, method: Method, uri: Uri) -> Response {
    answer(&headers, problem::method_not_allowed(&method, &uri))
}

/// A page for a browser, and a problem for every other client.
fn answer(headers: &HeaderMap, problem: Problem) -> Response {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok());
    let mut kinds = accepted.flat_map(|it| it.split(','));
    let is_html = |kind: &str| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("text/html")
    };
    if kinds.any(is_html) { page::failed(problem) } else { problem.into_response() }
}

pub fn router(api: Arc<Api>) -> Router {
    let (router, document) = openapi::routes(api.credentials.is_some()).split_for_parts();
    let router = router.merge(openapi::route(document)).merge(page::routes());
    let router = router.fallback(not_found);
    router
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(axum::middleware::from_fn(memory::bounded))
        .layer(axum::middleware::from_fn(traced))
        .layer(axum::middleware::map_response(no_store))
        .with_state(api)
}

fn trace_of(headers: &HeaderMap) -> Option<Trace> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    Trace::of_headers(header("traceparent"), header("x-cloud-trace-context"))
}

/// The log lines of a request name its trace.
async fn traced(request: Request, next: Next) -> Response {
    let trace = trace_of(request.headers());
    trace::within(trace, next.run(request)).await
}

/// Responses are current and confidential: no cache may store them.
async fn no_store(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let no_store = HeaderValue::from_static("no-store");
    // Only the assets of the page, which are the same for everyone, say otherwise.
    headers.entry(header::CACHE_CONTROL).or_insert(no_store);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
