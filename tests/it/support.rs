//! A server for all tests of the binary, a project for each, and passes stepped by hand.

use std::sync::atomic::{AtomicUsize, Ordering};

use f0_learning::collector::{NewObservation, record_observation};
use f0_learning::domain::observation::Outcome;
use f0_learning::jobs::score::{ScoreJob, ScoreOptions, ScoreReport};
use f0_learning::jobs::tune::{TuneJob, TuneReport};
use f0_learning::store::value::{self, Fields};
use f0_learning::store::{Connection, Store};
use firestore::gcloud_sdk::google::firestore::v1::Document;
use firestore_local::{Running, Server};
use serde_json::{Map, Value};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

/// The time at which tests begin, in epoch milliseconds.
pub const START: i64 = 1_780_000_000_000;

/// Each test has a runtime of its own, but the server must outlive them all.
static SERVER: OnceCell<std::net::SocketAddr> = OnceCell::const_new();
static PROJECTS: AtomicUsize = AtomicUsize::new(0);

async fn address() -> std::net::SocketAddr {
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
    record_observation(store, observation, ts).await.unwrap()
}

/// A JSON object as the fields of a document.
pub fn fields(json: &Value) -> Fields {
    value::fields_from_json(json.as_object().unwrap())
}

/// Puts a document in place as any client might, past every check of ours.
pub async fn put(store: &Store, collection: &str, id: &str, fields: Fields) {
    let db = store.clone().into_db();
    let name = format!("{}/{collection}/{id}", db.get_documents_path());
    let document = Document { name, fields, ..Document::default() };
    db.fluent().update().in_col(collection).document(document).execute().await.unwrap();
}

/// What stands under an id, past the typed reads.
pub async fn document(store: &Store, collection: &str, id: &str) -> Option<Map<String, Value>> {
    let db = store.clone().into_db();
    let document = db.fluent().select().by_id_in(collection).one(id).await.unwrap()?;
    Some(value::fields_to_json(&document.fields))
}
