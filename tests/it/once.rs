//! Invariant 1 for documents that are written more than once: an observation counts once per id,
//! whatever its `ts` is and whenever it is written again.

use crate::collection;
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions, ReconcileReport};
use f0_learning::store::{Store, StoreError};
use f0_learning_core::observation::Outcome;
use f0_learning_core::stats::Window;
use f0_learning_core::time::{DAY_MS, HOUR_MS};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{
    START, crash_after, document, fields, job, put, record, resharding_store, score, seeded_store,
};

const NOW: i64 = START + HOUR_MS;

fn reconcile_job(store: &Store) -> ReconcileJob {
    ReconcileJob::new(store.clone(), ReconcileOptions { lag_ms: 0, ..Default::default() })
}

async fn reconcile(store: &Store, now: i64) -> ReconcileReport {
    reconcile_job(store).pass(now, true, &CancellationToken::new()).await.unwrap()
}

/// How many observations and how many rejected ones the longest window counts.
async fn counted(store: &Store) -> (u64, u64) {
    let stats = store.all_stats(None).await.unwrap();
    let of_week = stats.iter().filter(|it| it.window == Window::SevenDays);
    of_week.fold((0, 0), |(n, rejected), it| (n + it.stats.n, rejected + it.stats.rejected))
}

fn observation(ts: i64) -> Value {
    json!({ "ts": ts, "component": "c", "outcome": "success", "durationMs": 100 })
}

/// `doc(id).set(..)`, as a component without a create precondition writes.
async fn set(store: &Store, id: &str, observation: &Value) {
    put(store, collection::OBSERVATIONS, id, fields(observation)).await;
}

async fn delete(store: &Store, id: &str) {
    let db = store.db().clone().into_inner();
    db.fluent().delete().from(collection::OBSERVATIONS).document_id(id).execute().await.unwrap();
}

#[tokio::test]
async fn an_observation_set_again_with_another_ts_counts_once() {
    let store = seeded_store().await;
    set(&store, "o", &observation(START)).await;
    assert_eq!(score(&store, START + 1).await.scored, 1);
    for ts in [START + 5, START + 9_000, START + 3, START - 7, START + 20_000] {
        set(&store, "o", &observation(ts)).await;
        assert_eq!(score(&store, ts.max(START + 9_000)).await.scored, 0, "{ts}");
        assert_eq!(reconcile(&store, NOW).await.scored, 0, "{ts}");
    }
    delete(&store, "o").await;
    score(&store, NOW).await;
    set(&store, "o", &observation(START + 40_000)).await;
    score(&store, NOW).await;
    reconcile(&store, NOW).await;
    assert_eq!((counted(&store).await, store.counts().await.unwrap()), ((1, 0), (1, 0)));
    assert!(reconcile(&store, NOW).await.is_quiet());
}

#[tokio::test]
async fn an_observation_set_again_with_another_shard_counts_once() {
    let store = resharding_store().await;
    put(&store, collection::CONFIG, "scoring", fields(&json!({ "shards": 2 }))).await;
    let of_shard = |shard: Value| {
        let mut observation = observation(START);
        observation["shard"] = shard;
        observation
    };
    set(&store, "o", &of_shard(json!(0))).await;
    score(&store, NOW).await;
    for shard in [json!(1), json!(7), Value::Null, json!(0)] {
        set(&store, "o", &of_shard(shard.clone())).await;
        score(&store, NOW).await;
        reconcile(&store, NOW).await;
        assert_eq!(counted(&store).await, (1, 0), "{shard}");
    }
}

#[tokio::test]
async fn an_observation_that_becomes_invalid_after_it_was_scored_stays_counted() {
    let store = seeded_store().await;
    for (id, ts) in [("ahead", START + 10_000), ("same", START), ("late", START - 5)] {
        set(&store, id, &observation(START)).await;
        score(&store, START + 1).await;
        let mut invalid = observation(ts);
        invalid["outcome"] = json!("maybe");
        set(&store, id, &invalid).await;
    }
    score(&store, NOW).await;
    reconcile(&store, NOW).await;
    // "late" was written behind the cursor and is not scored before reconciliation: it was invalid
    // by then.
    let late = document(&store, collection::QUARANTINE, "late").await;
    assert_eq!((counted(&store).await.0, late.is_some()), (2, true));
    assert_eq!(store.counts().await.unwrap(), (2, 1));
}

