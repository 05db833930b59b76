//! Commit, which applies all writes or none, and BatchWrite, which applies each independently.

use tonic::Code;

use crate::support::Local;
use crate::support::v1::Write;
use crate::support::values::*;
use crate::support::writes::{When, exists, patch, put, remove};

#[tokio::test]
async fn a_commit_is_all_or_nothing() {
    let local = Local::start().await;
    local.set("c/there", [("x", int(1))]).await;
    let writes = [
        put(local.name("c/new"), fields([("x", int(2))])),
        remove(local.name("c/there")),
        patch(local.name("c/absent"), fields([]), []).when(exists(true)),
    ];
    let status = local.commit(writes).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(local.fields("c/new").await, None);
    assert_eq!(local.fields("c/there").await, Some(fields([("x", int(1))])));
}

#[tokio::test]
async fn a_commit_answers_each_write_in_order_with_the_commit_time() {
    let local = Local::start().await;
    local.set("c/old", [("x", int(1))]).await;
    let writes = [
        put(local.name("c/new"), fields([("x", int(1))])),
        remove(local.name("c/old")),
        put(local.name("c/other"), fields([("x", int(1))])),
    ];
    let answer = local.commit(writes).await.unwrap();
    let times: Vec<_> = answer.write_results.iter().map(|result| result.update_time).collect();
    assert_eq!(times, [answer.commit_time, None, answer.commit_time]);
    assert_eq!(local.get("c/new").await.unwrap().update_time, answer.commit_time);
}

#[tokio::test]
async fn commit_times_rise_with_every_commit() {
    let local = Local::start().await;
    let mut last = (0, 0);
    for number in 0..200 {
        let time = local.set("c/d", [("x", int(number))]).await;
        assert!((time.seconds, time.nanos) > last);
        assert_eq!(time.nanos % 1_000, 0, "microseconds");
        last = (time.seconds, time.nanos);
    }
}

#[tokio::test]
async fn an_empty_commit_has_a_commit_time() {
    let local = Local::start().await;
    let answer = local.commit([]).await.unwrap();
    assert!(answer.commit_time.is_some());
    assert!(answer.write_results.is_empty());
}

#[tokio::test]
async fn a_commit_accepts_many_writes() {
    let local = Local::start().await;
    let writes = (0..2_000).map(|n| put(local.name(&format!("c/{n:05}")), fields([("n", int(n))])));
    let answer = local.commit(writes).await.unwrap();
    assert_eq!(answer.write_results.len(), 2_000);
    assert_eq!(local.fields("c/01999").await, Some(fields([("n", int(1_999))])));
}

#[tokio::test]
async fn invalid_writes_are_refused() {
    let local = Local::start().await;
    let other = local.project("demo-other").await;
    for (why, write) in [
        ("no operation", Write::default()),
        ("no name", put("", fields([]))),
        ("a collection's name", put(local.name("c"), fields([]))),
        ("another project", put(other.name("c/d"), fields([]))),
        ("a delete in another project", remove(other.name("c/d"))),
    ] {
        assert_eq!(local.refused(write).await, Code::InvalidArgument, "{why}");
    }
}

#[tokio::test]
async fn a_batch_applies_each_write_independently() {
    let local = Local::start().await;
    local.set("c/there", [("x", int(1))]).await;
    let writes = [
        put(local.name("c/new"), fields([("x", int(2))])),
        put(local.name("c/there"), fields([("x", int(9))])).when(exists(false)),
        patch(local.name("c/absent"), fields([("x", int(9))]), ["x"]).when(exists(true)),
        put(local.name("c/bad"), fields([("__x__", int(9))])),
        remove(local.name("c/gone")),
        put(local.name("c/last"), fields([("x", int(3))])),
    ];
    let answer = local.batch_write(writes).await.unwrap();
    let codes: Vec<_> = answer.status.iter().map(|status| Code::from(status.code)).collect();
    let expected =
        [Code::Ok, Code::AlreadyExists, Code::NotFound, Code::InvalidArgument, Code::Ok, Code::Ok];
    assert_eq!(codes, expected);
    assert_eq!(answer.write_results.len(), 6);
    let updated: Vec<_> =
        answer.write_results.iter().map(|result| result.update_time.is_some()).collect();
    assert_eq!(updated, [true, false, false, false, false, true]);
    assert_eq!(local.fields("c/there").await, Some(fields([("x", int(1))])));
    assert_eq!(local.fields("c/last").await, Some(fields([("x", int(3))])));
    assert_eq!(local.fields("c/bad").await, None);
}

#[tokio::test]
async fn a_batch_that_writes_a_document_twice_is_refused() {
    let local = Local::start().await;
    let writes = [put(local.name("c/d"), fields([("x", int(1))])), remove(local.name("c/d"))];
    let status = local.batch_write(writes).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(local.fields("c/d").await, None);
}

#[tokio::test]
async fn a_batch_accepts_five_hundred_writes() {
    let local = Local::start().await;
    let writes = (0..500).map(|n| put(local.name(&format!("c/{n}")), fields([("n", int(n))])));
    let answer = local.batch_write(writes).await.unwrap();
    assert_eq!(answer.status.len(), 500);
    assert!(answer.status.iter().all(|status| status.code == 0));
}
