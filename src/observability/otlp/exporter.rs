//! Sends the metrics at an interval until the process stops, and once more at its end.

use std::time::Duration;

use f0_learning_core::Clock;
use prost::Message;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::message::{Interval, Response, request};
use super::settings::Settings;
use crate::observability::printable;
use crate::outgoing;

const PROTOBUF: &str = "application/x-protobuf";
/// The most bytes of a response that are read.
const MAX_RESPONSE: usize = 64 << 10;
/// How long the last export may take: Cloud Run allows ten seconds for the whole end.
const LAST_TIMEOUT: Duration = Duration::from_secs(1);

/// Why metrics could not be exported. Names no address, which may hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("cannot send: {0}")]
    Request(String),

    #[error("refused with status {0}")]
    Refused(u16),

    #[error("the receiver rejected {count} values: {reason}")]
    Rejected { count: i64, reason: String },
}

impl From<reqwest::Error> for ExportError {
    fn from(error: reqwest::Error) -> Self {
        Self::Request(outgoing::with_cause(&error.without_url()))
    }
}

#[derive(Debug)]
pub struct Exporter {
    settings: Settings,
    client: Client,
    clock: Clock,
    started: u64,
}

impl Exporter {
    /// Counts the values from now on. `instance` tells this process from others of the same name.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(
        mut settings: Settings,
        instance: String,
        clock: Clock,
    ) -> Result<Self, ExportError> {
        if !settings.resource.iter().any(|(key, _)| key == "service.instance.id") {
            settings.resource.push(("service.instance.id".to_owned(), instance));
        }
        let client = outgoing::client(settings.timeout, settings.headers.clone())?;
        let started = nanos(clock.now());
        Ok(Self { settings, client, clock, started })
    }

    /// Exports the text that `metrics` returns until `stop`, and tells `exported` how each went.
    pub async fn run(
        self,
        metrics: impl Fn() -> String,
        exported: impl Fn(bool),
        stop: CancellationToken,
    ) {
        let mut ticks = interval(self.settings.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is at once.
        ticks.tick().await;
        let mut failing = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => break,
            }
            let text = metrics();
            let outcome = tokio::select! {
                outcome = self.export(&text) => outcome,
                () = stop.cancelled() => break,
            };
            exported(outcome.is_ok());
            failing = report(&outcome, failing);
        }
        let last = tokio::time::timeout(LAST_TIMEOUT, self.export(&metrics())).await;
        if !matches!(last, Ok(Ok(()))) {
            tracing::warn!("the last values of the metrics were not exported");
        }
    }

    /// Sends the values of a text of `/metrics`.
    ///
    /// # Errors
    /// They were not accepted, or only in part, or the answer was lost.
    pub async fn export(&self, text: &str) -> Result<(), ExportError> {
        let interval = Interval { start_nanos: self.started, end_nanos: nanos(self.clock.now()) };
        let body = request(text, &self.settings.resource, interval).encode_to_vec();
        let response = self
            .client
            .post(self.settings.endpoint.clone())
            .header(CONTENT_TYPE, PROTOBUF)
            .body(body)
            .send()
            .await?;
        if !response.status().is_success() {
            return Err(ExportError::Refused(response.status().as_u16()));
        }
        match outgoing::body(response, MAX_RESPONSE).await? {
            Some(answer) => accepted(&answer),
            None => Ok(()),
        }
    }
}

/// The values were accepted, all of them. An answer that cannot be decoded is not a refusal.
fn accepted(answer: &[u8]) -> Result<(), ExportError> {
    match Response::decode(answer).ok().and_then(|it| it.partial_success) {
        Some(part) if part.rejected_data_points > 0 => Err(ExportError::Rejected {
            count: part.rejected_data_points,
            reason: printable::line(&part.error_message).chars().take(500).collect(),
        }),
        _ => Ok(()),
    }
}

/// Logs the first of several failures, and their end. Returns whether exports fail now.
fn report(outcome: &Result<(), ExportError>, failing: bool) -> bool {
    match outcome {
        Err(error) if !failing => {
            tracing::warn!(%error, "cannot export metrics; the next export holds these values too");
        }
        Ok(()) if failing => tracing::info!("metrics are exported again"),
        _ => {}
    }
    outcome.is_err()
}

fn nanos(epoch_ms: i64) -> u64 {
    u64::try_from(epoch_ms).unwrap_or_default().saturating_mul(1_000_000)
}
