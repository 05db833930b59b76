//! The steps of a simulation. The order of the random draws is part of the meaning of a seed.

use crate::clocks::flight;
use crate::collection;
use f0_learning::jobs::{Job as _, TimeError};
use f0_learning::store::{QuarantineFilter, Result};
use f0_learning_core::observation::Observation;
use f0_learning_core::sharding::shard_of;
use f0_learning_core::time::MINUTE_MS;
use firestore_local::{Fault, Plan, Rule};
use rand::RngExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::world::{START, Worker, World, pick};

/// A pass of some job.
#[derive(Clone, Copy, Debug)]
pub enum Job {
    Score,
    Reconcile,
    Tune,
    Guard,
}

/// What happens during a pass.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Undisturbed,
    /// Requests meet faults of all kinds.
    Faults,
    /// The process crashes at a request, before it is carried out or after.
    Crash {
        rpc: &'static str,
        number: u64,
        fault: Fault,
    },
    /// Another worker runs a pass while a request of this one is in flight.
    Overtaken {
        rpc: &'static str,
        number: u64,
    },
    /// Learning is disabled while a commit is in flight.
    SwitchedOff {
        number: u64,
    },
    /// The clock of the worker's machine jumps while a request is in flight, and time passes.
    ClockJumps {
        rpc: &'static str,
        number: u64,
    },
    /// An admin approves or freezes an envelope, or pins the policy, while a commit is in flight.
    Ruled {
        number: u64,
    },
}

/// Runs a pass at the time that the worker finds; the report of the tune job is returned.
pub async fn pass(worker: &mut Worker, job: Job) -> Result<String, TimeError> {
    let now = worker.time.begin_pass().await?;
    Ok(pass_at(worker, job, now).await?)
}

async fn pass_at(worker: &mut Worker, job: Job, now: i64) -> Result<String> {
    let stop = CancellationToken::new();
    match job {
        Job::Score => worker.score.pass(now, &stop, &|_| ()).await.map(|_| String::new()),
        Job::Reconcile => {
            worker.reconcile.pass(now, now % 5 == 0, &stop).await.map(|_| String::new())
        }
        Job::Tune => worker.tune.pass(now).await.map(|it| it.to_string()),
        Job::Guard => worker.guard.pass(now).await.map(|_| String::new()),
    }
}

impl World {
    /// Takes one step and says what it was.
    pub async fn step(&mut self) -> String {
        if self.is_governed() {
            return self.governed_step().await;
        }
        match self.rng.random_range(0..108) {
            0..20 => self.components_write().await,
            20..36 => self.run(Job::Score).await,
            36..41 => self.run(Job::Reconcile).await,
            41..54 => self.run(Job::Tune).await,
            54..66 => self.the_tuner_is_busy().await,
            66..70 => self.run(Job::Guard).await,
            70..74 => self.admin_approves().await,
            74..76 => self.admin_rejects().await,
            76..78 => self.admin_pins().await,
            78..79 => self.the_cap_changes().await,
            79..82 => self.admin_decides().await,
            82..84 => self.two_admins_decide().await,
            84..87 => self.flags_change().await,
            87..88 => self.shards_change().await,
            88..89 => self.rewards_change().await,
            89..91 => self.an_invalid_observation_is_repaired().await,
            91..93 => self.worker_restarts().await,
            93..96 => self.observations_are_set_again().await,
            96..98 => Box::pin(self.a_document_of_state_is_damaged()).await,
            98..100 => self.time_passes(),
            100..103 => self.a_clock_jumps(),
            103..105 => self.a_lease_is_absurd().await,
            105..107 => Box::pin(self.hostile_documents_are_written()).await,
            _ => Box::pin(self.a_component_floods()).await,
        }
    }

    /// What a pass answered. No pass may find the time implausible: Firestore's is right.
    pub fn answered(&mut self, answer: Result<String, TimeError>) -> String {
        match answer {
            Ok(report) => report,
            Err(error) => {
                if matches!(error, TimeError::Implausible(_)) {
                    self.truth.false_answer = Some(error.to_string());
                }
                String::new()
            }
        }
    }

    /// A worker counts what was written before, undisturbed. Returns which.
    pub async fn a_worker_counts(&mut self) -> usize {
        self.advance(15_000);
        let index = self.rng.random_range(0..self.workers.len());
        let answer = pass(&mut self.workers[index], Job::Score).await;
        self.answered(answer);
        index
    }

