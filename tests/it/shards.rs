//! Invariant 1 with shards and leases: each observation is counted once, whichever worker scores it
//! and whenever the number of shards changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::collection;
use f0_learning::jobs::Job as _;
use f0_learning::jobs::leases::{GONE_AFTER, LEASE_MS, Leases};
use f0_learning::jobs::score::{ScoreJob, ScoreReport};
use f0_learning::store::Store;
use f0_learning_core::Clock;
use f0_learning_core::sharding::{Shard, shard_of};
use f0_learning_core::stats::Window;
use firestore_kit::value;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::{START, crash_after, document, fields, job, put, resharding_store};

const COMPONENTS: u32 = 3;

/// Writes observations `from..to`, each with the shard that its id has among `shards`.
async fn fill(store: &Store, from: u32, to: u32, shards: u32) {
    for n in from..to {
        let id = format!("o{n:04}");
        let mut observation = json!({
            "id": id, "ts": START + i64::from(n), "component": format!("c{}", n % COMPONENTS),
            "outcome": "success", "durationMs": 100,
        });
        if let Some(shard) = shard_of(&id, shards) {
            observation["shard"] = json!(shard);
        }
        put(store, collection::OBSERVATIONS, &id, fields(&observation)).await;
    }
}

/// Sets the number of shards in `config/scoring`.
async fn configure_shards(store: &Store, shards: u32) {
    put(store, collection::CONFIG, "scoring", fields(&json!({ "shards": shards }))).await;
}

async fn pass(job: &mut ScoreJob) -> ScoreReport {
    job.pass(START + 10_000, &CancellationToken::new(), &|_| ()).await.unwrap()
}

