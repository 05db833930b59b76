//! Old documents move from Firestore to the archive: each ends in exactly one file, and none is
//! deleted before its file is verified.

use f0_learning_core::time::DAY_MS;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::collection;
use f0_learning::archive::{Archive, File, Manifest, read_keys};
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::jobs::retain::{
    RetainJob, RetainOptions, RetainReport, archive_table, archived_documents,
};
use f0_learning::store::{Archived, OldDocuments, Part, PendingFile, QuarantineFilter, Store};
use f0_learning_core::document::DocumentKey;
use f0_learning_core::observation::Outcome;
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::sharding::Shard;
use firestore::gcloud_sdk::google::firestore::v1::Document;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::process::{run_on, text};
use crate::support::{START, crash_after, document, fields, put, record, score, seeded_store};

fn retain_job(store: &Store, folder: &Path, file_documents: usize) -> RetainJob {
    let archive = Archive::open(folder.to_str().unwrap()).unwrap();
    let options = RetainOptions { file_documents, ..RetainOptions::default() };
    RetainJob::new(store.clone(), archive, options)
}

async fn retain(store: &Store, folder: &Path, now: i64) -> RetainReport {
    retain_job(store, folder, 50).pass(now, &CancellationToken::new()).await.unwrap()
}

/// Three days of scored observations with one invalid, and then a late one.
async fn fill(store: &Store) {
    for n in 0..90 {
        record(store, "c", Outcome::Success, 100.0, START + n * DAY_MS / 30).await;
    }
    let invalid = json!({ "ts": START, "component": "c", "outcome": "maybe", "durationMs": 1 });
    put(store, collection::OBSERVATIONS, "invalid", fields(&invalid)).await;
    score(store, START + 3 * DAY_MS).await;
    record(store, "late", Outcome::Success, 100.0, START + 5).await;
}

/// The paths below a folder that end in this.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_str().unwrap().ends_with(ending) {
            found.push(path);
        }
    }
    found
}

/// How often each id occurs in the files of a table.
fn archived(folder: &Path, table: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for file in files(&folder.join(table), ".parquet") {
        for key in read_keys(std::fs::read(file).unwrap().into()).unwrap() {
            *counts.entry(key.id).or_default() += 1;
        }
    }
    counts
}

/// The number of documents in a collection.
pub async fn documents_left(store: &Store, collection: &str) -> usize {
    let db = store.db().clone().into_inner();
    let all: Vec<Document> = db.fluent().select().from(collection).query().await.unwrap();
    all.len()
}

/// Each document of [`fill`] is in exactly one file, and every file matches its manifest.
fn assert_whole(folder: &Path, why: &str) {
    for (table, expected) in [("observations", 92), ("rewards", 91)] {
        let counts = archived(folder, table);
        assert_eq!(counts.len(), expected, "{table}, {why}");
        assert!(counts.values().all(|count| *count == 1), "{table}, {why}: {counts:?}");
    }
    assert_eq!(files(&folder.join("staging"), "").len(), 0, "{why}");
    for file in files(&folder.join("manifests"), ".json") {
        let manifest: Manifest =
            serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let bytes = std::fs::read(folder.join(&manifest.path)).unwrap();
        assert_eq!(bytes.len() as u64, manifest.bytes, "{why}");
        assert_eq!(read_keys(bytes.into()).unwrap().len() as u64, manifest.count, "{why}");
    }
}

