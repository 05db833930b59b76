//! `dev --demo`: a simulated platform that writes observations through the collector, as real
//! components do, and a narrator that prints what the service proposes.

mod narrator;
mod platform;

use f0_learning::store::{EnvelopeTerms, Result, SeedReport, Store};
use f0_learning_client::{Recorder, RecorderOptions};
use f0_learning_core::Clock;
use f0_learning_core::document::FlagChanges;
use f0_learning_core::intent::Intent;
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

/// Lets the tuner publish versions by itself, as an admin would: the flag, and an envelope.
pub async fn let_publish(store: &Store, now: i64) -> anyhow::Result<()> {
    let intent = Intent::new("demo", now).because("dev --demo --auto");
    let flags = FlagChanges { auto_activate_policies: Some(true), ..FlagChanges::default() };
    store.set_flags(flags, &intent).await?;
    let terms = EnvelopeTerms {
        floor: 0.05,
        versions_an_hour: 60,
        versions_a_day: 1_440,
        ..EnvelopeTerms::default()
    };
    store.approve_envelope("router-core", &terms, &intent).await?;
    Ok(())
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