    /// The components write much, and the tuner sees all of it several times in an hour, so that it has
    /// moves to make while people decide on them.
    async fn the_tuner_is_busy(&mut self) -> String {
        let mut seen = Vec::new();
        for _ in 0..self.rng.random_range(2..4) {
            self.components_write().await;
            self.components_write().await;
            self.a_worker_counts().await;
            seen.push(self.run(Job::Tune).await);
            let minutes = self.rng.random_range(1..12);
            self.advance(minutes * MINUTE_MS);
        }
        seen.join("; ")
    }

    pub fn time_passes(&mut self) -> String {
        let minutes = match self.rng.random_range(0..4) {
            0 => self.rng.random_range(60..1_000),
            _ => self.rng.random_range(1..30),
        };
        self.advance(minutes * MINUTE_MS);
        format!("{minutes} minutes pass")
    }

    async fn components_write(&mut self) -> String {
        let count = self.rng.random_range(1..25);
        self.write(count).await
    }

    pub async fn write(&mut self, count: usize) -> String {
        self.read_policy().await;
        let mut writes = Vec::new();
        for _ in 0..count {
            let id =
                format!("o{:05}-{}", self.truth.observations.len(), self.rng.random_range(0..10));
            let observation = self.observation(&id);
            self.remember(&id, &observation);
            writes.push((id, observation));
        }
        self.put_all(writes).await;
        let ms = self.rng.random_range(1..60_000);
        self.advance(ms);
        format!("{count} observations are written")
    }

    /// Adds a document that is written now to what the oracle expects.
    pub fn remember(&mut self, id: &str, observation: &Value) {
        let parsed = Observation::parse(id, observation.as_object().unwrap());
        let valid = parsed.and_then(|it| it.check_clock(self.now())).ok();
        self.truth.observations.insert(id.to_owned(), valid);
    }

    pub fn observation(&mut self, id: &str) -> Value {
        let now = self.now();
        let ts = match self.rng.random_range(0..20) {
            0 | 1 => now - self.rng.random_range(60_000..36_000_000),
            2 => now - self.rng.random_range(3_600_000..900_000_000),
            3 => now + self.rng.random_range(0..240_000),
            _ => now - self.rng.random_range(0..30_000),
        };
        let (model, arm, propensity) = self.route();
        let quality = self.quality(model);
        let success = self.rng.random::<f64>() < quality;
        let mut observation = json!({
            "id": id, "ts": ts, "component": format!("router:{arm}"),
            "outcome": if success { "success" } else { "failure" },
            "durationMs": self.rng.random_range(10..5_000),
            "costUsd": 0.001 * f64::from(self.rng.random_range(0..60)),
            "policyVersion": self.routing.version,
        });
        if self.rng.random_bool(0.8) {
            observation["shard"] = json!(shard_of(id, 3));
        }
        // Some observations have a propensity, which changes none of the windows.
        if self.has_propensities() && shard_of(id, 5) == Some(0) {
            observation["propensity"] = json!(propensity);
        }
        if self.rng.random_bool(0.12) {
            self.spoil(&mut observation);
        }
        observation
    }

    /// A number for the arm that the active version's weights choose, its name, and how probable it
    /// was.
    fn route(&mut self) -> (usize, String, f64) {
        let weights = self.routing.weights.iter().map(|(_, weight)| *weight);
        let number = pick(weights, &mut self.rng);
        let (arm, weight) = &self.routing.weights[number];
        (number, arm.clone(), *weight)
    }

    /// The probability of success of a model. It drifts with its own phase.
    fn quality(&self, model: usize) -> f64 {
        if self.is_governed() {
            return self.governed_quality(model);
        }
        let phase = self.minutes() as f64 / 2_000.0 + model as f64 * 2.0;
        0.5 + 0.5 * phase.sin()
    }

    fn spoil(&mut self, observation: &mut Value) {
        let (field, value) = match self.rng.random_range(0..9) {
            0 => ("outcome", json!("maybe")),
            1 => ("sampleRate", json!(-1)),
            2 => ("component", json!("")),
            3 => ("ts", Value::Null),
            4 => ("ts", json!("yesterday")),
            5 => ("ts", json!(self.now() / 1_000)),
            6 => ("ts", json!(self.now() * 1_000)),
            7 => ("ts", json!(self.now() + 10_000_000)),
            _ => ("id", json!("another")),
        };
        match value {
            Value::Null => drop(observation.as_object_mut().unwrap().remove(field)),
            value => observation[field] = value,
        }
    }

