//! The procedure of `docs/scale.md`, forwards and backwards, with the index file of each step enforced:
//! components write all the time, and the worker is killed at every step. Each observation is counted
//! once, and no query is refused.

use f0_learning::jobs::leases::{LEASE_MS, Leases};
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::jobs::score::ScoreJob;
use f0_learning::store::{Store, StoreError};
use f0_learning_core::sharding::shard_of;
use f0_learning_core::stats::Window;
use f0_learning_core::time::MINUTE_MS;
use firestore_kit::{Connection, RetryPolicy};
use firestore_local::indexes::Indexes;
use firestore_local::{Clock, Concurrency, Fault, Plan, Rule, Running, Server};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::collection;
use crate::support::process::{Running as Process, wait_until};
use crate::support::{START, fields, indexes, job, put};

/// What a person does in one step.
#[derive(Clone, Copy, Debug)]
enum Step {
    Deploy(fn() -> Indexes),
    /// Components write the shard of so many.
    Write(u32),
    /// `config/scoring` asks for so many shards.
    Ask(u32),
    /// Waits until `ops_state/layout` has so many shards, with workers running.
    Await(u32),
}

/// The steps of docs/scale.md, from no shards to `n` and back.
fn procedure(n: u32) -> Vec<Step> {
    vec![
        Step::Deploy(indexes::resharding),
        Step::Write(n),
        Step::Ask(n),
        Step::Await(n),
        Step::Deploy(indexes::sharded),
        Step::Deploy(indexes::resharding),
        Step::Ask(0),
        Step::Await(0),
        Step::Write(0),
        Step::Deploy(indexes::plain),
    ]
}

/// Calls fail at once: a query that is refused is refused again.
const RETRY: RetryPolicy = RetryPolicy {
    attempts: 2,
    first_delay: Duration::from_micros(100),
    max_delay: Duration::from_millis(1),
};

struct World {
    server: Running,
    store: Store,
    time: Arc<AtomicI64>,
    rng: StdRng,
    components: Components,
    workers: u32,
}

/// The components, which write while workers run.
struct Components {
    store: Store,
    time: Arc<AtomicI64>,
    rng: StdRng,
    /// The shards of which they write the number.
    shards: u32,
    valid: u64,
    invalid: u64,
}

impl Components {
    /// Some observations. A few are late, a few invalid, and some components do not write the shard
    /// yet, or still write that of another layout.
    async fn write(&mut self) {
        for _ in 0..self.rng.random_range(5..25) {
            let id = format!("o{:05}", self.valid + self.invalid);
            let is_valid = self.rng.random_bool(0.95);
            let late = if self.rng.random_bool(0.1) { MINUTE_MS } else { 0 };
            let mut observation = json!({
                "ts": self.time.load(Ordering::Relaxed) - late,
                "component": format!("c{}", self.valid % 3),
                "outcome": if is_valid { "success" } else { "maybe" }, "durationMs": 100,
            });
            let shards = match self.rng.random_range(0..10) {
                0 => 0,
                1 => self.shards + 3,
                _ => self.shards,
            };
            if let Some(shard) = shard_of(&id, shards) {
                observation["shard"] = json!(shard);
            }
            put(&self.store, collection::OBSERVATIONS, &id, fields(&observation)).await;
            *(if is_valid { &mut self.valid } else { &mut self.invalid }) += 1;
            self.time.fetch_add(100, Ordering::Relaxed);
        }
    }
}

impl World {
    async fn new(seed: u64) -> Self {
        let time = Arc::new(AtomicI64::new(START));
        let clock = time.clone();
        let server = Server::builder()
            .definitions(vec![indexes::plain()])
            .clock(Clock::from_micros(move || clock.load(Ordering::Relaxed) * 1_000))
            .concurrency(Concurrency::Optimistic)
            .start()
            .await
            .unwrap();
        let connection = Connection::local("demo-procedure", server.addr());
        let store = Store::connect(&connection).await.unwrap().with_retry(RETRY);
        store.seed(START).await.unwrap();
        let rng = StdRng::seed_from_u64(seed);
        let components = Components {
            store: store.clone(),
            time: time.clone(),
            rng: StdRng::seed_from_u64(seed + 1_000),
            shards: 0,
            valid: 0,
            invalid: 0,
        };
        Self { server, store, time, rng, components, workers: 0 }
    }

