//! Preconditions, and the codes of failed ones, which decide whether clients retry.

use prost_types::Timestamp;
use tonic::Code;

use crate::support::Local;
use crate::support::values::*;
use crate::support::writes::{When, exists, increment, patch, put, remove, transform, updated_at};

fn later(time: Timestamp) -> Timestamp {
    Timestamp { seconds: time.seconds + 1, ..time }
}

#[tokio::test]
async fn a_missing_document_that_must_exist_is_not_found() {
    let local = Local::start().await;
    let name = || local.name("c/d");
    for write in [
        put(name(), fields([("x", int(1))])),
        patch(name(), fields([("x", int(1))]), ["x"]),
        transform(name(), [increment("x", int(1))]),
        remove(name()),
    ] {
        assert_eq!(local.refused(write.when(exists(true))).await, Code::NotFound);
    }
    assert_eq!(local.fields("c/d").await, None);
}

#[tokio::test]
async fn an_existing_document_that_must_not_exist_already_exists() {
    let local = Local::start().await;
    let name = || local.name("c/d");
    local.set("c/d", [("x", int(1))]).await;
    for write in [
        put(name(), fields([("x", int(2))])),
        patch(name(), fields([("x", int(2))]), ["x"]),
        transform(name(), [increment("x", int(1))]),
    ] {
        assert_eq!(local.refused(write.when(exists(false))).await, Code::AlreadyExists);
    }
    assert_eq!(local.fields("c/d").await, Some(fields([("x", int(1))])));
}

#[tokio::test]
async fn an_update_time_other_than_the_stored_one_fails_the_precondition() {
    let local = Local::start().await;
    let name = || local.name("c/d");
    let first = local.set("c/d", [("x", int(1))]).await;
    let second = local.set("c/d", [("x", int(2))]).await;
    for time in [first, later(second)] {
        for write in [
            put(name(), fields([("x", int(3))])),
            patch(name(), fields([("x", int(3))]), ["x"]),
            transform(name(), [increment("x", int(1))]),
        ] {
            let code = local.refused(write.when(updated_at(time))).await;
            assert_eq!(code, Code::FailedPrecondition);
        }
    }
    assert_eq!(
        local.refused(remove(name()).when(updated_at(first))).await,
        Code::FailedPrecondition
    );
    let future = remove(name()).when(updated_at(later(second)));
    assert_eq!(local.refused(future).await, Code::InvalidArgument);
    assert_eq!(local.fields("c/d").await, Some(fields([("x", int(2))])));
}

#[tokio::test]
async fn a_write_with_a_satisfied_precondition_is_applied() {
    let local = Local::start().await;
    let name = || local.name("c/d");
    let write = put(name(), fields([("x", int(1))])).when(exists(false));
    let made = local.commit([write]).await.unwrap().write_results[0].update_time.unwrap();
    let write = patch(name(), fields([("x", int(2))]), ["x"]).when(updated_at(made));
    let changed = local.commit([write]).await.unwrap().write_results[0].update_time.unwrap();
    local.commit([transform(name(), [increment("x", int(1))]).when(exists(true))]).await.unwrap();
    assert_eq!(local.fields("c/d").await, Some(fields([("x", int(3))])));
    let stale = remove(name()).when(updated_at(changed));
    assert_eq!(local.refused(stale).await, Code::FailedPrecondition);
    let current = local.get("c/d").await.unwrap().update_time.unwrap();
    local.commit([remove(name()).when(updated_at(current))]).await.unwrap();
    assert_eq!(local.fields("c/d").await, None);
}

#[tokio::test]
async fn a_write_that_changes_nothing_keeps_the_update_time() {
    let local = Local::start().await;
    let first = local.set("c/d", [("x", int(1)), ("y", double(0.0))]).await;
    assert_eq!(local.set("c/d", [("x", int(1)), ("y", double(0.0))]).await, first);
    assert_ne!(local.set("c/d", [("x", double(1.0)), ("y", double(0.0))]).await, first);
}

#[tokio::test]
async fn later_writes_of_a_commit_see_the_earlier_ones() {
    let local = Local::start().await;
    let name = || local.name("c/d");
    let writes = [
        put(name(), fields([("x", int(1))])).when(exists(false)),
        patch(name(), fields([("y", int(2))]), ["y"]).when(exists(true)),
        remove(name()).when(exists(true)),
        put(name(), fields([("z", int(3))])).when(exists(false)),
    ];
    local.commit(writes).await.unwrap();
    assert_eq!(local.fields("c/d").await, Some(fields([("z", int(3))])));
}

#[tokio::test]
async fn exactly_one_of_several_concurrent_creates_succeeds() {
    let local = Local::start().await;
    let creations = (0..16).map(|racer| {
        let write = put(local.name("c/d"), fields([("racer", int(racer))])).when(exists(false));
        let client = local.clone();
        tokio::spawn(async move { (racer, client.commit([write]).await) })
    });
    let mut winners = Vec::new();
    for outcome in futures::future::join_all(creations).await {
        match outcome.unwrap() {
            (racer, Ok(_)) => winners.push(racer),
            (_, Err(status)) => assert_eq!(status.code(), Code::AlreadyExists),
        }
    }
    let [winner] = winners[..] else { panic!("{winners:?}") };
    assert_eq!(local.fields("c/d").await, Some(fields([("racer", int(winner))])));
}