#[tokio::test]
async fn an_observation_that_stays_invalid_is_counted_as_rejected_once() {
    let store = seeded_store().await;
    let mut invalid = observation(START);
    invalid["outcome"] = json!("maybe");
    for ts in [START, START + 5_000, START + 9_000] {
        invalid["ts"] = json!(ts);
        set(&store, "o", &invalid).await;
        score(&store, ts).await;
    }
    reconcile(&store, NOW).await;
    assert_eq!(counted(&store).await, (0, 1));
    // Corrected ahead of the cursor, it is scored once.
    set(&store, "o", &observation(START + 20_000)).await;
    score(&store, NOW).await;
    set(&store, "o", &observation(START + 30_000)).await;
    score(&store, NOW).await;
    assert_eq!(counted(&store).await.0, 1);
}

/// A crashed pass leaves rewards of an announced range that is not counted; the observations may move
/// out of it before the next worker completes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observations_that_are_set_again_between_crashes_count_once() {
    const OBSERVATIONS: i64 = 30;
    for seed in 0..10 {
        let mut rng = StdRng::seed_from_u64(seed);
        let store = seeded_store().await;
        let stop = CancellationToken::new();
        for n in 0..OBSERVATIONS {
            set(&store, &format!("o{n}"), &observation(START + n * 1_000)).await;
        }
        for _ in 0..25 {
            let mut scoring = job(&store, rng.random_range(1..20));
            let mut late = reconcile_job(&store);
            let now = START + rng.random_range(0..90_000);
            crash_after(rng.random_range(1..50), scoring.pass(now, &stop, &|_| ())).await;
            let moved = |rng: &mut StdRng| {
                let id = format!("o{}", rng.random_range(0..OBSERVATIONS));
                (id, observation(START + rng.random_range(0..90_000)))
            };
            for _ in 0..4 {
                let (id, observation) = moved(&mut rng);
                set(&store, &id, &observation).await;
            }
            crash_after(rng.random_range(1..120), late.pass(now, true, &stop)).await;
            let (id, observation) = moved(&mut rng);
            set(&store, &id, &observation).await;
        }
        for _ in 0..3 {
            score(&store, NOW).await;
            reconcile(&store, NOW).await;
        }
        let n = u64::try_from(OBSERVATIONS).unwrap();
        assert_eq!(store.counts().await.unwrap(), (n, 0), "seed {seed}");
        assert_eq!(counted(&store).await, (n, 0), "seed {seed}");
        assert!(reconcile(&store, NOW).await.is_quiet(), "seed {seed}");
    }
}

#[tokio::test]
async fn a_reward_of_a_crashed_pass_whose_observation_became_invalid_is_not_kept() {
    let store = seeded_store().await;
    for n in 0..3 {
        set(&store, &format!("o{n}"), &observation(START + n)).await;
    }
    let stop = CancellationToken::new();
    for polls in 1..200 {
        let mut scoring = job(&store, 10);
        crash_after(polls, scoring.pass(START + 10, &stop, &|_| ())).await;
        if store.counts().await.unwrap().0 == 3 {
            break;
        }
    }
    if counted(&store).await.0 == 3 {
        return;
    }
    set(&store, "o1", &json!({ "ts": START + 1, "component": "c" })).await;
    delete(&store, "o2").await;
    score(&store, NOW).await;
    set(&store, "o2", &observation(START + 20)).await;
    score(&store, NOW).await;
    reconcile(&store, NOW).await;
    assert_eq!((counted(&store).await, store.counts().await.unwrap()), ((2, 1), (2, 1)));
}

