//! Collection groups, and queries below a document.

use tonic::Code;

use crate::query_pair::Pair;
use crate::support::queries::*;
use crate::support::v1::StructuredQuery;
use crate::support::v1::structured_query::CollectionSelector;
use crate::support::values::*;
use crate::support::writes::put;

/// Documents of collections called `g` at several depths, and of collections with similar names.
async fn scattered() -> Pair {
    let x = |n| fields([("x", int(n))]);
    Pair::with([
        ("abc/123/g/1", x(6)),
        ("abc/123/g/2", x(5)),
        ("def/456/g/3", x(4)),
        ("g/4", x(3)),
        ("g/5", x(2)),
        ("g/virtual/g/6", x(1)),
        ("g/virtual/nested/no", x(0)),
        ("xg/no", x(0)),
        ("gx/no", x(0)),
        ("abc/123/gx/no", x(0)),
        ("abc/g", x(0)),
        ("abc/123", x(0)),
    ])
    .await
}

#[tokio::test]
async fn a_group_includes_all_collections_with_its_id_in_the_order_of_paths() {
    let pair = scattered().await;
    pair.expect(group("g"), "1 2 3 4 5 6").await;
    pair.expect(from("g"), "4 5").await;
    pair.expect(group("g").limited(2).skipping(1), "2 3").await;
    pair.expect(group("nothing here"), "").await;
}

#[tokio::test]
async fn groups_are_filtered_and_ordered_like_collections() {
    let pair = scattered().await;
    pair.expect(group("g").ordered("x"), "6 5 4 3 2 1").await;
    pair.expect(group("g").filtered(test("x", Op::GreaterThan, int(3))), "3 2 1").await;
    pair.expect(group("g").filtered(equal("x", int(3))), "4").await;
    pair.expect(group("g").ordered("x").start_after([int(3)]).limited(1), "3").await;
}

#[tokio::test]
async fn names_in_a_group_are_full_paths() {
    let pair = Pair::with(
        ["a/a/g/1", "a/b/a/b/g/2", "a/b/g/3", "a/b/c/d/g/4", "a/c/g/5", "g/6", "a/b/no/no"]
            .map(|path| (path, fields([("x", int(1))]))),
    )
    .await;
    let name = |path: &str| reference(pair.name(path));
    let by_name = || group("g").ordered(NAME);
    pair.expect(by_name(), "1 2 4 3 5 6").await;
    pair.expect(by_name().start_at([name("a/b")]).end_at([name("a/b0")]), "2 4 3").await;
    let until_third = by_name().start_after([name("a/b")]).end_before([name("a/b/g/3")]);
    pair.expect(until_third, "2 4").await;
    let between = all([
        test(NAME, Op::GreaterThanOrEqual, name("a/b")),
        test(NAME, Op::LessThanOrEqual, name("a/b0")),
    ]);
    pair.expect(group("g").filtered(between), "2 4 3").await;
}

/// The query for the documents of every collection that the SDKs use for recursive deletes.
fn everything() -> StructuredQuery {
    let selector = CollectionSelector { collection_id: String::new(), all_descendants: true };
    StructuredQuery { from: vec![selector], ..StructuredQuery::default() }.selecting([NAME])
}

#[tokio::test]
async fn a_query_below_a_document_finds_only_documents_below_it() {
    let pair = scattered().await;
    for local in [&pair.scanning, &pair.indexing] {
        let below = async |parent, query| {
            let answers = local.answers(parent, query, None).await.unwrap();
            let names = answers.into_iter().filter_map(|answer| answer.document);
            let names: Vec<_> =
                names.map(|document| local.path(&document.name).to_owned()).collect();
            names.join(" ")
        };
        assert_eq!(below("abc/123", from("g")).await, "abc/123/g/1 abc/123/g/2");
        assert_eq!(below("abc/123", from("g").ordered("x")).await, "abc/123/g/2 abc/123/g/1");
        assert_eq!(below("g/virtual", group("g")).await, "g/virtual/g/6");
        assert_eq!(below("g/virtual", group("g").ordered(NAME)).await, "g/virtual/g/6");
        for query in [
            group("g").ordered("x"),
            group("g").filtered(equal("x", int(1))),
            everything().ordered("x"),
            everything().filtered(test("x", Op::GreaterThan, int(1))),
        ] {
            let status = local.answers("g/virtual", query, None).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
        }
        let all = below("abc/123", everything()).await;
        assert_eq!(all, "abc/123/g/1 abc/123/g/2 abc/123/gx/no");
        assert_eq!(below("g/4", everything()).await, "");
    }
}

#[tokio::test]
async fn a_kindless_query_of_the_root_finds_every_document() {
    let pair = scattered().await;
    assert_eq!(pair.paths(everything()).await.len(), 12);
    let name = |path: &str| reference(pair.name(path));
    // One collection and everything below it: the bounds are numeric ids, which sort first.
    const LOWEST: &str = "__id-9223372036854775808__";
    let one = everything().filtered(all([
        test(NAME, Op::GreaterThanOrEqual, name(&format!("g/{LOWEST}"))),
        test(NAME, Op::LessThan, name(&format!("g\u{0}/{LOWEST}"))),
    ]));
    let expected = ["g/!", "g/4", "g/5", "g/A", "g/virtual/g/6", "g/virtual/nested/no"];
    pair.commit(["g/!", "g/A"].map(|path| put(pair.name(path), fields([])))).await;
    assert_eq!(pair.paths(one).await, expected);
}
