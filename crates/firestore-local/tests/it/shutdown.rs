//! The shutdown of a server in this process: no client is answered any more, and the data folder
//! can be opened again.

use firestore_local::Server;

use crate::support::queries::{Refine, from};
use crate::support::v1::run_query_request::QueryType;
use crate::support::v1::{ListenRequest, RunQueryRequest, Target, listen_request, target};
use crate::support::values::*;
use crate::support::writes::put;
use crate::support::{Client, Local};

async fn in_folder(data: &tempfile::TempDir) -> Local {
    Local::of(Server::builder().data_dir(Some(data.path().to_owned()))).await
}

#[tokio::test]
async fn after_shutdown_calls_fail_and_the_data_folder_can_be_opened_again() {
    let data = tempfile::tempdir().unwrap();
    let local = in_folder(&data).await;
    local.set("c/d", [("n", int(1))]).await;
    let client: Client = (*local).clone();
    local.server.shutdown().await;
    client.get("c/d").await.expect_err("the server is gone");
    client.commit([put(client.name("c/d"), fields([]))]).await.expect_err("the server is gone");
    let again = in_folder(&data).await;
    assert_eq!(again.fields("c/d").await, Some(fields([("n", int(1))])));
}

#[tokio::test]
async fn open_streams_do_not_block_shutdown() {
    let data = tempfile::tempdir().unwrap();
    let local = in_folder(&data).await;
    let large = "x".repeat(100_000);
    let writes = (0..80).map(|n| put(local.name(&format!("c/{n}")), fields([("x", text(&large))])));
    local.commit(writes).await.unwrap();

    // A listener that stays open, and a query whose answers are not read.
    let documents = target::DocumentsTarget { documents: vec![local.name("c/1")] };
    let target = Target {
        target_id: 1,
        target_type: Some(target::TargetType::Documents(documents)),
        ..Default::default()
    };
    let first = ListenRequest {
        database: local.database(),
        target_change: Some(listen_request::TargetChange::AddTarget(target)),
        ..Default::default()
    };
    let (requests, outgoing) = tokio::sync::mpsc::channel(1);
    requests.send(first).await.unwrap();
    let outgoing = tokio_stream::wrappers::ReceiverStream::new(outgoing);
    let mut listener = local.api().listen(outgoing).await.unwrap().into_inner();
    listener.message().await.unwrap().expect("it listens");
    let query = RunQueryRequest {
        parent: local.root(),
        query_type: Some(QueryType::StructuredQuery(from("c").descending("x"))),
        ..Default::default()
    };
    let mut stalled = local.api().run_query(query).await.unwrap().into_inner();
    stalled.message().await.unwrap().expect("a first answer");

    let client: Client = (*local).clone();
    local.server.shutdown().await;
    while let Ok(answer) = listener.message().await {
        assert!(answer.is_some(), "the stream ends with an error, not as if it were complete");
    }
    client.get("c/1").await.expect_err("the server is gone");
    let again = in_folder(&data).await;
    assert_eq!(again.query(from("c")).await.unwrap().len(), 80);
}
