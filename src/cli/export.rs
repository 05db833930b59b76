//! The export of metrics by OTLP beside `serve`.

use std::sync::Arc;

use anyhow::Result;
use f0_learning::http::Api;
use f0_learning::observability::health::Health;
use f0_learning::observability::otlp::{Exporter, Settings};
use f0_learning_core::Clock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::environment;

/// A running export.
#[derive(Debug)]
pub struct Export {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Export {
    /// Exports if the environment names an endpoint. A wrong variable of telemetry, which a platform may
    /// set for all its services, does not end this one.
    pub fn start(api: &Arc<Api>, health: &Arc<Health>) -> Option<Self> {
        let exporter = match exporter() {
            Ok(exporter) => exporter?,
            Err(error) => {
                tracing::warn!(%error, "metrics are not exported");
                return None;
            }
        };
        health.metrics().service().exporter_added();
        let (api, health, stop) = (api.clone(), health.clone(), CancellationToken::new());
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let exported = |delivered| health.metrics().service().exported(delivered);
            exporter.run(|| api.metrics(), exported, stopped).await;
        });
        Some(Self { stop, task })
    }

    /// Exports once more, and ends.
    pub async fn end(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the export of metrics ended early");
        }
    }
}

fn exporter() -> Result<Option<Exporter>> {
    let Some(settings) = Settings::from_env(environment::variable)? else { return Ok(None) };
    let endpoint = settings.endpoint.host_str().unwrap_or_default().to_owned();
    let exporter = Exporter::new(settings, instance(), Clock::system())?;
    tracing::info!(endpoint, "exporting metrics by OTLP");
    Ok(Some(exporter))
}

#[expect(clippy::disallowed_methods, reason = "the one place that draws the id of this process")]
fn instance() -> String {
    Uuid::new_v4().to_string()
}
