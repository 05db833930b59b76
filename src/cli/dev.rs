//! `dev`: runs the whole system in one process, on an embedded Firestore.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use f0_learning::http::{self, AdminToken, Api, Credentials};
use f0_learning::jobs::JobName;
use f0_learning::jobs::check::CheckJob;
use f0_learning::jobs::guard::GuardJob;
use f0_learning::jobs::measure::MeasureJob;
use f0_learning::jobs::notify::NotifyJob;
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::jobs::scheduler::{Schedule, Worker, WorkerOptions};
use f0_learning::jobs::score::{ScoreJob, ScoreOptions};
use f0_learning::jobs::tune::{TuneJob, TuneOptions};
use f0_learning::notify::Sink;
use f0_learning::observability::health::Health;
use f0_learning::observability::trace;
use f0_learning::store::Store;
use f0_learning_client::LOCAL_PROJECT;
use f0_learning_core::Clock;
use f0_learning_core::time::HOUR_MS;
use firestore_kit::Connection;
use firestore_local::Running;
use firestore_local::options::Settings;
use std::time::Duration;

use super::{demo, environment, firestore, seed, shutdown};

#[derive(Debug, Args)]
pub struct Options {
    /// Address of the embedded Firestore
    #[arg(long, default_value = "127.0.0.1:8080")]
    firestore_addr: SocketAddr,
    /// Port of the API and the probes
    #[arg(long, env = "PORT", default_value_t = 8788)]
    port: u16,
    /// Run a simulated platform, and tell in acts what the service does: a router over three models, one
    /// of which gets worse, an autoscaler and a canary manager
    #[arg(long)]
    demo: bool,
    /// Let the demo decide by itself what it would ask a person, and then publish versions by itself
    #[arg(long, requires = "demo")]
    auto: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Options {
    pub const fn is_demo(&self) -> bool {
        self.demo
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

/// `dev` is interactive: timers and caches are short.
const SETTLE_MS: i64 = 1_000;
const TUNE_OPTIONS: TuneOptions =
    TuneOptions { policies_ttl: Duration::from_secs(5), stats_ttl: Duration::from_secs(1) };

const RECONCILE_OPTIONS: ReconcileOptions = ReconcileOptions {
    recent_ms: 3 * HOUR_MS,
    deep_ms: 7 * 24 * HOUR_MS,
    lag_ms: 5_000,
    compared: 50_000,
};

fn schedule() -> Schedule {
    Schedule::default()
        .with(JobName::Score, "*/2 * * * * *")
        .with(JobName::Reconcile, "*/10 * * * * *")
        .with(JobName::Tune, "1/10 * * * * *")
        .with(JobName::Check, "*/5 * * * * *")
        .with(JobName::Guard, "*/5 * * * * *")
        .with(JobName::Measure, "2/5 * * * * *")
        .with(JobName::Notify, "4/5 * * * * *")
}

/// The credentials of the environment, or else a random token for this run, to be printed.
fn credentials() -> Result<(Credentials, Option<String>)> {
    if let Some(credentials) = Credentials::from_env(environment::variable)? {
        return Ok((credentials, None));
    }
    let token = random_token();
    let credentials = Credentials::token(AdminToken::new(token.clone())?);
    Ok((credentials, Some(token)))
}

#[expect(clippy::disallowed_methods, reason = "a secret must not be predictable")]
fn random_token() -> String {
    (0..4).map(|_| format!("{:016x}", rand::random::<u64>())).collect()
}

pub async fn run(options: Options) -> Result<()> {
    let project = environment::variable("GOOGLE_CLOUD_PROJECT");
    let project = project.unwrap_or(LOCAL_PROJECT.to_owned());
    let sinks = Sink::from_env(&project, environment::variable)?;
    trace::set_project(&project);
    let faults = options.settings.faults()?;
    let own_indexes = !options.settings.has_indexes();
    let definitions = if own_indexes { vec![firestore::indexes(0, 0)?] } else { Vec::new() };
    let firestore = options
        .settings
        .builder()?
        .definitions(definitions)
        .addr(options.firestore_addr)
        .start()
        .await
        .map_err(|error| firestore::refused(error, "--firestore-addr"))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let health = Arc::new(Health::default());
    let (credentials, token) = credentials()?;
    let api = Api::new(health.clone(), Clock::system(), Some(credentials));
    let server = http::Server::start(address, api.clone()).await.with_context(|| {
        format!("cannot listen on {address}; pass a free port as --port, or 0 for any")
    })?;
    let store = Store::connect(&Connection::local(&project, firestore.addr())).await?;
    say!(
        "Firestore  {}   (billed operations: http://{}/meter)",
        firestore.addr(),
        firestore.meter_addr()
    );
    say!("Page       http://{}/         (log in with the admin token)", server.address());
    say!("API        http://{}/ops      (described at /openapi.json)", server.address());
    say_lines!("\nTo use the same data from another terminal or any Firestore SDK:\n\n");
    say!("  export FIRESTORE_EMULATOR_HOST={}", firestore.addr());
    say!("  export GOOGLE_CLOUD_PROJECT={project}");
    if let Some(token) = token {
        say_lines!(
            "\nThe admin token of this run, for changes over HTTP:\n\n  export ADMIN_TOKEN={token}"
        );
    }
    say!();
    let clock = Clock::system();
    let seeded = store.seed(store.now().await?).await?;
    seed::print(&seeded);
    if own_indexes {
        // A folder of data may have shards, or ask for them. Scoring reports a layout that cannot be read.
        let counted = store.layout().await.map_or(0, |stored| stored.layout.shards);
        let asked = store.asked_layout().await.map_or(counted, |layout| layout.shards);
        firestore.set_definitions(vec![firestore::indexes(counted, asked)?]);
    }
    if options.demo {
        demo::configure(&store, &seeded).await?;
    }
    api.serve(store.clone(), store.clone());
    if !faults.rules.is_empty() {
        say!("Firestore injects faults; see http://{}/faults", firestore.meter_addr());
        firestore.set_faults(faults);
    }

    let score = ScoreOptions { settle_ms: SETTLE_MS, ..ScoreOptions::default() };
    let worker_options = WorkerOptions { schedule: schedule(), lease_ms: None };
    let mut worker =
        Worker::new(store.clone(), store.clone(), health.clone(), worker_options).await?;
    worker.add(ScoreJob::new(store.clone(), score)).await?;
    worker.add(ReconcileJob::new(store.clone(), RECONCILE_OPTIONS)).await?;
    worker.add(TuneJob::with_options(store.clone(), TUNE_OPTIONS)).await?;
    worker.add(GuardJob::new(store.clone())).await?;
    worker.add(CheckJob::new(store.clone())).await?;
    worker.add(MeasureJob::new(store.clone(), SETTLE_MS)).await?;
    if !sinks.is_empty() {
        sinks.iter().for_each(|sink| health.metrics().service().sink_added(sink.name()));
        worker.add(NotifyJob::new(store.clone(), sinks, SETTLE_MS)).await?;
    }
    worker.start().await?;
    let page = server.address();
    let end = shutdown::requested()?;
    say_lines!("\nrunning; press Ctrl-C to stop\n\n");
    let demo = options.demo.then(|| demo::Demo::start(store, clock, page, options.auto));

    firestore.warn_until(report_hourly(&firestore, end)).await;
    health.stopping();
    if let Some(demo) = demo {
        demo.stop().await;
    }
    if !worker.shutdown(shutdown::PATIENCE).await {
        complain!("a pass was stopped; the next start continues after its last commit");
    }
    server.shutdown().await;
    say!("{}", firestore.report().hour_line());
    firestore::stop(firestore).await
}

/// Prints every hour what the last one would have cost, until `end`.
async fn report_hourly(firestore: &Running, end: impl Future<Output = ()>) {
    let mut end = std::pin::pin!(end);
    while tokio::time::timeout(HOUR, end.as_mut()).await.is_err() {
        say!("{}", firestore.report().hour_line());
    }
}
