//! Where observations are sharded no query of the service needs an index that holds `ts` without
//! the shard before it, so that none caps writes: each is held against the index file that is
//! deployed then.

use std::collections::BTreeSet;

use crate::collection;
use f0_learning::archive::Archive;
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::jobs::retain::{RetainJob, RetainOptions};
use f0_learning::store::Store;
use f0_learning_core::time::{DAY_MS, HOUR_MS};
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

/// A query as indexes see it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    collection: String,
    equal: BTreeSet<String>,
    /// Fields and whether they descend, without the name.
    order: Vec<(String, bool)>,
}

impl Shape {
    fn of(query: &StructuredQuery) -> Self {
        let (mut equal, mut ranges) = (BTreeSet::new(), Vec::new());
        filters(query.r#where.as_ref(), &mut |field, is_equality| {
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

    /// Whether indexes of single fields serve it, of those that are not exempt, or a declared one.
    fn is_served_by(&self, file: &Value) -> bool {
        let is_exempt = |field: &str| {
            let exempt =
                json!({ "collectionGroup": self.collection, "fieldPath": field, "indexes": [] });
            file["fieldOverrides"].as_array().unwrap().contains(&exempt)
        };
        match self.order.as_slice() {
            // Indexes of single fields are merged for equalities.
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

fn filters(filter: Option<&Filter>, tell: &mut impl FnMut(String, bool)) {
    match filter.and_then(|filter| filter.filter_type.as_ref()) {
        Some(FilterType::CompositeFilter(all)) => {
            all.filters.iter().for_each(|filter| filters(Some(filter), tell));
        }
        Some(FilterType::FieldFilter(one)) => {
            let field = one.field.as_ref().unwrap().field_path.clone();
            tell(field, one.op == i32::from(Operator::Equal));
        }
        Some(FilterType::UnaryFilter(_)) => panic!("the service asks no unary filters"),
        None => {}
    }
}

/// What the service asks of the large collections while it does all that it does.
async fn asked(shards: u32) -> BTreeSet<Shape> {
    let server: Running = Server::builder().start().await.unwrap();
    let store = Store::connect(&Connection::local("demo-shapes", server.addr())).await.unwrap();
    store.seed(START).await.unwrap();
    put(&store, collection::CONFIG, "scoring", fields(&json!({ "shards": shards }))).await;
    server.keep_queries();
    fill(&store, 0, START).await;
    score(&store, START + HOUR_MS).await;
    // Late ones, so that ranges are cut and read.
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
    let (left, _) = store.count_nobodys(&[]).await.unwrap();
    let accounted = store.counts().await.unwrap();
    assert_eq!((left, accounted), (0, (0, 0)), "all of it was old enough");
    let queries = server.queries();
    let shapes = queries.iter().map(Shape::of);
    let shapes = shapes.filter(|it| LARGE.contains(&it.collection.as_str())).collect();
    server.shutdown().await;
    shapes
}

/// Of every five one without a shard, one of another layout, one with an odd `ts` and one without.
async fn fill(store: &Store, from: usize, at: i64) {
    for n in from..from + 60 {
        let mut observation = json!({
            "ts": at + n as i64, "component": format!("c{}", n % 3), "outcome": "success",
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
async fn where_observations_are_sharded_no_query_needs_times_without_shards() {
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
    let shapes = asked(4).await;
    assert!(shapes.len() > 8, "{shapes:?}");
    assert_eq!(unserved(&shapes, SHARDED), Vec::<String>::new());
}

#[tokio::test]
async fn where_they_are_not_the_usual_indexes_serve() {
    let shapes = asked(0).await;
    assert_eq!(unserved(&shapes, PLAIN), Vec::<String>::new());
    assert_ne!(unserved(&shapes, SHARDED), Vec::<String>::new(), "the check can fail");
}