async fn ten_replaced_with_the_same_times(store: &Store) {
    for n in 0..10 {
        set(store, &format!("old{n}"), &observation(START + n)).await;
    }
    record(store, "c", Outcome::Success, 100.0, START + 60_000).await;
    score(store, NOW).await;
    reconcile(store, NOW).await;
    for n in 0..10 {
        delete(store, &format!("old{n}")).await;
        set(store, &format!("new{n}"), &observation(START + n)).await;
    }
}

#[tokio::test]
async fn observations_that_replace_deleted_ones_of_the_same_times_are_found() {
    let store = seeded_store().await;
    ten_replaced_with_the_same_times(&store).await;
    assert_eq!(reconcile(&store, NOW).await.scored, 10);
    assert_eq!(counted(&store).await.0, 21);
    assert_eq!(reconcile(&store, NOW).await.scored, 0);
    // The counts of the range are remembered now, with ten rewards too many: another ten that replace
    // those are found too.
    reconcile(&store, NOW).await;
    for n in 0..10 {
        delete(&store, &format!("new{n}")).await;
        set(&store, &format!("newer{n}"), &observation(START + n)).await;
    }
    assert_eq!(reconcile(&store, NOW).await.scored, 10);
    assert_eq!(counted(&store).await.0, 31);
}

#[tokio::test]
async fn observations_without_a_ts_that_replace_deleted_ones_are_found() {
    let store = seeded_store().await;
    let without_ts = json!({ "component": "c", "outcome": "success", "durationMs": 100 });
    set(&store, "old", &without_ts).await;
    assert_eq!(reconcile(&store, NOW).await.quarantined, 1);
    delete(&store, "old").await;
    set(&store, "new", &without_ts).await;
    assert_eq!(reconcile(&store, NOW).await.quarantined, 1);
    assert!(store.quarantined("new").await.unwrap().is_some());
}

/// The daily pass compares a bounded number of ids and continues there on the next day.
#[tokio::test]
async fn the_daily_passes_compare_all_ids_in_turn() {
    let store = seeded_store().await;
    for n in 0..1_200 {
        set(&store, &format!("kept{n:04}"), &observation(START + n)).await;
    }
    ten_replaced_with_the_same_times(&store).await;
    let options = ReconcileOptions { lag_ms: 0, compared: 500, ..Default::default() };
    let mut job = ReconcileJob::new(store.clone(), options);
    let stop = CancellationToken::new();
    let mut scored = Vec::new();
    for day in 1..=4 {
        scored.push(job.pass(NOW + day * DAY_MS, false, &stop).await.unwrap().scored);
    }
    assert_eq!(scored.iter().sum::<u64>(), 10, "{scored:?}");
    assert_eq!(scored[0], 0, "a pass compares no more than was asked for");
}

/// Both crash at any await, and any worker may overtake: what a component wrote counts once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_workers_count_observations_that_move_once() {
    for seed in 0..4 {
        let mut rng = StdRng::seed_from_u64(seed);
        let store = seeded_store().await;
        let stop = CancellationToken::new();
        for n in 0..40 {
            set(&store, &format!("o{n}"), &observation(START + n * 1_000)).await;
        }
        for _ in 0..8 {
            let now = START + rng.random_range(10_000..60_000);
            let (mut a, mut b) = (job(&store, rng.random_range(1..20)), job(&store, 7));
            let outcomes = tokio::join!(
                a.pass(now, &stop, &|_| ()),
                crash_after(rng.random_range(1..80), b.pass(now, &stop, &|_| ())),
            );
            let error = outcomes.0.err();
            assert!(error.as_ref().is_none_or(StoreError::is_conflict), "{error:?}");
            for _ in 0..5 {
                let id = format!("o{}", rng.random_range(0..40));
                set(&store, &id, &observation(START + rng.random_range(0..60_000))).await;
            }
        }
        for _ in 0..3 {
            score(&store, NOW).await;
            reconcile(&store, NOW).await;
        }
        assert_eq!(counted(&store).await, (40, 0), "seed {seed}");
        assert_eq!(store.counts().await.unwrap(), (40, 0), "seed {seed}");
    }
}
