//! Invariants 1 and 2 behind the cursors: reconciliation finds the observations that no cursor
//! reaches, scores or quarantines each, and counts it once.

use crate::collection;
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions, ReconcileReport};
use f0_learning::store::{Changes, LateBatch, QuarantineFilter, Store, StoreError};
use f0_learning_core::Clock;
use f0_learning_core::observation::Outcome;
use f0_learning_core::stats::Window;
use f0_learning_core::time::HOUR_MS;
use firestore_kit::{Connection, PageRequest, value};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{
    START, crash_after, document, fields, job, put, record, resharding_store, score, seeded_store,
};

fn reconcile_job(store: &Store) -> ReconcileJob {
    ReconcileJob::new(store.clone(), ReconcileOptions { lag_ms: 0, ..Default::default() })
}

async fn reconcile(store: &Store, now: i64) -> ReconcileReport {
    reconcile_job(store).pass(now, true, &CancellationToken::new()).await.unwrap()
}

async fn counted(store: &Store) -> u64 {
    let stats = store.all_stats(None).await.unwrap();
    stats.iter().filter(|it| it.window == Window::ALL[2]).map(|it| it.stats.n).sum()
}

async fn rejected(store: &Store) -> u64 {
    let stats = store.all_stats(None).await.unwrap();
    stats.iter().filter(|it| it.window == Window::ALL[2]).map(|it| it.stats.rejected).sum()
}

/// Puts a valid observation with one field changed, or removed if the value is null.
async fn put_with(store: &Store, id: &str, field: &str, value: Value) {
    let mut observation = json!({
        "ts": START, "component": "c", "outcome": "success", "durationMs": 100,
    });
    match value {
        Value::Null => drop(observation.as_object_mut().unwrap().remove(field)),
        value => observation[field] = value,
    }
    put(store, collection::OBSERVATIONS, id, fields(&observation)).await;
}

#[tokio::test]
async fn a_late_observation_is_scored_and_counted_once() {
    let store = seeded_store().await;
    for n in 0..300 {
        record(&store, "c", Outcome::Success, 100.0, START + n * 1_000).await;
    }
    let now = START + 400_000;
    score(&store, now).await;
    let mut late = Vec::new();
    for n in 0..7 {
        late.push(record(&store, "c", Outcome::Failure, 100.0, START + n * 40_000 + 7).await);
    }
    assert_eq!(score(&store, now).await.scored, 0);
    let report = reconcile(&store, now).await;
    assert_eq!((report.scored, report.quarantined, report.orphans), (7, 0, 0), "{report:?}");
    for id in late {
        assert!(document(&store, collection::REWARDS, &id).await.is_some());
    }
    assert_eq!(counted(&store).await, 307);
    assert!(reconcile(&store, now).await.is_quiet());
    assert_eq!(score(&store, now).await.scored, 0);
    assert_eq!(counted(&store).await, 307);
}

