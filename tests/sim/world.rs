//! A simulated platform: workers, a store, and a virtual clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::collection;
use f0_learning::jobs::Time;
use f0_learning::jobs::guard::GuardJob;
use f0_learning::jobs::leases::Leases;
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::jobs::score::{ScoreJob, ScoreOptions};
use f0_learning::jobs::tune::{TuneJob, TuneOptions};
use f0_learning::store::Store;
use f0_learning_core::Clock;
use f0_learning_core::policy::draw_index;
use f0_learning_core::time::{HOUR_MS, MINUTE_MS};
use firestore::gcloud_sdk::google::firestore::v1::write::Operation;
use firestore::gcloud_sdk::google::firestore::v1::{CommitRequest, Document, Write};
use firestore_kit::value::{self, Fields};
use firestore_kit::{Connection, RetryPolicy};
use firestore_local::{Concurrency, Running, Server};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::Tally;
use crate::clocks::Machine;
use crate::envelopes::eager;
use crate::oracle::Truth;

/// The time at which every simulation starts, in epoch milliseconds.
pub const START: i64 = 1_780_000_000_000;

pub const MODELS: [&str; 3] = ["gpt-5", "gemini", "claude"];

/// The workers of every simulation.
const WORKERS: usize = 3;

/// Retries with short delays: they take real time, not virtual time.
const RETRY: RetryPolicy = RetryPolicy {
    attempts: 4,
    first_delay: Duration::from_micros(200),
    max_delay: Duration::from_millis(1),
};

pub struct Worker {
    /// The clock of its machine, which decides nothing.
    pub machine: Machine,
    pub time: Time,
    pub score: ScoreJob,
    pub reconcile: ReconcileJob,
    pub tune: TuneJob,
    pub guard: GuardJob,
}

/// Draws an index with these probabilities, which sum to 1.
pub fn pick(weights: impl Iterator<Item = f64>, rng: &mut StdRng) -> usize {
    draw_index(weights, rng.random()).unwrap()
}

/// The policy by which components choose an arm.
#[derive(Default)]
pub struct Routing {
    /// The active version.
    pub version: String,
    pub weights: Vec<(String, f64)>,
}

pub struct World {
    pub server: Running,
    /// The store as components, admins and the oracle use it.
    pub store: Store,
    pub workers: Vec<Worker>,
    pub rng: StdRng,
    pub truth: Truth,
    pub tally: Tally,
    pub routing: Routing,
    time: Arc<AtomicI64>,
    seed: u64,
    workers_started: u64,
    pub flooded: bool,
}

impl World {
    pub async fn new(seed: u64) -> Self {
        let time = Arc::new(AtomicI64::new(START));
        let clock = time.clone();
        let server = Server::builder()
            // The number of shards changes.
            .definitions(vec![crate::resharding_indexes()])
            .clock(firestore_local::Clock::from_micros(move || {
                clock.load(Ordering::Relaxed) * 1_000
            }))
            // Locks of a killed worker would last until the clock moves, and it stands still while a
            // step runs.
            .concurrency(Concurrency::Optimistic)
            .start()
            .await
            .unwrap();
        let store = connect(&server).await;
        store.seed(START).await.unwrap();
        let rng = StdRng::seed_from_u64(seed);
        let mut world = Self {
            server,
            store,
            workers: Vec::new(),
            rng,
            truth: Truth { cap: 4, ..Truth::default() },
            tally: Tally::default(),
            routing: Routing::default(),
            time,
            seed,
            workers_started: 0,
            flooded: false,
        };
        world.put(collection::CONFIG, "tuning", &eager(world.truth.cap)).await;
        world.set_flags(true).await;
        for _ in 0..WORKERS {
            let worker = world.worker().await;
            world.workers.push(worker);
        }
        world
    }

    /// Reads the active policy, as a component does at intervals.
    pub async fn read_policy(&mut self) {
        let policy = self.store.active_policies().await.unwrap().remove(0);
        let weights = policy.params.model_weights().unwrap().unwrap();
        let version = format!("{}@{}", policy.id, policy.version);
        self.routing = Routing { version, weights: weights.into_iter().collect() };
    }

    /// With propensities the tuner needs more evidence, so that only one world in four has them.
    pub fn has_propensities(&self) -> bool {
        self.seed.is_multiple_of(4)
    }

    /// Whether people hold the tuner back all the time.
    pub fn is_governed(&self) -> bool {
        self.seed % 3 == 1
    }

