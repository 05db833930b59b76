//! Probes for Cloud Run, and metrics.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Api;
use super::views::health::Readiness;

/// Whether the process is alive.
#[utoipa::path(
    get, path = "/healthz", tag = "probes", security(()),
    responses((status = 200, description = "The process is alive", body = String, content_type = "text/plain")),
)]
pub async fn healthz() -> &'static str {
    "ok"
}

/// Whether the service is ready, and which policies have several active versions or none.
#[utoipa::path(
    get, path = "/readyz", tag = "probes", security(()),
    responses(
        (status = 200, description = "The service is ready", body = Readiness),
        (status = 503, description = "The service is not ready, and why", body = Readiness),
    ),
)]
pub async fn readyz(State(api): State<Arc<Api>>) -> Response {
    let readiness = api.health.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness::from(readiness))).into_response()
}

/// Metrics in the text format of Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "probes", security(()),
    responses((
        status = 200, description = "OpenMetrics text", body = String,
        content_type = "application/openmetrics-text",
    )),
)]
pub async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = api.health.metrics().text(api.health.readiness().ready);
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
