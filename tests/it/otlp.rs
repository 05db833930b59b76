//! The export of metrics by OTLP, to a receiver on this machine. `.ci/monitoring` decodes an export of
//! `serve` with OpenTelemetry's own messages.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use f0_learning::observability::otlp::{ExportError, Exporter, Settings};
use f0_learning_core::Clock;
use tokio_util::sync::CancellationToken;

use crate::support::START;

const TEXT: &str = "# HELP f0_ready Ready.\n# TYPE f0_ready gauge\nf0_ready 1\n# EOF\n";

/// How the receiver answers, and what it got.
#[derive(Clone)]
struct Receiver(Arc<Mutex<Exchange>>);

struct Exchange {
    status: StatusCode,
    body: Vec<u8>,
    received: Vec<HeaderMap>,
}

impl Receiver {
    async fn start(status: StatusCode, body: &[u8]) -> (Self, String) {
        let receiver = {
            let exchange = Exchange { status, body: body.to_vec(), received: Vec::new() };
            Self(Arc::new(Mutex::new(exchange)))
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/metrics", axum::routing::post(take));
        let router = router.with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (receiver, address)
    }

    fn received(&self) -> usize {
        self.0.lock().unwrap().received.len()
    }

    fn answer(&self, status: StatusCode) {
        self.0.lock().unwrap().status = status;
    }
}

async fn take(State(receiver): State<Receiver>, request: Request) -> Response {
    let mut it = receiver.0.lock().unwrap();
    it.received.push(request.headers().clone());
    (it.status, [(header::LOCATION, "/elsewhere")], it.body.clone()).into_response()
}

fn exporter(address: &str, interval_ms: &str) -> Exporter {
    let variable = |name: &str| match name {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(address.to_owned()),
        "OTEL_EXPORTER_OTLP_HEADERS" => Some("authorization=Bearer%20secret".to_owned()),
        "OTEL_METRIC_EXPORT_INTERVAL" => Some(interval_ms.to_owned()),
        _ => None,
    };
    let settings = Settings::from_env(variable).unwrap().unwrap();
    Exporter::new(settings, "one".to_owned(), Clock::from_fn(|| START)).unwrap()
}

#[tokio::test]
async fn an_export_carries_the_headers_of_the_environment() {
    let (receiver, address) = Receiver::start(StatusCode::OK, b"").await;
    exporter(&address, "1000").export(TEXT).await.unwrap();
    let headers = receiver.0.lock().unwrap().received[0].clone();
    assert_eq!(headers[header::AUTHORIZATION], "Bearer secret");
    assert_eq!(headers[header::CONTENT_TYPE], "application/x-protobuf");
}

#[tokio::test]
async fn a_refusal_is_an_error_that_shows_no_secret_and_a_redirect_is_not_followed() {
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TEMPORARY_REDIRECT] {
        let (receiver, address) = Receiver::start(status, b"secret").await;
        let error = exporter(&address, "1000").export(TEXT).await.unwrap_err();
        assert!(matches!(error, ExportError::Refused(it) if it == status.as_u16()), "{error}");
        assert_eq!(receiver.received(), 1);
    }
    let closed = exporter("http://secret@127.0.0.1:9", "1000").export(TEXT).await.unwrap_err();
    assert!(!closed.to_string().contains("secret"), "{closed}");
}

#[tokio::test]
async fn values_that_the_receiver_rejects_are_an_error() {
    // A message whose field 1 says: 3 rejected, because of `old`.
    let answer = [0x0a, 7, 0x08, 3, 0x12, 3, b'o', b'l', b'd'];
    let (_, address) = Receiver::start(StatusCode::OK, &answer).await;
    let error = exporter(&address, "1000").export(TEXT).await.unwrap_err();
    assert_eq!(error.to_string(), "the receiver rejected 3 values: old");
}

#[tokio::test]
async fn exports_go_on_after_failures_and_the_last_follows_the_stop() {
    let (receiver, address) = Receiver::start(StatusCode::BAD_GATEWAY, b"").await;
    let outcomes: Arc<[AtomicUsize; 2]> = Arc::default();
    let (counted, stop) = (outcomes.clone(), CancellationToken::new());
    let exporter = exporter(&address, "5");
    let stopped = stop.clone();
    let run = tokio::spawn(async move {
        let exported = |delivered| {
            counted[usize::from(delivered)].fetch_add(1, Ordering::Relaxed);
        };
        exporter.run(|| TEXT.to_owned(), exported, stopped).await;
    });
    while outcomes[0].load(Ordering::Relaxed) < 2 {
        tokio::task::yield_now().await;
    }
    receiver.answer(StatusCode::OK);
    while outcomes[1].load(Ordering::Relaxed) < 2 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    run.await.unwrap();
    let before: usize = outcomes.iter().map(|it| it.load(Ordering::Relaxed)).sum();
    assert!(receiver.received() > before, "no export after the stop");
}
