//! Queries that Firestore refuses: answering them would hide a mistake until production.

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
async fn selectors_and_numbers_that_make_no_sense() {
    let pair = Pair::with([("c/d", fields([("x", int(1))]))]).await;
    let selector = |id: &str| CollectionSelector { collection_id: id.into(), ..Default::default() };
    let from_all = |from: Vec<_>| StructuredQuery { from, ..Default::default() };
    for (why, query) in [
        ("no collection", from_all(vec![])),
        ("two collections", from_all(vec![selector("a"), selector("b")])),
        ("a path for an id", from("c/d/e")),
        ("a reserved id", from("__c__")),
        ("a negative limit", from("c").limited(-1)),
        ("a negative offset", from("c").skipping(-1)),
        ("a path that is none", from("c").ordered("a..b")),
        ("an empty path", from("c").ordered("")),
        ("a projection that is no path", from("c").selecting(["a."])),
        ("an order behind the name", from("c").ordered(NAME).ordered("x")),
        (
            "an inequality's order behind the name",
            from("c").filtered(test("x", Op::GreaterThan, int(0))).ordered(NAME),
        ),
        ("an order twice", from("c").ordered("x").descending("x")),
    ] {
        pair.refuse(query, Code::InvalidArgument, why).await;
    }
}

#[tokio::test]
async fn filters_that_make_no_sense() {
    let pair = Pair::with([("c/d", fields([("x", int(1))]))]).await;
    let name = |path: &str| reference(pair.name(path));
    let elsewhere = reference("projects/other/databases/(default)/documents/c/d");
    for (why, filter) in [
        ("no filter", Filter { filter_type: None }),
        ("and of nothing", all([])),
        ("or of nothing", any([])),
        ("no operator", test("x", Op::Unspecified, int(1))),
        ("no unary operator", unary("x", Unary::Unspecified)),
        ("a path that is none", equal("x.", int(1))),
        ("in of no array", test("x", Op::In, int(1))),
        ("in of nothing", test("x", Op::In, array([]))),
        ("in of too many", test("x", Op::In, many(31))),
        ("not-in of nothing", test("x", Op::NotIn, array([]))),
        ("not-in of too many", test("x", Op::NotIn, many(11))),
        ("any of nothing", test("x", Op::ArrayContainsAny, array([]))),
        ("any of too many", test("x", Op::ArrayContainsAny, many(31))),
        ("a name that is no reference", equal(NAME, text("d"))),
        ("a name of a collection", equal(NAME, name("c"))),
        ("a name elsewhere", equal(NAME, elsewhere)),
        ("names that are no references", test(NAME, Op::In, array([int(1)]))),
        ("a name as an array", test(NAME, Op::ArrayContains, name("c/d"))),
    ] {
        pair.refuse(from("c").filtered(filter), Code::InvalidArgument, why).await;
    }
}

#[tokio::test]
async fn filters_that_may_not_stand_together() {
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
async fn the_most_that_is_allowed_is_answered() {
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
async fn cursors_that_do_not_fit_the_order() {
    let pair = Pair::with([("c/d", fields([("x", int(1))]))]).await;
    let name = |path: &str| reference(pair.name(path));
    for (why, query) in [
        ("more values than orders", from("c").ordered("x").start_at([int(1), name("c/d"), int(2)])),
        ("no reference for the name", from("c").ordered(NAME).start_at([text("d")])),
        ("a collection for the name", from("c").ordered(NAME).end_at([name("c")])),
    ] {
        pair.refuse(query, Code::InvalidArgument, why).await;
    }
}
