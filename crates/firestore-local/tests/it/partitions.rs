//! PartitionQuery.

use tonic::{Code, Status};

use crate::support::queries::*;
use crate::support::v1::partition_query_request::QueryType;
use crate::support::v1::{Cursor, PartitionQueryRequest, PartitionQueryResponse, StructuredQuery};
use crate::support::values::*;
use crate::support::writes::put;
use crate::support::{Client, Local};

fn request(client: &Client, query: StructuredQuery, count: i64) -> PartitionQueryRequest {
    PartitionQueryRequest {
        parent: client.root(),
        partition_count: count,
        query_type: Some(QueryType::StructuredQuery(query)),
        ..Default::default()
    }
}

async fn partition(
    client: &Client,
    request: PartitionQueryRequest,
) -> Result<PartitionQueryResponse, Status> {
    Ok(client.api().partition_query(request).await?.into_inner())
}

fn by_name() -> StructuredQuery {
    group("g").ordered(NAME)
}

async fn hundred() -> Local {
    let local = Local::start().await;
    let writes = (0..100)
        .map(|n| put(local.name(&format!("p/{}/g/{n:03}", n % 7)), fields([("n", int(n))])));
    local.commit(writes).await.unwrap();
    local
}

#[tokio::test]
async fn partitions_cover_the_group_without_overlap() {
    let local = hundred().await;
    for count in [1, 2, 5, 50, 1_000] {
        let answer = partition(&local, request(&local, by_name(), count)).await.unwrap();
        assert!(answer.next_page_token.is_empty());
        assert!(i64::try_from(answer.partitions.len()).unwrap() <= count, "{count}");
        let mut covered = Vec::new();
        let mut start: Option<Cursor> = None;
        for end in answer.partitions.into_iter().map(Some).chain([None]) {
            let part = StructuredQuery {
                start_at: start.clone(),
                end_at: end.clone().map(|cursor| Cursor { before: true, ..cursor }),
                ..by_name()
            };
            covered.extend(local.paths(part).await.unwrap());
            start = end.map(|cursor| Cursor { before: true, ..cursor });
        }
        assert_eq!(covered, local.paths(by_name()).await.unwrap(), "{count}");
        assert_eq!(covered.len(), 100);
    }
}

#[tokio::test]
async fn partitions_are_paged() {
    let local = hundred().await;
    let whole = partition(&local, request(&local, by_name(), 10)).await.unwrap().partitions;
    let mut paged = Vec::new();
    let mut next = PartitionQueryRequest { page_size: 3, ..request(&local, by_name(), 10) };
    loop {
        let page = partition(&local, next.clone()).await.unwrap();
        assert!(page.partitions.len() <= 3);
        paged.extend(page.partitions);
        if page.next_page_token.is_empty() {
            break;
        }
        next.page_token = page.next_page_token;
    }
    assert_eq!(paged, whole);
}

#[tokio::test]
async fn an_empty_group_has_no_partitions() {
    let local = Local::start().await;
    let answer = partition(&local, request(&local, by_name(), 5)).await.unwrap();
    assert!(answer.partitions.is_empty());
}

#[tokio::test]
async fn other_queries_cannot_be_partitioned() {
    let local = hundred().await;
    for (why, query, count) in [
        ("no partitions", by_name(), 0),
        ("a negative number of partitions", by_name(), -1),
        ("a collection", from("g").ordered(NAME), 5),
        ("a filter", by_name().filtered(equal("n", int(1))), 5),
        ("a limit", by_name().limited(5), 5),
        ("an offset", by_name().skipping(5), 5),
        ("another order", group("g").ordered("n"), 5),
        ("a descending order", group("g").descending(NAME), 5),
    ] {
        let outcome = partition(&local, request(&local, query, count)).await;
        assert_eq!(outcome.expect_err(why).code(), Code::InvalidArgument, "{why}");
    }
}
