//! What earlier versions stored is still read: whole projects, as the version of that month left them
//! in Firestore, on which every job runs a pass. The files of `tests/fixtures` are never changed, only
//! added to; the bytes in them are also read by `crates/core/tests/formats.rs`.

use std::path::{Path, PathBuf};

use f0_learning::archive::Archive;
use f0_learning::jobs::check::CheckReport;
use f0_learning::jobs::guard::{GuardAction, GuardJob};
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::jobs::retain::{RetainJob, RetainOptions};
use f0_learning::jobs::tune::{TuneOutcome, TuneReport};
use f0_learning::store::{ExperimentRequest, OverrideParams, Store};
use f0_learning_client::{NewObservation, record_observation};
use f0_learning_core::intent::Intent;
use f0_learning_core::observation::Outcome;
use f0_learning_core::sharding::Shard;
use f0_learning_core::stats::Window;
use f0_learning_core::time::{HOUR_MS, MINUTE_MS};
use firestore::gcloud_sdk::google::firestore::v1::{
    ArrayValue, Document, MapValue, Value as Stored, value::ValueType,
};
use firestore_kit::value::{self, Fields};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::collection;
use crate::experiments::ASKED;
use crate::support::{START, ada, empty_store, key, put, put_arm, score, seeded_store, tune};

const KEPT: [&str; 6] = [
    collection::STATE,
    collection::POLICIES,
    collection::EXPERIMENTS,
    collection::CONFIG,
    collection::STATS,
    collection::AUDIT,
];

/// What a reference to a document of the project begins with, in a file.
const DOCUMENTS: &str = "{documents}";

fn to_typed(stored: &Stored, root: &str) -> Value {
    match stored.value_type.as_ref().unwrap() {
        ValueType::NullValue(_) => json!({ "null": true }),
        ValueType::BooleanValue(flag) => json!({ "boolean": flag }),
        ValueType::IntegerValue(number) => json!({ "integer": number }),
        ValueType::DoubleValue(number) => json!({ "double": number }),
        ValueType::StringValue(text) => json!({ "string": text }),
        ValueType::BytesValue(bytes) => json!({ "bytes": hex::encode(bytes) }),
        ValueType::TimestampValue(time) => json!({ "micros": value::epoch_micros(time) }),
        ValueType::ReferenceValue(name) => {
            json!({ "reference": name.replacen(root, DOCUMENTS, 1) })
        }
        ValueType::ArrayValue(array) => {
            let items: Vec<_> = array.values.iter().map(|item| to_typed(item, root)).collect();
            json!({ "array": items })
        }
        ValueType::MapValue(map) => json!({ "map": to_typed_fields(&map.fields, root) }),
        other => panic!("{other:?}"),
    }
}

fn to_typed_fields(fields: &Fields, root: &str) -> Map<String, Value> {
    let mut all: Vec<_> = fields.iter().collect();
    all.sort_by_key(|(name, _)| *name);
    all.into_iter().map(|(name, stored)| (name.clone(), to_typed(stored, root))).collect()
}

fn of_typed(typed: &Value, root: &str) -> Stored {
    let (kind, content) = typed.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "null" => Stored { value_type: Some(ValueType::NullValue(0)) },
        "boolean" => value::boolean(content.as_bool().unwrap()),
        "integer" => value::int(content.as_i64().unwrap()),
        "double" => value::double(content.as_f64().unwrap()),
        "string" => value::string(content.as_str().unwrap()),
        "bytes" => value::bytes(hex::decode(content.as_str().unwrap()).unwrap()),
        "micros" => value::timestamp(value::from_epoch_micros(content.as_i64().unwrap())),
        "reference" => value::reference(content.as_str().unwrap().replacen(DOCUMENTS, root, 1)),
        "array" => {
            let values = content.as_array().unwrap().iter().map(|it| of_typed(it, root)).collect();
            Stored { value_type: Some(ValueType::ArrayValue(ArrayValue { values })) }
        }
        "map" => {
            let fields = of_typed_fields(content.as_object().unwrap(), root);
            Stored { value_type: Some(ValueType::MapValue(MapValue { fields })) }
        }
        other => panic!("{other}"),
    }
}

fn of_typed_fields(typed: &Map<String, Value>, root: &str) -> Fields {
    typed.iter().map(|(name, typed)| (name.clone(), of_typed(typed, root))).collect()
}