async fn counted(store: &Store) -> u64 {
    let stats = store.all_stats(None).await.unwrap();
    let mut counts = Window::ALL.map(|window| {
        let of_window = stats.iter().filter(|stats| stats.window == window);
        of_window.map(|stats| stats.stats.n).sum::<u64>()
    });
    counts.sort_unstable();
    assert_eq!(counts[0], counts[2], "windows differ");
    counts[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sharded_workers_that_crash_at_any_await_count_each_observation_once() {
    for seed in 0..6 {
        let mut rng = StdRng::seed_from_u64(seed);
        let store = resharding_store().await;
        configure_shards(&store, 4).await;
        fill(&store, 0, 80, 4).await;
        let stop = CancellationToken::new();
        for _ in 0..12 {
            let mut jobs = [1, 2, 3].map(|_| job(&store, rng.random_range(1..20)));
            let [a, b, c] = &mut jobs;
            let now = START + 10_000;
            let outcomes = tokio::join!(
                crash_after(rng.random_range(1..80), a.pass(now, &stop, &|_| ())),
                crash_after(rng.random_range(1..80), b.pass(now, &stop, &|_| ())),
                crash_after(rng.random_range(1..80), c.pass(now, &stop, &|_| ())),
            );
            for outcome in [outcomes.0, outcomes.1, outcomes.2].into_iter().flatten() {
                outcome.unwrap();
            }
        }
        pass(&mut job(&store, 25)).await;
        assert_eq!(store.counts().await.unwrap(), (80, 0), "seed {seed}");
        assert_eq!(counted(&store).await, 80, "seed {seed}");
    }
}

#[tokio::test]
async fn changing_the_number_of_shards_counts_each_observation_once() {
    let store = resharding_store().await;
    fill(&store, 0, 20, 0).await;
    pass(&mut job(&store, 7)).await;
    for (shards, from) in [(4, 20), (2, 40), (3, 60), (0, 80)] {
        configure_shards(&store, shards).await;
        fill(&store, from, from + 20, shards).await;
        pass(&mut job(&store, 7)).await;
        assert_eq!(store.layout().await.unwrap().layout.shards, shards);
        assert_eq!(counted(&store).await, u64::from(from) + 20, "after {shards} shards");
        assert_eq!(store.counts().await.unwrap().0, u64::from(from) + 20);
    }
    assert!(store.cursor(Shard::One(2)).await.unwrap().retired);
}

#[tokio::test]
async fn a_worker_with_a_stale_layout_scores_nothing_until_it_reads_the_new_one() {
    let store = resharding_store().await;
    fill(&store, 0, 20, 0).await;
    let mut old = job(&store, 7);
    pass(&mut old).await;
    configure_shards(&store, 2).await;
    pass(&mut job(&store, 7)).await;
    fill(&store, 20, 40, 2).await;
    assert_eq!(pass(&mut old).await.scored, 0, "its cursor is retired");
    assert_eq!(pass(&mut old).await.scored, 20, "it has read the layout again");
    assert_eq!(counted(&store).await, 40);
}

#[tokio::test]
async fn an_invalid_number_of_shards_changes_nothing() {
    let store = resharding_store().await;
    fill(&store, 0, 10, 0).await;
    for invalid in
        [json!({ "shards": -1 }), json!({ "shards": "four" }), json!({ "shards": 5_000 })]
    {
        put(&store, collection::CONFIG, "scoring", fields(&invalid)).await;
        pass(&mut job(&store, 7)).await;
        assert_eq!(store.layout().await.unwrap().layout.shards, 0, "{invalid}");
    }
    assert_eq!(counted(&store).await, 10);
}

/// Two workers with leases, on one clock that the test moves.
fn workers(store: &Store) -> (Arc<AtomicI64>, [ScoreJob; 2]) {
    named_workers(store, ["one", "other"])
}

fn named_workers(store: &Store, names: [&str; 2]) -> (Arc<AtomicI64>, [ScoreJob; 2]) {
    let time = Arc::new(AtomicI64::new(START));
    let jobs = names.map(|name| {
        let time = time.clone();
        let clock = Clock::from_fn(move || time.load(Ordering::Relaxed));
        job(store, 10).with_leases(Leases::named(store.clone(), clock, name.to_owned()))
    });
    (time, jobs)
}

#[tokio::test]
async fn a_worker_scores_only_after_the_lease_of_another_expires_or_is_released() {
    let store = resharding_store().await;
    let (time, [mut one, mut other]) = workers(&store);
    fill(&store, 0, 10, 0).await;
    assert_eq!(pass(&mut one).await.scored, 10);
    fill(&store, 10, 20, 0).await;
    let left = pass(&mut other).await;
    assert_eq!((left.scored, left.left_to_others), (0, 1));
    // The first worker crashes; its lease expires.
    time.fetch_add(LEASE_MS + 1, Ordering::Relaxed);
    assert_eq!(pass(&mut other).await.scored, 10);
    assert_eq!(store.lease("score").await.unwrap().unwrap().fence, 2);
    // It had not crashed, but does not score without its expired lease.
    fill(&store, 20, 30, 0).await;
    assert_eq!(pass(&mut one).await.scored, 0);
    other.end().await;
    assert_eq!(pass(&mut one).await.scored, 10, "a released lease is taken at once");
    assert_eq!(counted(&store).await, 30);
}

#[tokio::test]
async fn workers_converge_to_an_equal_share_of_the_shards() {
    let store = resharding_store().await;
    configure_shards(&store, 4).await;
    let (time, [mut one, mut other]) = workers(&store);
    fill(&store, 0, 40, 4).await;
    let first = pass(&mut one).await;
    assert_eq!((first.scored, first.left_to_others), (40, 0), "a worker alone takes all shards");
    for _ in 0..3 {
        time.fetch_add(LEASE_MS / 2, Ordering::Relaxed);
        pass(&mut other).await;
        pass(&mut one).await;
    }
    fill(&store, 40, 80, 4).await;
    let reports = [pass(&mut one).await, pass(&mut other).await];
    for report in &reports {
        assert_eq!(report.left_to_others, 2, "{reports:?}");
    }
    assert_eq!(reports[0].scored + reports[1].scored, 40);
    assert_eq!(counted(&store).await, 80);
}

#[tokio::test]
async fn a_crashed_worker_is_removed_after_a_long_absence() {
    let store = resharding_store().await;
    configure_shards(&store, 4).await;
    let (time, [mut crashes, mut lives]) = named_workers(&store, ["crashes", "lives"]);
    pass(&mut crashes).await;
    time.fetch_add(2 * LEASE_MS, Ordering::Relaxed);
    pass(&mut lives).await;
    let announced = async |name: &str| {
        document(&store, collection::STATE, &format!("worker|{name}")).await.is_some()
    };
    assert!(announced("crashes").await, "it may only be slow, and is kept");
    time.fetch_add(GONE_AFTER * LEASE_MS, Ordering::Relaxed);
    pass(&mut lives).await;
    assert!(!announced("crashes").await);
    assert!(announced("lives").await);
    // It had not crashed: it registers again and takes part again.
    assert_eq!(pass(&mut crashes).await.left_to_others, 4, "the other worker holds all shards");
    assert!(announced("crashes").await);
    let mut workers: Vec<_> =
        store.workers().await.unwrap().into_iter().map(|found| found.worker).collect();
    workers.sort_unstable();
    assert_eq!(workers, ["crashes", "lives"]);
}

#[tokio::test]
async fn a_malformed_lease_counts_as_expired_and_is_taken() {
    let store = resharding_store().await;
    let broken = value::fields([("holder", value::int(1))]);
    put(&store, collection::STATE, "lease|score", broken).await;
    let (_, [mut one, _]) = workers(&store);
    let stop = CancellationToken::new();
    let report = one.pass(START, &stop, &|_| ()).await.unwrap();
    assert_eq!(report.left_to_others, 0, "{report:?}");
    assert!(store.lease("score").await.unwrap().is_some());
}