    /// Starts a worker.
    pub async fn worker(&mut self) -> Worker {
        let store = connect(&self.server).await;
        self.workers_started += 1;
        let machine = Machine::new(self.time.clone());
        let leases = Leases::named(
            store.clone(),
            machine.clock(),
            format!("w{}-{}", self.seed, self.workers_started),
        );
        let chunk = self.rng.random_range(1..40);
        let score = ScoreJob::new(store.clone(), ScoreOptions { chunk, settle_ms: 10_000 });
        let reconcile = ReconcileJob::new(store.clone(), ReconcileOptions::default());
        let fresh = TuneOptions { policies_ttl: Duration::ZERO, stats_ttl: Duration::ZERO };
        let tune = TuneJob::with_options(store.clone(), fresh);
        // Correctness must not depend on leases, so that some workers ignore them.
        let score = if self.rng.random_bool(0.7) { score.with_leases(leases) } else { score };
        let guard = GuardJob::new(store.clone());
        let time = Time::Server { store: Box::new(store), machine: machine.clock() };
        Worker { machine, time, score, reconcile, tune, guard }
    }

    /// Scoring that needs no lease.
    pub fn unleased(&self) -> ScoreJob {
        ScoreJob::new(self.store.clone(), ScoreOptions { chunk: 500, settle_ms: 10_000 })
    }

    pub fn now(&self) -> i64 {
        self.time.load(Ordering::Relaxed)
    }

    pub fn minutes(&self) -> i64 {
        (self.now() - START) / MINUTE_MS
    }

    pub fn advance(&self, ms: i64) {
        self.time.fetch_add(ms, Ordering::Relaxed);
    }

    pub fn clock(&self) -> Clock {
        let time = self.time.clone();
        Clock::from_fn(move || time.load(Ordering::Relaxed))
    }

    pub async fn put(&self, collection: &str, id: &str, json: &Value) {
        put(&self.store, collection, id, value::fields_from_json(json.as_object().unwrap())).await;
    }

    /// Writes observations in one commit, as any client might.
    pub async fn put_all(&self, observations: Vec<(String, Value)>) {
        let db = self.store.db().clone().into_inner();
        let writes = observations.iter().map(|(id, json)| {
            let name = format!("{}/{}/{id}", db.get_documents_path(), collection::OBSERVATIONS);
            let fields = value::fields_from_json(json.as_object().unwrap());
            Write {
                operation: Some(Operation::Update(Document {
                    name,
                    fields,
                    ..Document::default()
                })),
                ..Write::default()
            }
        });
        let request = CommitRequest {
            database: db.get_database_path().clone(),
            writes: writes.collect(),
            ..CommitRequest::default()
        };
        db.client().get().commit(request).await.unwrap();
    }

    /// Finishes all work without faults and with workers that need no lease, and compares the store
    /// with the expected state.
    pub async fn settle(&mut self) -> Result<(), String> {
        self.advance(HOUR_MS / 2);
        let now = self.now();
        let stop = tokio_util::sync::CancellationToken::new();
        let mut score = self.unleased();
        let mut reconcile = ReconcileJob::new(self.store.clone(), ReconcileOptions::default());
        for _ in 0..4 {
            let failed = |error| format!("a pass without faults failed: {error}");
            score.pass(now, &stop, &|_| ()).await.map_err(failed)?;
            if reconcile.pass(now, true, &stop).await.map_err(failed)?.is_quiet() {
                score.pass(now, &stop, &|_| ()).await.map_err(failed)?;
                self.compare().await?;
                self.check_leases().await?;
                return Box::pin(self.check_recount()).await;
            }
        }
        Err("reconciliation still finds something after four passes".to_owned())
    }

    pub fn tally(&self) -> Tally {
        Tally {
            observations: self.truth.observations.len() as u64,
            versions: self.truth.params.len() as u64,
            ..self.tally
        }
    }

    pub async fn end(self) {
        drop((self.workers, self.store));
        self.server.shutdown().await;
    }
}

async fn connect(server: &Running) -> Store {
    let connection = Connection::local("demo-sim", server.addr());
    Store::connect(&connection).await.unwrap().with_retry(RETRY)
}

pub async fn put(store: &Store, collection: &str, id: &str, fields: Fields) {
    let db = store.db().clone().into_inner();
    let name = format!("{}/{collection}/{id}", db.get_documents_path());
    let document = Document { name, fields, ..Document::default() };
    db.fluent().update().in_col(collection).document(document).execute().await.unwrap();
}
