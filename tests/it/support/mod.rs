//! The test harness: one local Firestore for all tests of the binary, a project of its own for each
//! test, and passes that a test runs by hand at a time that it chooses.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use f0_learning::jobs::score::{ScoreJob, ScoreOptions, ScoreReport};
use f0_learning::jobs::tune::{TuneJob, TuneReport};
use f0_learning::store::Store;
use f0_learning_client::{NewObservation, record_observation};
use f0_learning_core::observation::{Observation, Outcome};
use f0_learning_core::reward::{self, Reward, RewardConfig};
use f0_learning_core::stats::{Placement, Series, Tally};
use firestore::gcloud_sdk::google::firestore::v1::Document;
use firestore_kit::Connection;
use firestore_kit::value::{self, Fields};
use firestore_local::indexes::Indexes;
use firestore_local::{Builder, Concurrency, Running, Server};
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::collection;

mod crash;
pub mod http;
pub mod indexes;
mod policies;
pub mod process;
pub mod pty;

pub use crash::crash_after;
pub use policies::{ada, assert_sound, draft, key, new_draft, router_params, statuses};

/// The time at which tests begin, in epoch milliseconds.
pub const START: i64 = 1_780_000_000_000;

/// Each test has a runtime of its own, but the servers must outlive them all.
static SERVER: OnceCell<SocketAddr> = OnceCell::const_new();
/// The projects on a server with the indexes for resharding.
const RESHARDING: &str = "demo-resharding";
static RESHARDING_SERVER: OnceCell<SocketAddr> = OnceCell::const_new();
static PROJECTS: AtomicUsize = AtomicUsize::new(0);

/// A server that enforces the indexes that are deployed.
pub fn server() -> Builder {
    Server::builder().definitions(vec![indexes::plain()])
}

pub async fn address() -> SocketAddr {
    *SERVER.get_or_init(|| start(indexes::plain())).await
}

