//! A server for all tests of the binary, a project for each, and passes stepped by hand.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::collection;
use f0_learning::jobs::score::{ScoreJob, ScoreOptions, ScoreReport};
use f0_learning::jobs::tune::{TuneJob, TuneReport};
use f0_learning::store::{NewDraft, ProposeOutcome, Store};
use f0_learning_client::{NewObservation, record_observation};
use f0_learning_core::audit::{Statuses, replay};
use f0_learning_core::intent::Intent;
use f0_learning_core::observation::{Observation, Outcome};
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use f0_learning_core::reward::{self, RewardConfig};
use f0_learning_core::stats::{Placement, Series};
use firestore::gcloud_sdk::google::firestore::v1::Document;
use firestore_kit::Connection;
use firestore_kit::value::{self, Fields};
use firestore_local::{Running, Server};
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

/// The time at which tests begin, in epoch milliseconds.
pub const START: i64 = 1_780_000_000_000;

/// Each test has a runtime of its own, but the server must outlive them all.
static SERVER: OnceCell<std::net::SocketAddr> = OnceCell::const_new();
static PROJECTS: AtomicUsize = AtomicUsize::new(0);

pub async fn address() -> std::net::SocketAddr {
    let start = || async {
        let (tell, told) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let server: Running = Server::builder().start().await.unwrap();
                tell.send(server.addr()).unwrap();
                std::future::pending::<()>().await;
            });
        });
        told.await.unwrap()
    };
    *SERVER.get_or_init(start).await
}

/// A store on a project that nobody else uses.
pub async fn empty_store() -> Store {
    let number = PROJECTS.fetch_add(1, Ordering::Relaxed);
    let connection = Connection::local(format!("demo-test-{number}"), address().await);
    Store::connect(&connection).await.unwrap()
}

/// The same with the seed documents.
pub async fn seeded_store() -> Store {
    let store = empty_store().await;
    store.seed(START).await.unwrap();
    store
}

pub fn job(store: &Store, chunk: usize) -> ScoreJob {
    ScoreJob::new(store.clone(), ScoreOptions { chunk, settle_ms: 0 })
}

pub async fn score(store: &Store, now: i64) -> ScoreReport {
    job(store, 25_000).pass(now, &CancellationToken::new(), &|_| ()).await.unwrap()
}

pub async fn tune(store: &Store, now: i64) -> TuneReport {
    TuneJob::new(store.clone()).pass(now).await.unwrap()
}

pub async fn record(
    store: &Store,
    component: &str,
    outcome: Outcome,
    duration_ms: f64,
    ts: i64,
) -> String {
    let observation =
        NewObservation { ts: Some(ts), ..NewObservation::new(component, outcome, duration_ms) };
    record_observation(store.db(), observation, ts).await.unwrap()
}

/// A JSON object as the fields of a document.
pub fn fields(json: &Value) -> Fields {
    value::fields_from_json(json.as_object().unwrap())
}

/// Puts a document in place as any client might, past every check of ours.
pub async fn put(store: &Store, collection: &str, id: &str, fields: Fields) {
    let db = store.db().clone().into_inner();
    let name = format!("{}/{collection}/{id}", db.get_documents_path());
    let document = Document { name, fields, ..Document::default() };
    db.fluent().update().in_col(collection).document(document).execute().await.unwrap();
}

/// What stands under an id, past the typed reads.
pub async fn document(store: &Store, collection: &str, id: &str) -> Option<Map<String, Value>> {
    let db = store.db().clone().into_inner();
    let document = db.fluent().select().by_id_in(collection).one(id).await.unwrap()?;
    Some(value::fields_to_json(&document.fields))
}

/// `n` rewards of one arm of `router-core`, all alike, as scoring would have counted them.
pub async fn put_arm(store: &Store, arm: &str, avg_reward: f64, n: u64) {
    let component = format!("router:{arm}");
    let observation = Observation::parse(
        "o",
        json!({ "ts": START, "component": component, "outcome": "success", "durationMs": 200 })
            .as_object()
            .unwrap(),
    );
    let observation = observation.unwrap();
    let mut reward = reward::score(&RewardConfig::default(), &observation);
    reward.score = avg_reward;
    let mut series = Series::default();
    for _ in 0..n {
        assert_eq!(series.record(&observation, &reward, START), Placement::Counted);
    }
    put_series(store, &component, &series).await;
}

/// A component's series, as scoring would have left it at `START`.
pub async fn put_series(store: &Store, component: &str, series: &Series) {
    let stored = value::fields([
        ("component", value::string(component)),
        ("format", value::int(3)),
        ("nextChange", value::int(series.next_change(START).unwrap())),
        ("windows", value::string("1h,24h,7d")),
        ("series", value::bytes(series.encode())),
    ]);
    put(store, collection::STATE, &format!("series|{component}"), stored).await;
}

/// `id@version` as a key.
pub fn key(text: &str) -> PolicyKey {
    text.parse().unwrap()
}

/// A draft of `router-core` from `parent`, as the tuner would have written it.
pub async fn draft(store: &Store, version: &str, parent: &str) -> PolicyKey {
    let key = key(&format!("router-core@{version}"));
    let parent = parent.parse().unwrap();
    let params = json!({
        "modelWeights": { "gpt-5": 0.5, "gemini": 0.25, "claude": 0.25 }, "of": version,
    });
    let draft = NewDraft {
        key: key.clone(),
        parent,
        params: serde_json::from_value(params).unwrap(),
        notes: "for a test".to_owned(),
        expected_gain: 0.01,
        evidence: json!({}),
        decision: None,
        supersedes: Vec::new(),
        now: START,
    };
    assert_eq!(store.propose(&draft).await.unwrap(), ProposeOutcome::Proposed);
    key
}

pub fn ada() -> Intent {
    Intent::new("ada", START + 1).because("a test")
}

/// The status of every version of a policy.
pub async fn statuses(store: &Store, id: &str) -> Statuses {
    let all = store.policies(Some(id)).await.unwrap();
    all.into_iter().map(|policy| (policy.version, policy.status)).collect()
}

/// Invariants 3 and 4: one active version, and a trail that gives the state of every version.
pub async fn assert_sound(store: &Store, id: &str, why: &str) {
    let stored = statuses(store, id).await;
    let active = stored.values().filter(|status| **status == PolicyStatus::Active).count();
    assert_eq!(active, 1, "{why}: {stored:?}");
    let trail = store.trail(id, None).await.unwrap();
    let (replayed, contradictions) = replay(trail.iter().map(|record| &record.entry));
    assert_eq!(contradictions, [], "{why}");
    assert_eq!(replayed, stored, "{why}");
}
