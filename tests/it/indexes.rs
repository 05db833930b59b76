//! With sharded observations no query of the service needs an index of `ts` without the shard
//! before it, because such an index would limit the write rate. Each query that the service makes
//! is checked against the index file that is deployed with shards.

use f0_learning_core::time::{DAY_MS, HOUR_MS};
use std::collections::BTreeSet;

use crate::collection;
use f0_learning::archive::Archive;
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::jobs::retain::{RetainJob, RetainOptions};
use f0_learning::store::Store;
use firestore_kit::{Connection, PageRequest};
use firestore_local::proto::StructuredQuery;
use firestore_local::proto::structured_query::field_filter::Operator;
use firestore_local::proto::structured_query::filter::FilterType;
use firestore_local::proto::structured_query::{Direction, Filter};
use firestore_local::{Running, Server};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{START, fields, put, score};

/// The collections that grow with the rate of observations.
const LARGE: [&str; 3] = [collection::OBSERVATIONS, collection::REWARDS, collection::QUARANTINE];

/// The part of a query that decides which index it needs.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    collection: String,
    equal: BTreeSet<String>,
    /// Fields and whether each descends, without the document's name.
    order: Vec<(String, bool)>,
}

impl Shape {
    fn of(query: &StructuredQuery) -> Self {
        let (mut equal, mut ranges) = (BTreeSet::new(), Vec::new());
        visit_filters(query.r#where.as_ref(), &mut |field, is_equality| {
            if is_equality {
                equal.insert(field);
            } else if !ranges.contains(&(field.clone(), false)) && field != "__name__" {
                ranges.push((field, false));
            }
        });
        let descends = |direction: i32| direction == i32::from(Direction::Descending);
        let mut order: Vec<_> = query
            .order_by
            .iter()
            .map(|it| (it.field.as_ref().unwrap().field_path.clone(), descends(it.direction)))
            .filter(|(field, _)| field != "__name__")
            .collect();
        if order.is_empty() {
            order = ranges;
        }
        Self { collection: query.from[0].collection_id.clone(), equal, order }
    }

    /// Whether the single-field indexes without an exemption serve it, or an index of the file.
    fn is_served_by(&self, file: &Value) -> bool {
        let is_exempt = |field: &str| {
            let exempt =
                json!({ "collectionGroup": self.collection, "fieldPath": field, "indexes": [] });
            file["fieldOverrides"].as_array().unwrap().contains(&exempt)
        };
        match self.order.as_slice() {
            // Firestore merges single-field indexes for equalities.
            [] => self.equal.iter().all(|field| !is_exempt(field)),
            [(field, _)] if self.equal.is_empty() => !is_exempt(field),
            order => {
                let declared = file["indexes"].as_array().unwrap().iter();
                declared.filter(|it| it["collectionGroup"] == *self.collection).any(|index| {
                    let columns: Vec<_> = index["fields"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|it| {
                            let name = it["fieldPath"].as_str().unwrap().to_owned();
                            (name, it["order"] == "DESCENDING")
                        })
                        .collect();
                    let Some((first, rest)) = columns.split_at_checked(self.equal.len()) else {
                        return false;
                    };
                    let first: BTreeSet<_> = first.iter().map(|(name, _)| name.clone()).collect();
                    let back: Vec<_> =
                        rest.iter().map(|(name, down)| (name.clone(), !down)).collect();
                    first == self.equal && (rest == order || back == order)
                })
            }
        }
    }
}

/// Calls `visit` with each filtered field and whether the filter is an equality.
fn visit_filters(filter: Option<&Filter>, visit: &mut impl FnMut(String, bool)) {
    match filter.and_then(|filter| filter.filter_type.as_ref()) {
        Some(FilterType::CompositeFilter(all)) => {
            all.filters.iter().for_each(|filter| visit_filters(Some(filter), visit));
        }
        Some(FilterType::FieldFilter(one)) => {
            let field = one.field.as_ref().unwrap().field_path.clone();
            visit(field, one.op == i32::from(Operator::Equal));
        }
        Some(FilterType::UnaryFilter(_)) => panic!("the service uses no unary filters"),
        None => {}
    }
}

/// The queries over the large collections while every job and every page of the API runs.
async fn shapes_of_all_queries(shards: u32) -> BTreeSet<Shape> {
    let server: Running = Server::builder().start().await.unwrap();
    let store = Store::connect(&Connection::local("demo-shapes", server.addr())).await.unwrap();
    store.seed(START).await.unwrap();
    put(&store, collection::CONFIG, "scoring", fields(&json!({ "shards": shards }))).await;
    server.keep_queries();
    fill(&store, 0, START).await;
    score(&store, START + HOUR_MS).await;
    // Late observations make reconciliation split ranges and read them.
    fill(&store, 100, START - 5 * DAY_MS).await;
    let stop = CancellationToken::new();
    let mut reconcile = ReconcileJob::new(store.clone(), ReconcileOptions::default());
    for full in [false, true] {
        reconcile.pass(START + HOUR_MS, full, &stop).await.unwrap();
    }
    let page = PageRequest { limit: 5, after: None };
    for component in [None, Some("c1")] {
        let first = store.observations_page(component, &page).await.unwrap();
        let rest = PageRequest { after: first.next, ..page.clone() };
        store.observations_page(component, &rest).await.unwrap();
    }
    store.counts().await.unwrap();
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
    let queries = server.queries();
    let shapes = queries.iter().map(Shape::of);
    let shapes = shapes.filter(|it| LARGE.contains(&it.collection.as_str())).collect();
    server.shutdown().await;
    shapes
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

fn unserved(shapes: &BTreeSet<Shape>, file: &str) -> Vec<String> {
    let file: Value = serde_json::from_str(file).unwrap();
    let unserved = shapes.iter().filter(|shape| !shape.is_served_by(&file));
    unserved.map(|shape| format!("{shape:?}")).collect()
}

const PLAIN: &str = include_str!("../../firestore.indexes.json");
const SHARDED: &str = include_str!("../../deploy/firestore.indexes.sharded.json");

#[tokio::test]
async fn with_shards_the_sharded_indexes_serve_every_query() {
    let file: Value = serde_json::from_str(SHARDED).unwrap();
    for index in file["indexes"].as_array().unwrap() {
        let columns: Vec<_> =
            index["fields"].as_array().unwrap().iter().map(|it| &it["fieldPath"]).collect();
        let time = columns.iter().position(|it| **it == "ts" || **it == "obsTs");
        let shard = columns.iter().position(|it| **it == "shard");
        if LARGE.contains(&index["collectionGroup"].as_str().unwrap()) && time.is_some() {
            assert!(shard.is_some_and(|at| Some(at) < time), "{index}");
        }
    }
    let shapes = shapes_of_all_queries(4).await;
    assert!(shapes.len() > 8, "{shapes:?}");
    assert_eq!(unserved(&shapes, SHARDED), Vec::<String>::new());
}

#[tokio::test]
async fn without_shards_the_usual_indexes_serve_every_query() {
    let shapes = shapes_of_all_queries(0).await;
    assert_eq!(unserved(&shapes, PLAIN), Vec::<String>::new());
    assert_ne!(unserved(&shapes, SHARDED), Vec::<String>::new(), "the check can fail");
}
