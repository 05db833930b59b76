//! `dev --demo`: a simulated platform that writes observations through the collector, as real
//! components do; a story in acts, in which an admin of the demo decides as a person would; and a
//! narrator that prints every change of the audit trail.
//!
//! Only the traffic and the admin's decisions are the demo's. All else happens as in production: through
//! the store and the jobs, with stages and watches that are shorter.

mod acts;
mod narrator;
mod platform;
mod story;
mod trials;

use std::net::SocketAddr;

use f0_learning::store::{EnvelopeTerms, Result, SeedReport, Store};
use f0_learning_client::{Recorder, RecorderOptions, SamplingPolicy};
use f0_learning_core::Clock;
use f0_learning_core::document::FlagChanges;
use f0_learning_core::intent::Intent;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use platform::Routed;
use story::Story;

/// The policy of the story.
const POLICY: &str = "router-core";

/// Shortens what takes hours in production, unless the tuning is configured already: stages and watches
/// end as soon as there is evidence, steps are larger, and a rollback does not make the tuner pause.
pub async fn configure(store: &Store, seeded: &SeedReport) -> Result<()> {
    if !seeded.created.iter().any(|path| path == "config/tuning") {
        return Ok(());
    }
    let mut tuning = store.tuning_config().await?;
    tuning.guard.stage_minutes = 0;
    tuning.guard.watch_hours = 0;
    tuning.guard.min_effect = 0.03;
    for policy in tuning.policies.values_mut() {
        policy.step_bound = 0.2;
        policy.veto_hours = 0;
        policy.min_hours_between_steps = 0;
    }
    store.put_tuning_config(&tuning).await
}

/// Lets the tuner publish versions by itself, as an admin would: the flag, and an envelope.
pub async fn let_publish(store: &Store) -> anyhow::Result<()> {
    let intent = Intent::new(story::ADMIN, store.now().await?).because("dev --demo --auto");
    let flags = FlagChanges { auto_activate_policies: Some(true), ..FlagChanges::default() };
    store.set_flags(flags, &intent).await?;
    let terms = EnvelopeTerms {
        floor: 0.05,
        versions_an_hour: 60,
        versions_a_day: 1_440,
        ..EnvelopeTerms::default()
    };
    store.approve_envelope(POLICY, &terms, &intent).await?;
    Ok(())
}

/// The running demo.
#[derive(Debug)]
pub struct Demo {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Demo {
    /// `page` is where the pages are served; with `auto`, nobody is asked to decide.
    pub fn start(store: Store, clock: Clock, page: SocketAddr, auto: bool) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        // A component whose policy is tuned keeps all of its observations.
        let options =
            RecorderOptions { sampling: SamplingPolicy::KEEP_ALL, ..RecorderOptions::default() };
        let recorder = Recorder::start(store.db().clone(), options, clock.clone());
        let routed = Routed::default();
        let platform =
            platform::run(store.clone(), recorder, routed.clone(), clock.clone(), stop.clone());
        tasks.spawn(platform);
        tasks.spawn(narrator::run(store.clone(), stop.clone()));
        let story = Story { store, routed, page, auto };
        tasks.spawn(acts::tell(story, stop.clone()));
        Self { stop, tasks }
    }

    /// Stops the simulated components and writes their recorded observations.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.join_all().await;
    }
}
