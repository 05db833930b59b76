//! Projects and databases of one server are isolated from each other.

use firestore::FirestoreDbOptions;

use crate::support::queries::*;
use crate::support::v1::ListCollectionIdsRequest;
use crate::support::values::*;
use crate::support::{Client, Local};

async fn collections(client: &Client) -> Vec<String> {
    let request = ListCollectionIdsRequest { parent: client.root(), ..Default::default() };
    client.api().list_collection_ids(request).await.unwrap().into_inner().collection_ids
}

#[tokio::test]
async fn two_projects_hold_the_same_names_with_different_documents() {
    let local = Local::start().await;
    let other = local.project("demo-other").await;
    // A project whose name starts with the name of another.
    let longer = local.project("demo-tests-2").await;
    for (client, n) in [(&*local, 1), (&other, 2), (&longer, 3)] {
        client.set("c/d", [("n", int(n))]).await;
        client.set(&format!("only-{n}/d"), [("n", int(n))]).await;
    }
    for (client, n) in [(&*local, 1), (&other, 2), (&longer, 3)] {
        assert_eq!(client.fields("c/d").await, Some(fields([("n", int(n))])));
        assert_eq!(collections(client).await, ["c".to_owned(), format!("only-{n}")]);
        assert_eq!(client.paths(group("c")).await.unwrap(), ["c/d"]);
        let found = client.paths(from("c").filtered(equal("n", int(n)))).await.unwrap();
        assert_eq!(found, ["c/d"]);
        let counted = client.aggregate(group("c"), [count("n")]).await.unwrap();
        assert_eq!(counted, fields([("n", int(1))]));
    }
}

#[tokio::test]
async fn two_databases_of_a_project_are_isolated() {
    let local = Local::start().await;
    let options = FirestoreDbOptions::new("demo-tests".to_owned());
    let options = options.with_database_id("second".to_owned());
    let second = Client::with_options(local.server.addr(), options).await;
    local.set("c/d", [("n", int(1))]).await;
    assert_eq!(second.fields("c/d").await, None);
    second.set("c/d", [("n", int(2))]).await;
    assert_eq!(local.fields("c/d").await, Some(fields([("n", int(1))])));
    assert!(second.database().ends_with("/second"));
}

#[tokio::test]
async fn clearing_one_database_does_not_affect_others() {
    let local = Local::of(firestore_local::Server::builder().index_threshold(0)).await;
    let other = local.project("demo-other").await;
    let indexed = || from("c").filtered(equal("n", int(1))).ordered("m");
    for client in [&*local, &other] {
        client.set("c/d", [("n", int(1)), ("m", int(1))]).await;
        assert_eq!(client.paths(indexed()).await.unwrap(), ["c/d"]);
    }
    local.server.clear(&local.database()).await.unwrap();
    assert_eq!(local.fields("c/d").await, None);
    assert_eq!(local.paths(indexed()).await.unwrap(), [""; 0]);
    assert_eq!(other.paths(indexed()).await.unwrap(), ["c/d"]);
    local.set("c/e", [("n", int(1)), ("m", int(1))]).await;
    assert_eq!(local.paths(indexed()).await.unwrap(), ["c/e"]);
    assert!(local.server.clear("no database").await.is_err());
}
