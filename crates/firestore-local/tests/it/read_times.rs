//! Reads at an earlier time.

use prost_types::Timestamp;
use tonic::{Code, Status};

use crate::query_pair::Pair;
use crate::support::queries::*;
use crate::support::v1::batch_get_documents_request::ConsistencySelector as BatchSelector;
use crate::support::v1::run_query_request::ConsistencySelector;
use crate::support::v1::{
    Document, GetDocumentRequest, ListDocumentsRequest, get_document_request,
    list_documents_request,
};
use crate::support::values::*;
use crate::support::writes::{patch, put, remove};
use crate::support::{Client, Local};

async fn get_at(client: &Client, path: &str, time: Timestamp) -> Result<Document, Status> {
    let request = GetDocumentRequest {
        name: client.name(path),
        consistency_selector: Some(get_document_request::ConsistencySelector::ReadTime(time)),
        ..Default::default()
    };
    Ok(client.api().get_document(request).await?.into_inner())
}

#[tokio::test]
async fn a_get_at_a_time_returns_the_version_of_that_time() {
    let local = Local::start().await;
    let empty = local.commit([]).await.unwrap().commit_time.unwrap();
    let first = local.set("c/d", [("n", int(1))]).await;
    let second = local.set("c/d", [("n", int(2))]).await;
    let deleted = local.commit([remove(local.name("c/d"))]).await.unwrap().commit_time.unwrap();
    let third = local.set("c/d", [("n", int(3))]).await;
    let n =
        async |time| get_at(&local, "c/d", time).await.map(|document| document.fields["n"].clone());
    assert_eq!(n(empty).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(n(first).await.unwrap(), int(1));
    assert_eq!(n(second).await.unwrap(), int(2));
    assert_eq!(n(deleted).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(n(third).await.unwrap(), int(3));

    let then = get_at(&local, "c/d", first).await.unwrap();
    assert_eq!((then.create_time, then.update_time), (Some(first), Some(first)));
}

#[tokio::test]
async fn a_batch_of_gets_at_a_time_returns_the_versions_of_that_time() {
    let local = Local::start().await;
    local.set("c/a", [("n", int(1))]).await;
    let then = local.set("c/b", [("n", int(1))]).await;
    local.set("c/a", [("n", int(2))]).await;
    local.set("c/c", [("n", int(2))]).await;
    let selector = BatchSelector::ReadTime(then);
    let found = local.get_many(["c/a", "c/b", "c/c"], Some(selector)).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found["c/a"].fields, fields([("n", int(1))]));
}

#[tokio::test]
async fn a_query_at_a_time_runs_on_the_state_of_that_time() {
    let pair = Pair::with([
        ("c/a", fields([("n", int(1))])),
        ("c/b", fields([("n", int(2))])),
        ("c/c", fields([("n", int(3))])),
        ("x/y/c/d", fields([("n", int(4))])),
    ])
    .await;
    for local in [&pair.scanning, &pair.indexing] {
        let then = local.commit([]).await.unwrap().commit_time.unwrap();
        let changes = [
            remove(local.name("c/a")),
            patch(local.name("c/b"), fields([("n", int(9))]), ["n"]),
            put(local.name("c/new"), fields([("n", int(0))])),
            remove(local.name("x/y/c/d")),
        ];
        local.commit(changes).await.unwrap();
        for (query, before, after) in [
            (from("c"), "c/a c/b c/c", "c/b c/c c/new"),
            (from("c").ordered("n"), "c/a c/b c/c", "c/new c/c c/b"),
            (from("c").descending("n").limited(1), "c/c", "c/b"),
            (from("c").filtered(equal("n", int(2))), "c/b", ""),
            (group("c").skipping(1), "c/b c/c x/y/c/d", "c/c c/new"),
        ] {
            let selector = Some(ConsistencySelector::ReadTime(then));
            let found = local.paths_with(query.clone(), selector).await.unwrap();
            assert_eq!(found.join(" "), before, "{query:?}");
            assert_eq!(local.paths(query.clone()).await.unwrap().join(" "), after, "{query:?}");
        }
        let selector = Some(ConsistencySelector::ReadTime(then));
        let answers = local.answers("", from("c"), selector).await.unwrap();
        assert!(answers.iter().all(|answer| answer.read_time == Some(then)));
    }
}

#[tokio::test]
async fn a_listing_at_a_time_shows_the_state_of_that_time() {
    let local = Local::start().await;
    let then = local.set("c/a", [("n", int(1))]).await;
    local.set("c/b", [("n", int(1))]).await;
    let request = ListDocumentsRequest {
        parent: local.root(),
        collection_id: "c".into(),
        consistency_selector: Some(list_documents_request::ConsistencySelector::ReadTime(then)),
        ..Default::default()
    };
    let listed = local.api().list_documents(request).await.unwrap().into_inner().documents;
    let names: Vec<_> = listed.into_iter().map(|document| document.name).collect();
    assert_eq!(names, [local.name("c/a")]);
}

#[tokio::test]
async fn read_times_in_the_future_or_the_distant_past_are_refused() {
    let local = Local::start().await;
    let now = local.set("c/d", [("n", int(1))]).await;
    let future = Timestamp { seconds: now.seconds + 3_600, ..now };
    let status = get_at(&local, "c/d", future).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let past = Timestamp { seconds: now.seconds - 366 * 24 * 3_600, ..now };
    let status = get_at(&local, "c/d", past).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_query_sees_each_commit_completely_or_not_at_all() {
    let local = Local::start().await;
    let both = |n| ["c/a", "c/b"].map(|path| put(local.name(path), fields([("n", int(n))])));
    local.commit(both(0)).await.unwrap();
    let reader = local.clone();
    let reading = tokio::spawn(async move {
        for _ in 0..200 {
            let found = reader.query(from("c")).await.unwrap();
            assert_eq!(found.len(), 2);
            assert_eq!(found[0].fields, found[1].fields);
        }
    });
    let mut n = 0;
    while !reading.is_finished() {
        n += 1;
        local.commit(both(n)).await.unwrap();
    }
    reading.await.unwrap();
}
