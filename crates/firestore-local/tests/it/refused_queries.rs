//! Queries that Firestore refuses. Answering them would hide a mistake until production.

use tonic::Code;

use crate::query_pair::Pair;
use crate::support::queries::*;
use crate::support::v1::structured_query::{CollectionSelector, Filter};
use crate::support::v1::{StructuredQuery, Value};
use crate::support::values::*;

fn many(count: i64) -> Value {
    array((0..count).map(int))
}

#[tokio::test]
async fn invalid_selectors_numbers_and_paths_are_refused() {
    let pair = Pair::with([("c/d", fields([("x", int(1))]))]).await;
    let selector = |id: &str| CollectionSelector { collection_id: id.into(), ..Default::default() };
    let from_all = |from: Vec<_>| StructuredQuery { from, ..Default::default() };
    for (why, query) in [
        ("no collection", from_all(vec![])),
        ("two collections", from_all(vec![selector("a"), selector("b")])),
        ("a path as an id", from("c/d/e")),
        ("a reserved id", from("__c__")),
        ("a negative limit", from("c").limited(-1)),
        ("a negative offset", from("c").skipping(-1)),
        ("an invalid path", from("c").ordered("a..b")),
        ("an empty path", from("c").ordered("")),
        ("an invalid path in a projection", from("c").selecting(["a."])),
        ("an order after the name", from("c").ordered(NAME).ordered("x")),
        (
            "the implied order of an inequality after the name",
            from("c").filtered(test("x", Op::GreaterThan, int(0))).ordered(NAME),
        ),
        ("a duplicate order", from("c").ordered("x").descending("x")),
    ] {
        pair.refuse(query, Code::InvalidArgument, why).await;
    }
}

#[tokio::test]
async fn a_descending_order_by_name_alone_asks_for_an_index() {
    let pair = Pair::with([("c/d", fields([("x", int(1))]))]).await;
    for query in [
        from("c").descending(NAME),
        group("c").descending(NAME).limited(1),
        from("c").descending(NAME).start_at([reference(pair.name("c/d"))]),
    ] {
        pair.refuse(query, Code::FailedPrecondition, "descending by name").await;
    }
    pair.expect(from("c").descending("x").descending(NAME), "d").await;
}

#[tokio::test]
async fn invalid_filters_are_refused() {
    let pair = Pair::with([("c/d", fields([("x", int(1))]))]).await;
    let name = |path: &str| reference(pair.name(path));
    let elsewhere = reference("projects/other/databases/(default)/documents/c/d");
    for (why, filter) in [
        ("no filter", Filter { filter_type: None }),
        ("and without filters", all([])),
        ("or without filters", any([])),
        ("no operator", test("x", Op::Unspecified, int(1))),
        ("no unary operator", unary("x", Unary::Unspecified)),
        ("an invalid path", equal("x.", int(1))),
        ("in without an array", test("x", Op::In, int(1))),
        ("in without values", test("x", Op::In, array([]))),
        ("in with too many values", test("x", Op::In, many(31))),
        ("not-in without values", test("x", Op::NotIn, array([]))),
        ("not-in with too many values", test("x", Op::NotIn, many(11))),
        ("array-contains-any without values", test("x", Op::ArrayContainsAny, array([]))),
        ("array-contains-any with too many values", test("x", Op::ArrayContainsAny, many(31))),
        ("a name that is not a reference", equal(NAME, text("d"))),
        ("a name of a collection", equal(NAME, name("c"))),
        ("a name in another project", equal(NAME, elsewhere)),
        ("names that are not references", test(NAME, Op::In, array([int(1)]))),
        ("a name as an array", test(NAME, Op::ArrayContains, name("c/d"))),
    ] {
        pair.refuse(from("c").filtered(filter), Code::InvalidArgument, why).await;
    }
}

#[tokio::test]
async fn filters_that_cannot_be_combined_are_refused() {
    let pair = Pair::with([("c/d", fields([("x", int(1))]))]).await;
    let not_equal = |path| test(path, Op::NotEqual, int(1));
    let not_in = |path| test(path, Op::NotIn, many(2));
    let is_in = |path| test(path, Op::In, many(2));
    let contains = |path| test(path, Op::ArrayContains, int(1));
    let contains_any = |path| test(path, Op::ArrayContainsAny, many(2));
    for (why, filter) in [
        ("not-in twice", all([not_in("x"), not_in("y")])),
        ("not-in with !=", all([not_in("x"), not_equal("y")])),
        ("not-in with in", all([not_in("x"), is_in("y")])),
        ("not-in with array-contains-any", all([not_in("x"), contains_any("y")])),
        ("not-in with or", any([not_in("x"), equal("y", int(1))])),
        ("!= twice", all([not_equal("x"), not_equal("y")])),
        ("!= with is-not-null", all([not_equal("x"), unary("y", Unary::IsNotNull)])),
        ("array-contains twice", all([contains("x"), contains("y")])),
        ("both array operators", all([contains("x"), contains_any("y")])),
        ("too many disjunctions", all([test("x", Op::In, many(6)), test("y", Op::In, many(6))])),
    ] {
        pair.refuse(from("c").filtered(filter), Code::InvalidArgument, why).await;
    }
}

#[tokio::test]
async fn queries_at_the_limits_are_answered() {
    let pair = Pair::with([("c/d", fields([("x", int(1)), ("y", array([int(2)]))]))]).await;
    for filter in [
        test("x", Op::In, many(30)),
        test("y", Op::ArrayContainsAny, many(30)),
        all([test("x", Op::In, many(5)), test("y", Op::ArrayContainsAny, many(6))]),
        any((0..30).map(|n| equal("x", int(n)))),
    ] {
        pair.expect(from("c").filtered(filter), "d").await;
    }
    pair.expect(from("c").filtered(test("x", Op::NotIn, array((2..12).map(int)))), "d").await;
    let separate =
        any([test("y", Op::ArrayContains, int(2)), test("y", Op::ArrayContains, int(9))]);
    pair.expect(from("c").filtered(separate), "d").await;
}

#[tokio::test]
async fn cursors_that_do_not_match_the_order_are_refused() {
    let pair = Pair::with([("c/d", fields([("x", int(1))]))]).await;
    let name = |path: &str| reference(pair.name(path));
    for (why, query) in [
        ("more values than orders", from("c").ordered("x").start_at([int(1), name("c/d"), int(2)])),
        ("a name that is not a reference", from("c").ordered(NAME).start_at([text("d")])),
        ("a name of a collection", from("c").ordered(NAME).end_at([name("c")])),
    ] {
        pair.refuse(query, Code::InvalidArgument, why).await;
    }
}
