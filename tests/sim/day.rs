//! The specification's "simulate load for 24h": 50 actions a second for a day of virtual time,
//! sampled as the client does, with the passes that the timers would start.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::jobs::score::{ScoreJob, ScoreOptions};
use f0_learning::jobs::tune::{TuneJob, TuneOptions};
use f0_learning::store::Store;
use f0_learning_core::observation::Outcome;
use f0_learning_core::sampling::SamplingPolicy;
use f0_learning_core::time::{HOUR_MS, MINUTE_MS};
use firestore_kit::{Connection, MAX_BATCH};
use firestore_local::{Clock, Server};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::world::{MODELS, START, pick};

const MINUTES: i64 = 24 * 60;
const ACTIONS_A_MINUTE: usize = 50 * 60;

pub fn run() -> ExitCode {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(day())
}

struct Day {
    rng: StdRng,
    sampling: SamplingPolicy,
    actions: u64,
    written: u64,
    late: u64,
    invalid: u64,
}

/// The weight of each of [`MODELS`] in the first version, which stays active.
const WEIGHTS: [f64; MODELS.len()] = [0.60, 0.25, 0.15];

impl Day {
    /// The observations of one minute that sampling keeps.
    fn minute(&mut self, now: i64) -> Vec<Map<String, Value>> {
        let mut batch = Vec::new();
        for _ in 0..ACTIONS_A_MINUTE {
            self.actions += 1;
            let model = pick(WEIGHTS.into_iter(), &mut self.rng);
            let hours = (now - START) as f64 / HOUR_MS as f64;
            let quality = 0.85 + 0.1 * (hours / 4.0 + model as f64 * 2.0).sin();
            let outcome = match self.rng.random::<f64>() {
                drawn if drawn < quality => Outcome::Success,
                drawn if drawn < 0.97 => Outcome::Failure,
                _ => Outcome::Timeout,
            };
            let drawn = self.rng.random::<f64>();
            let Some(rate) = self.sampling.decide(outcome, drawn) else { continue };
            let is_late = self.rng.random_bool(0.002);
            let delay = if is_late { self.rng.random_range(MINUTE_MS..60 * MINUTE_MS) } else { 0 };
            self.late += u64::from(is_late);
            self.written += 1;
            let is_invalid = self.rng.random_bool(0.0005);
            self.invalid += u64::from(is_invalid);
            let observation = json!({
                "id": format!("{:08x}", self.written),
                "ts": (now - delay - self.rng.random_range(0..MINUTE_MS)).max(START - 7_200_000),
                "component": format!("router:{}", MODELS[model]),
                "outcome": if is_invalid { "maybe" } else { outcome.as_str() },
                "durationMs": self.rng.random_range(50..4_000),
                "costUsd": 0.0001 * f64::from(self.rng.random_range(0..400)),
                "sampleRate": rate,
                "policyVersion": "router-core@1.0.0",
            });
            batch.push(observation.as_object().unwrap().clone());
        }
        batch
    }
}

async fn day() -> ExitCode {
    let began = Instant::now();
    let time = Arc::new(AtomicI64::new(START));
    let clock = time.clone();
    let clock = Clock::from_micros(move || clock.load(Ordering::Relaxed) * 1_000);
    let server = Server::builder()
        .definitions(vec![crate::plain_indexes()])
        .clock(clock)
        .start()
        .await
        .unwrap();
    let store = Store::connect(&Connection::local("demo-day", server.addr())).await.unwrap();
    store.seed(START).await.unwrap();
    server.reset_meter();
    let mut day = Day {
        rng: StdRng::seed_from_u64(24),
        sampling: SamplingPolicy::default(),
        actions: 0,
        written: 0,
        late: 0,
        invalid: 0,
    };
    let stop = CancellationToken::new();
    let mut score = ScoreJob::new(store.clone(), ScoreOptions::default());
    let mut reconcile = ReconcileJob::new(store.clone(), ReconcileOptions::default());
    let mut tune = TuneJob::with_options(store.clone(), TuneOptions::default());
    let (mut late, mut drafts) = (0, 0);
    for minute in 1..=MINUTES {
        let now = START + minute * MINUTE_MS;
        time.store(now, Ordering::Relaxed);
        for batch in day.minute(now).chunks(MAX_BATCH) {
            f0_learning_client::create_observations(store.db(), batch).await.unwrap();
        }
        score.pass(now, &stop, &|_| ()).await.unwrap();
        if minute % 10 == 0 {
            late += reconcile.pass(now, false, &stop).await.unwrap().scored;
        }
        if minute % 15 == 0 {
            tune.pass(now).await.unwrap();
        }
        if minute % 120 == 0 {
            eprintln!("{:>2} h: {} observations", minute / 60, day.written);
        }
    }
    let now = START + (MINUTES + 15) * MINUTE_MS;
    time.store(now, Ordering::Relaxed);
    score.pass(now, &stop, &|_| ()).await.unwrap();
    late += reconcile.pass(now, true, &stop).await.unwrap().scored;
    drafts += store.policies(None).await.unwrap().len() as u64 - 1;
    report(&server, &store, &day, late, drafts, began).await
}

async fn report(
    server: &firestore_local::Running,
    store: &Store,
    day: &Day,
    late: u64,
    drafts: u64,
    began: Instant,
) -> ExitCode {
    let billed = server.meter().total;
    let (rewards, quarantined) = store.counts().await.unwrap();
    let stats = store.all_stats(None).await.unwrap();
    let counted: u64 =
        stats.iter().filter(|stats| stats.window.as_str() == "7d").map(|stats| stats.stats.n).sum();
    println!("24 hours at 50 actions a second, seed 24");
    println!("  actions                       {:>9}", day.actions);
    println!("  observations after sampling   {:>9}", day.written);
    println!("  of which late                 {:>9}", day.late);
    println!("  rewards                       {rewards:>9}");
    println!("  counted in the window of 7d   {counted:>9}");
    println!("  in quarantine                 {quarantined:>9}");
    println!("  scored by reconciliation      {late:>9}");
    println!("  versions proposed             {drafts:>9}");
    let observations = day.written as f64 / 1_000.0;
    println!(
        "  billed per 1,000 observations {:>9.1}  ({} reads, {} writes, {} deletes, of which {} \
         writes are the components' own)",
        (billed.total() - day.written) as f64 / observations,
        billed.reads,
        billed.writes,
        billed.deletes,
        day.written
    );
    println!("  elapsed                       {:>7} s", began.elapsed().as_secs());
    let exact =
        rewards == day.written - day.invalid && counted == rewards && quarantined == day.invalid;
    println!("  exact                         {:>9}", if exact { "yes" } else { "NO" });
    if exact { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
