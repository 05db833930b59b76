//! The meter: the bill for the operations of the server.

use firestore_local::Billed;
use tonic::Code;

use crate::support::Local;
use crate::support::http::http;
use crate::support::queries::*;
use crate::support::v1::batch_get_documents_request::ConsistencySelector as BatchSelector;
use crate::support::v1::{ListCollectionIdsRequest, ListDocumentsRequest};
use crate::support::values::*;
use crate::support::writes::{When, exists, increment, patch, put, remove, transform};

fn billed(reads: u64, writes: u64, deletes: u64) -> Billed {
    Billed { reads, writes, deletes }
}

/// What was billed since the last call.
fn since(local: &Local) -> Billed {
    let total = local.server.meter().total;
    local.server.reset_meter();
    total
}

async fn ten() -> Local {
    ten_in(Local::start().await).await
}

async fn ten_in(local: Local) -> Local {
    let writes = (0..10).map(|n| put(local.name(&format!("c/{n}")), fields([("n", int(n))])));
    local.commit(writes).await.unwrap();
    assert_eq!(since(&local), billed(0, 10, 0));
    local
}

#[tokio::test]
async fn each_requested_document_is_one_read_even_if_missing() {
    let local = ten().await;
    local.get("c/1").await.unwrap();
    assert_eq!(since(&local), billed(1, 0, 0));
    local.get("c/missing").await.unwrap_err();
    assert_eq!(since(&local), billed(1, 0, 0));
    local.get_many(["c/1", "c/2", "c/missing"], None).await.unwrap();
    assert_eq!(since(&local), billed(3, 0, 0));
    let transaction = local.begin().await;
    assert_eq!(since(&local), billed(0, 0, 0));
    let selector = BatchSelector::Transaction(transaction.clone());
    local.get_many(["c/1"], Some(selector)).await.unwrap();
    assert_eq!(since(&local), billed(1, 0, 0));
    local.commit_in(transaction, []).await.unwrap();
    assert_eq!(since(&local), billed(0, 0, 0));
}

#[tokio::test]
async fn each_document_of_a_query_is_one_read_and_a_query_at_least_one() {
    let local = ten().await;
    for (query, reads) in [
        (from("c"), 10),
        (from("c").limited(3), 3),
        (from("c").skipping(4).limited(3), 7),
        (from("c").filtered(test("n", Op::LessThan, int(2))), 2),
        (from("c").filtered(equal("n", int(99))), 1),
        (from("nothing here"), 1),
        (group("c").selecting([NAME]), 10),
    ] {
        local.query(query.clone()).await.unwrap();
        assert_eq!(since(&local), billed(reads, 0, 0), "{query:?}");
    }
    let list = |page_size| ListDocumentsRequest {
        parent: local.root(),
        collection_id: "c".into(),
        page_size,
        ..Default::default()
    };
    local.api().list_documents(list(4)).await.unwrap();
    assert_eq!(since(&local), billed(4, 0, 0));
    let request = ListCollectionIdsRequest { parent: local.root(), ..Default::default() };
    local.api().list_collection_ids(request).await.unwrap();
    assert_eq!(since(&local), billed(1, 0, 0));
}

#[tokio::test]
async fn each_thousand_documents_of_an_aggregation_are_one_read() {
    let local = Local::start().await;
    let writes = (0..1_001).map(|n| put(local.name(&format!("c/{n}")), fields([("n", int(n))])));
    local.commit(writes).await.unwrap();
    local.server.reset_meter();
    for (query, reads) in [
        (from("c"), 2),
        (from("c").limited(1_000), 1),
        (from("c").filtered(equal("n", int(5))), 1),
        (from("nothing here"), 1),
    ] {
        local.aggregate(query.clone(), [count("n")]).await.unwrap();
        assert_eq!(since(&local), billed(reads, 0, 0), "{query:?}");
    }
}

#[tokio::test]
async fn each_committed_write_or_delete_is_billed() {
    let local = ten().await;
    local.commit([patch(local.name("c/1"), fields([]), ["n"])]).await.unwrap();
    assert_eq!(since(&local), billed(0, 1, 0));
    local.commit([transform(local.name("c/1"), [increment("n", int(1))])]).await.unwrap();
    assert_eq!(since(&local), billed(0, 1, 0));
    local.set("c/2", [("n", int(2))]).await;
    assert_eq!(since(&local), billed(0, 1, 0), "even if nothing changed");
    local.commit([remove(local.name("c/2")), remove(local.name("c/gone"))]).await.unwrap();
    assert_eq!(since(&local), billed(0, 0, 2), "even if there was no document");
    let failing = [
        put(local.name("c/3"), fields([])),
        put(local.name("c/4"), fields([])).when(exists(false)),
    ];
    local.commit(failing.clone()).await.unwrap_err();
    assert_eq!(since(&local), billed(0, 0, 0));
    local.batch_write(failing).await.unwrap();
    assert_eq!(since(&local), billed(0, 1, 0));
}

#[tokio::test]
async fn the_reads_of_an_aborted_transaction_are_billed() {
    let local = ten_in(Local::optimistic().await).await;
    let transaction = local.begin().await;
    local.fields_in(&transaction, "c/1").await.unwrap();
    local.set("c/1", [("n", int(100))]).await;
    let write = put(local.name("c/2"), fields([]));
    let status = local.commit_in(transaction, [write]).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!(since(&local), billed(1, 1, 0));
}

#[tokio::test]
async fn the_bill_is_split_by_database_and_collection() {
    let local = Local::start().await;
    let other = local.project("demo-other").await;
    local.set("a/1", [("n", int(1))]).await;
    local.set("a/1/b/2", [("n", int(1))]).await;
    other.set("a/1", [("n", int(1))]).await;
    local.query(group("b")).await.unwrap();
    other.commit([remove(other.name("a/1"))]).await.unwrap();
    let bill = local.server.meter();
    assert_eq!(bill.total, billed(1, 3, 1));
    assert_eq!(bill.databases.len(), 2);
    assert_eq!(bill.databases[&local.database()]["a"], billed(0, 1, 0));
    assert_eq!(bill.databases[&local.database()]["b"], billed(1, 1, 0));
    assert_eq!(bill.databases[&other.database()]["a"], billed(0, 1, 1));
}

#[tokio::test]
async fn the_meter_is_served_over_http() {
    let local = Local::start().await;
    local.set("c/d", [("n", int(1))]).await;
    local.get("c/d").await.unwrap();
    let bill: serde_json::Value =
        serde_json::from_str(&http(&local, "GET", "/meter", "").await).unwrap();
    let expected = serde_json::json!({ "reads": 1, "writes": 1, "deletes": 0 });
    assert_eq!(bill["total"], expected);
    assert_eq!(bill["databases"][local.database()]["c"], expected);
    http(&local, "POST", "/meter/reset", "").await;
    let bill: serde_json::Value =
        serde_json::from_str(&http(&local, "GET", "/meter", "").await).unwrap();
    assert_eq!(bill["total"], serde_json::json!({ "reads": 0, "writes": 0, "deletes": 0 }));
}