#[tokio::test]
async fn old_documents_are_archived_by_day_and_then_deleted() {
    let (store, folder) = (seeded_store().await, TempDir::new().unwrap());
    fill(&store).await;
    // Of the days of the observations the first is just old enough, and the last is not.
    let first = START.div_euclid(DAY_MS) * DAY_MS;
    let report = retain(&store, folder.path(), first + 32 * DAY_MS).await;
    assert!(report.archived > 50 && report.archived == report.deleted, "{report:?}");
    let days: Vec<_> = std::fs::read_dir(folder.path().join("observations"))
        .unwrap()
        .map(|day| day.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(days.len(), 2, "{days:?}");
    assert!(days.iter().all(|day| day.starts_with("day=2026-")), "{days:?}");
    assert!(documents_left(&store, collection::OBSERVATIONS).await > 0);

    retain(&store, folder.path(), first + 60 * DAY_MS).await;
    assert_eq!(documents_left(&store, collection::OBSERVATIONS).await, 0);
    assert_eq!(documents_left(&store, collection::REWARDS).await, 0);
    assert_eq!(documents_left(&store, collection::QUARANTINE).await, 0);
    assert_whole(folder.path(), "at the end");
    let nothing = retain(&store, folder.path(), first + 60 * DAY_MS).await;
    assert_eq!(nothing, RetainReport::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_passes_that_crash_archive_each_document_once() {
    for seed in 0..4 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (store, folder) = (seeded_store().await, TempDir::new().unwrap());
        fill(&store).await;
        let (now, stop) = (START + 60 * DAY_MS, CancellationToken::new());
        for _ in 0..12 {
            let size = rng.random_range(20..60);
            let mut one = retain_job(&store, folder.path(), size);
            let mut other = retain_job(&store, folder.path(), size);
            let outcomes = tokio::join!(
                crash_after(rng.random_range(1..400), one.pass(now, &stop)),
                crash_after(rng.random_range(1..400), other.pass(now, &stop)),
            );
            for outcome in [outcomes.0, outcomes.1].into_iter().flatten() {
                // The other pass may have settled and discarded the file meanwhile.
                if let Err(error) = outcome {
                    assert!(!error.to_string().contains("SHA-256"), "seed {seed}: {error}");
                }
            }
        }
        retain(&store, folder.path(), now).await;
        assert_eq!(documents_left(&store, collection::OBSERVATIONS).await, 0, "seed {seed}");
        assert_eq!(documents_left(&store, collection::REWARDS).await, 0, "seed {seed}");
        // A pass that crashed after staging has left a file without an announcement.
        std::fs::remove_dir_all(folder.path().join("staging")).ok();
        assert_whole(folder.path(), &format!("seed {seed}"));
    }
}

#[tokio::test]
async fn nothing_is_archived_before_it_is_scored() {
    let (store, folder) = (seeded_store().await, TempDir::new().unwrap());
    record(&store, "c", Outcome::Success, 100.0, START).await;
    let report = retain(&store, folder.path(), START + 60 * DAY_MS).await;
    assert!(report.waiting, "{report:?}");
    assert_eq!(documents_left(&store, collection::OBSERVATIONS).await, 1);
    score(&store, START + 60 * DAY_MS).await;
    let report = retain(&store, folder.path(), START + 60 * DAY_MS).await;
    assert_eq!((report.archived, report.deleted), (2, 2), "{report:?}");
}

#[tokio::test]
async fn a_document_that_changed_after_archiving_is_archived_again_before_deletion() {
    let (store, folder) = (seeded_store().await, TempDir::new().unwrap());
    let id = record(&store, "c", Outcome::Success, 100.0, START).await;
    let now = START + 60 * DAY_MS;
    score(&store, now).await;
    // A worker crashes after it announced its file.
    let mut documents = OldDocuments::default();
    store
        .read_old(Archived::Observations, Part::Of(Shard::All), now, &mut documents, 10)
        .await
        .unwrap();
    let archive = Archive::open(folder.path().to_str().unwrap()).unwrap();
    let mut file = File::default();
    file.add(archive_table(Archived::Observations, &documents)).unwrap();
    let staging = "staging/a".to_owned();
    let manifest = archive.stage(file, &staging, "observations/a.parquet").await.unwrap();
    let pending = PendingFile { archived: Archived::Observations, staging, manifest };
    let state = store.retention_state().await.unwrap();
    store.commit_retention(&state, Some(pending)).await.unwrap();

    let changed = json!({
        "ts": START, "component": "c", "outcome": "failure", "durationMs": 7,
    });
    put(&store, collection::OBSERVATIONS, &id, fields(&changed)).await;
    retain(&store, folder.path(), now).await;
    assert_eq!(
        documents_left(&store, collection::OBSERVATIONS).await,
        0,
        "it is archived again as it is now"
    );
    assert_eq!(archived(folder.path(), "observations")[&id], 2);
}

/// The statistics of versions reach further back than documents are kept.
#[tokio::test]
async fn observations_of_an_archived_time_are_not_counted_again() {
    let (store, folder) = (seeded_store().await, TempDir::new().unwrap());
    let put_all = async || {
        for n in 0..10 {
            let observation = json!({
                "ts": START + n, "component": "c", "outcome": "success", "durationMs": 1,
                "policyVersion": "router-core@1.0.0",
            });
            put(&store, collection::OBSERVATIONS, &format!("o{n}"), fields(&observation)).await;
        }
    };
    let key: PolicyKey = "router-core@1.0.0".parse().unwrap();
    let counted = async || {
        let tally = store.tally(&key).await.unwrap();
        (tally.stats().n, tally.rewards().cloned())
    };
    put_all().await;
    score(&store, START + DAY_MS).await;
    let now = START + 40 * DAY_MS;
    retain(&store, folder.path(), now).await;
    assert_eq!(documents_left(&store, collection::OBSERVATIONS).await, 0);
    let before = counted().await;

    put_all().await;
    score(&store, now).await;
    let stop = CancellationToken::new();
    let mut job = ReconcileJob::new(store.clone(), ReconcileOptions::default());
    let report = job.pass(now, true, &stop).await.unwrap();
    assert_eq!((report.scored, report.quarantined), (0, 10), "{report:?}");
    assert_eq!(counted().await, before, "only the rejections are new");
    let entry = store.quarantined("o3").await.unwrap().unwrap();
    let reason = entry["reason"].as_str().unwrap();
    assert!(reason.contains("ts is older than what was archived"), "{reason}");
    // Requeueing is refused with the same reason.
    let filter = QuarantineFilter { ids: vec!["o3".to_owned()], ..Default::default() };
    let report = job.requeue(&filter, now).await.unwrap();
    assert_eq!((report.requeued, report.refused.len()), (0, 1), "{report:?}");
    // What is newer than the archive is still scored, even if it is late.
    record(&store, "c", Outcome::Success, 100.0, now - DAY_MS).await;
    score(&store, now).await;
    record(&store, "c", Outcome::Success, 100.0, now - 20 * DAY_MS).await;
    assert_eq!(job.pass(now, true, &stop).await.unwrap().scored, 1);
}

#[tokio::test]
async fn an_import_of_an_archived_time_is_refused_with_the_reason() {
    let (store, folder) = (seeded_store().await, TempDir::new().unwrap());
    let observation = json!({
        "id": "o", "ts": START, "component": "c", "outcome": "success", "durationMs": 1,
    });
    let newer = json!({
        "id": "newer", "ts": START + 35 * DAY_MS, "component": "c", "outcome": "success",
        "durationMs": 1,
    });
    let path = folder.path().join("again.ndjson");
    std::fs::write(&path, format!("{observation}\n{newer}\n")).unwrap();
    put(&store, collection::OBSERVATIONS, "o", fields(&observation)).await;
    score(&store, START + DAY_MS).await;
    retain(&store, &folder.path().join("archive"), START + 40 * DAY_MS).await;
    let output = run_on(&store, &["observations", "import", path.to_str().unwrap()], &[]).await;
    assert!(!output.status.success());
    let error = text(&output.stderr);
    assert!(error.contains("line 1: refused: ts is older than what was archived"), "{error}");
    assert!(text(&output.stdout).contains("2 lines: 1 imported"), "{}", text(&output.stdout));
}

/// Its reward is older than the observation, and alone shows that it was counted.
#[tokio::test]
async fn the_reward_of_an_observation_that_is_kept_is_kept() {
    let (store, folder) = (seeded_store().await, TempDir::new().unwrap());
    let observation = |ts: i64| {
        fields(&json!({ "ts": ts, "component": "c", "outcome": "success", "durationMs": 1 }))
    };
    put(&store, collection::OBSERVATIONS, "moved", observation(START)).await;
    put(&store, collection::OBSERVATIONS, "old", observation(START)).await;
    score(&store, START + DAY_MS).await;
    put(&store, collection::OBSERVATIONS, "moved", observation(START + 20 * DAY_MS)).await;
    let now = START + 40 * DAY_MS;
    score(&store, now).await;
    retain(&store, folder.path(), now).await;
    assert!(document(&store, collection::REWARDS, "moved").await.is_some());
    assert!(document(&store, collection::REWARDS, "old").await.is_none());
    let mut job = ReconcileJob::new(store.clone(), ReconcileOptions::default());
    let report = job.pass(now, true, &CancellationToken::new()).await.unwrap();
    assert_eq!((report.scored, report.quarantined), (0, 0), "{report:?}");
    retain(&store, folder.path(), START + 60 * DAY_MS).await;
    assert_eq!(documents_left(&store, collection::REWARDS).await, 0);
}

/// A document that is written again while pages are read may be on two of them.
#[tokio::test]
async fn a_file_that_holds_a_document_twice_is_deleted_once() {
    let store = seeded_store().await;
    let id = record(&store, "c", Outcome::Success, 100.0, START).await;
    let other = record(&store, "c", Outcome::Success, 100.0, START + 1).await;
    let mut documents = OldDocuments::default();
    let part = Part::Of(Shard::All);
    let of = Archived::Observations;
    store.read_old(of, part, START + 2, &mut documents, 1).await.unwrap();
    let moved = json!({ "ts": START + 1, "component": "c", "outcome": "success", "durationMs": 1 });
    put(&store, collection::OBSERVATIONS, &id, fields(&moved)).await;
    store.read_old(of, part, START + 2, &mut documents, 10).await.unwrap();
    let mut keys = documents.keys();
    keys.sort_by(|a, b| a.id.cmp(&b.id));
    keys.dedup_by(|a, b| a.id == b.id);
    assert_eq!(keys.len(), documents.len(), "no document is in a file twice");
    // A file that an earlier version announced may hold it twice.
    let mut twice = documents.keys();
    twice.extend(documents.keys());
    store.delete_archived(of, &twice).await.unwrap();
    assert!(document(&store, collection::OBSERVATIONS, &other).await.is_none());
}

/// `.ci/archive` reads this archive with DuckDB.
#[tokio::test]
async fn the_binary_writes_an_archive_for_other_engines() {
    let store = seeded_store().await;
    for n in 0..3_020_i32 {
        let outcome = match n {
            3_000.. => "maybe",
            _ if n % 7 == 0 => "timeout",
            _ => "success",
        };
        let observation = json!({
            "ts": START + i64::from(n) * 100_000 - 400 * DAY_MS,
            "component": format!("router:m{}", n % 3),
            "outcome": outcome, "durationMs": 100 + n % 900, "costUsd": 0.001 * f64::from(n % 5),
            "meta": { "kept": "yes" },
        });
        put(&store, collection::OBSERVATIONS, &format!("o{n:05}"), fields(&observation)).await;
    }
    score(&store, START).await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("archive");
    std::fs::remove_dir_all(&folder).ok();
    // Quarantine entries age from when they were written: these are made old by hand.
    for n in 3_000..3_020 {
        let id = format!("o{n:05}");
        let mut entry = document(&store, collection::QUARANTINE, &id).await.unwrap();
        entry["ts"] = json!(START - 390 * DAY_MS);
        put(&store, collection::QUARANTINE, &id, fields(&json!(entry))).await;
    }
    let environment = [("ARCHIVE_URL", folder.to_str().unwrap())];
    let output = run_on(&store, &["retain"], &environment).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report = text(&output.stdout);
    assert!(report.contains("6040 documents archived"), "{report}");
    assert_eq!(documents_left(&store, collection::OBSERVATIONS).await, 0);
}

/// The scoring path rejects what is older than the archive, as reconciliation does: the same id was
/// counted once, and its reward was archived and deleted.
#[tokio::test]
async fn an_observation_of_an_archived_time_ahead_of_the_cursor_is_not_counted_again() {
    let (store, folder) = (seeded_store().await, TempDir::new().unwrap());
    let observe = async |ts: i64| {
        let observation = json!({
            "ts": ts, "component": "c", "outcome": "success", "durationMs": 1,
            "policyVersion": "router-core@1.0.0",
        });
        put(&store, collection::OBSERVATIONS, "o", fields(&observation)).await;
    };
    let key: PolicyKey = "router-core@1.0.0".parse().unwrap();
    let counted = async || store.tally(&key).await.unwrap().stats().n;
    observe(START).await;
    score(&store, START + DAY_MS).await;
    let now = START + 45 * DAY_MS;
    retain(&store, folder.path(), now).await;
    assert_eq!(documents_left(&store, collection::REWARDS).await, 0);
    // Delivered again with a later time, ahead of the cursor, and before the end of the archive.
    observe(START + 5 * DAY_MS).await;
    assert_eq!(score(&store, now).await.scored, 0);
    assert_eq!(counted().await, 1);
    let entry = store.quarantined("o").await.unwrap().unwrap();
    assert!(entry["reason"].as_str().unwrap().contains("older than what was archived"));
    record(&store, "c", Outcome::Success, 100.0, now - DAY_MS).await;
    assert_eq!(score(&store, now).await.scored, 1, "what is newer is scored");
}

/// A range is completed as it was announced: its rewards are counted even if `archivedBefore` has risen
/// since, because another worker may have written them.
#[tokio::test]
async fn a_range_announced_before_archiving_is_completed_as_announced() {
    let store = seeded_store().await;
    for n in 0..6 {
        record(&store, "c", Outcome::Success, 100.0, START + n).await;
    }
    let stop = CancellationToken::new();
    for polls in 1..300 {
        let mut job = crate::support::job(&store, 100);
        if crash_after(polls, job.pass(START + DAY_MS, &stop, &|_| ())).await.is_some()
            || store.counts().await.unwrap().0 > 0
        {
            break;
        }
    }
    let state = store.retention_state().await.unwrap();
    store.archive_before(&state, START + DAY_MS).await.unwrap();
    score(&store, START + DAY_MS).await;
    let stats = store.all_stats(None).await.unwrap();
    let week = stats.iter().find(|it| it.window == f0_learning_core::stats::Window::SevenDays);
    let counted = week.map_or((0, 0), |it| (it.stats.n, it.stats.rejected));
    let (rewards, quarantined) = store.counts().await.unwrap();
    assert_eq!(counted, (rewards, quarantined), "what has a reward is counted");
    assert_eq!(counted.0 + counted.1, 6);
}

/// A worker stalls between reading an observation and counting it, for longer than the reward that
/// shows that it was counted before is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stalls_while_a_reward_is_archived_does_not_count_again() {
    let key: PolicyKey = "router-core@1.0.0".parse().unwrap();
    let now = START + 45 * DAY_MS;
    let observation = |ts: i64| {
        fields(&json!({
            "ts": ts, "component": "c", "outcome": "success", "durationMs": 1,
            "policyVersion": "router-core@1.0.0",
        }))
    };
    let mut stalled_at_all = 0;
    for polls in 0..60 {
        let (store, folder) = (seeded_store().await, TempDir::new().unwrap());
        put(&store, collection::OBSERVATIONS, "o", observation(START)).await;
        score(&store, START + DAY_MS).await;
        put(&store, collection::OBSERVATIONS, "o", observation(now - DAY_MS)).await;
        let stop = CancellationToken::new();
        let mut job = crate::support::job(&store, 100);
        let mut pass = Box::pin(job.pass(now, &stop, &|_| ()));
        if crash_after(polls, &mut pass).await.is_some() {
            break;
        }
        stalled_at_all += 1;
        // Deleted by hand while the worker stalls, so that its reward may be archived.
        let db = store.db().clone().into_inner();
        let collection = collection::OBSERVATIONS;
        db.fluent().delete().from(collection).document_id("o").execute().await.unwrap();
        retain(&store, folder.path(), now).await;
        pass.await.unwrap();
        score(&store, now).await;
        let tally = store.tally(&key).await.unwrap().stats().n;
        assert_eq!(tally, 1, "stalled after {polls} polls");
    }
    assert!(stalled_at_all > 5, "{stalled_at_all}");
}

/// The documents in the files of a table, with their types.
fn documents_in(folder: &Path, table: &str) -> BTreeMap<String, firestore_kit::value::Fields> {
    let mut found = BTreeMap::new();
    for file in files(&folder.join(table), ".parquet") {
        let file = std::fs::read(file).unwrap().into();
        let add = |key: DocumentKey, fields| drop(found.insert(key.id, fields));
        archived_documents(file, |_| true, add).unwrap();
    }
    found
}

#[tokio::test]
async fn values_that_json_lacks_survive_the_archive() {
    use firestore_kit::value;
    let (store, folder) = (seeded_store().await, TempDir::new().unwrap());
    let plain = fields(&json!({
        "ts": START, "component": "c", "outcome": "success", "durationMs": 1.0,
        "params": { "list": [1, 1.0, "x", null] },
    }));
    let mut typed = plain.clone();
    let params = value::fields([
        ("until", value::timestamp(firestore_kit::Timestamp { seconds: 5, nanos: 123_456_000 })),
        ("salt", value::bytes(vec![0, 255])),
        ("limit", value::double(f64::NEG_INFINITY)),
        ("owner", value::reference("projects/p/databases/d/documents/users/ada".to_owned())),
    ]);
    typed.insert("params".to_owned(), value::map(params));
    let mut invalid = typed.clone();
    invalid.insert("outcome".to_owned(), value::bytes(vec![1]));
    let all = [("plain", plain), ("typed", typed), ("invalid", invalid)];
    for (id, fields) in &all {
        put(&store, collection::OBSERVATIONS, id, fields.clone()).await;
    }
    score(&store, START + DAY_MS).await;
    retain(&store, folder.path(), START + 60 * DAY_MS).await;
    let read = documents_in(folder.path(), "observations");
    for (id, fields) in &all {
        assert_eq!(read[*id], *fields, "{id}");
    }
    let entries = documents_in(folder.path(), "quarantine");
    let copy = value::as_map(&entries["invalid"], "document").unwrap();
    assert_eq!(*copy, all[2].1);
}

/// A file of an earlier version has the column `document` alone.
#[tokio::test]
async fn a_file_without_typed_documents_is_read() {
    let text = r#"{"ts":5,"component":"c","durationMs":1.5,"meta":{"a":[1,null]}}"#;
    let key = DocumentKey { id: "o".to_owned(), ts: 5, updated: 6 };
    let values = f0_learning::archive::Values::Text(vec![Some(text.to_owned())]);
    let column = f0_learning::archive::Column { name: "document", values };
    let table = f0_learning::archive::Table { keys: vec![key], columns: vec![column] };
    let folder = TempDir::new().unwrap();
    let archive = Archive::open(folder.path().to_str().unwrap()).unwrap();
    let mut file = File::default();
    file.add(table).unwrap();
    let manifest = archive.stage(file, "staging/a", "observations/a.parquet").await.unwrap();
    archive.settle("staging/a", &manifest).await.unwrap();
    let read = documents_in(folder.path(), "observations");
    assert_eq!(read["o"], fields(&serde_json::from_str(text).unwrap()));
}
