//! One observation cannot decide what is believed of a component.

use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::jobs::score::ScoreReport;
use f0_learning::store::{LateBatch, QuarantineFilter, Store};
use f0_learning_core::limits::Limits;
use f0_learning_core::sharding::Shard;
use f0_learning_core::stats::Window;
use f0_learning_core::time::MINUTE_MS;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::collection;
use crate::support::process::{run_on, text};
use crate::support::{START, document, fields, put, score, seeded_store};

const COMPONENT: &str = "router:gpt-5";

fn observation(component: &str, outcome: &str, ts: i64) -> Value {
    json!({ "ts": ts, "component": component, "outcome": outcome, "durationMs": 100 })
}

async fn observe(store: &Store, id: &str, observation: &Value) {
    put(store, collection::OBSERVATIONS, id, fields(observation)).await;
}

/// A hundred observations of which 85 succeeded, scored.
async fn with_history() -> Store {
    let store = seeded_store().await;
    for n in 0..100 {
        let outcome = if n < 85 { "success" } else { "failure" };
        observe(&store, &format!("o{n:03}"), &observation(COMPONENT, outcome, START - 100 + n))
            .await;
    }
    assert_eq!(score(&store, START).await.scored, 100);
    store
}

async fn success_rate(store: &Store) -> f64 {
    let stats = store.stats_of(&[COMPONENT.to_owned()], Window::OneDay).await.unwrap();
    stats[0].stats.success_rate
}

async fn set(store: &Store, config: &str, field: &str, value: Value) {
    let mut found = document(store, collection::CONFIG, config).await.unwrap();
    found[field] = value;
    put(store, collection::CONFIG, config, fields(&json!(found))).await;
}

/// A failure that claims to stand for others, written and scored after the history.
async fn claim(store: &Store, id: &str, field: &str, value: f64) -> ScoreReport {
    let mut claim = observation(COMPONENT, "failure", START + 1);
    claim[field] = json!(value);
    observe(store, id, &claim).await;
    score(store, START + 1_000).await
}

async fn reason(store: &Store, id: &str) -> String {
    let entry = store.quarantined(id).await.unwrap().unwrap();
    entry["reason"].as_str().unwrap().to_owned()
}

async fn requeue(store: &Store) -> u64 {
    let mut job = ReconcileJob::new(store.clone(), ReconcileOptions::default());
    job.requeue(&QuarantineFilter::default(), START + 2_000).await.unwrap().scored
}

#[tokio::test]
async fn one_observation_with_an_extreme_sample_rate_moves_no_figure() {
    let store = with_history().await;
    assert_eq!(success_rate(&store).await, 0.85);
    let report = claim(&store, "extreme", "sampleRate", 1e-6).await;
    assert_eq!((report.scored, report.quarantined), (0, 1));
    assert_eq!(success_rate(&store).await, 0.85);
    let why = reason(&store, "extreme").await;
    assert!(why.contains("sampleRate is 0.000001, must be at least 0.001"), "{why}");
}

#[tokio::test]
async fn the_documented_rate_of_a_tenth_is_counted_although_the_policy_declares_one() {
    let store = with_history().await;
    let tuning = document(&store, collection::CONFIG, "tuning").await.unwrap();
    assert_eq!(tuning["policies"]["router-core"]["minSampleRate"], json!(1.0));
    let report = claim(&store, "tenth", "sampleRate", 0.1).await;
    assert_eq!((report.scored, report.quarantined), (1, 0));
    assert!((success_rate(&store).await - 85.0 / 110.0).abs() < 1e-9);
}

#[tokio::test]
async fn a_sample_rate_and_a_propensity_together_count_for_no_more_than_a_rate_alone() {
    let store = with_history().await;
    let mut both = observation(COMPONENT, "failure", START + 1);
    both["sampleRate"] = json!(0.01);
    both["propensity"] = json!(0.02);
    observe(&store, "both", &both).await;
    assert_eq!(score(&store, START + 1_000).await.quarantined, 1);
    let why = reason(&store, "both").await;
    assert!(why.contains("propensity is 0.02, must be at least 0.1"), "{why}");
}

#[tokio::test]
async fn a_quarantined_observation_is_counted_by_a_requeue_after_the_limit_was_lowered() {
    let store = with_history().await;
    claim(&store, "rare", "sampleRate", 0.0001).await;
    assert_eq!(requeue(&store).await, 0, "the limit is the same");
    set(&store, "scoring", "minSampleRate", json!(0.0001)).await;
    assert_eq!(requeue(&store).await, 1);
    assert_eq!(store.quarantined("rare").await.unwrap(), None);
    assert!(success_rate(&store).await < 0.01);
}

#[tokio::test]
async fn a_policy_lowers_the_limit_of_its_arms_only() {
    let store = with_history().await;
    let mut tuning = document(&store, collection::CONFIG, "tuning").await.unwrap();
    tuning["policies"]["router-core"]["minSampleRate"] = json!(0.0001);
    put(&store, collection::CONFIG, "tuning", fields(&json!(tuning))).await;
    let mut other = observation("scaler", "failure", START + 1);
    other["sampleRate"] = json!(0.0001);
    observe(&store, "other", &other).await;
    let report = claim(&store, "rare", "sampleRate", 0.0001).await;
    assert_eq!((report.scored, report.quarantined), (1, 1));
    assert!(reason(&store, "other").await.contains("must be at least 0.001"));
}

