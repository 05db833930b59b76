//! The HTTP interface next to gRPC: the meter, and the faults to inject.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::engine::Engine;
use crate::faults::{Faults, Plan};
use crate::hosts::{is_address, is_loopback_host};
use crate::meter::{Meter, Storage};

pub async fn serve(
    listener: TcpListener,
    meter: Arc<Meter>,
    engine: Arc<Engine>,
    faults: Arc<Faults>,
    stop: CancellationToken,
) {
    let is_local = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let app = Router::new()
        .route("/healthz", get(async || "ok"))
        .merge(meter_routes(meter, engine))
        .merge(faults_routes(faults))
        .layer(from_fn(move |request, next| check_host(is_local, request, next)));
    let served = axum::serve(listener, app).into_future();
    if let Some(Err(error)) = stop.run_until_cancelled(served).await {
        tracing::error!(%error, "the HTTP server of the meter failed");
    }
}

/// Refuses requests for a host that is not this machine. A server that other machines can reach also
/// takes its addresses.
async fn check_host(is_local: bool, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    match host {
        // HTTP/1.0 has no hosts, and no browser sends it.
        None => next.run(request).await,
        Some(host) if is_loopback_host(host) || !is_local && is_address(host) => {
            next.run(request).await
        }
        Some(_) => {
            let message = "invalid Host: expected localhost or a loopback address\n";
            (StatusCode::MISDIRECTED_REQUEST, message).into_response()
        }
    }
}

/// The answer to a request that failed.
type Failure = (StatusCode, String);

fn failed(status: &Status) -> Failure {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{}\n", status.message()))
}

async fn storage(engine: &Arc<Engine>) -> Result<Storage, Failure> {
    let engine = Arc::clone(engine);
    let reading = tokio::task::spawn_blocking(move || Storage::of(&engine)).await;
    reading
        .unwrap_or_else(|error| Err(Status::internal(error.to_string())))
        .map_err(|status| failed(&status))
}

type Metered = State<(Arc<Meter>, Arc<Engine>)>;

/// `GET /meter` is the report as JSON, `GET /meter/table` as text. `GET /meter/storage` measures what
/// is stored, which reads every document; `/meter/table` does so, too. `POST /meter/reset` forgets
/// all counts.
fn meter_routes(meter: Arc<Meter>, engine: Arc<Engine>) -> Router {
    let table = async |State((meter, engine)): Metered| {
        Ok::<_, Failure>(meter.report().text(&storage(&engine).await?))
    };
    let stored = async |State((_, engine)): Metered| storage(&engine).await.map(Json);
    Router::new()
        .route("/meter", get(async |State((meter, _)): Metered| Json(meter.report())))
        .route("/meter/table", get(table))
        .route("/meter/storage", get(stored))
        .route("/meter/reset", post(async |State((meter, _)): Metered| meter.reset()))
        .with_state((meter, engine))
}

/// `/faults`: `GET` shows the active plan and the faults injected so far, `PUT` activates another
/// plan, `DELETE` deactivates it. `POST /faults/seed/{seed}` activates the plan of a seed.
fn faults_routes(faults: Arc<Faults>) -> Router {
    type Shared = State<Arc<Faults>>;
    let shown = async |State(faults): Shared| {
        Json(serde_json::json!({ "plan": faults.plan(), "injected": faults.injected() }))
    };
    let set = async |State(faults): Shared, Json(plan): Json<Plan>| faults.set(plan);
    let clear = async |State(faults): Shared| faults.set(Plan::none());
    let seed =
        async |State(faults): Shared, Path(seed): Path<u64>| faults.set(Plan::from_seed(seed));
    Router::new()
        .route("/faults", get(shown).put(set).delete(clear))
        .route("/faults/seed/{seed}", post(seed))
        .with_state(faults)
}
