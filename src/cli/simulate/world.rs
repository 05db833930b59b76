//! The loop: components act, the jobs run each hour, and decisions are active from the next hour on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Result, anyhow};
use f0_learning::jobs::guard::GuardJob;
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::jobs::score::{ScoreJob, ScoreOptions};
use f0_learning::jobs::tune::{TuneJob, TuneOutcome, TuneReport};
use f0_learning::store::{OverrideParams, Store};
use f0_learning_core::document::{FlagChanges, Policy};
use f0_learning_core::intent::{Intent, Watching};
use f0_learning_core::observation::Outcome;
use f0_learning_core::policy::{Params, draw_index};
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::time::HOUR_MS;
use f0_learning_core::tuning::{PolicyTuning, TuningConfig, arm_evidence};
use firestore_kit::{Connection, MAX_BATCH};
use firestore_local::{Clock, Running, Server};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::super::firestore;
use super::result::{Hour, ProposalRecord, RunResult};
use super::setup::Setup;

/// Midnight of a fixed day, so that a simulation does not depend on the wall clock.
const START: i64 = 1_779_926_400_000;
const POLICY: &str = "router-core";

pub struct World {
    setup: Setup,
    server: Running,
    store: Store,
    time: Arc<AtomicI64>,
    random: StdRng,
    score: ScoreJob,
    reconcile: ReconcileJob,
    tune: TuneJob,
    guard: GuardJob,
    rewards: RewardConfig,
    stop: CancellationToken,
    /// Observations by the hour of their arrival.
    under_way: BTreeMap<u32, Vec<Map<String, Value>>>,
    /// The next hour to simulate.
    hour: u32,
    active: Policy,
    result: RunResult,
}

impl World {
    pub async fn start(setup: &Setup) -> Result<Self> {
        let time = Arc::new(AtomicI64::new(START));
        let clock = time.clone();
        let clock = Clock::from_micros(move || clock.load(Ordering::Relaxed) * 1_000);
        let server = Server::builder()
            .clock(clock)
            .definitions(vec![firestore::indexes(0, 0)?])
            .start()
            .await?;
        let store = Store::connect(&Connection::local("demo-simulation", server.addr())).await?;
        let active = set_up(&store, setup).await?;
        let score = ScoreOptions { settle_ms: 0, ..ScoreOptions::default() };
        Ok(Self {
            setup: *setup,
            time,
            random: StdRng::seed_from_u64(setup.seed),
            score: ScoreJob::new(store.clone(), score),
            reconcile: ReconcileJob::new(store.clone(), ReconcileOptions::default()),
            tune: TuneJob::new(store.clone()),
            guard: GuardJob::new(store.clone()),
            rewards: store.reward_config().await?,
            stop: CancellationToken::new(),
            under_way: BTreeMap::new(),
            hour: 0,
            active,
            result: RunResult::default(),
            server,
            store,
        })
    }

    /// Simulates an hour of actions, then runs a pass of each job.
    pub async fn hour(&mut self) -> Result<()> {
        let hour = self.hour;
        self.hour += 1;
        let weights = self.weights()?;
        self.act(hour, &weights);
        let now = START + i64::from(hour + 1) * HOUR_MS;
        self.time.store(now, Ordering::Relaxed);
        for batch in self.under_way.remove(&hour).unwrap_or_default().chunks(MAX_BATCH) {
            f0_learning_client::create_all_observations(self.store.db(), batch).await?;
        }
        self.score.pass(now, &self.stop, &|_| ()).await?;
        if self.setup.scenario.late.0 > 0.0 {
            self.reconcile.pass(now, false, &self.stop).await?;
        }
        let means = self.setup.means(hour, &self.rewards);
        let intervals = match self.tune.look(&self.active, now).await? {
            Some(input) => arm_evidence(&input).into_iter().map(|arm| arm.reward).collect(),
            None => vec![None; self.setup.arms],
        };
        self.result.hours.push(Hour { weights, means, intervals });
        self.decide(hour, now).await
    }