#[tokio::test]
async fn an_announced_range_is_decided_by_the_limits_that_it_was_announced_with() {
    let store = with_history().await;
    let mut rare = observation(COMPONENT, "failure", START + 1);
    rare["sampleRate"] = json!(0.01);
    observe(&store, "rare", &rare).await;
    // A worker announced the range and crashed; then the limit was raised.
    let cursor = store.cursor(Shard::All).await.unwrap();
    let chunk =
        store.next_chunk(Shard::All, cursor.position.as_ref(), START + 1_000, 100).await.unwrap();
    let (end, read_time) = chunk.end.unwrap();
    let pending = f0_learning::store::Pending {
        end,
        read_time,
        config: store.reward_config().await.unwrap(),
        archived_before: None,
        limits: Some(Limits::default()),
    };
    store.announce(&cursor, pending).await.unwrap();
    set(&store, "scoring", "minSampleRate", json!(0.5)).await;
    let report = score(&store, START + 1_000).await;
    assert_eq!((report.scored, report.quarantined), (1, 0));
    // What is announced from now on has the new one.
    let report = claim(&store, "z-later", "sampleRate", 0.01).await;
    assert_eq!((report.scored, report.quarantined), (0, 1));
}

#[tokio::test]
async fn an_announced_batch_of_late_observations_has_its_own_limits() {
    let store = with_history().await;
    let now = START + 60 * MINUTE_MS;
    let mut late = observation(COMPONENT, "failure", START - 50);
    late["sampleRate"] = json!(0.01);
    observe(&store, "late", &late).await;
    let state = store.reconcile_state().await.unwrap();
    let batch = LateBatch {
        ids: vec!["late".to_owned()],
        config: store.reward_config().await.unwrap(),
        limits: Some(Limits::default()),
    };
    let announced = state.announcing(Some(batch.clone()));
    let stored = store.commit_reconcile(&state, announced, Default::default(), now).await.unwrap();
    assert_eq!(store.reconcile_state().await.unwrap().pending, Some(batch), "{stored:?}");
    set(&store, "scoring", "minSampleRate", json!(0.5)).await;
    let mut job = ReconcileJob::new(store.clone(), ReconcileOptions::default());
    let report = job.pass(now, true, &CancellationToken::new()).await.unwrap();
    assert_eq!((report.scored, report.quarantined), (1, 0), "{report:?}");
}

#[tokio::test]
async fn an_invalid_limit_does_not_stop_scoring_and_admits_nothing_extreme() {
    let store = with_history().await;
    set(&store, "scoring", "minSampleRate", json!(0)).await;
    let report = claim(&store, "extreme", "sampleRate", 1e-6).await;
    assert_eq!((report.scored, report.quarantined), (0, 1));
    let import = ["observations", "import", "/dev/null"];
    let output = run_on(&store, &import, &[]).await;
    let error = text(&output.stderr);
    assert!(error.contains("minSampleRate is 0, must be between 0.000001 and 1"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[tokio::test]
async fn extreme_durations_costs_and_tokens_are_bounded() {
    let store = with_history().await;
    let mut extreme = observation(COMPONENT, "success", START + 1);
    extreme["durationMs"] = json!(604_800_000);
    extreme["costUsd"] = json!(1_000_000);
    extreme["tokensIn"] = json!(1_000_000_000_000_i64);
    observe(&store, "extreme", &extreme).await;
    assert_eq!(score(&store, START + 1_000).await.scored, 1);
    let stats = store.stats_of(&[COMPONENT.to_owned()], Window::OneDay).await.unwrap();
    let it = &stats[0].stats;
    assert!((it.p95_latency - 100.0).abs() <= 1.0, "{}", it.p95_latency);
    let reward = document(&store, collection::REWARDS, "extreme").await.unwrap();
    let score_of = reward["score"].as_f64().unwrap();
    assert!((score_of - 0.4).abs() < 1e-9, "the penalties are the full ones, not more: {score_of}");
    for (field, beyond) in [
        ("durationMs", json!(604_800_001)),
        ("costUsd", json!(1_000_000.1)),
        ("tokensIn", json!(1_000_000_000_001_i64)),
    ] {
        let mut document = observation(COMPONENT, "success", START + 2);
        document[field] = beyond;
        observe(&store, field, &document).await;
    }
    let report = score(&store, START + 2_000).await;
    assert_eq!((report.scored, report.malformed.by_component[COMPONENT]), (3, 3));
}

#[tokio::test]
async fn any_number_of_drafts_by_people_leaves_a_bounded_number_to_the_tuner() {
    let store = seeded_store().await;
    for patch in 1..=60 {
        let draft = json!({
            "id": "router-core", "version": format!("9.0.{patch}"), "status": "draft",
            "createdAt": START, "createdBy": "firebase:mallory", "params": { "modelWeights": {} },
            "notes": "x".repeat(100_000),
        });
        let id = format!("router-core@9.0.{patch}");
        put(&store, collection::POLICIES, &id, fields(&draft)).await;
    }
    let own = crate::support::draft(&store, "1.0.1", "1.0.0").await;
    let standing = store.standing_policies("router-core").await.unwrap();
    let by_mallory = standing.iter().filter(|it| it.created_by == "firebase:mallory").count();
    assert_eq!(by_mallory, 50);
    let kept = |version: &str| standing.iter().any(|it| it.version.to_string() == version);
    assert!(kept("1.0.0") && kept(&own.version.to_string()), "{standing:?}");
}
