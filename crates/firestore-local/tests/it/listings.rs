//! ListDocuments and ListCollectionIds.

use tonic::{Code, Status};

use crate::support::v1::{ListCollectionIdsRequest, ListDocumentsRequest, ListDocumentsResponse};
use crate::support::values::*;
use crate::support::writes::{mask, put};
use crate::support::{Client, Local};

async fn list(
    client: &Client,
    request: ListDocumentsRequest,
) -> Result<ListDocumentsResponse, Status> {
    Ok(client.api().list_documents(request).await?.into_inner())
}

/// All pages of a listing: the paths, and how many pages there were.
async fn pages(client: &Client, mut request: ListDocumentsRequest) -> (Vec<String>, usize) {
    let (mut paths, mut count) = (Vec::new(), 0);
    loop {
        let page = list(client, request.clone()).await.unwrap();
        count += 1;
        let names = page.documents.iter().map(|document| client.path(&document.name).to_owned());
        paths.extend(names);
        if page.next_page_token.is_empty() {
            return (paths, count);
        }
        request.page_token = page.next_page_token;
    }
}

fn of(client: &Client, collection: &str) -> ListDocumentsRequest {
    ListDocumentsRequest {
        parent: client.root(),
        collection_id: collection.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn documents_are_listed_in_pages_by_name() {
    let local = Local::start().await;
    let writes = (0..25).map(|n| put(local.name(&format!("c/{n:02}")), fields([("n", int(n))])));
    local.commit(writes).await.unwrap();
    local.set("c/00/below/it", [("n", int(0))]).await;
    local.set("d/other", [("n", int(0))]).await;
    let expected: Vec<_> = (0..25).map(|n| format!("c/{n:02}")).collect();
    for (page_size, count) in [(0, 1), (7, 4), (25, 1), (24, 2), (1, 25)] {
        let request = ListDocumentsRequest { page_size, ..of(&local, "c") };
        assert_eq!(pages(&local, request).await, (expected.clone(), count), "{page_size}");
    }
    assert_eq!(pages(&local, of(&local, "nothing here")).await, (vec![], 1));
}

#[tokio::test]
async fn listings_follow_order_by() {
    let local = Local::start().await;
    for (path, a, b) in [("c/1", 2, 1), ("c/2", 1, 1), ("c/3", 1, 2), ("c/4", 2, 2)] {
        local.set(path, [("a", int(a)), ("b", int(b))]).await;
    }
    local.set("c/5", [("b", int(0))]).await;
    for (order_by, expected) in [
        ("a", "c/2 c/3 c/1 c/4"),
        ("a desc", "c/4 c/1 c/3 c/2"),
        ("a, b desc", "c/3 c/2 c/4 c/1"),
        ("b asc, a", "c/2 c/1 c/3 c/4"),
    ] {
        for page_size in [0, 1, 3] {
            let order_by = order_by.to_owned();
            let request = ListDocumentsRequest { order_by, page_size, ..of(&local, "c") };
            assert_eq!(pages(&local, request).await.0.join(" "), expected);
        }
    }
    let request = ListDocumentsRequest { order_by: "a upwards".into(), ..of(&local, "c") };
    assert_eq!(list(&local, request).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn listings_can_be_masked() {
    let local = Local::start().await;
    local.set("c/d", [("a", int(1)), ("b", int(2))]).await;
    let request = ListDocumentsRequest { mask: Some(mask(["b"])), ..of(&local, "c") };
    let page = list(&local, request).await.unwrap();
    assert_eq!(page.documents[0].fields, fields([("b", int(2))]));
    assert!(page.documents[0].update_time.is_some());
}

#[tokio::test]
async fn missing_documents_are_listed_if_documents_are_below_them() {
    let local = Local::start().await;
    for path in ["c/b", "c/a/x/y", "c/c/x/y/x/z", "c/b/x/y", "c/d"] {
        local.set(path, [("n", int(1))]).await;
    }
    for page_size in [0, 1, 2, 3, 4] {
        let request = ListDocumentsRequest { show_missing: true, page_size, ..of(&local, "c") };
        let (paths, _) = pages(&local, request).await;
        assert_eq!(paths.join(" "), "c/a c/b c/c c/d", "{page_size}");
    }
    let request = ListDocumentsRequest { show_missing: true, ..of(&local, "c") };
    let page = list(&local, request).await.unwrap();
    let exists: Vec<_> = page.documents.iter().map(|found| found.update_time.is_some()).collect();
    assert_eq!(exists, [false, true, false, true]);
    assert!(page.documents[0].fields.is_empty());
    assert_eq!(pages(&local, of(&local, "c")).await.0.join(" "), "c/b c/d");
}

#[tokio::test]
async fn invalid_listings_are_refused() {
    let local = Local::start().await;
    for (why, request) in [
        ("an invalid token", ListDocumentsRequest { page_token: "x".into(), ..of(&local, "c") }),
        ("a multibyte token", ListDocumentsRequest { page_token: "aé".into(), ..of(&local, "c") }),
        (
            "a parent that is a collection",
            ListDocumentsRequest { parent: local.name("c"), ..of(&local, "c") },
        ),
        (
            "missing and ordered",
            ListDocumentsRequest { show_missing: true, order_by: "a".into(), ..of(&local, "c") },
        ),
    ] {
        let status = list(&local, request).await.expect_err(why);
        assert_eq!(status.code(), Code::InvalidArgument, "{why}");
    }
}

#[tokio::test]
async fn collections_are_listed_at_the_top_and_below_documents() {
    let local = Local::start().await;
    for path in ["b/1", "a/1", "b/2", "B/1", "b/1/y/1", "b/1/x/1", "b/1/x/1/deep/1", "d/gone/e/1"] {
        local.set(path, [("n", int(1))]).await;
    }
    let ids = async |parent: String, page_size| {
        let mut request = ListCollectionIdsRequest { parent, page_size, ..Default::default() };
        let mut ids = Vec::new();
        loop {
            let page = local.api().list_collection_ids(request.clone()).await.unwrap().into_inner();
            ids.extend(page.collection_ids);
            if page.next_page_token.is_empty() {
                return ids.join(" ");
            }
            request.page_token = page.next_page_token;
        }
    };
    for page_size in [0, 1, 3] {
        assert_eq!(ids(local.root(), page_size).await, "B a b d");
        assert_eq!(ids(local.name("b/1"), page_size).await, "x y");
        assert_eq!(ids(local.name("d/gone"), page_size).await, "e");
        assert_eq!(ids(local.name("a/1"), page_size).await, "");
    }
}
