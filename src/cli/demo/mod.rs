//! `dev --demo`: a simulated platform that writes observations through the collector, as real
//! components do, and a narrator that prints what the service proposes.

mod narrator;
mod platform;

use f0_learning::store::{Result, SeedReport, Store};
use f0_learning_client::{Recorder, RecorderOptions};
use f0_learning_core::Clock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Configures the sample rate of the simulated components, unless the tuning is configured already.
pub async fn configure(store: &Store, seeded: &SeedReport) -> Result<()> {
    if !seeded.created.iter().any(|path| path == "config/tuning") {
        return Ok(());
    }
    let rate = RecorderOptions::default().sampling.success_rate;
    let mut tuning = store.tuning_config().await?;
    tuning.guard.min_sample_rate = rate;
    tuning.policies.values_mut().for_each(|policy| policy.min_sample_rate = rate);
    store.put_tuning_config(&tuning).await
}

/// The running demo.
#[derive(Debug)]
pub struct Demo {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Demo {
    pub fn start(store: Store, clock: Clock) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let recorder =
            Recorder::start(store.db().clone(), RecorderOptions::default(), clock.clone());
        tasks.spawn(platform::run(store.clone(), recorder, clock, stop.clone()));
        tasks.spawn(narrator::run(store, stop.clone()));
        Self { stop, tasks }
    }

    /// Stops the simulated components and writes their recorded observations.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.join_all().await;
    }
}
