//! Probes for Cloud Run, and metrics.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Api;
use super::auth::MayRead;
use super::host::KnownHost;
use super::problem::Problem;
use super::views::health::Readiness;
use crate::observability::metrics::Requests;
use crate::store::Store;

/// Whether the process is alive.
#[utoipa::path(
    get, path = "/healthz", tag = "probes", security(()),
    responses((status = 200, description = "The process is alive", body = String, content_type = "text/plain")),
)]
pub async fn healthz() -> &'static str {
    "ok"
}

/// Whether the service is ready. A caller with a credential to read also sees why it is not, which
/// policies have several active versions or none, and which documents cannot be read.
#[utoipa::path(
    get, path = "/readyz", tag = "probes", security((), ("bearer" = [])),
    responses(
        (status = 200, description = "The service is ready", body = Readiness),
        (status = 421, description = "The host name is unknown", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The service is not ready, and why", body = Readiness),
    ),
)]
pub async fn readyz(
    _: KnownHost,
    MayRead(may_read): MayRead,
    State(api): State<Arc<Api>>,
) -> Response {
    let readiness = api.health.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness::of(readiness, may_read))).into_response()
}

/// The same as `/healthz`. Google's front end keeps some paths that end with z to itself, so that on
/// Cloud Run only requests from within the instance reach those.
#[utoipa::path(
    get, path = "/health", tag = "probes", security(()),
    responses((status = 200, description = "The process is alive", body = String, content_type = "text/plain")),
)]
pub async fn health() -> &'static str {
    healthz().await
}

/// The same as `/readyz`, for callers whose requests pass Google's front end.
#[utoipa::path(
    get, path = "/ready", tag = "probes", security((), ("bearer" = [])),
    responses(
        (status = 200, description = "The service is ready", body = Readiness),
        (status = 421, description = "The host name is unknown", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The service is not ready, and why", body = Readiness),
    ),
)]
pub async fn ready(host: KnownHost, may_read: MayRead, api: State<Arc<Api>>) -> Response {
    readyz(host, may_read, api).await
}

/// Metrics in the text format of Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "probes", security(()),
    responses(
        (
            status = 200, description = "OpenMetrics text", body = String,
            content_type = "application/openmetrics-text",
        ),
        (status = 421, description = "The host name is unknown", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn metrics(_: KnownHost, State(api): State<Arc<Api>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], api.metrics()).into_response()
}

impl Api {
    /// The text of `/metrics`.
    pub fn metrics(&self) -> String {
        let metrics = self.health.metrics();
        if let Some((store, _)) = self.store.get() {
            metrics.service().set_requests(&requests(store));
        }
        metrics.text(self.health.readiness().ready)
    }
}

/// What this process has asked of Firestore; it is known without asking again.
fn requests(store: &Store) -> Requests {
    let used = store.used();
    let (reads, writes, deletes) = (used.reads, used.writes, used.deletes);
    Requests { reads, writes, deletes, retries: used.retries, failures: used.failures }
}
