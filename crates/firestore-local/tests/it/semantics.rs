//! Details in which Firestore differs from what one would expect.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use firestore_local::{Clock, Server};
use prost_types::Timestamp;
use tonic::Code;

use crate::query_pair::Pair;
use crate::support::Local;
use crate::support::queries::*;
use crate::support::v1::precondition::ConditionType;
use crate::support::v1::run_query_request::QueryType;
use crate::support::v1::{
    BatchGetDocumentsRequest, ListCollectionIdsRequest, ListDocumentsRequest, Precondition,
    RunAggregationQueryRequest, RunQueryRequest, list_collection_ids_request,
    list_documents_request,
};
use crate::support::values::*;
use crate::support::writes::{put, remove};

#[tokio::test]
async fn the_error_of_a_streaming_call_comes_inside_the_stream() {
    let local = Local::start().await;
    let bad = from("c").limited(-1);
    let request = RunQueryRequest {
        parent: local.root(),
        query_type: Some(QueryType::StructuredQuery(bad)),
        ..Default::default()
    };
    let mut answers = local.api().run_query(request).await.expect("headers").into_inner();
    assert_eq!(answers.message().await.unwrap_err().code(), Code::InvalidArgument);

    let request = RunAggregationQueryRequest { parent: local.root(), ..Default::default() };
    let answers = local.api().run_aggregation_query(request).await;
    let mut answers = answers.expect("headers").into_inner();
    assert_eq!(answers.message().await.unwrap_err().code(), Code::InvalidArgument);

    let request = BatchGetDocumentsRequest { database: "wrong".into(), ..Default::default() };
    let mut answers = local.api().batch_get_documents(request).await.expect("headers").into_inner();
    assert_eq!(answers.message().await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn nan_is_less_than_no_number() {
    let pair = Pair::with([
        ("c/nan", fields([("x", double(f64::NAN))])),
        ("c/one", fields([("x", int(1))])),
        ("c/three", fields([("x", int(3))])),
    ])
    .await;
    for (filter, expected) in [
        (test("x", Op::LessThan, int(2)), "one"),
        (test("x", Op::LessThanOrEqual, int(1)), "one"),
        (test("x", Op::GreaterThan, double(f64::NEG_INFINITY)), "one three"),
        (test("x", Op::NotEqual, int(1)), "nan three"),
        (unary("x", Unary::IsNan), "nan"),
    ] {
        pair.expect(from("c").filtered(filter), expected).await;
    }
    pair.expect(from("c").ordered("x"), "nan one three").await;
}

#[tokio::test]
async fn aggregations_under_a_limit_order_by_the_aggregated_fields() {
    for index_threshold in [0, 1_000] {
        let local = Local::of(Server::builder().index_threshold(index_threshold)).await;
        for (path, x) in [("c/a", 30), ("c/b", 20), ("c/d", 10)] {
            local.set(path, [("x", int(x)), ("k", int(1))]).await;
        }
        local.set("c/c", [("k", int(0))]).await;
        let two = |query: crate::support::v1::StructuredQuery| query.limited(2);
        for (query, expected) in [
            (two(from("c")), 30),
            (two(from("c").ordered("k")), 30),
            (two(from("c").descending("k")), 50),
            (two(from("c").descending("x")), 50),
            (two(from("c").ordered(NAME)), 50),
            (from("c").skipping(1), 50),
            (from("c"), 60),
        ] {
            let found = local.aggregate(query.clone(), [sum("s", "x"), count("n")]).await.unwrap();
            assert_eq!(found["s"], int(expected), "{query:?}");
        }
        let counted = local.aggregate(two(from("c")), [count("n")]).await.unwrap();
        assert_eq!(counted["n"], int(2));
    }
}

#[tokio::test]
async fn a_read_time_is_now_and_later_commits_do_not_change_what_it_saw() {
    let time = Arc::new(AtomicI64::new(1_734_000_000_000_000));
    let clock = time.clone();
    let clock = Clock::from_micros(move || clock.load(Ordering::SeqCst));
    let local = Local::of(Server::builder().clock(clock)).await;
    local.set("c/d", [("n", int(1))]).await;
    time.fetch_add(5_000_000, Ordering::SeqCst);
    let now = Timestamp { seconds: 1_734_000_005, nanos: 0 };
    let answers = local.answers("", from("c"), None).await.unwrap();
    assert_eq!(answers[0].read_time, Some(now));
    // The clock stands still, but the commit is later.
    let written = local.set("c/d", [("n", int(2))]).await;
    assert_eq!((written.seconds, written.nanos), (now.seconds, 1_000));
    let selector = crate::support::v1::run_query_request::ConsistencySelector::ReadTime(now);
    let then = local.answers("", from("c"), Some(selector)).await.unwrap();
    assert_eq!(then[0].document.as_ref().unwrap().fields["n"], int(1));
}

#[tokio::test]
async fn four_underscores_are_an_id_and_five_are_not() {
    let local = Local::start().await;
    for (id, is_valid) in
        [("____", true), ("_____", false), ("__a__", false), ("___", true), ("__a_", true)]
    {
        for path in [format!("{id}/d"), format!("c/{id}")] {
            let outcome = local.commit([put(local.name(&path), fields([]))]).await;
            assert_eq!(outcome.is_ok(), is_valid, "{path}");
        }
    }
    assert_eq!(local.paths(from("____")).await.unwrap(), ["____/d"]);
}

#[tokio::test]
async fn listings_at_a_time_show_the_documents_and_collections_of_that_time() {
    let local = Local::start().await;
    for path in ["c/a", "c/b", "c/gone/x/y", "old/d", "c/a/below/d"] {
        local.set(path, [("n", int(1))]).await;
    }
    let then = local.commit([]).await.unwrap().commit_time.unwrap();
    let changes = ["c/a", "c/gone/x/y", "old/d", "c/a/below/d"].map(|it| remove(local.name(it)));
    local.commit(changes).await.unwrap();
    for path in ["c/new", "new/d", "c/a/other/d", "c/later/x/y", "old/d/x/y"] {
        local.set(path, [("n", int(2))]).await;
    }
    local.set("c/b", [("n", int(2))]).await;
    for show_missing in [false, true] {
        let expected = if show_missing { "c/a c/b c/gone" } else { "c/a c/b" };
        for page_size in [0, 1] {
            let mut request = ListDocumentsRequest {
                parent: local.root(),
                collection_id: "c".into(),
                show_missing,
                page_size,
                consistency_selector: Some(list_documents_request::ConsistencySelector::ReadTime(
                    then,
                )),
                ..Default::default()
            };
            let mut paths = Vec::new();
            loop {
                let page = local.api().list_documents(request.clone()).await.unwrap().into_inner();
                for document in page.documents {
                    assert!(document.fields.values().all(|value| *value == int(1)));
                    paths.push(local.path(&document.name).to_owned());
                }
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token = page.next_page_token;
            }
            assert_eq!(paths.join(" "), expected);
        }
    }
    for (parent, expected) in [
        (local.root(), "c old"),
        (local.name("c/a"), "below"),
        (local.name("c/gone"), "x"),
        (local.name("c/later"), ""),
    ] {
        let selector = list_collection_ids_request::ConsistencySelector::ReadTime(then);
        let request = ListCollectionIdsRequest {
            parent,
            consistency_selector: Some(selector),
            ..Default::default()
        };
        let answer = local.api().list_collection_ids(request).await.unwrap().into_inner();
        assert_eq!(answer.collection_ids.join(" "), expected);
    }
}

#[tokio::test]
async fn a_delete_with_a_future_update_time_is_invalid() {
    let local = Local::start().await;
    let now = local.set("c/d", [("n", int(1))]).await;
    for (path, seconds, code) in [
        ("c/d", 3_600, Code::InvalidArgument),
        ("c/missing", 3_600, Code::InvalidArgument),
        ("c/d", -3_600, Code::FailedPrecondition),
    ] {
        let time = Timestamp { seconds: now.seconds + seconds, ..now };
        let condition = Precondition { condition_type: Some(ConditionType::UpdateTime(time)) };
        let mut delete = remove(local.name(path));
        delete.current_document = Some(condition);
        assert_eq!(local.refused(delete).await, code, "{path} {seconds}");
    }
}

#[tokio::test]
async fn invalid_aliases_are_refused_in_the_words_of_firestore() {
    let local = Local::start().await;
    for (aliases, words) in [
        (["n", "n"], "Aggregation aliases contain duplicate alias: n."),
        (["field_1", ""], "Aggregation aliases contain duplicate alias: field_1."),
        (["__n__", "n"], "The property.name \"__n__\" is reserved."),
    ] {
        let status = local.aggregate(from("c"), aliases.map(count)).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, words));
    }
    let status = local.aggregate(from("c"), []).await.unwrap_err();
    assert_eq!(status.message(), "Aggregations can not be empty.");
    let six = ["a", "b", "c", "d", "e", "f"].map(count);
    let status = local.aggregate(from("c"), six).await.unwrap_err();
    assert!(status.message().contains("maximum number of aggregations"), "{status}");
}
