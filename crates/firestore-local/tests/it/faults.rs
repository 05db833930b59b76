//! Each kind of fault, as a client meets it.

use std::time::{Duration, Instant};

use firestore_local::{Clock, Fault, FaultCode, Plan, Rule, Server};
use tonic::Code;

use crate::support::Local;
use crate::support::queries::from;
use crate::support::v1::run_query_request::QueryType;
use crate::support::v1::{Document, RunQueryRequest};
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

async fn write(local: &Local) -> Result<(), tonic::Status> {
    local.commit([put(local.name("c/new"), fields([("n", int(9))]))]).await.map(|_| ())
}

#[tokio::test]
async fn a_refused_commit_has_done_nothing() {
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
async fn a_dropped_connection_ends_the_call_before_or_after_the_commit() {
    for (fault, expected) in
        [(Fault::Drop, None), (Fault::DropAnswer, Some(fields([("n", int(9))])))]
    {
        let local = with(Rule::on("Commit", fault).once_after(0)).await;
        let code = write(&local).await.unwrap_err().code();
        let known = [Code::Unavailable, Code::Unknown, Code::Cancelled, Code::Internal];
        assert!(known.contains(&code), "{fault:?}: {code:?}");
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
async fn a_stream_is_cut_midway() {
    let local = with(Rule::on("RunQuery", Fault::Cut { after: 3 }).once_after(0)).await;
    let (documents, end) = all(&local).await;
    assert_eq!((documents.len(), end), (3, Some(Code::Unavailable)));
    let (documents, end) = all(&local).await;
    assert_eq!((documents.len(), end), (5, None));
}

#[tokio::test]
async fn a_delayed_answer_comes() {
    let local = with(Rule::on("Commit", Fault::Delay { millis: 120 })).await;
    let began = Instant::now();
    write(&local).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn a_held_commit_is_applied_after_what_came_meanwhile() {
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
async fn a_fault_befalls_only_its_collection() {
    let rule = Rule::on("Commit", Fault::Refuse { code: FaultCode::Aborted }).of("other");
    let local = with(rule).await;
    write(&local).await.unwrap();
    let refused = local.commit([put(local.name("other/1"), fields([]))]).await;
    assert_eq!(refused.unwrap_err().code(), Code::Aborted);
}

#[tokio::test]
async fn commit_times_follow_the_servers_clock_and_still_rise() {
    let clock = Clock::from_micros(|| 4_000_000_000_000_000);
    let local = Local::of(Server::builder().clock(clock)).await;
    let first = local.set("c/a", [("n", int(1))]).await;
    let second = local.set("c/b", [("n", int(1))]).await;
    assert_eq!(first.seconds, 4_000_000_000);
    assert!(second.nanos > first.nanos);
}
