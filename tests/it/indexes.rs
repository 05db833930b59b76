//! The index files that are deployed serve every query of the service, and declare no index that no
//! query uses. With sharded observations, no query needs an index of `ts` without the shard before
//! it, because such an index would limit the write rate.

use std::collections::BTreeSet;
use std::future::Future;

use f0_learning::archive::Archive;
use f0_learning::jobs::guard::GuardJob;
use f0_learning::jobs::rebuild::{RebuildJob, RebuildOptions};
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::jobs::retain::{RetainJob, RetainOptions};
use f0_learning::store::{AuditFilter, PolicyFilter, QuarantineFilter, Store};
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::time::{DAY_MS, HOUR_MS};
use firestore_kit::{Connection, Page, PageRequest};
use firestore_local::Server;
use firestore_local::indexes::{Indexes, Shape, Suggestions, suggest};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::collection;
use crate::support::{START, ada, draft, fields, indexes, put, put_arm, score, tune};

/// The collections that grow with the rate of observations.
const LARGE: [&str; 3] = [collection::OBSERVATIONS, collection::REWARDS, collection::QUARANTINE];

/// The shapes of all queries of the service: every job, every page of the API, every command.
async fn shapes_of_all_queries(shards: u32, indexes: Vec<Indexes>) -> BTreeSet<Shape> {
    let server = Server::builder().definitions(indexes).start().await.unwrap();
    server.record_shapes();
    let store = Store::connect(&Connection::local("demo-shapes", server.addr())).await.unwrap();
    store.seed(START).await.unwrap();
    put(&store, collection::CONFIG, "scoring", fields(&json!({ "shards": shards }))).await;
    fill(&store, 0, START).await;
    score(&store, START + HOUR_MS).await;
    // Late observations make reconciliation split ranges and read them.
    fill(&store, 100, START - 5 * DAY_MS).await;
    let stop = CancellationToken::new();
    let mut reconcile = ReconcileJob::new(store.clone(), ReconcileOptions::default());
    for full in [false, true] {
        reconcile.pass(START + HOUR_MS, full, &stop).await.unwrap();
    }
    repair(&store, shards).await;
    read_scored(&store).await;
    change_policies(&store).await;
    read_policies(&store).await;
    read_audit(&store).await;
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path().to_str().unwrap()).unwrap();
    let mut retain = RetainJob::new(store.clone(), archive, RetainOptions::default());
    let mut score_job = crate::support::job(&store, 100);
    score_job.pass(START + 60 * DAY_MS, &stop, &|_| ()).await.unwrap();
    let report = retain.pass(START + 60 * DAY_MS, &stop).await.unwrap();
    assert!(report.deleted > 100, "{report:?}");
    let (left, _) = store.count_unsharded(&[]).await.unwrap();
    let accounted = store.counts().await.unwrap();
    assert_eq!((left, accounted), (0, (0, 0)), "every document was old enough");
    let shapes = server.query_shapes();
    server.shutdown().await;
    shapes
}

/// Pages of two items, the first and the second.
async fn pages<T, F>(read: impl Fn(PageRequest) -> F)
where
    F: Future<Output = f0_learning::store::Result<Page<T>>>,
{
    let first = read(PageRequest { limit: 2, after: None }).await.unwrap();
    read(PageRequest { limit: 2, after: first.next }).await.unwrap();
}

/// The repair of a cursor and of all statistics, and a recount.
async fn repair(store: &Store, shards: u32) {
    let cursor = if shards == 0 { "cursor" } else { "cursor|1" };
    put(store, collection::STATE, cursor, fields(&json!({ "position": "damaged" }))).await;
    let rebuild = RebuildJob::new(store.clone(), None, RebuildOptions::default());
    let now = START + HOUR_MS;
    let damaged = format!("{}/{cursor}", collection::STATE);
    rebuild.document(&damaged, now).await.unwrap();
    score(store, now).await;
    rebuild.all(now).await.unwrap();
    rebuild.verify(None, now).await.unwrap();
}

async fn read_scored(store: &Store) {
    for component in [None, Some("c1")] {
        pages(|page| async move { store.observations_page(component, &page).await }).await;
        pages(|page| async move { store.stats_page(component, &page).await }).await;
        store.all_stats(component).await.unwrap();
    }
    for (component, field) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let wanted = |is_wanted, text: &str| (is_wanted == 1).then(|| text.to_owned());
        let filter = QuarantineFilter {
            component: wanted(component, "c1"),
            field: wanted(field, "ts"),
            ..QuarantineFilter::default()
        };
        let filter = &filter;
        pages(|page| async move { store.quarantine_page(filter, &page).await }).await;
    }
    store.counts().await.unwrap();
    store.first_series(5).await.unwrap();
    store.workers().await.unwrap();
}

/// A draft, an experiment, an activation, a rollback, and what the jobs read of them.
async fn change_policies(store: &Store) {
    put_arm(store, "gpt-5", 0.9, 1_000).await;
    put_arm(store, "gemini", 0.5, 1_000).await;
    put_arm(store, "claude", 0.5, 1_000).await;
    tune(store, START + HOUR_MS).await;
    let new = draft(store, "1.0.9", "1.0.0").await;
    store.activate(&new, false, &ada()).await.unwrap();
    GuardJob::new(store.clone()).pass(START + 2 * HOUR_MS).await.unwrap();
    tune(store, START + 2 * HOUR_MS).await;
    store.roll_back("router-core", None, &ada()).await.unwrap();
}

