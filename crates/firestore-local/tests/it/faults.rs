//! Each kind of injected fault, as a client sees it.

use std::time::{Duration, Instant};

use firestore_local::{Clock, Fault, FaultCode, Plan, Rule, Server};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::support::Local;
use crate::support::http::{exchange, http};
use crate::support::queries::from;
use crate::support::v1::listen_request::TargetChange;
use crate::support::v1::run_query_request::QueryType;
use crate::support::v1::target::{DocumentsTarget, TargetType};
use crate::support::v1::{
    BatchGetDocumentsRequest, Document, ListenRequest, RunQueryRequest, Target, WriteRequest,
};
use crate::support::values::*;
use crate::support::writes::put;

async fn with(rule: Rule) -> Local {
    let local = Local::of(Server::builder()).await;
    for n in 0..5 {
        local.set(&format!("c/{n}"), [("n", int(n))]).await;
    }
    local.server.set_faults(Plan::new(1, vec![rule]));
    local
}

/// The codes that a client may report when it loses its connection.
const BROKEN: [Code; 4] = [Code::Unavailable, Code::Unknown, Code::Cancelled, Code::Internal];

async fn write(local: &Local) -> Result<(), tonic::Status> {
    local.commit([put(local.name("c/new"), fields([("n", int(9))]))]).await.map(|_| ())
}

