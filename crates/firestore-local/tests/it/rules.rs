//! Security rules through the protocol: users with unsigned tokens, and servers.

use std::path::PathBuf;
use std::process::Command;

use firestore::FirestoreDbOptions;
use tokio_stream::StreamExt;
use tonic::{Code, Status};

use firestore_local::Server;

use crate::support::queries::*;
use crate::support::v1::document_transform::FieldTransform;
use crate::support::v1::document_transform::field_transform::{ServerValue, TransformType};
use crate::support::v1::listen_request::TargetChange as Request;
use crate::support::v1::listen_response::ResponseType;
use crate::support::v1::target::query_target::QueryType;
use crate::support::v1::target::{QueryTarget, TargetType};
use crate::support::v1::target_change::TargetChangeType;
use crate::support::v1::value::ValueType;
use crate::support::v1::{
    GetDocumentRequest, ListCollectionIdsRequest, ListDocumentsRequest, ListenRequest,
    StructuredQuery, Target,
};
use crate::support::values::*;
use crate::support::writes::{When, exists, mask, patch, put, remove};
use crate::support::{Client, Local};

const RULES: &str = "rules_version = '2';
service cloud.firestore {
  match /databases/{database}/documents {
    match /notes/{note} {
      allow get: if resource == null || request.auth.uid == resource.data.owner;
      allow list: if request.auth.uid == resource.data.owner;
      allow create: if request.auth.uid == request.resource.data.owner
        && request.resource.data.at == request.time;
      allow update: if request.auth.uid == resource.data.owner
        && request.resource.data.diff(resource.data).affectedKeys().hasOnly(['text']);
      allow delete: if request.auth.token.role == 'admin';
    }
    match /counters/{counter} {
      allow read: if request.auth != null;
      allow update: if request.resource.data.n == resource.data.n + 1;
    }
    match /votes/{vote} {
      allow create: if getAfter(/databases/$(database)/documents/counters/c).data.n
        == get(/databases/$(database)/documents/counters/c).data.n + 1;
    }
  }
}
";

struct Ruled {
    local: Local,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Ruled {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("firestore.rules");
        std::fs::write(&file, RULES).unwrap();
        let local = Local::of(Server::builder().rules(Some(file.clone()))).await;
        Self { local, file, _folder: folder }
    }

    async fn with_token(&self, token: &str) -> Client {
        let options = FirestoreDbOptions::new("demo-tests".to_owned());
        Client::with_token(self.local.server.addr(), options, token).await
    }

