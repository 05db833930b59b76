//! Index files through the protocol: which queries and documents they allow.

use std::path::PathBuf;
use std::process::Command;

use firestore_local::Server;
use firestore_local::indexes::{Indexes, suggest};
use tokio_stream::StreamExt;
use tonic::{Code, Status};

use crate::support::program::Program;
use crate::support::queries::*;
use crate::support::v1::listen_request::TargetChange as Request;
use crate::support::v1::listen_response::ResponseType;
use crate::support::v1::run_query_request::ConsistencySelector;
use crate::support::v1::target::query_target::QueryType;
use crate::support::v1::target::{QueryTarget, TargetType};
use crate::support::v1::{ListDocumentsRequest, ListenRequest, StructuredQuery, Target};
use crate::support::values::*;
use crate::support::writes::put;
use crate::support::{Client, Local};

/// Cities by country and population, ascending; `notes` and the fields of `stats` are exempt.
const FILE: &str = r#"{
  // As the Firebase CLI reads it.
  "indexes": [
    {
      "collectionGroup": "cities", "queryScope": "COLLECTION",
      "fields": [
        { "fieldPath": "country", "order": "ASCENDING" },
        { "fieldPath": "population", "order": "ASCENDING" }
      ]
    }
  ],
  "fieldOverrides": [
    { "collectionGroup": "cities", "fieldPath": "notes", "indexes": [] },
    { "collectionGroup": "stats", "fieldPath": "*", "indexes": [] }
  ]
}"#;

struct Indexed {
    local: Local,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Indexed {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("firestore.indexes.json");
        std::fs::write(&file, FILE).unwrap();
        let local = Local::of(Server::builder().indexes(vec![file.clone()])).await;
        let japan = fields([("country", text("Japan")), ("population", int(9))]);
        local.commit([put(local.name("cities/TOK"), japan)]).await.unwrap();
        Self { local, file, _folder: folder }
    }
}