    fn now(&self) -> i64 {
        self.time.load(Ordering::Relaxed)
    }

    fn advance(&self, ms: i64) {
        self.time.fetch_add(ms, Ordering::Relaxed);
    }

    /// A worker with its lease; a killed one leaves its lease behind.
    fn worker(&mut self) -> (ScoreJob, ReconcileJob) {
        self.workers += 1;
        let time = self.time.clone();
        let clock = f0_learning_core::Clock::from_fn(move || time.load(Ordering::Relaxed));
        let name = format!("w{}", self.workers);
        let leases = Leases::named(self.store.clone(), clock, name);
        let score = job(&self.store, self.rng.random_range(3..12)).with_leases(leases);
        (score, ReconcileJob::new(self.store.clone(), ReconcileOptions::default()))
    }

    /// A new worker runs passes while components write.
    async fn run(&mut self, passes: u32) {
        let (mut score, mut reconcile) = self.worker();
        let (components, time, stop) =
            (&mut self.components, Arc::clone(&self.time), CancellationToken::new());
        let now = || time.load(Ordering::Relaxed);
        let working = async {
            for _ in 0..passes {
                time.fetch_add(LEASE_MS, Ordering::Relaxed);
                served(score.pass(now(), &stop, &|_| ()).await);
                served(reconcile.pass(now(), false, &stop).await);
            }
        };
        let writing = async {
            for _ in 0..passes {
                components.write().await;
            }
        };
        tokio::join!(working, writing);
    }

    /// A worker is killed at some request of a pass, before it is carried out or after. Returns whether
    /// the pass reached that request.
    async fn kill(&mut self) -> bool {
        self.components.write().await;
        self.advance(LEASE_MS);
        let (mut score, _) = self.worker();
        let rpc = ["Commit", "BatchWrite", "RunQuery"][self.rng.random_range(0..3)];
        let fault = if self.rng.random_bool(0.5) { Fault::Hold } else { Fault::HoldAnswer };
        let rule = Rule::on(rpc, fault).once_after(self.rng.random_range(0..6));
        self.server.set_faults(Plan::new(0, vec![rule]));
        let (now, stop) = (self.now(), CancellationToken::new());
        let killed = {
            let running = score.pass(now, &stop, &|_| ());
            tokio::select! {
                report = running => {
                    served(report);
                    false
                }
                () = self.server.until_held() => true,
            }
        };
        self.server.release();
        self.server.set_faults(Plan::default());
        killed
    }

    /// Whether a killed worker left an announced range.
    async fn is_announced(&self) -> bool {
        let layout = self.store.layout().await.unwrap().layout;
        let cursors = self.store.cursors(&layout.shards()).await.unwrap();
        cursors.iter().any(|cursor| cursor.pending.is_some())
    }

    /// Everything is counted once.
    async fn check(&mut self, at: &str) {
        self.advance(10 * MINUTE_MS);
        let (mut score, mut reconcile) = self.worker();
        let stop = CancellationToken::new();
        for _ in 0..4 {
            served(score.pass(self.now(), &stop, &|_| ()).await);
            served(reconcile.pass(self.now(), true, &stop).await);
            self.advance(LEASE_MS + MINUTE_MS);
        }
        let counts = (self.components.valid, self.components.invalid);
        assert_eq!(self.store.counts().await.unwrap(), counts, "{at}");
        let stats = self.store.all_stats(None).await.unwrap();
        let week = stats.iter().filter(|it| it.window == Window::SevenDays);
        assert_eq!(week.map(|it| it.stats.n).sum::<u64>(), counts.0, "{at}");
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Deploy(indexes) => self.server.set_definitions(vec![indexes()]),
            Step::Write(shards) => self.components.shards = shards,
            Step::Ask(shards) => {
                let asked = json!({ "shards": shards });
                put(&self.store, collection::CONFIG, "scoring", fields(&asked)).await;
            }
            Step::Await(shards) => {
                // The configuration is read again after five minutes at the latest.
                for _ in 0..6 {
                    self.run(1).await;
                }
                let layout = self.store.layout().await.unwrap().layout;
                assert_eq!(layout.shards, shards, "the number of shards does not change");
            }
        }
    }
}

