//! `serve`: the API, and the jobs on their timers, for Cloud Run.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use f0_learning::http::{self, Api, Credentials, FrontEnd};
use f0_learning::jobs::check::CheckJob;
use f0_learning::jobs::guard::GuardJob;
use f0_learning::jobs::measure::MeasureJob;
use f0_learning::jobs::notify::NotifyJob;
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::jobs::scheduler::{Worker, WorkerOptions};
use f0_learning::jobs::score::{ScoreJob, ScoreOptions};
use f0_learning::jobs::tune::TuneJob;
use f0_learning::notify::Sink;
use f0_learning::observability::health::Health;
use f0_learning::observability::trace;
use f0_learning::store::{Store, StoreError};
use f0_learning_core::Clock;

use super::export::Export;
use super::retain::Retention;
use super::timers::Timers;
use super::{connection, environment, shutdown};

#[derive(Debug, Args)]
pub struct Options {
    /// Port of the API and the probes
    #[arg(long, env = "PORT", default_value_t = 8080)]
    port: u16,
    #[command(flatten)]
    timers: Timers,
    /// How long to wait after the ts of an observation before it is scored, in milliseconds
    #[arg(long, env = "SCORE_SETTLE_MS", default_value_t = ScoreOptions::default().settle_ms)]
    settle_ms: i64,
    /// How long a lease lasts that its worker does not renew, in seconds
    #[arg(
        long,
        env = "LEASE_SECONDS",
        default_value_t = 180,
        value_parser = clap::value_parser!(u32).range(1..=3_600)
    )]
    lease_seconds: u32,
    #[command(flatten)]
    retention: Retention,
}

/// First and longest delay between attempts to reach a Firestore that does not answer.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

pub async fn run(options: Options) -> Result<()> {
    let connection = connection()?;
    let credentials = Credentials::from_env(environment::variable)?;
    if credentials.is_none() {
        tracing::warn!(
            "neither ADMIN_TOKEN nor FIREBASE_PROJECT_ID is set: changes over HTTP are disabled"
        );
    }
    let sinks = Sink::from_env(&connection.project, environment::variable)?;
    trace::set_project(&connection.project);
    let health = Arc::new(Health::default());
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, options.port));
    let front_end = FrontEnd::from_env(environment::variable);
    let api = Api::behind(front_end, health.clone(), Clock::system(), credentials);
    let end = shutdown::requested()?;
    let server = http::Server::start(address, api.clone())
        .await
        .with_context(|| format!("cannot listen on {address}: set PORT to a free port"))?;
    let page = format!("http://localhost:{}/", server.address().port());
    tracing::info!(address = %server.address(), project = connection.project, page, "serving");

    let export = Export::start(&api, &health);

    tokio::pin!(end);
    let store = tokio::select! {
        store = reach(&connection, &health) => store,
        () = &mut end => {
            stop(server, export).await;
            return Ok(());
        }
    };
    api.serve(store.clone(), store.clone());
    let retain = options.retention.job(&store)?;
    if retain.is_none() {
        tracing::warn!("ARCHIVE_URL is not set: documents are neither archived nor deleted");
    }
    let settle_ms = options.settle_ms;
    let score = ScoreOptions { settle_ms, ..ScoreOptions::default() };
    let options = WorkerOptions {
        schedule: options.timers.schedule,
        lease_ms: Some(i64::from(options.lease_seconds) * 1_000),
    };
    let mut worker = Worker::new(store.clone(), store.clone(), health.clone(), options).await?;
    worker.add(ScoreJob::new(store.clone(), score)).await?;
    worker.add(ReconcileJob::new(store.clone(), ReconcileOptions::default())).await?;
    worker.add(TuneJob::new(store.clone())).await?;
    worker.add(GuardJob::new(store.clone())).await?;
    worker.add(CheckJob::new(store.clone())).await?;
    worker.add(MeasureJob::new(store.clone(), settle_ms)).await?;
    if let Some(retain) = retain {
        worker.add(retain).await?;
    }
    if !sinks.is_empty() {
        sinks.iter().for_each(|sink| health.metrics().service().sink_added(sink.name()));
        worker.add(NotifyJob::new(store, sinks, settle_ms)).await?;
    }
    worker.start().await?;
    end.await;
    tracing::info!("stopping: finishing the current passes");
    health.stopping();
    if !worker.shutdown(shutdown::PATIENCE).await {
        tracing::warn!("a pass was stopped; the next process continues after its last commit");
    }
    stop(server, export).await;
    Ok(())
}

/// What the jobs leave of the time to stop is short: both end at once.
async fn stop(server: http::Server, export: Option<Export>) {
    let last_export = async {
        if let Some(export) = export {
            export.end().await;
        }
    };
    tokio::join!(server.shutdown(), last_export);
}

/// Connects and reads, and retries without limit: a container that exits because Firestore is
/// unavailable would only be restarted.
async fn reach(connection: &firestore_kit::Connection, health: &Health) -> Store {
    let mut delay = FIRST_RETRY;
    loop {
        let attempt = async {
            let store = Store::connect(connection).await?;
            store.flags().await?;
            Ok::<_, StoreError>(store)
        };
        match attempt.await {
            Ok(store) => return store,
            Err(error) => {
                tracing::error!(%error, retry_in = ?delay, "cannot use Firestore; retrying");
                health.unreachable(&error);
            }
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(LONGEST_RETRY);
    }
}