    async fn decide(&mut self, hour: u32, now: i64) -> Result<()> {
        if let TuneReport::Decided(verdicts) = self.tune.pass(now).await? {
            for (_, verdict) in verdicts {
                let TuneOutcome::Activated { key, .. } = verdict else { continue };
                let proposed = self.store.policy(&key).await?;
                let proposed =
                    proposed.ok_or_else(|| anyhow!("cannot read {key}, which was activated"))?;
                let (from, to) = (weights_of(&self.active)?, weights_of(&proposed)?);
                let means = self.setup.means(hour + 1, &self.rewards);
                let gain = means.iter().zip(to.iter().zip(&from));
                let gain = gain.map(|(mean, (to, from))| mean * (to - from)).sum();
                let expected = proposed.expected_gain.unwrap_or_default();
                self.result.proposals.push(ProposalRecord { hour, gain, expected });
            }
        }
        let report = self.guard.pass(now).await?;
        self.result.rolled_back += report.rolled_back();
        let active = self.store.active_policies().await?.pop();
        self.active = active.ok_or_else(|| anyhow!("no version is active"))?;
        Ok(())
    }

    /// Simulates the actions of an hour; each draws its arm by weight.
    fn act(&mut self, hour: u32, weights: &[f64]) {
        let Setup { scenario, per_hour, arms, hours, .. } = self.setup;
        let version = self.active.name();
        for n in 0..per_hour {
            let drawn = draw_index(weights.iter().copied(), self.random.random());
            let arm = drawn.unwrap_or_default();
            let at = f64::from(hour) + f64::from(n) / f64::from(per_hour);
            let action = scenario.truth(arm, arms, at, f64::from(hours)).act(&mut self.random);
            let rate = match action.outcome {
                Outcome::Success => scenario.success_rate,
                _ => 1.0,
            };
            if self.random.random::<f64>() >= rate {
                continue;
            }
            let (share, latest) = scenario.late;
            let late = match self.random.random_bool(share) {
                true => self.random.random_range(1..=latest),
                false => 0,
            };
            let document = json!({
                "id": format!("{hour:05}-{n:06}"),
                "ts": START + ms(at),
                "component": format!("router:{}", self.setup.arm(arm)),
                "outcome": action.outcome,
                "durationMs": action.duration_ms,
                "costUsd": action.cost_usd,
                "sampleRate": rate,
                "policyVersion": version,
            });
            if let Value::Object(document) = document {
                self.under_way.entry(hour + late).or_default().push(document);
            }
        }
    }

    fn weights(&self) -> Result<Vec<f64>> {
        weights_of(&self.active)
    }

    pub async fn end(self) -> RunResult {
        self.server.shutdown().await;
        self.result
    }
}

/// Equal weights for all arms, and automatic activation of drafts.
async fn set_up(store: &Store, setup: &Setup) -> Result<Policy> {
    store.seed(START).await?;
    let usual = TuningConfig::default();
    let router = usual.policies.get(POLICY).cloned().unwrap_or_default();
    let tuning = PolicyTuning {
        // At most half of the traffic goes to arms that are known to be worse.
        exploration_floor: router.exploration_floor.min(0.5 * setup.equal_weight()),
        max_auto_activations_per_day: 24,
        min_sample_rate: setup.scenario.success_rate,
        ..router
    };
    let policies = BTreeMap::from([(POLICY.to_owned(), tuning)]);
    store.put_tuning_config(&TuningConfig { policies, ..usual }).await?;
    let intent = Intent::new("simulation", START).watched(Watching::Off);
    let changes = FlagChanges { enabled: Some(true), auto_activate_policies: Some(true) };
    store.set_flags(changes, &intent).await?;
    let equal = setup.equal_weight();
    let weights = (0..setup.arms).map(|arm| (setup.arm(arm), equal)).collect();
    let params = OverrideParams::Whole(Params::default().with_model_weights(&weights));
    store.override_policy(POLICY, &params, None, &intent).await?;
    let active = store.active_policies().await?.pop();
    active.ok_or_else(|| anyhow!("no version is active"))
}

/// Hours in milliseconds.
#[expect(clippy::cast_possible_truncation, reason = "at most a year")]
fn ms(hours: f64) -> i64 {
    (hours * 3_600_000.0) as i64
}

/// In the order of the arms' names, which is the order of their numbers.
fn weights_of(policy: &Policy) -> Result<Vec<f64>> {
    let weights = policy.params.model_weights()?;
    Ok(weights.unwrap_or_default().into_values().collect())
}