    fn fate(&mut self, job: Job) -> Fate {
        let rpc = match (job, self.rng.random_range(0..4)) {
            (Job::Score | Job::Reconcile, 0) => "BatchWrite",
            (_, 1) => "BatchGetDocuments",
            _ => "Commit",
        };
        let number = self.rng.random_range(0..4);
        match self.rng.random_range(0..11) {
            0 if matches!(job, Job::Tune) => {
                Fate::SwitchedOff { number: self.rng.random_range(0..4) }
            }
            1 | 2 if matches!(job, Job::Tune) => {
                Fate::Ruled { number: self.rng.random_range(0..4) }
            }
            0..3 => Fate::Undisturbed,
            3..5 => Fate::Faults,
            5..8 => {
                let fault = if self.rng.random_bool(0.5) { Fault::Hold } else { Fault::HoldAnswer };
                Fate::Crash { rpc, number, fault }
            }
            8 => Fate::ClockJumps { rpc, number },
            _ => Fate::Overtaken { rpc: "Commit", number },
        }
    }

    /// Faults of all kinds, far more often than in production.
    pub fn trouble(&mut self) -> Plan {
        let mut plan = Plan::from_seed(self.rng.random());
        for rule in &mut plan.rules {
            rule.probability = (rule.probability * 6.0).min(1.0);
            if let Fault::Delay { millis } = &mut rule.fault {
                *millis = 1 + *millis % 3;
            }
        }
        plan
    }

    pub async fn run(&mut self, job: Job) -> String {
        let fate = self.fate(job);
        let index = self.rng.random_range(0..self.workers.len());
        let mut worker = self.workers.swap_remove(index);
        match fate {
            Fate::Undisturbed => match pass(&mut worker, job).await {
                Ok(report) => self.hear(&report),
                Err(error) => {
                    self.truth.false_answer =
                        Some(format!("an undisturbed pass of {job:?} failed: {error}"));
                }
            },
            Fate::ClockJumps { rpc, number } => {
                let rule = Rule::on(rpc, Fault::Hold).once_after(number);
                self.server.set_faults(Plan::new(0, vec![rule]));
                let machine = worker.machine.clone();
                let answer = {
                    let running = pass(&mut worker, job);
                    tokio::pin!(running);
                    tokio::select! {
                        answer = &mut running => answer,
                        () = self.server.until_held() => {
                            machine.jump(&mut self.rng);
                            let passed = flight(&mut self.rng);
                            self.advance(passed);
                            self.tally.jumps_in_flight += 1;
                            self.server.release();
                            running.await
                        }
                    }
                };
                self.answered(answer);
            }
            Fate::Faults => {
                let plan = self.trouble();
                self.server.set_faults(plan);
                let answer = pass(&mut worker, job).await;
                self.answered(answer);
                self.tally.faults += self.server.injected().values().sum::<u64>();
            }
            Fate::Crash { rpc, number, fault } => {
                let rule = Rule::on(rpc, fault).once_after(number);
                self.server.set_faults(Plan::new(0, vec![rule]));
                let crashed = {
                    let running = pass(&mut worker, job);
                    tokio::select! {
                        _ = running => false,
                        () = self.server.until_held() => true,
                    }
                };
                self.server.release();
                if crashed {
                    self.tally.crashes += 1;
                    worker = self.worker().await;
                }
            }
            Fate::Overtaken { rpc, number } => {
                let rule = Rule::on(rpc, Fault::Hold).once_after(number);
                self.server.set_faults(Plan::new(0, vec![rule]));
                let other = self.rng.random_range(0..self.workers.len());
                let mut other = self.workers.swap_remove(other);
                let others = [Job::Score, Job::Reconcile, Job::Tune][self.rng.random_range(0..3)];
                {
                    let running = pass(&mut worker, job);
                    tokio::pin!(running);
                    tokio::select! {
                        _ = &mut running => {}
                        () = self.server.until_held() => {
                            pass(&mut other, others).await.ok();
                            self.tally.overtaken += 1;
                            self.server.release();
                            running.await.ok();
                        }
                    }
                }
                self.workers.push(other);
            }
            Fate::Ruled { number } => {
                let rule = Rule::on("Commit", Fault::Hold).once_after(number);
                self.server.set_faults(Plan::new(0, vec![rule]));
                let running = pass(&mut worker, job);
                tokio::pin!(running);
                tokio::select! {
                    _ = &mut running => {}
                    () = self.server.until_held() => {
                        let ruled = match self.rng.random_range(0..5) {
                            0..2 => self.admin_approves().await,
                            2..4 => self.admin_freezes().await,
                            _ => self.admin_pins_at_once().await,
                        };
                        self.tally.ruled += u64::from(ruled.ends_with("done"));
                        self.server.release();
                        running.await.ok();
                    }
                }
            }
            Fate::SwitchedOff { number } => {
                let rule = Rule::on("Commit", Fault::Hold).once_after(number);
                self.server.set_faults(Plan::new(0, vec![rule]));
                let running = pass(&mut worker, job);
                tokio::pin!(running);
                tokio::select! {
                    _ = &mut running => {}
                    () = self.server.until_held() => {
                        self.set_flags(false).await;
                        self.tally.switched_off += 1;
                        self.server.release();
                        running.await.ok();
                    }
                }
            }
        }
        self.server.set_faults(Plan::default());
        self.workers.push(worker);
        format!("{job:?} pass, {fate:?}")
    }