    /// A client of a user with an unsigned token.
    async fn user(&self, claims: &str) -> Client {
        self.with_token(&token(r#"{"alg":"none"}"#, claims, "")).await
    }
}

fn token(header: &str, claims: &str, signature: &str) -> String {
    format!("{}.{}.{signature}", base64url(header), base64url(claims))
}

fn base64url(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: String = text.bytes().map(|byte| format!("{byte:08b}")).collect();
    let chunks = bits.as_bytes().chunks(6);
    chunks
        .map(|chunk| {
            let digit = format!("{:0<6}", std::str::from_utf8(chunk).unwrap());
            char::from(DIGITS[usize::from_str_radix(&digit, 2).unwrap()])
        })
        .collect()
}

const ALICE: &str = r#"{"sub":"alice"}"#;
const BOB: &str = r#"{"sub":"bob"}"#;

fn denied<T: std::fmt::Debug>(answer: Result<T, Status>) {
    let status = answer.expect_err("the request is denied");
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    assert_eq!(status.message(), "Missing or insufficient permissions.");
}

fn note(owner: &str) -> Fields {
    fields([("owner", text(owner)), ("text", text("hello"))])
}

/// A note whose `at` is the time of the request.
fn new_note(name: String, owner: &str) -> crate::support::v1::Write {
    let now = TransformType::SetToServerValue(ServerValue::RequestTime.into());
    let at = FieldTransform { field_path: "at".to_owned(), transform_type: Some(now) };
    let mut write = put(name, note(owner));
    write.update_transforms.push(at);
    write
}

fn mine(owner: &str) -> StructuredQuery {
    from("notes").filtered(equal("owner", text(owner)))
}

#[tokio::test]
async fn servers_bypass_the_rules() {
    let ruled = Ruled::start().await;
    ruled.local.set("secret/x", [("n", int(1))]).await;
    assert_eq!(ruled.local.paths(from("secret")).await.unwrap(), ["secret/x"]);
    ruled.local.commit([remove(ruled.local.name("secret/x"))]).await.unwrap();
}

#[tokio::test]
async fn a_user_gets_what_the_rules_allow() {
    let ruled = Ruled::start().await;
    ruled.local.commit([put(ruled.local.name("notes/a"), note("alice"))]).await.unwrap();
    ruled.local.set("secret/x", [("n", int(1))]).await;
    let (alice, bob) = (ruled.user(ALICE).await, ruled.user(BOB).await);
    assert_eq!(alice.get("notes/a").await.unwrap().fields, note("alice"));
    denied(bob.get("notes/a").await);
    denied(alice.get("secret/x").await);
    denied(alice.get("secret/missing").await);
    assert_eq!(bob.get("notes/missing").await.unwrap_err().code(), Code::NotFound);
    let nobody = ruled.user("{}").await;
    denied(nobody.get("notes/a").await);

    let masked = GetDocumentRequest {
        name: alice.name("notes/a"),
        mask: Some(mask(["text"])),
        ..Default::default()
    };
    let found = alice.api().get_document(masked.clone()).await.unwrap().into_inner();
    assert_eq!(found.fields, fields([("text", text("hello"))]));
    denied(bob.api().get_document(masked).await);

    let many = alice.get_many(["notes/a", "notes/missing"], None).await.unwrap();
    assert_eq!(many.len(), 1);
    denied(alice.get_many(["notes/a", "secret/x"], None).await);
    denied(bob.get_many(["notes/a"], None).await);
}

#[tokio::test]
async fn a_user_runs_queries_whose_every_result_is_allowed() {
    let ruled = Ruled::start().await;
    for (id, owner) in [("a", "alice"), ("b", "bob")] {
        let name = ruled.local.name(&format!("notes/{id}"));
        ruled.local.commit([put(name, note(owner))]).await.unwrap();
    }
    let alice = ruled.user(ALICE).await;
    assert_eq!(alice.paths(mine("alice")).await.unwrap(), ["notes/a"]);
    denied(alice.paths(mine("bob")).await);
    denied(alice.paths(from("notes")).await);
    denied(alice.paths(group("notes").filtered(equal("owner", text("alice")))).await);
    denied(alice.paths(from("secret")).await);
    let counted = alice.aggregate(mine("alice"), [count("n")]).await.unwrap();
    assert_eq!(counted, fields([("n", int(1))]));
    denied(alice.aggregate(from("notes"), [count("n")]).await);
    // The rules, not the documents, decide: also if all documents found would be the user's.
    ruled.local.commit([remove(ruled.local.name("notes/b"))]).await.unwrap();
    denied(alice.paths(from("notes")).await);

    let list = |collection: &str| ListDocumentsRequest {
        parent: alice.root(),
        collection_id: collection.to_owned(),
        ..Default::default()
    };
    assert!(alice.api().list_documents(list("counters")).await.is_ok());
    denied(alice.api().list_documents(list("notes")).await);
    let ids = ListCollectionIdsRequest { parent: alice.root(), ..Default::default() };
    denied(alice.api().list_collection_ids(ids).await);
}

#[tokio::test]
async fn a_user_writes_what_the_rules_allow() {
    let ruled = Ruled::start().await;
    let (alice, bob) = (ruled.user(ALICE).await, ruled.user(BOB).await);
    let admin = ruled.user(r#"{"sub":"root","role":"admin"}"#).await;
    let name = || alice.name("notes/a");
    denied(bob.commit([new_note(name(), "alice")]).await);
    denied(alice.commit([put(name(), note("alice"))]).await);
    alice.commit([new_note(name(), "alice")]).await.unwrap();
    let changed = |value: &str| fields([("text", text(value)), ("owner", text("bob"))]);
    alice.commit([patch(name(), changed("new"), ["text"])]).await.unwrap();
    denied(alice.commit([patch(name(), changed("new"), ["text", "owner"])]).await);
    denied(bob.commit([patch(name(), changed("new"), ["text"])]).await);
    denied(alice.commit([remove(name())]).await);
    // One denied write refuses the whole commit.
    denied(alice.commit([new_note(alice.name("notes/b"), "alice"), remove(name())]).await);
    assert_eq!(ruled.local.fields("notes/b").await, None);
    admin.commit([remove(name())]).await.unwrap();
    assert_eq!(ruled.local.fields("notes/a").await, None);
}

#[tokio::test]
async fn a_precondition_does_not_show_a_document_to_a_user_who_may_not_write_it() {
    let ruled = Ruled::start().await;
    let alice = ruled.user(ALICE).await;
    let create = |path: &str| new_note(alice.name(path), "alice").when(exists(false));
    alice.commit([create("notes/a")]).await.unwrap();
    ruled.local.commit([put(ruled.local.name("notes/b"), note("bob"))]).await.unwrap();
    denied(alice.commit([create("notes/b")]).await);
    let update = patch(alice.name("notes/a"), note("alice"), ["text"]);
    assert_eq!(alice.refused(update.when(exists(false))).await, Code::AlreadyExists);
    denied(alice.commit([remove(alice.name("secret/x")).when(exists(true))]).await);
}

#[tokio::test]
async fn rules_see_the_documents_that_a_commit_leaves() {
    let ruled = Ruled::start().await;
    ruled.local.set("counters/c", [("n", int(1))]).await;
    let alice = ruled.user(ALICE).await;
    let counter = |n: i64| put(alice.name("counters/c"), fields([("n", int(n))]));
    let vote = |id: &str| put(alice.name(&format!("votes/{id}")), Fields::new());
    denied(alice.commit([vote("a")]).await);
    denied(alice.commit([vote("a"), counter(3)]).await);
    alice.commit([vote("a"), counter(2)]).await.unwrap();
    let transaction = alice.begin().await;
    let seen = alice.fields_in(&transaction, "counters/c").await.unwrap();
    assert_eq!(seen, Some(fields([("n", int(2))])));
    alice.commit_in(transaction, [counter(3), vote("b")]).await.unwrap();
    denied(alice.commit([vote("c")]).await);
}

#[tokio::test]
async fn the_writes_of_a_batch_are_decided_one_by_one() {
    let ruled = Ruled::start().await;
    let alice = ruled.user(ALICE).await;
    let writes = ["alice", "bob", "alice"].into_iter().enumerate();
    let writes = writes.map(|(id, owner)| new_note(alice.name(&format!("notes/{id}")), owner));
    let answer = alice.batch_write(writes).await.unwrap();
    let codes: Vec<i32> = answer.status.iter().map(|status| status.code).collect();
    assert_eq!(codes, [0, i32::from(Code::PermissionDenied), 0]);
    assert!(ruled.local.fields("notes/1").await.is_none());
    assert!(ruled.local.fields("notes/2").await.is_some());
}

#[tokio::test]
async fn a_document_that_changes_after_the_check_is_checked_again() {
    let ruled = Ruled::start().await;
    ruled.local.set("counters/c", [("n", int(0))]).await;
    let alice = ruled.user(ALICE).await;
    let increments = (0..8).map(|_| {
        let alice = alice.clone();
        tokio::spawn(async move {
            let mut done = 0;
            for _ in 0..10 {
                let now = alice.fields("counters/c").await.unwrap();
                let Some(ValueType::IntegerValue(n)) = now["n"].value_type else { panic!() };
                let write = put(alice.name("counters/c"), fields([("n", int(n + 1))]));
                match alice.commit([write]).await {
                    Ok(_) => done += 1,
                    Err(status) => assert_eq!(status.code(), Code::PermissionDenied, "{status}"),
                }
            }
            done
        })
    });
    let mut done = 0;
    for task in increments.collect::<Vec<_>>() {
        done += task.await.unwrap();
    }
    assert_eq!(ruled.local.fields("counters/c").await, Some(fields([("n", int(done))])));
}

#[tokio::test]
async fn tokens_that_cannot_be_trusted_are_refused() {
    let ruled = Ruled::start().await;
    for token in [
        token(r#"{"alg":"RS256"}"#, ALICE, "c2ln"),
        token(r#"{"alg":"none"}"#, r#"{"sub":"alice","exp":1}"#, ""),
        "ya29.opaque".to_owned(),
        "a.b.c".to_owned(),
    ] {
        let client = ruled.with_token(&token).await;
        let status = client.get("counters/c").await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{token}: {status}");
    }
}

#[tokio::test]
async fn a_changed_file_applies_to_the_next_request() {
    let ruled = Ruled::start().await;
    ruled.local.set("secret/x", [("n", int(1))]).await;
    let alice = ruled.user(ALICE).await;
    denied(alice.get("secret/x").await);
    let open = RULES.replace("match /counters/{counter}", "match /{any=**}");
    std::fs::write(&ruled.file, open).unwrap();
    assert!(alice.get("secret/x").await.is_ok());
    std::fs::write(&ruled.file, "broken").unwrap();
    assert!(alice.get("secret/x").await.is_ok());
    std::fs::write(&ruled.file, RULES).unwrap();
    denied(alice.get("secret/x").await);
}

#[tokio::test]
async fn a_user_listens_to_what_the_rules_allow() {
    let ruled = Ruled::start().await;
    ruled.local.commit([put(ruled.local.name("notes/a"), note("alice"))]).await.unwrap();
    let alice = ruled.user(ALICE).await;
    let target = |id: i32, query: StructuredQuery| {
        let query = QueryTarget {
            parent: alice.root(),
            query_type: Some(QueryType::StructuredQuery(query)),
        };
        ListenRequest {
            database: alice.database(),
            target_change: Some(Request::AddTarget(Target {
                target_id: id,
                target_type: Some(TargetType::Query(query)),
                ..Default::default()
            })),
            ..Default::default()
        }
    };
    let requests = [target(1, from("notes")), target(2, mine("alice"))];
    let requests = tokio_stream::iter(requests).chain(tokio_stream::pending());
    let mut answers = alice.api().listen(requests).await.unwrap().into_inner();
    let (mut refused, mut found) = (None, None);
    while refused.is_none() || found.is_none() {
        match answers.message().await.unwrap().unwrap().response_type {
            Some(ResponseType::TargetChange(change))
                if change.target_change_type == i32::from(TargetChangeType::Remove) =>
            {
                assert_eq!(change.target_ids, [1]);
                refused = change.cause;
            }
            Some(ResponseType::DocumentChange(change)) => {
                assert_eq!(change.target_ids, [2]);
                found = change.document;
            }
            _ => {}
        }
    }
    assert_eq!(refused.unwrap().code, i32::from(Code::PermissionDenied));
    assert!(found.unwrap().name.ends_with("notes/a"));
}

#[tokio::test]
async fn a_server_does_not_start_with_broken_rules() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("firestore.rules");
    std::fs::write(&file, "service cloud.firestore {\n  allow read;\n}").unwrap();
    let error = Server::builder().rules(Some(file)).start().await.unwrap_err().to_string();
    assert!(error.contains("line 2, column 3: expected `match`"), "{error}");
}

/// Runs `firestore-local rules test` on cases; returns whether it succeeded, and its output.
fn test_rules(cases: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let (rules, file) = (folder.path().join("r.rules"), folder.path().join("cases.jsonl"));
    std::fs::write(&rules, RULES).unwrap();
    std::fs::write(&file, cases).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_firestore-local"));
    let output = command.args(["rules", "test"]).arg(file).arg("--rules").arg(rules).output();
    let output = output.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn the_command_reports_failed_cases_the_deciding_lines_and_the_coverage() {
    let passing = r#"{"name":"own","who":{"uid":"alice"},"method":"get","path":"notes/a","before":{"owner":"alice"},"expected":"allow","line":5}"#;
    let (success, output) = test_rules(passing);
    assert!(success, "{output}");
    assert!(output.contains("ok     own: allowed: line 5: true"), "{output}");
    assert!(output.contains("1 passed, 0 failed"), "{output}");
    assert!(output.contains("request.auth.uid == resource.data.owner;"), "{output}");

    let failing = passing.replace("\"allow\"", "\"deny\"");
    let (success, output) = test_rules(&format!("{passing}\n{failing}"));
    assert!(!success, "{output}");
    assert!(output.contains("FAILED own: expected deny, got allowed: line 5: true"), "{output}");
    assert!(output.contains("1 of 2 cases failed"), "{output}");

    let (success, output) = test_rules("{\"method\":\"get\"}");
    assert!(!success);
    assert!(output.contains("line 1: missing field `path`"), "{output}");
}

#[tokio::test]
async fn a_document_that_rules_read_several_times_is_billed_once_a_request() {
    let ruled = Ruled::start().await;
    let alice = ruled.user(ALICE).await;
    ruled.local.set("counters/c", [("n", int(1))]).await;
    ruled.local.server.reset_meter();
    let vote = |id: &str| put(alice.name(&format!("votes/{id}")), fields([]));
    let counter = put(alice.name("counters/c"), fields([("n", int(2))]));
    alice.commit([vote("a"), vote("b"), counter]).await.unwrap();
    let report = ruled.local.server.report();
    let usage = report.since_start.charged.usage;
    assert_eq!((usage.rule_reads, usage.billed.reads, usage.billed.writes), (1, 1, 3));
    assert_eq!(report.callers[0].name, "user alice");
    denied(alice.commit([vote("c")]).await);
    let usage = ruled.local.server.report().since_start.charged.usage;
    assert_eq!((usage.rule_reads, usage.billed.writes), (2, 3), "a denied request pays, too");
}