async fn start(indexes: Indexes) -> SocketAddr {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            // A test that crashes at an `await` leaves its transaction open, and the locks of a
            // pessimistic one would last for a minute.
            let builder = Server::builder().concurrency(Concurrency::Optimistic);
            let builder = builder.definitions(vec![indexes]);
            let server: Running = builder.start().await.unwrap();
            sender.send(server.addr()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    receiver.await.unwrap()
}

/// A store on an empty project that no other test uses.
pub async fn empty_store() -> Store {
    store_at(address().await, "demo-test").await
}

async fn store_at(address: SocketAddr, project: &str) -> Store {
    let number = PROJECTS.fetch_add(1, Ordering::Relaxed);
    let connection = Connection::local(format!("{project}-{number}"), address);
    Store::connect(&connection).await.unwrap()
}

/// The address of the server of a project.
pub async fn address_of(project: &str) -> SocketAddr {
    if project.starts_with(RESHARDING) { resharding_address().await } else { address().await }
}

async fn resharding_address() -> SocketAddr {
    *RESHARDING_SERVER.get_or_init(|| start(indexes::resharding())).await
}

/// A seeded store with the indexes that are deployed while the number of shards changes.
pub async fn resharding_store() -> Store {
    let store = store_at(resharding_address().await, RESHARDING).await;
    store.seed(START).await.unwrap();
    allocate_by_proof(&store).await;
    store
}

/// A seeded store whose policy moves weight by proof; what allocation by belief does is tested in
/// `allocation`.
pub async fn seeded_store() -> Store {
    let store = empty_store().await;
    store.seed(START).await.unwrap();
    allocate_by_proof(&store).await;
    store
}

pub async fn allocate_by_proof(store: &Store) {
    let mut tuning = document(store, collection::CONFIG, "tuning").await.unwrap();
    for policy in tuning["policies"].as_object_mut().unwrap().values_mut() {
        policy["allocation"] = json!("proof");
    }
    put(store, collection::CONFIG, "tuning", fields(&Value::Object(tuning))).await;
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

/// Records one observation; gives its id.
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

/// Writes a document as any client might, without the checks of the service.
pub async fn put(store: &Store, collection: &str, id: &str, fields: Fields) {
    let db = store.db().clone().into_inner();
    let name = format!("{}/{collection}/{id}", db.get_documents_path());
    let document = Document { name, fields, ..Document::default() };
    db.fluent().update().in_col(collection).document(document).execute().await.unwrap();
}

/// Removes a field of a document, whatever the others are.
pub async fn clear(store: &Store, collection: &str, id: &str, field: &str) {
    let db = store.db().clone().into_inner();
    let name = format!("{}/{collection}/{id}", db.get_documents_path());
    let document = Document { name, ..Document::default() };
    let update = db.fluent().update().fields([field]).in_col(collection);
    update.document(document).execute().await.unwrap();
}

/// The document with an id, without the typed reads of the service.
/// The fields of a document, with their types.
pub async fn stored(store: &Store, collection: &str, id: &str) -> Option<Fields> {
    let db = store.db().clone().into_inner();
    let found: Option<Document> = db.fluent().select().by_id_in(collection).one(id).await.unwrap();
    found.map(|found| found.fields)
}

pub async fn delete(store: &Store, collection: &str, id: &str) {
    let db = store.db().clone().into_inner();
    db.fluent().delete().from(collection).document_id(id).execute().await.unwrap();
}

pub async fn document(store: &Store, collection: &str, id: &str) -> Option<Map<String, Value>> {
    let db = store.db().clone().into_inner();
    let document = db.fluent().select().by_id_in(collection).one(id).await.unwrap()?;
    Some(value::fields_to_json(&document.fields))
}

/// `n` equal rewards of one arm of `router-core`, as scoring would have counted them.
pub async fn put_arm(store: &Store, arm: &str, avg_reward: f64, n: u64) {
    put_rewards(store, arm, avg_reward, n, false).await;
}

/// The same for further observations: the version's tally keeps those that were put before.
pub async fn put_more(store: &Store, arm: &str, avg_reward: f64, n: u64) {
    put_rewards(store, arm, avg_reward, n, true).await;
}

async fn put_rewards(store: &Store, arm: &str, avg_reward: f64, n: u64, further: bool) {
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
    put_tally(store, arm, &observation, (avg_reward, n), further).await;
}

/// Counts the same rewards for `router-core@1.0.0`, as if each of three arms had been drawn with the
/// propensity 1/3. The rewards that were put for other arms stay.
async fn put_tally(
    store: &Store,
    arm: &str,
    observation: &Observation,
    (reward, n): (f64, u64),
    further: bool,
) {
    let id = "version|router-core@1.0.0";
    let stored = document(store, collection::STATE, id).await.unwrap_or_default();
    let mut arms = stored.get("arms").and_then(Value::as_object).cloned().unwrap_or_default();
    let before = arms.get(arm).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut all = if further { before } else { Vec::new() };
    all.push(json!({ "reward": reward, "n": n }));
    arms.insert(arm.to_owned(), Value::from(all));
    let mut tally = Tally::default();
    let each = arms
        .iter()
        .flat_map(|(arm, all)| all.as_array().into_iter().flatten().map(move |put| (arm, put)));
    for (arm, put) in each {
        let component = format!("router:{arm}");
        let observation =
            Observation { component, propensity: Some(1.0 / 3.0), ..observation.clone() };
        let usual = reward::score(&RewardConfig::default(), &observation);
        let reward = Reward { score: put["reward"].as_f64().unwrap(), ..usual };
        (0..put["n"].as_u64().unwrap()).for_each(|_| tally.add(&observation, &reward));
    }
    let mut stored = fields(&json!({ "format": 4, "arms": arms }));
    stored.insert("tally".to_owned(), value::bytes(tally.encode()));
    put(store, collection::STATE, id, stored).await;
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