#[tokio::test]
async fn an_observation_with_an_invalid_ts_is_quarantined_with_the_reason() {
    let store = seeded_store().await;
    record(&store, "c", Outcome::Success, 100.0, START).await;
    score(&store, START + 1).await;
    let future = Clock::system().now() + 30 * 24 * HOUR_MS;
    let invalid = [
        ("missing", Value::Null, "missing"),
        ("text", json!("2026-05-01T00:00:00Z"), "text"),
        ("flag", json!(true), "boolean"),
        ("list", json!([1]), "array"),
        ("seconds", json!(START / 1_000), "seconds"),
        ("micros", json!(START * 1_000), "microseconds"),
        ("future", json!(future), "after the document was written"),
        ("negative", json!(-5), "between"),
        ("map", json!({ "seconds": 1 }), "must be a number"),
    ];
    for (id, ts, _) in &invalid {
        put_with(&store, id, "ts", ts.clone()).await;
    }
    let report = reconcile(&store, START + 2).await;
    assert_eq!((report.scored, report.quarantined + report.early), (0, 9), "{report:?}");
    for (id, _, reason) in invalid {
        let found = store.quarantined(id).await.unwrap().unwrap();
        assert_eq!(found["field"], "ts", "{id}");
        let given = found["reason"].as_str().unwrap();
        assert!(given.contains(reason), "{id}: {given}");
    }
    assert_eq!(rejected(&store).await, 8, "all but the one that a cursor will still reach");
    assert!(reconcile(&store, START + 3).await.is_quiet());
    assert_eq!(counted(&store).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_that_crash_during_scoring_count_each_late_observation_once() {
    for seed in 0..6 {
        let mut rng = StdRng::seed_from_u64(seed);
        let store = seeded_store().await;
        let (now, stop) = (START + 10_000, CancellationToken::new());
        let mut written = 0;
        for _ in 0..12 {
            for _ in 0..10 {
                let component = format!("c{}", rng.random_range(0..3));
                let ts = START + rng.random_range(0..9_000);
                record(&store, &component, Outcome::Success, 100.0, ts).await;
                written += 1;
            }
            let mut scoring = job(&store, rng.random_range(1..20));
            let (mut one, mut other) = (reconcile_job(&store), reconcile_job(&store));
            let outcomes = tokio::join!(
                crash_after(rng.random_range(1..80), scoring.pass(now, &stop, &|_| ())),
                crash_after(rng.random_range(1..150), one.pass(now, true, &stop)),
                crash_after(rng.random_range(1..150), other.pass(now, true, &stop)),
            );
            if let Some(outcome) = outcomes.0 {
                outcome.unwrap();
            }
            for outcome in [outcomes.1, outcomes.2].into_iter().flatten() {
                // Either of two concurrent passes may lose too many races; it loses no data.
                let error = outcome.err();
                assert!(error.as_ref().is_none_or(StoreError::is_conflict), "{error:?}");
            }
        }
        score(&store, now).await;
        reconcile(&store, now).await;
        assert_eq!(store.counts().await.unwrap(), (written, 0), "seed {seed}");
        assert_eq!(counted(&store).await, written, "seed {seed}");
    }
}

#[tokio::test]
async fn observations_without_a_valid_shard_are_scored_when_sharding_is_on() {
    let store = resharding_store().await;
    put(&store, collection::CONFIG, "scoring", fields(&json!({ "shards": 2 }))).await;
    for (id, shard) in [
        ("none", Value::Null),
        ("out-of-range", json!(2)),
        ("text", json!("1")),
        ("zero", json!(0)),
        ("one", json!(1.0)),
    ] {
        put_with(&store, id, "shard", shard).await;
    }
    let now = START + 1_000;
    assert_eq!(score(&store, now).await.scored, 2);
    assert_eq!(reconcile(&store, now).await.scored, 3);
    assert_eq!(counted(&store).await, 5);
    // Turning sharding off again counts nothing a second time.
    put(&store, collection::CONFIG, "scoring", fields(&json!({ "shards": 0 }))).await;
    put_with(&store, "later", "ts", json!(START + 500)).await;
    assert_eq!(score(&store, now).await.scored, 1);
    assert!(reconcile(&store, now).await.is_quiet());
    assert_eq!(counted(&store).await, 6);
}

#[tokio::test]
async fn rewards_without_an_observation_are_reported_once_and_kept() {
    let store = seeded_store().await;
    let id = record(&store, "c", Outcome::Success, 100.0, START).await;
    record(&store, "c", Outcome::Success, 100.0, START + 1).await;
    score(&store, START + 10).await;
    let db = store.db().clone().into_inner();
    db.fluent().delete().from(collection::OBSERVATIONS).document_id(&id).execute().await.unwrap();
    let now = START + 2 * HOUR_MS;
    assert_eq!(reconcile(&store, now).await.orphans, 1);
    assert!(document(&store, collection::REWARDS, &id).await.is_some());
    assert!(reconcile(&store, now).await.is_quiet(), "it was reported before");
    // A missing reward and a reward too many do not hide each other.
    let late = record(&store, "c", Outcome::Success, 100.0, START - 5).await;
    assert_eq!(reconcile(&store, now).await.scored, 1);
    assert!(document(&store, collection::REWARDS, &late).await.is_some());
}

#[tokio::test]
async fn a_pass_that_finds_nothing_over_4000_observations_costs_at_most_26_reads() {
    let server = crate::support::server().start().await.unwrap();
    let store = Store::connect(&Connection::local("demo-reconcile", server.addr())).await.unwrap();
    store.seed(START).await.unwrap();
    let batch: Vec<_> = (0..4_000)
        .map(|n| {
            let observation = json!({
                "id": format!("o{n:04}"), "ts": START + n, "component": "c",
                "outcome": "success", "durationMs": 100,
            });
            observation.as_object().unwrap().clone()
        })
        .collect();
    for some in batch.chunks(500) {
        f0_learning_client::create_all_observations(store.db(), some).await.unwrap();
    }
    let now = START + HOUR_MS;
    score(&store, now).await;
    let stop = CancellationToken::new();
    reconcile_job(&store).pass(now, true, &stop).await.unwrap();
    server.reset_meter();
    assert!(reconcile_job(&store).pass(now, false, &stop).await.unwrap().is_quiet());
    let billed = server.meter().total;
    assert_eq!(billed.writes, 0);
    assert!(billed.reads <= 26, "{}", server.meter());
    server.shutdown().await;
}

#[tokio::test]
async fn a_repaired_observation_leaves_quarantine_and_is_scored_once() {
    let store = seeded_store().await;
    record(&store, "c", Outcome::Success, 100.0, START + 100).await;
    put_with(&store, "repaired", "sampleRate", json!(-1)).await;
    put_with(&store, "still-wrong", "sampleRate", json!("all")).await;
    put_with(&store, "gone", "outcome", json!("maybe")).await;
    let now = START + 1_000;
    score(&store, now).await;
    put_with(&store, "repaired", "sampleRate", json!(1)).await;
    let db = store.db().clone().into_inner();
    let delete = db.fluent().delete().from(collection::OBSERVATIONS).document_id("gone");
    delete.execute().await.unwrap();

    let filter = QuarantineFilter { component: Some("c".to_owned()), ..Default::default() };
    let report = reconcile_job(&store).requeue(&filter, now).await.unwrap();
    assert_eq!((report.requeued, report.scored), (1, 1), "{report:?}");
    assert_eq!(report.gone, ["gone"]);
    assert_eq!(report.refused.len(), 1);
    assert!(report.refused[0].1.contains("sampleRate"), "{report:?}");
    assert_eq!(store.quarantined("repaired").await.unwrap(), None);
    assert_eq!((counted(&store).await, rejected(&store).await), (2, 2), "of three rejected ones");
    let again = reconcile_job(&store).requeue(&filter, now).await.unwrap();
    assert_eq!((again.requeued, again.scored), (0, 0));
    reconcile(&store, now).await;
    score(&store, now).await;
    assert_eq!((counted(&store).await, store.counts().await.unwrap()), (2, (2, 2)));
}

#[tokio::test]
async fn invalid_observations_show_in_the_statistics_of_their_component() {
    let store = seeded_store().await;
    for n in 0..5 {
        put_with(&store, &format!("bad{n}"), "outcome", json!("maybe")).await;
    }
    put_with(&store, "good", "meta", json!({})).await;
    let report = score(&store, START + 1).await;
    assert_eq!(report.rejected["c"], 5);
    assert_eq!((counted(&store).await, rejected(&store).await), (1, 5));
}

/// A crashed worker had announced the batch that holds the requeued document.
#[tokio::test]
async fn an_observation_requeued_out_of_an_announced_batch_is_counted_once() {
    let store = seeded_store().await;
    record(&store, "c", Outcome::Success, 100.0, START + 100).await;
    let now = START + 1_000;
    score(&store, now).await;
    put_with(&store, "repaired", "sampleRate", json!(-1)).await;
    let config = store.reward_config().await.unwrap();
    let state = store.reconcile_state().await.unwrap();
    let batch = LateBatch { ids: vec!["repaired".to_owned()], config, limits: None };
    let announced = state.announcing(Some(batch));
    store.commit_reconcile(&state, announced, Changes::default(), now).await.unwrap();
    // It crashed after it wrote the quarantine entry.
    let quarantined =
        json!({ "obsId": "repaired", "ts": now, "field": "sampleRate", "reason": "-1" });
    put(&store, collection::QUARANTINE, "repaired", fields(&quarantined)).await;
    put_with(&store, "repaired", "sampleRate", json!(1)).await;

    let filter = QuarantineFilter { ids: vec!["repaired".to_owned()], ..Default::default() };
    let report = reconcile_job(&store).requeue(&filter, now).await.unwrap();
    assert_eq!(report.requeued, 1, "{report:?}");
    assert_eq!(counted(&store).await, 2);
    assert!(reconcile(&store, now).await.is_quiet());
}

/// The document had no time when it was announced, and now has one ahead of the cursor.
#[tokio::test]
async fn an_observation_repaired_ahead_of_the_cursor_is_left_to_scoring() {
    let store = seeded_store().await;
    let now = START + 1_000;
    put_with(&store, "repaired", "ts", Value::Null).await;
    let config = store.reward_config().await.unwrap();
    let state = store.reconcile_state().await.unwrap();
    let batch = LateBatch { ids: vec!["repaired".to_owned()], config, limits: None };
    let announced = state.announcing(Some(batch));
    store.commit_reconcile(&state, announced, Changes::default(), now).await.unwrap();
    put_with(&store, "repaired", "ts", json!(START)).await;

    reconcile(&store, now).await;
    assert_eq!(counted(&store).await, 0, "no cursor has reached it yet");
    score(&store, now).await;
    assert_eq!(counted(&store).await, 1);
    assert!(reconcile(&store, now).await.is_quiet());
}

#[tokio::test]
async fn a_list_in_the_order_of_times_ends_and_shows_each_finite_time_once() {
    let store = seeded_store().await;
    let times = [
        value::int(START),
        value::double(1_780_000_000_001.5),
        value::int(START + 2),
        value::int(-5),
        value::double(1e300),
        value::double(f64::INFINITY),
        value::double(f64::NEG_INFINITY),
        value::double(f64::NAN),
        value::string("yesterday"),
        value::string("today"),
        value::string("tomorrow"),
        value::boolean(true),
    ];
    for (n, ts) in times.into_iter().enumerate() {
        let mut observation = fields(&json!({ "component": "c", "outcome": "success" }));
        observation.insert("ts".to_owned(), ts);
        put(&store, collection::OBSERVATIONS, &format!("o{n}"), observation).await;
    }
    for limit in 1..=6 {
        let (mut listed, mut page) = (Vec::new(), PageRequest { limit, after: None });
        for _ in 0..20 {
            let found = store.observations_page(None, &page).await.unwrap();
            listed.extend(found.items.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
            page.after = found.next;
            if page.after.is_none() {
                break;
            }
        }
        assert_eq!(listed, ["o4", "o2", "o1", "o0", "o3"], "{limit} on a page");
    }
}

/// The count of a range and its sum of times may look as if a single observation at some other time
/// were missing.
#[tokio::test]
async fn late_observations_are_found_beside_a_reward_whose_observation_was_deleted() {
    let store = seeded_store().await;
    let observe = async |id: &str, ts: i64| {
        let observation =
            json!({ "ts": ts, "component": "c", "outcome": "success", "durationMs": 100 });
        put(&store, collection::OBSERVATIONS, id, fields(&observation)).await;
    };
    for n in 0..40 {
        observe(&format!("o{n:02}"), START + n * 1_000).await;
    }
    score(&store, START + HOUR_MS).await;
    // The first pass looks at everything, and compares ids; those below compare counts only.
    reconcile(&store, START + HOUR_MS).await;
    let recent = async || {
        let (mut job, stop) = (reconcile_job(&store), CancellationToken::new());
        job.pass(START + HOUR_MS, false, &stop).await.unwrap().scored
    };
    // The difference of the sums is the time of an observation that counts already.
    crate::support::delete(&store, collection::OBSERVATIONS, "o15").await;
    observe("late-1", START + 3_500).await;
    observe("late-2", START + 31_500).await;
    assert_eq!((recent().await, counted(&store).await), (2, 42));
    // It is a time at which there is none.
    crate::support::delete(&store, collection::OBSERVATIONS, "o20").await;
    observe("late-3", START + 10_700).await;
    observe("late-4", START + 34_500).await;
    assert_eq!((recent().await, counted(&store).await), (2, 44));
}