    /// A component delivers observations again, with the time of the new delivery.
    async fn observations_are_set_again(&mut self) -> String {
        let quarantined = self.all(collection::QUARANTINE).await;
        let stored = self.all(collection::OBSERVATIONS).await;
        let valid: Vec<Observation> = self.truth.observations.values().flatten().cloned().collect();
        let valid: Vec<_> = valid.iter().filter(|it| !quarantined.contains_key(&it.id)).collect();
        if valid.is_empty() {
            return "there is no observation to set again".to_owned();
        }
        let count = self.rng.random_range(1..8);
        for _ in 0..count {
            // The latest ones are the likeliest to be in a range that is not counted yet.
            let recent = valid.len().saturating_sub(20);
            let index = match self.rng.random_bool(0.7) {
                true => self.rng.random_range(recent..valid.len()),
                false => self.rng.random_range(0..valid.len()),
            };
            let id = &valid[index].id;
            let now = self.now();
            let ts = match self.rng.random_range(0..5) {
                0 => now - self.rng.random_range(0..36_000_000),
                _ => now - self.rng.random_range(0..20_000),
            };
            let mut again = stored[id].clone();
            again.insert("ts".to_owned(), json!(ts));
            if self.rng.random_bool(0.2) {
                again.insert("shard".to_owned(), json!(self.rng.random_range(0..4)));
            }
            let again = Value::Object(again);
            self.put(collection::OBSERVATIONS, id, &again).await;
            let before = self.truth.observations[id].as_ref().map(|it| it.ts);
            self.truth.earlier.entry(id.clone()).or_default().extend(before);
            self.remember(id, &again);
        }
        self.tally.set_again += count;
        format!("{count} observations are set again")
    }

    pub async fn worker_restarts(&mut self) -> String {
        let index = self.rng.random_range(0..self.workers.len());
        let mut old = self.workers.swap_remove(index);
        let orderly = self.rng.random_bool(0.5);
        if orderly {
            old.score.end().await;
        }
        let new = self.worker().await;
        self.workers.push(new);
        format!(
            "a worker restarts, {}",
            if orderly { "after a shutdown" } else { "without a shutdown" }
        )
    }

    async fn shards_change(&mut self) -> String {
        let shards = [0, 0, 2, 3][self.rng.random_range(0..4)];
        self.put(collection::CONFIG, "scoring", &json!({ "shards": shards })).await;
        self.advance(6 * 60_000);
        format!("config/scoring asks for {shards} shards")
    }

    async fn rewards_change(&mut self) -> String {
        let mut config = self.store.reward_config().await.unwrap();
        config.version = format!("2.0.{}", self.truth.configs.len());
        config.weights.latency = self.rng.random::<f64>();
        let json = serde_json::to_value(&config).unwrap();
        self.put(collection::CONFIG, "reward_config", &json).await;
        let version = config.version.clone();
        self.truth.configs.insert(version.clone(), config);
        format!("rewards change to {version}")
    }

    async fn an_invalid_observation_is_repaired(&mut self) -> String {
        let invalid: Vec<String> = self
            .all(collection::QUARANTINE)
            .await
            .into_keys()
            .filter(|id| matches!(self.truth.observations.get(id), Some(None)))
            .collect();
        if invalid.is_empty() {
            return "there is no invalid observation to repair".to_owned();
        }
        let id = invalid[self.rng.random_range(0..invalid.len())].clone();
        let now = self.now();
        // A repaired document must not have a time long after it was first written.
        let ts = START - self.rng.random_range(0..10_000_000);
        let repaired = json!({
            "ts": ts, "component": "router:gpt-5", "outcome": "success", "durationMs": 1,
        });
        self.put(collection::OBSERVATIONS, &id, &repaired).await;
        let filter = QuarantineFilter { ids: vec![id.clone()], ..Default::default() };
        let index = self.rng.random_range(0..self.workers.len());
        let report = self.workers[index].reconcile.requeue(&filter, now).await;
        self.remember(&id, &repaired);
        match report {
            Ok(report) => format!("{id} is repaired: {} requeued", report.requeued),
            Err(error) => format!("{id} is repaired, but requeueing failed: {error}"),
        }
    }
}
