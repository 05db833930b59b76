//! What Cloud Run and a monitor ask.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Api;
use crate::observability::health::Readiness;

/// Whether the process is alive.
#[utoipa::path(
    get, path = "/healthz", tag = "probes", security(()),
    responses((status = 200, description = "It is", body = String, content_type = "text/plain")),
)]
pub async fn healthz() -> &'static str {
    "ok"
}

/// Whether the service is fit for work, and which policies are in disorder.
#[utoipa::path(
    get, path = "/readyz", tag = "probes", security(()),
    responses(
        (status = 200, description = "It is", body = Readiness),
        (status = 503, description = "It is not, and why", body = Readiness),
    ),
)]
pub async fn readyz(State(api): State<Arc<Api>>) -> Response {
    let readiness = api.health.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
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