#[tokio::test]
async fn a_refused_commit_is_not_applied() {
    for (code, expected) in [
        (FaultCode::Aborted, Code::Aborted),
        (FaultCode::Unavailable, Code::Unavailable),
        (FaultCode::DeadlineExceeded, Code::DeadlineExceeded),
        (FaultCode::ResourceExhausted, Code::ResourceExhausted),
    ] {
        let local = with(Rule::on("Commit", Fault::Refuse { code })).await;
        assert_eq!(write(&local).await.unwrap_err().code(), expected);
        assert_eq!(local.fields("c/new").await, None);
        assert_eq!(local.server.injected()["refuse"], 1);
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_the_commit_applied() {
    let local = with(Rule::on("Commit", Fault::LoseAnswer)).await;
    assert_eq!(write(&local).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(local.fields("c/new").await, Some(fields([("n", int(9))])));
}

#[tokio::test]
async fn a_dropped_connection_fails_the_call_before_or_after_the_commit() {
    for (fault, expected) in
        [(Fault::Drop, None), (Fault::DropAnswer, Some(fields([("n", int(9))])))]
    {
        let local = with(Rule::on("Commit", fault).once_after(0)).await;
        let code = write(&local).await.unwrap_err().code();
        assert!(BROKEN.contains(&code), "{fault:?}: {code:?}");
        assert_eq!(local.fields("c/new").await, expected, "{fault:?}");
        write(&local).await.unwrap();
    }
}

async fn all(local: &Local) -> (Vec<Document>, Option<Code>) {
    let request = RunQueryRequest {
        parent: local.root(),
        query_type: Some(QueryType::StructuredQuery(from("c"))),
        ..Default::default()
    };
    let mut answers = local.api().run_query(request).await.unwrap().into_inner();
    let mut documents = Vec::new();
    loop {
        match answers.message().await {
            Ok(Some(answer)) => documents.extend(answer.document),
            Ok(None) => return (documents, None),
            Err(status) => return (documents, Some(status.code())),
        }
    }
}

#[tokio::test]
async fn a_stream_of_query_results_is_cut() {
    let local = with(Rule::on("RunQuery", Fault::Cut { after: 3 }).once_after(0)).await;
    let (documents, end) = all(&local).await;
    assert_eq!((documents.len(), end), (3, Some(Code::Unavailable)));
    let (documents, end) = all(&local).await;
    assert_eq!((documents.len(), end), (5, None));
}

#[tokio::test]
async fn the_answer_of_a_batch_of_gets_is_cut() {
    let local = with(Rule::on("BatchGetDocuments", Fault::Cut { after: 1 }).once_after(0)).await;
    let request = BatchGetDocumentsRequest {
        database: local.database(),
        documents: (0..3).map(|n| local.name(&format!("c/{n}"))).collect(),
        ..Default::default()
    };
    let mut answers = local.api().batch_get_documents(request).await.unwrap().into_inner();
    answers.message().await.unwrap().expect("a first document");
    assert_eq!(answers.message().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(local.get_many(["c/0", "c/1", "c/2"], None).await.unwrap().len(), 3);
    assert_eq!(local.server.injected()["cut"], 1);
}

/// Listens to the document c/1; returns how many messages arrived, and the final code.
async fn listen(local: &Local) -> (usize, Code) {
    let target = Target {
        target_id: 1,
        target_type: Some(TargetType::Documents(DocumentsTarget {
            documents: vec![local.name("c/1")],
        })),
        ..Default::default()
    };
    let request = ListenRequest {
        database: local.database(),
        target_change: Some(TargetChange::AddTarget(target)),
        ..Default::default()
    };
    let (requests, outgoing) = tokio::sync::mpsc::channel(1);
    requests.send(request).await.unwrap();
    let mut answers = match local.api().listen(ReceiverStream::new(outgoing)).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return (0, status.code()),
    };
    for count in 0.. {
        if let Err(status) = answers.message().await {
            return (count, status.code());
        }
    }
    unreachable!("numbers do not run out")
}

#[tokio::test]
async fn a_listener_is_cut_or_loses_an_answer_or_its_connection() {
    let local = with(Rule::on("Listen", Fault::Cut { after: 2 })).await;
    assert_eq!(listen(&local).await, (2, Code::Unavailable));
    for fault in [Fault::LoseAnswer, Fault::Refuse { code: FaultCode::Unavailable }] {
        local.server.set_faults(Plan::new(0, vec![Rule::on("Listen", fault)]));
        assert_eq!(listen(&local).await, (0, Code::Unavailable), "{fault:?}");
    }
    for fault in [Fault::Drop, Fault::DropAnswer] {
        local.server.set_faults(Plan::new(0, vec![Rule::on("Listen", fault)]));
        let (messages, code) = listen(&local).await;
        assert!(messages == 0 && BROKEN.contains(&code), "{fault:?}: {code:?}");
    }
}

#[tokio::test]
async fn a_lost_answer_of_a_write_stream_leaves_the_write_applied() {
    for fault in [Fault::LoseAnswer, Fault::DropAnswer] {
        let local = with(Rule::on("Write", fault)).await;
        let (requests, outgoing) = tokio::sync::mpsc::channel(2);
        let first = WriteRequest { database: local.database(), ..Default::default() };
        requests.send(first).await.unwrap();
        let answers = local.api().write(ReceiverStream::new(outgoing)).await.unwrap();
        let mut answers = answers.into_inner();
        let opened = answers.message().await.unwrap().expect("the stream opens");
        let second = WriteRequest {
            stream_token: opened.stream_token,
            writes: vec![put(local.name("c/new"), fields([("n", int(9))]))],
            ..Default::default()
        };
        requests.send(second).await.unwrap();
        let code = answers.message().await.unwrap_err().code();
        assert!(BROKEN.contains(&code), "{fault:?}: {code:?}");
        assert_eq!(local.fields("c/new").await, Some(fields([("n", int(9))])), "{fault:?}");
    }
}

#[tokio::test]
async fn a_rule_for_any_rpc_applies_to_reads_and_writes() {
    let local = with(Rule::always(Fault::Refuse { code: FaultCode::Internal })).await;
    assert_eq!(write(&local).await.unwrap_err().code(), Code::Internal);
    assert_eq!(local.get("c/1").await.unwrap_err().code(), Code::Internal);
    assert_eq!(local.query(from("c")).await.unwrap_err().code(), Code::Internal);
    assert_eq!(local.begin_with(None).await.unwrap_err().code(), Code::Internal);
    assert_eq!(local.server.injected()["refuse"], 4);
}

#[tokio::test]
async fn plans_are_set_shown_and_cleared_over_http() {
    let local = with(Rule::on("Commit", Fault::Drop).once_after(1_000)).await;
    let shown = async || {
        let text = http(&local, "GET", "/faults", "").await;
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let plan = Plan::new(3, vec![Rule::on("Commit", Fault::LoseAnswer)]);
    http(&local, "PUT", "/faults", &serde_json::to_string(&plan).unwrap()).await;
    assert_eq!(write(&local).await.unwrap_err().code(), Code::Unavailable);
    let now = shown().await;
    assert_eq!(serde_json::from_value::<Plan>(now["plan"].clone()).unwrap(), plan);
    assert_eq!(now["injected"], serde_json::json!({ "loseAnswer": 1 }));
    let (status, error) = exchange(&local, "PUT", "/faults", r#"{"rules":[{}]}"#).await;
    assert!(status == 422 && error.contains("fault"), "{status}: {error}");
    assert_eq!(shown().await, now, "an invalid plan changes nothing");
    http(&local, "POST", "/faults/seed/9", "").await;
    let seeded = shown().await["plan"].clone();
    assert_eq!(serde_json::from_value::<Plan>(seeded).unwrap(), Plan::from_seed(9));
    http(&local, "DELETE", "/faults", "").await;
    assert_eq!(shown().await, serde_json::json!({ "plan": Plan::none(), "injected": {} }));
    write(&local).await.unwrap();
}

#[tokio::test]
async fn a_delayed_commit_is_applied() {
    let local = with(Rule::on("Commit", Fault::Delay { millis: 120 })).await;
    let began = Instant::now();
    write(&local).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn a_held_commit_is_applied_after_later_commits() {
    let local = with(Rule::on("Commit", Fault::Hold).once_after(0)).await;
    let (held, ()) = tokio::join!(write(&local), async {
        local.server.until_held().await;
        assert_eq!(local.fields("c/new").await, None);
        local.set("c/new", [("n", int(1))]).await;
        local.server.release();
    });
    held.unwrap();
    assert_eq!(local.fields("c/new").await, Some(fields([("n", int(9))])));
}

#[tokio::test]
async fn a_held_answer_of_a_query_shows_the_state_before_later_commits() {
    let local = with(Rule::on("RunQuery", Fault::HoldAnswer).once_after(0)).await;
    let ((documents, end), ()) = tokio::join!(all(&local), async {
        local.server.until_held().await;
        local.set("c/new", [("n", int(1))]).await;
        local.server.release();
    });
    assert_eq!((documents.len(), end), (5, None));
}

#[tokio::test]
async fn a_rule_for_a_collection_does_not_apply_to_others() {
    let rule = Rule::on("Commit", Fault::Refuse { code: FaultCode::Aborted }).of("other");
    let local = with(rule).await;
    write(&local).await.unwrap();
    let refused = local.commit([put(local.name("other/1"), fields([]))]).await;
    assert_eq!(refused.unwrap_err().code(), Code::Aborted);
}

#[tokio::test]
async fn commit_times_come_from_the_configured_clock_and_rise() {
    let clock = Clock::from_micros(|| 4_000_000_000_000_000);
    let local = Local::of(Server::builder().clock(clock)).await;
    let first = local.set("c/a", [("n", int(1))]).await;
    let second = local.set("c/b", [("n", int(1))]).await;
    assert_eq!(first.seconds, 4_000_000_000);
    assert!(second.nanos > first.nanos);
}