fn root(store: &Store) -> String {
    store.db().clone().into_inner().get_documents_path().clone()
}

async fn all_documents(store: &Store, collection: &str) -> Vec<Document> {
    let db = store.db().clone().into_inner();
    db.fluent().select().from(collection).query().await.unwrap()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

async fn observe(store: &Store, n: i64, ts: i64) {
    for number in 0..n {
        let (component, every) = match number % 3 {
            0 => ("router:gpt-5", 2),
            1 => ("router:gemini", 9),
            _ => ("router:claude", 5),
        };
        let outcome = if (number / 3) % every == 0 { Outcome::Failure } else { Outcome::Success };
        let observation = NewObservation {
            id: Some(format!("{ts}-{number}")),
            ts: Some(ts + number * 1_000),
            policy_version: Some("router-core@1.0.0".to_owned()),
            cost_usd: (number % 4 != 0).then_some(0.01),
            sample_rate: (number % 10 == 0).then_some(0.5),
            propensity: (number % 7 == 0).then_some(0.3),
            tokens_in: Some(100),
            error_code: (outcome == Outcome::Failure).then(|| "timeout".to_owned()),
            ..NewObservation::new(
                component,
                outcome,
                300.0 + f64::from(i32::try_from(number % 50).unwrap()),
            )
        };
        record_observation(store.db(), observation, ts).await.unwrap();
    }
}

/// A project with a document of every kind: statistics, tallies, a decision, a test with its baseline,
/// a watch, leases, a layout, the state of reconciliation and of retention, an announced range.
async fn furnished_store(folder: &Path) -> Store {
    let store = seeded_store().await;
    let config = json!({ "version": "2.0.0", "policies": {
        "router-core": { "component": "router:{arm}", "minSampleRate": 0.5,
            "minPropensity": 0.3, "sampleRatioCheck": false },
        "other": { "component": "other:{arm}", "stepBound": 0.1 },
    }});
    put(&store, collection::CONFIG, "tuning", value::fields_from_json(config.as_object().unwrap()))
        .await;
    let other = json!({
        "id": "other", "version": "1.0.0", "status": "active", "createdAt": START,
        "createdBy": "ada", "params": { "modelWeights": { "x": 0.5, "y": 0.5 } },
    });
    put(
        &store,
        collection::POLICIES,
        "other@1.0.0",
        value::fields_from_json(other.as_object().unwrap()),
    )
    .await;
    observe(&store, 300, START).await;
    score(&store, START + 10 * MINUTE_MS).await;
    put_arm(&store, "gpt-5", 0.45, 1_000).await;
    put_arm(&store, "gemini", 0.8, 1_000).await;
    put_arm(&store, "claude", 0.75, 1_000).await;
    let proposed = tune(&store, START + 11 * MINUTE_MS).await.to_string();
    assert!(proposed.contains("drafted router-core@1.0.1"), "{proposed}");
    let request = ExperimentRequest { max_days: Some(14), ..ASKED };
    store.start_experiment(&key("router-core@1.0.1"), &request, &ada()).await.unwrap();
    let weights = ("modelWeights".to_owned(), json!({ "x": 0.25, "y": 0.75 }));
    let set = OverrideParams::Set(vec![weights]);
    let intent = Intent::new("ada", START + 12 * MINUTE_MS).because("for the fixtures");
    store.override_policy("other", &set, None, &intent).await.unwrap();
    pass_of_each(&store, folder, START + HOUR_MS).await;
    let lease = store.take_lease("tune", None, "worker-1", START + HOUR_MS, HOUR_MS).await.unwrap();
    assert_eq!(lease.fence, 1);
    store.announce_worker("worker-1", START + HOUR_MS, HOUR_MS).await.unwrap();
    let cursor = store.cursor(Shard::All).await.unwrap();
    let pending = f0_learning::store::Pending {
        end: cursor.position.clone().unwrap(),
        read_time: cursor.update_time.unwrap(),
        config: store.reward_config().await.unwrap(),
        archived_before: None,
        limits: Some(store.limits().await.unwrap()),
    };
    store.announce(&cursor, pending).await.unwrap();
    store
}

/// One pass of every job; none may fail, and none may find a document that it cannot read.
async fn pass_of_each(store: &Store, folder: &Path, now: i64) {
    let stop = CancellationToken::new();
    score(store, now).await;
    let mut reconcile = ReconcileJob::new(store.clone(), ReconcileOptions::default());
    reconcile.pass(now, true, &stop).await.unwrap();
    let TuneReport::Decided(outcomes) = tune(store, now).await else { panic!("decided") };
    for (policy, outcome) in outcomes {
        assert!(!matches!(outcome, TuneOutcome::Unusable(_)), "{policy}: {outcome}");
    }
    for outcome in GuardJob::new(store.clone()).pass(now).await.unwrap().outcomes {
        assert!(!matches!(outcome.action, GuardAction::Skipped(_)), "{outcome}");
    }
    assert_eq!(CheckReport::take(store).await.unwrap().irregular(), []);
    let archive = Archive::open(folder.to_str().unwrap()).unwrap();
    let mut retain = RetainJob::new(store.clone(), archive, RetainOptions::default());
    retain.pass(now, &stop).await.unwrap();
}

/// Writes the fixtures of the present version, for a new month: set `F0_WRITE_FIXTURES` to its name.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a variable asks for new fixtures")]
async fn the_documents_of_the_present_version_are_written_where_that_is_asked_for() {
    let Some(month) = std::env::var_os("F0_WRITE_FIXTURES") else { return };
    let archive = tempfile::tempdir().unwrap();
    let store = furnished_store(archive.path()).await;
    let root = root(&store);
    let folder = fixtures().join(&month);
    std::fs::create_dir_all(&folder).unwrap();
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/core/tests/fixtures").join(month);
    std::fs::create_dir_all(&core).unwrap();
    let mut kinds = std::collections::BTreeMap::<&str, usize>::new();
    for collection in KEPT {
        let mut documents = all_documents(&store, collection).await;
        documents.sort_by(|a, b| a.name.cmp(&b.name));
        let mut all = Map::new();
        for document in &documents {
            let id = value::document_id(document);
            let fields = to_typed_fields(&document.fields, &root);
            for (field, kind) in [
                ("series", "series"),
                ("tally", "tally"),
                ("input", "decision"),
                ("baseline", "baseline"),
            ] {
                if let Some(bytes) = value::as_bytes(&document.fields, field) {
                    let number = kinds.entry(kind).or_default();
                    *number += 1;
                    std::fs::write(core.join(format!("{kind}-{number}.bin")), bytes).unwrap();
                }
            }
            all.insert(id.to_owned(), Value::Object(fields));
        }
        let text = serde_json::to_string_pretty(&all).unwrap();
        std::fs::write(folder.join(format!("{collection}.json")), text + "\n").unwrap();
    }
}

#[tokio::test]
async fn projects_of_every_earlier_version_are_read_by_every_job() {
    let mut months: Vec<_> =
        std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    months.sort();
    assert!(!months.is_empty());
    for month in months {
        let store = empty_store().await;
        let root = root(&store);
        let mut written = 0;
        for collection in KEPT {
            let text = std::fs::read_to_string(month.join(format!("{collection}.json"))).unwrap();
            let documents: Map<String, Value> = serde_json::from_str(&text).unwrap();
            for (id, typed) in documents {
                let fields = of_typed_fields(typed.as_object().unwrap(), &root);
                put(&store, collection, &id, fields).await;
                written += 1;
            }
        }
        assert!(written > 20, "{}: {written} documents", month.display());
        // The series of a fixture may hold more than its windows did when they were written.
        let names = ["router:claude", "router:gemini", "router:gpt-5"];
        let before = store.series(&names).await.unwrap();
        let now = START + 2 * HOUR_MS;
        observe(&store, 30, now - 10 * MINUTE_MS).await;
        let archive = tempfile::tempdir().unwrap();
        let report = score(&store, now).await;
        assert_eq!((report.scored, report.damaged.len()), (30, 0), "{report:?}");
        pass_of_each(&store, archive.path(), now + MINUTE_MS).await;
        let after = store.all_stats(None).await.unwrap();
        for known in before {
            let counted = known.series.window(Window::SevenDays).n;
            let same = |it: &&f0_learning::store::ComponentStats| {
                it.component == known.component && it.window == Window::SevenDays
            };
            let now = after.iter().find(same).unwrap();
            assert_eq!(now.stats.n, counted + 10, "{}", known.component);
        }
        let input = store.decision(&key("router-core@1.0.1")).await.unwrap().unwrap();
        assert_eq!(input.policy_id, "router-core");
        assert!(!store.experiments(None).await.unwrap().is_empty());
    }
}