/// The report of a pass. A conflict is another worker's success, and nothing else may fail.
fn served<T>(outcome: Result<T, StoreError>) {
    if let Err(error) = outcome {
        assert!(error.needs_reread(), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_procedure_of_sharding_counts_exactly_with_the_worker_killed_at_every_step() {
    let (mut kills, mut pending) = (0, 0);
    for seed in 0..4 {
        let mut world = World::new(seed).await;
        world.run(2).await;
        for (number, step) in
            procedure(2 + u32::try_from(seed % 3).unwrap()).into_iter().enumerate()
        {
            // Killed just before the step, so that a range is announced, and just after it.
            kills += u32::from(world.kill().await);
            pending += u32::from(matches!(step, Step::Ask(_)) && world.is_announced().await);
            world.take(step).await;
            kills += u32::from(world.kill().await);
            world.run(1).await;
            if number % 3 == 2 {
                world.check(&format!("seed {seed}, after step {number}, {step:?}")).await;
            }
        }
        world.check(&format!("seed {seed}, at the end")).await;
        world.server.shutdown().await;
    }
    assert!(kills > 40, "{kills} kills");
    assert!(pending > 2, "a range was announced {pending} times when the shards changed");
}

/// `dev` chooses its indexes by what is stored, and completes what was announced before the change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_changes_the_number_of_shards_of_a_folder_with_an_announced_range() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for shards in [4, 0, 2] {
        announce(&data, shards).await;
        let arguments = [
            "dev",
            "--data",
            data.to_str().unwrap(),
            "--firestore-addr",
            "127.0.0.1:0",
            "--port",
            "0",
        ];
        let dev = Process::start(&arguments, &[]);
        let store = Store::connect(&Connection::local("demo-f0", dev.address())).await.unwrap();
        wait_until("the change of the number of shards", async || {
            store.layout().await.is_ok_and(|stored| stored.layout.shards == shards)
        })
        .await;
        let (observed, _) = store.count_unsharded(&[]).await.unwrap();
        wait_until("all rewards", async || store.counts().await.unwrap().0 == observed).await;
        dev.terminate();
        dev.kill();
    }
}

/// Leaves an announced range in a folder of data, and asks for `shards`.
async fn announce(data: &std::path::Path, shards: u32) {
    let builder = Server::builder().data_dir(Some(data.to_owned()));
    let server = builder.definitions(vec![indexes::resharding()]).start().await.unwrap();
    let connection = Connection::local("demo-f0", server.addr());
    let store = Store::connect(&connection).await.unwrap().with_retry(RETRY);
    let now = store.now().await.unwrap();
    store.seed(now).await.unwrap();
    for n in 0..12 {
        let observation = json!({
            "ts": now - MINUTE_MS + n, "component": "c", "outcome": "success", "durationMs": 100,
            "shard": n % 4,
        });
        put(&store, collection::OBSERVATIONS, &format!("o{shards}-{n}"), fields(&observation))
            .await;
    }
    server.set_faults(Plan::new(0, vec![Rule::on("BatchWrite", Fault::Hold)]));
    let (mut score, stop) = (job(&store, 5), CancellationToken::new());
    let held = tokio::select! {
        _ = score.pass(now, &stop, &|_| ()) => false,
        () = server.until_held() => true,
    };
    assert!(held, "the pass announces its range before it writes rewards");
    server.release();
    server.set_faults(Plan::default());
    put(&store, collection::CONFIG, "scoring", fields(&json!({ "shards": shards }))).await;
    drop((score, store));
    server.shutdown().await;
}