async fn read_policies(store: &Store) {
    for id in [None, Some("router-core")] {
        store.policies(id).await.unwrap();
        store.experiments_list(id).await.unwrap();
        for status in [None, Some(PolicyStatus::Draft)] {
            let filter = PolicyFilter { id: id.map(ToOwned::to_owned), status };
            let filter = &filter;
            pages(|page| async move { store.policies_page(filter, &page).await }).await;
        }
    }
    store.active_policies().await.unwrap();
    store.standing_policies("router-core").await.unwrap();
    store.recent_versions("router-core").await.unwrap();
    store.weights_of_versions("router-core").await.unwrap();
    store.policy_ids().await.unwrap();
    store.open_experiments().await.unwrap();
    store.effectiveness("router-core", 7, START + 4 * HOUR_MS).await.unwrap();
}

async fn read_audit(store: &Store) {
    for combination in 0..16_u32 {
        let wanted = |bit: u32, text: &str| (combination & bit != 0).then(|| text.to_owned());
        let filter = AuditFilter {
            id: wanted(1, "router-core"),
            action: wanted(2, "activate"),
            actor: wanted(4, "ada"),
            since: (combination & 8 != 0).then_some(START),
            until: None,
        };
        let filter = &filter;
        pages(|page| async move { store.audit_page(filter, &page).await }).await;
    }
    store.trail("router-core", None).await.unwrap();
}

/// Writes 60 observations. Of every five one has no shard, one has the shard of another layout, and
/// one has a malformed `ts` or none.
async fn fill(store: &Store, from: u32, at: i64) {
    for n in from..from + 60 {
        let mut observation = json!({
            "ts": at + i64::from(n), "component": format!("c{}", n % 3), "outcome": "success",
            "durationMs": 100, "shard": n % 4,
        });
        let fields_of = observation.as_object_mut().unwrap();
        match n % 5 {
            1 => drop(fields_of.remove("shard")),
            2 => drop(fields_of.insert("shard".to_owned(), json!(9))),
            3 if n % 2 == 0 => drop(fields_of.insert("ts".to_owned(), json!("soon"))),
            3 => drop(fields_of.remove("ts")),
            _ => {}
        }
        put(store, collection::OBSERVATIONS, &format!("o{n:04}"), fields(&observation)).await;
    }
}

/// Indexes that no query of the service uses, but that the specification promises to other readers.
fn promised() -> [Value; 2] {
    let index = |collection: &str, second: &str, order: &str| {
        json!({
            "collectionGroup": collection, "queryScope": "COLLECTION", "fields": [
                { "fieldPath": "component", "order": "ASCENDING" },
                { "fieldPath": second, "order": order },
            ],
        })
    };
    [
        index(collection::REWARDS, "ts", "DESCENDING"),
        index(collection::STATS, "window", "ASCENDING"),
    ]
}

/// What the file lacks, and what it has without need.
fn differences(shapes: &BTreeSet<Shape>, indexes: &Indexes) -> Suggestions {
    let mut found = suggest(shapes, indexes);
    found.unused.retain(|index| !promised().contains(index));
    found
}

#[tokio::test]
async fn with_shards_the_sharded_indexes_serve_every_query_and_none_is_unused() {
    let file: Value = serde_json::from_str(indexes::SHARDED).unwrap();
    for index in file["indexes"].as_array().unwrap() {
        let columns: Vec<_> =
            index["fields"].as_array().unwrap().iter().map(|it| &it["fieldPath"]).collect();
        let time = columns.iter().position(|it| **it == "ts" || **it == "obsTs");
        let shard = columns.iter().position(|it| **it == "shard");
        if LARGE.contains(&index["collectionGroup"].as_str().unwrap()) && time.is_some() {
            assert!(shard.is_some_and(|at| Some(at) < time), "{index}");
        }
    }
    let shapes = shapes_of_all_queries(4, vec![indexes::sharded(), indexes::resharding()]).await;
    let found = differences(&shapes, &indexes::sharded());
    assert!(found.is_exact(), "{found}");
}

#[tokio::test]
async fn without_shards_the_usual_indexes_serve_every_query_and_none_is_unused() {
    let shapes = shapes_of_all_queries(0, vec![indexes::plain(), indexes::resharding()]).await;
    let found = differences(&shapes, &indexes::plain());
    assert!(found.is_exact(), "{found}");
    assert!(!differences(&shapes, &indexes::sharded()).is_exact(), "the check can fail");
}

/// The order of the steps in docs/scale.md needs a file that serves both layouts.
#[test]
fn the_indexes_for_resharding_are_those_of_both_layouts_without_their_exemptions() {
    let file = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
    let list = |file: &Value, key: &str| file[key].as_array().unwrap().clone();
    let (plain, sharded) = (file(indexes::PLAIN), file(indexes::SHARDED));
    let both = file(indexes::RESHARDING);
    let mut expected = list(&plain, "indexes");
    for index in list(&sharded, "indexes") {
        if !expected.contains(&index) {
            expected.push(index);
        }
    }
    assert_eq!(list(&both, "indexes"), expected);
    let exempt = list(&plain, "fieldOverrides");
    let common = list(&sharded, "fieldOverrides").into_iter().filter(|it| exempt.contains(it));
    assert_eq!(list(&both, "fieldOverrides"), common.collect::<Vec<_>>());
}
