//! Observations of random shape and type: no pass panics or gets stuck, and each document is either
//! scored or quarantined.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use crate::collection;
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::jobs::score::{ScoreJob, ScoreOptions};
use f0_learning::store::Store;
use f0_learning_core::time::MINUTE_MS;
use firestore::gcloud_sdk::google::firestore::v1::value::ValueType;
use firestore::gcloud_sdk::google::firestore::v1::write::Operation;
use firestore::gcloud_sdk::google::firestore::v1::{
    ArrayValue, CommitRequest, Document, MapValue, RunQueryRequest, StructuredQuery, Value, Write,
    run_query_request::QueryType, structured_query::CollectionSelector,
    structured_query::FieldReference, structured_query::Projection,
};
use firestore::gcloud_sdk::google::r#type::LatLng;
use firestore_kit::Connection;
use firestore_local::Server;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio_util::sync::CancellationToken;

/// Documents in one commit.
const BATCH: usize = 200;

pub fn run(documents: usize) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match runtime.block_on(scored_or_quarantined(documents)) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn of(kind: ValueType) -> Value {
    Value { value_type: Some(kind) }
}

fn text(rng: &mut StdRng) -> String {
    const SYMBOLS: [char; 12] =
        ['a', 'Z', '0', ' ', '|', '%', '\n', '\0', 'é', '漢', '🦀', '\u{202e}'];
    let length = [0, 1, 5, 30, 500][rng.random_range(0..5)];
    (0..length).map(|_| SYMBOLS[rng.random_range(0..SYMBOLS.len())]).collect()
}

fn double(rng: &mut StdRng) -> f64 {
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.5, 1e300, -1e-300, 1.78e12];
    special[rng.random_range(0..special.len())]
}

fn any(rng: &mut StdRng, depth: u32) -> Value {
    let kinds = if depth == 0 { 9 } else { 11 };
    of(match rng.random_range(0..kinds) {
        0 => ValueType::NullValue(0),
        1 => ValueType::BooleanValue(rng.random()),
        2 => ValueType::IntegerValue(rng.random()),
        3 => ValueType::IntegerValue(rng.random_range(-10..10)),
        4 => ValueType::DoubleValue(double(rng)),
        5 => ValueType::TimestampValue(firestore_kit::Timestamp {
            seconds: rng.random_range(0..4_000_000_000),
            nanos: 0,
        }),
        6 => ValueType::StringValue(text(rng)),
        7 => ValueType::BytesValue(vec![7; rng.random_range(0..50)]),
        8 => ValueType::GeoPointValue(LatLng { latitude: 1.0, longitude: 2.0 }),
        9 => {
            let values = (0..rng.random_range(0..4)).map(|_| {
                let value = any(rng, depth - 1);
                // Firestore rejects an array directly within an array.
                match value.value_type {
                    Some(ValueType::ArrayValue(_)) => of(ValueType::NullValue(0)),
                    _ => value,
                }
            });
            ValueType::ArrayValue(ArrayValue { values: values.collect() })
        }
        _ => {
            let fields =
                (0..rng.random_range(0..4)).map(|n| (format!("k{n}"), any(rng, depth - 1)));
            ValueType::MapValue(MapValue { fields: fields.collect() })
        }
    })
}

/// A valid value for a field.
fn valid(rng: &mut StdRng, field: &str, now: i64) -> Value {
    of(match field {
        "ts" => ValueType::IntegerValue(now - rng.random_range(0..2_000_000_000)),
        "component" => ValueType::StringValue(format!("c{}", rng.random_range(0..20))),
        "outcome" => {
            let outcomes = ["success", "failure", "timeout"];
            ValueType::StringValue(outcomes[rng.random_range(0..3)].to_owned())
        }
        "durationMs" | "tokensIn" => ValueType::IntegerValue(rng.random_range(0..5_000)),
        "costUsd" => ValueType::DoubleValue(rng.random::<f64>()),
        "propensity" => ValueType::DoubleValue(rng.random_range(0.01..1.0)),
        "sampleRate" => ValueType::DoubleValue(rng.random_range(0.01..1.0)),
        "policyVersion" => ValueType::StringValue("router-core@1.0.0".to_owned()),
        _ => return any(rng, 3),
    })
}

/// The fields of an observation besides its id.
pub const FIELDS: [&str; 12] = [
    "ts",
    "component",
    "outcome",
    "durationMs",
    "tokensIn",
    "costUsd",
    "sampleRate",
    "propensity",
    "policyVersion",
    "errorCode",
    "meta",
    "shard",
];