fn of_country() -> StructuredQuery {
    from("cities").filtered(equal("country", text("Japan")))
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> String {
    let status = answer.expect_err("the query is refused");
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    let message = status.message();
    assert!(message.starts_with("The query requires an index. "), "{message}");
    message.to_owned()
}

/// The index that the refusals of this file ask for.
const DESCENDING: &str = concat!(
    r#""indexes": {"collectionGroup":"cities","fields":[{"fieldPath":"country","order":"ASCENDING"},"#,
    r#"{"fieldPath":"population","order":"DESCENDING"}],"queryScope":"COLLECTION"}"#
);

#[tokio::test]
async fn a_query_without_an_index_is_refused_with_the_definition_to_add() {
    let indexed = Indexed::start().await;
    let local = &indexed.local;
    assert_eq!(local.paths(of_country().ordered("population")).await.unwrap(), ["cities/TOK"]);
    let message = refused(local.paths(of_country().descending("population")).await);
    assert!(message.contains(DESCENDING), "{message}");
    assert!(message.contains(&indexed.file.display().to_string()), "{message}");
    let exempt = refused(local.paths(from("cities").ordered("notes")).await);
    assert!(exempt.contains(r#""fieldOverrides": {"collectionGroup":"cities""#), "{exempt}");
    refused(local.paths(group("cities").filtered(equal("country", text("Japan")))).await);
    assert_eq!(local.paths(group("cities")).await.unwrap(), ["cities/TOK"]);
}

#[tokio::test]
async fn every_rpc_that_queries_needs_an_index() {
    let indexed = Indexed::start().await;
    let local = &indexed.local;
    let served = || of_country().ordered("population");
    assert!(local.aggregate(served(), [count("n")]).await.is_ok());
    refused(local.aggregate(of_country().descending("population"), [count("n")]).await);
    assert!(local.aggregate(of_country(), [sum("n", "population")]).await.is_ok());
    refused(local.aggregate(of_country(), [sum("n", "area")]).await);
    let transaction = local.begin().await;
    let selector = || Some(ConsistencySelector::Transaction(transaction.clone()));
    assert!(local.paths_with(served(), selector()).await.is_ok());
    refused(local.paths_with(of_country().descending("population"), selector()).await);
    local.rollback(transaction).await.unwrap();
    let list = |order_by: &str| ListDocumentsRequest {
        parent: local.root(),
        collection_id: "cities".to_owned(),
        order_by: order_by.to_owned(),
        ..Default::default()
    };
    assert!(local.api().list_documents(list("population desc")).await.is_ok());
    refused(local.api().list_documents(list("notes")).await);
}

#[tokio::test]
async fn a_listener_without_an_index_is_refused_and_the_others_of_the_stream_continue() {
    let indexed = Indexed::start().await;
    let client: &Client = &indexed.local;
    let target = |id: i32, query: StructuredQuery| {
        let query_type = Some(QueryType::StructuredQuery(query));
        let query = QueryTarget { parent: client.root(), query_type };
        ListenRequest {
            database: client.database(),
            target_change: Some(Request::AddTarget(Target {
                target_id: id,
                target_type: Some(TargetType::Query(query)),
                ..Default::default()
            })),
            ..Default::default()
        }
    };
    let requests = [
        target(1, of_country().descending("population")),
        target(2, of_country().ordered("population")),
    ];
    let requests = tokio_stream::iter(requests).chain(tokio_stream::pending());
    let mut answers = client.api().listen(requests).await.unwrap().into_inner();
    let mut cause = None;
    loop {
        match answers.message().await.unwrap().unwrap().response_type {
            Some(ResponseType::TargetChange(change)) if change.cause.is_some() => {
                assert_eq!(change.target_ids, [1]);
                cause = change.cause;
            }
            Some(ResponseType::DocumentChange(change)) => {
                assert_eq!(change.target_ids, [2]);
                break;
            }
            _ => {}
        }
    }
    let cause = cause.unwrap();
    assert_eq!(cause.code, i32::from(Code::FailedPrecondition));
    assert!(cause.message.contains(DESCENDING), "{}", cause.message);
}

#[tokio::test]
async fn a_changed_file_is_enforced_and_a_broken_one_keeps_the_previous_indexes() {
    let indexed = Indexed::start().await;
    let query = || of_country().descending("population");
    refused(indexed.local.paths(query()).await);
    let other = FILE.replacen(
        "\"population\", \"order\": \"ASCENDING\"",
        "\"population\", \"order\": \"DESCENDING\"",
        1,
    );
    assert_ne!(other, FILE);
    std::fs::write(&indexed.file, other).unwrap();
    assert!(indexed.local.paths(query()).await.is_ok());
    std::fs::write(&indexed.file, "{").unwrap();
    assert!(indexed.local.paths(query()).await.is_ok());
    std::fs::write(&indexed.file, FILE).unwrap();
    refused(indexed.local.paths(query()).await);
}

#[tokio::test]
async fn each_of_several_files_must_serve_a_query() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["a.json", "b.json"].map(|name| folder.path().join(name));
    std::fs::write(&files[0], FILE).unwrap();
    std::fs::write(&files[1], r#"{"indexes": []}"#).unwrap();
    let local = Local::of(Server::builder().indexes(files.to_vec())).await;
    let message = refused(local.paths(of_country().ordered("population")).await);
    assert!(message.contains("b.json"), "{message}");
    let message = refused(local.paths(from("cities").ordered("notes")).await);
    assert!(message.contains("a.json"), "{message}");
    assert!(local.paths(of_country()).await.is_ok());
}

#[tokio::test]
async fn a_server_does_not_start_with_a_broken_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("firestore.indexes.json");
    std::fs::write(&file, FILE.replace("\"COLLECTION\"", "\"GROUP\"")).unwrap();
    let error = Program::try_start(["--indexes".as_ref(), file.as_os_str()]).unwrap_err();
    let expected = "unknown variant `GROUP`, expected `COLLECTION` or `COLLECTION_GROUP` at line 5";
    assert!(error.contains(expected), "{error}");
    assert_eq!(error.trim().lines().count(), 1, "{error}");
}

#[tokio::test]
async fn a_document_has_at_most_40000_index_entries_and_exempt_fields_do_not_count() {
    let indexed = Indexed::start().await;
    let local = &indexed.local;
    let many = |name: &str, count: i64| fields([(name, array((0..count).map(int)))]);
    // Two entries for the whole array, and two for each element.
    let most = put(local.name("cities/a"), many("tags", 19_999));
    local.commit([most]).await.unwrap();
    let error =
        local.commit([put(local.name("cities/a"), many("tags", 20_000))]).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(error.message(), "too many index entries for entity /cities/a");
    for (path, name) in [("cities/b", "notes"), ("stats/c", "tags")] {
        local.commit([put(local.name(path), many(name, 30_000))]).await.unwrap();
    }
    let batch = ["cities/x", "cities/y"].map(|path| {
        put(local.name(path), many("tags", if path == "cities/x" { 20_000 } else { 1 }))
    });
    let answer = local.batch_write(batch).await.unwrap();
    assert_eq!(answer.status.iter().map(|it| it.code).collect::<Vec<_>>(), [3, 0]);
    let any = Local::start().await;
    any.commit([put(any.name("cities/a"), many("tags", 30_000))]).await.unwrap();
}

#[tokio::test]
async fn a_commit_has_at_most_10_mib_with_its_index_entries() {
    let indexed = Indexed::start().await;
    let local = &indexed.local;
    // 1 MB of text, of which index entries hold 1,500 bytes each.
    let long = |path: &str| put(local.name(path), fields([("text", text(&"x".repeat(1_000_000)))]));
    local.commit((0..10).map(|n| long(&format!("cities/long{n}")))).await.unwrap();
    // Numbers: 8 bytes in the document, and about 150 in each of its two index entries.
    let wide = |path: String| {
        let fields =
            (0..3_000).map(|n| (format!("a_field_with_a_long_name_{n}"), int(n))).collect();
        put(local.name(&path), fields)
    };
    let commit = |count: usize| {
        local.commit((0..count).map(|n| wide(format!("cities/wide{n}"))).collect::<Vec<_>>())
    };
    commit(10).await.unwrap();
    let error = commit(30).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(
        error.message().starts_with("Transaction too big. Decrease transaction size."),
        "{error}"
    );
}

/// The way of a user: record a run, ask what it lacks, add that, and run again.
#[tokio::test]
async fn the_indexes_that_a_recorded_run_lacks_make_it_run() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("queries.jsonl");
    let file = folder.path().join("firestore.indexes.json");
    let queries = || {
        [
            of_country().ordered("population"),
            of_country().descending("population"),
            of_country().descending("population").limited(3),
            group("cities").filtered(equal("country", text("Japan"))),
            from("cities").filtered(any([equal("a", int(1)), test("b", Op::GreaterThan, int(2))])),
        ]
    };
    let recording = Local::of(Server::builder().record_queries(Some(record.clone()))).await;
    for query in queries() {
        recording.paths(query).await.unwrap();
    }
    let shapes = recording.server.query_shapes();
    assert_eq!(shapes.len(), 4, "a limit needs no index of its own");
    assert_eq!(std::fs::read_to_string(&record).unwrap().lines().count(), 4);

    std::fs::write(&file, FILE).unwrap();
    let run = |check: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_firestore-local"));
        command.args(["indexes", "suggest"]).arg(&record).arg("--indexes").arg(&file).args(check);
        let output = command.output().unwrap();
        let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), printed)
    };
    let (success, printed) = run(&[]);
    assert!(success, "{printed}");
    assert!(printed.contains("3 missing, 0 unused"), "{printed}");
    let (success, printed) = run(&["--check"]);
    assert!(!success, "{printed}");
    assert!(printed.contains("error: 3 indexes are missing and 0 are unused"), "{printed}");

    let declared = Indexes::parse(FILE).unwrap();
    let found = suggest(&shapes, &declared);
    let plain: String = FILE.lines().filter(|line| !line.trim().starts_with("//")).collect();
    let mut mended: serde_json::Value = serde_json::from_str(&plain).unwrap();
    mended["indexes"].as_array_mut().unwrap().extend(found.missing);
    mended["fieldOverrides"].as_array_mut().unwrap().extend(found.missing_overrides);
    std::fs::write(&file, mended.to_string()).unwrap();
    let (success, printed) = run(&["--check"]);
    assert!(success, "{printed}");
    let local = Local::of(Server::builder().indexes(vec![file])).await;
    for query in queries() {
        local.paths(query).await.unwrap();
    }
}