fn document(rng: &mut StdRng, now: i64) -> BTreeMap<String, Value> {
    let spoiled = rng.random_bool(0.6);
    let mut document = BTreeMap::new();
    for field in FIELDS.into_iter().chain(["id"]) {
        let required = matches!(field, "ts" | "component" | "outcome" | "durationMs");
        let wrong = spoiled && rng.random_bool(0.15);
        let absent = if required { spoiled && rng.random_bool(0.05) } else { rng.random_bool(0.5) };
        if absent || (field == "id" && !wrong) {
            continue;
        }
        let value = if wrong { any(rng, 3) } else { valid(rng, field, now) };
        document.insert(field.to_owned(), value);
    }
    if rng.random_bool(0.1) {
        document.insert(format!("x{}", rng.random_range(0..9)), any(rng, 3));
    }
    document
}

fn id(rng: &mut StdRng, number: usize) -> String {
    let odd = ["", ".hidden", "ünï", "🦀", "a b", "__x", "~", "%2F", "|", "\u{7f}"];
    format!("{}{:x}-{number}", odd[rng.random_range(0..odd.len())], rng.random::<u32>())
}

async fn ids(store: &Store, collection: &str) -> Vec<String> {
    let db = store.db().clone().into_inner();
    let query = StructuredQuery {
        from: vec![CollectionSelector {
            collection_id: collection.to_owned(),
            all_descendants: false,
        }],
        select: Some(Projection {
            fields: vec![FieldReference { field_path: "__name__".to_owned() }],
        }),
        ..StructuredQuery::default()
    };
    let request = RunQueryRequest {
        parent: db.get_documents_path().clone(),
        query_type: Some(QueryType::StructuredQuery(query)),
        ..RunQueryRequest::default()
    };
    let mut answers = db.client().get().run_query(request).await.unwrap().into_inner();
    let mut ids = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        let name = answer.document.map(|document| document.name);
        ids.extend(name.and_then(|name| name.rsplit('/').next().map(str::to_owned)));
    }
    ids
}

async fn scored_or_quarantined(documents: usize) -> Result<String, String> {
    let began = Instant::now();
    let server = Server::builder().definitions(vec![crate::plain_indexes()]).start().await.unwrap();
    let store = Store::connect(&Connection::local("demo-any", server.addr())).await.unwrap();
    let now = f0_learning_core::Clock::system().now();
    store.seed(now).await.unwrap();
    let mut rng = StdRng::seed_from_u64(100);
    let db = store.db().clone().into_inner();
    let mut written = Vec::new();
    while written.len() < documents {
        let count = BATCH.min(documents - written.len());
        let writes = (0..count).map(|_| {
            let id = id(&mut rng, written.len());
            let name = format!("{}/{}/{id}", db.get_documents_path(), collection::OBSERVATIONS);
            let fields = document(&mut rng, now).into_iter().collect();
            written.push(id);
            let document = Document { name, fields, ..Document::default() };
            Write { operation: Some(Operation::Update(document)), ..Write::default() }
        });
        let request = CommitRequest {
            database: db.get_database_path().clone(),
            writes: writes.collect(),
            ..CommitRequest::default()
        };
        db.client().get().commit(request).await.map_err(|status| status.to_string())?;
    }

    let stop = CancellationToken::new();
    let mut score =
        ScoreJob::new(store.clone(), ScoreOptions { settle_ms: 0, ..Default::default() });
    let options = ReconcileOptions { lag_ms: 0, ..ReconcileOptions::default() };
    let mut reconcile = ReconcileJob::new(store.clone(), options);
    let failed = |error: f0_learning::store::StoreError| error.to_string();
    let later = now + MINUTE_MS;
    score.pass(later, &stop, &|_| ()).await.map_err(failed)?;
    reconcile.pass(later, true, &stop).await.map_err(failed)?;
    let quiet = reconcile.pass(later, true, &stop).await.map_err(failed)?.is_quiet();

    let mut found: BTreeMap<String, u32> = BTreeMap::new();
    let rewards = ids(&store, collection::REWARDS).await;
    let quarantined = ids(&store, collection::QUARANTINE).await;
    for id in rewards.iter().chain(&quarantined) {
        *found.entry(id.clone()).or_default() += 1;
    }
    let missing: Vec<_> = written.iter().filter(|id| !found.contains_key(*id)).take(5).collect();
    let twice: Vec<_> = found.iter().filter(|(_, count)| **count > 1).take(5).collect();
    if !missing.is_empty() || !twice.is_empty() || !quiet || found.len() != written.len() {
        return Err(format!(
            "{} documents, {} rewards, {} in quarantine; in neither: {missing:?}; in both: \
             {twice:?}; reconciliation has nothing left: {quiet}",
            written.len(),
            rewards.len(),
            quarantined.len()
        ));
    }
    server.shutdown().await;
    Ok(format!(
        "{} documents of random shape: {} scored, {} in quarantine, none both or neither; {} s",
        written.len(),
        rewards.len(),
        quarantined.len(),
        began.elapsed().as_secs()
    ))
}
