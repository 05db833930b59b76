//! Filters: every operator on every type that it distinguishes, `and`, `or`, and names.

use tonic::Code;

use crate::query_pair::Pair;
use crate::support::queries::*;
use crate::support::values::*;

/// `v` holds one value of each type; `n` counts.
async fn one_of_each() -> Pair {
    let reference_name = "projects/demo-tests/databases/(default)/documents/a/b";
    Pair::with([
        ("c/null", fields([("v", null()), ("n", int(1))])),
        ("c/bool", fields([("v", boolean(true)), ("n", int(2))])),
        ("c/nan", fields([("v", double(f64::NAN)), ("n", int(3))])),
        ("c/one", fields([("v", int(1)), ("n", int(4))])),
        ("c/oneD", fields([("v", double(1.0)), ("n", int(5))])),
        ("c/two", fields([("v", int(2)), ("n", int(6))])),
        ("c/time", fields([("v", time(1, 0)), ("n", int(7))])),
        ("c/text", fields([("v", text("t")), ("n", int(8))])),
        ("c/bytes", fields([("v", bytes(b"b")), ("n", int(9))])),
        ("c/ref", fields([("v", reference(reference_name)), ("n", int(10))])),
        ("c/geo", fields([("v", geo(1.0, 2.0)), ("n", int(11))])),
        ("c/array", fields([("v", array([int(1), text("t"), null()])), ("n", int(12))])),
        ("c/vector", fields([("v", vector([1.0, 2.0])), ("n", int(13))])),
        ("c/map", fields([("v", map([("k", int(1))])), ("n", int(14))])),
        ("c/absent", fields([("n", int(15))])),
    ])
    .await
}

#[tokio::test]
async fn equality_compares_values_across_number_types() {
    let pair = one_of_each().await;
    for (operand, ids) in [
        (boolean(true), "bool"),
        (int(1), "one oneD"),
        (double(1.0), "one oneD"),
        (time(1, 0), "time"),
        (time(1, 999), "time"),
        (text("t"), "text"),
        (text("T"), ""),
        (bytes(b"b"), "bytes"),
        (reference(pair.name("a/b")), "ref"),
        (geo(1.0, 2.0), "geo"),
        (array([double(1.0), text("t"), null()]), "array"),
        (array([int(1)]), ""),
        (vector([1.0, 2.0]), "vector"),
        (map([("k", int(1))]), "map"),
        (map([("k", int(1)), ("l", int(1))]), ""),
    ] {
        pair.expect(from("c").filtered(equal("v", operand)), ids).await;
    }
}

#[tokio::test]
async fn not_equal_matches_other_values_except_null_and_missing() {
    let pair = one_of_each().await;
    let not = |operand| from("c").filtered(test("v", Op::NotEqual, operand));
    let others = "time text bytes ref geo array vector map";
    pair.expect(not(int(1)), &format!("bool nan two {others}")).await;
    let all = "bool nan one oneD two time text bytes ref geo array vector";
    pair.expect(not(map([("k", int(1))])), all).await;
}

#[tokio::test]
async fn comparisons_stay_within_a_type() {
    let pair = one_of_each().await;
    for (op, operand, ids) in [
        (Op::LessThan, int(2), "one oneD"),
        (Op::LessThanOrEqual, int(2), "one oneD two"),
        (Op::GreaterThan, int(1), "two"),
        (Op::GreaterThanOrEqual, double(1.0), "one oneD two"),
        (Op::GreaterThan, double(f64::NEG_INFINITY), "one oneD two"),
        (Op::LessThanOrEqual, boolean(true), "bool"),
        (Op::LessThan, boolean(true), ""),
        (Op::GreaterThan, time(0, 0), "time"),
        (Op::LessThan, text("u"), "text"),
        (Op::GreaterThanOrEqual, text(""), "text"),
        (Op::GreaterThan, bytes(&[]), "bytes"),
        (Op::LessThan, bytes(b"b"), ""),
        (Op::GreaterThan, geo(1.0, 1.0), "geo"),
        (Op::GreaterThan, array([]), "array"),
        (Op::LessThan, array([int(2)]), "array"),
        (Op::LessThanOrEqual, vector([9.0, 9.0]), "vector"),
        (Op::GreaterThan, map([]), "map"),
    ] {
        pair.expect(from("c").filtered(test("v", op, operand)), ids).await;
    }
}

#[tokio::test]
async fn unary_operators_match_null_and_nan() {
    let pair = one_of_each().await;
    for (op, ids) in [
        (Unary::IsNull, "null"),
        (Unary::IsNan, "nan"),
        (Unary::IsNotNull, "bool nan one oneD two time text bytes ref geo array vector map"),
        (Unary::IsNotNan, "bool one oneD two time text bytes ref geo array vector map"),
    ] {
        pair.expect(from("c").filtered(unary("v", op)), ids).await;
    }
}

#[tokio::test]
async fn in_matches_each_listed_value_except_null_and_nan() {
    let pair = one_of_each().await;
    for (operands, ids) in [
        (array([int(1), text("t"), text("x")]), "one oneD text"),
        (array([double(1.0), int(1)]), "one oneD"),
        (array([map([("k", int(1))]), array([int(1), text("t"), null()])]), "array map"),
        (array([null()]), ""),
        (array([double(f64::NAN)]), ""),
        (array([int(2), null(), double(f64::NAN)]), "two"),
    ] {
        pair.expect(from("c").filtered(test("v", Op::In, operands)), ids).await;
    }
}

#[tokio::test]
async fn not_in_matches_unlisted_values_except_null_and_missing() {
    let pair = one_of_each().await;
    for (operands, ids) in [
        (array([int(1), text("t")]), "bool nan two time bytes ref geo array vector map"),
        (array([double(f64::NAN)]), "bool one oneD two time text bytes ref geo array vector map"),
        (array([int(1), null()]), ""),
    ] {
        pair.expect(from("c").filtered(test("v", Op::NotIn, operands)), ids).await;
    }
}

#[tokio::test]
async fn array_operators_match_elements_except_null_and_nan() {
    let pair = Pair::with([
        ("c/a", fields([("v", array([int(42)]))])),
        ("c/b", fields([("v", array([text("a"), double(42.0), text("c")]))])),
        ("c/c", fields([("v", array([text("42"), map([("a", array([int(42)]))])]))])),
        ("c/d", fields([("v", int(42))])),
        ("c/e", fields([("v", array([null(), double(f64::NAN)]))])),
        ("c/f", fields([("v", array([int(43), map([("a", int(42))])]))])),
        ("c/g", fields([("w", array([int(42)]))])),
    ])
    .await;
    let contains = |operand| from("c").filtered(test("v", Op::ArrayContains, operand));
    pair.expect(contains(int(42)), "a b").await;
    pair.expect(contains(map([("a", int(42))])), "f").await;
    pair.expect(contains(null()), "").await;
    pair.expect(contains(double(f64::NAN)), "").await;
    let any_of = |operands| from("c").filtered(test("v", Op::ArrayContainsAny, operands));
    pair.expect(any_of(array([int(42), int(43)])), "a b f").await;
    pair.expect(any_of(array([text("c"), map([("a", int(42))])])), "b f").await;
    pair.expect(any_of(array([null(), double(f64::NAN)])), "").await;
    pair.expect(any_of(array([int(43), null()])), "f").await;
}

#[tokio::test]
async fn filters_apply_to_fields_of_maps() {
    let pair = Pair::with([
        ("c/a", fields([])),
        ("c/b", fields([("m", map([]))])),
        ("c/c", fields([("m", map([("x", map([("odd key", int(1))]))]))])),
        ("c/d", fields([("m", map([("x", text("y"))]))])),
        ("c/e", fields([("m.x", text("y"))])),
    ])
    .await;
    pair.expect(from("c").filtered(equal("m.x", text("y"))), "d").await;
    pair.expect(from("c").filtered(equal("m.x.`odd key`", int(1))), "c").await;
    pair.expect(from("c").filtered(equal("`m.x`", text("y"))), "e").await;
    pair.expect(from("c").filtered(unary("m.x", Unary::IsNotNull)), "d c").await;
}

/// The documents from the examples in the documentation of `or`.
async fn of_a_and_b() -> Pair {
    Pair::with([
        ("c/1", fields([("a", int(1)), ("b", int(0)), ("t", array([int(0)]))])),
        ("c/2", fields([("b", int(1)), ("t", array([int(1)]))])),
        ("c/3", fields([("a", int(3)), ("b", int(2)), ("t", array([int(2), int(7)]))])),
        ("c/4", fields([("a", int(1)), ("b", int(3)), ("t", array([int(3), int(7)]))])),
        ("c/5", fields([("a", int(1))])),
        ("c/6", fields([("a", int(2))])),
    ])
    .await
}

#[tokio::test]
async fn and_and_or_nest() {
    let pair = of_a_and_b().await;
    let a = |n| equal("a", int(n));
    let b = |n| equal("b", int(n));
    for (filter, ids) in [
        (all([a(1)]), "1 4 5"),
        (all([a(1), b(3)]), "4"),
        (all([a(1), a(2)]), ""),
        (any([a(1), b(1)]), "1 2 4 5"),
        (any([a(1), a(1)]), "1 4 5"),
        (any([all([a(1), b(0)]), all([a(3), b(2)])]), "1 3"),
        (all([a(1), any([b(0), b(3)])]), "1 4"),
        (all([any([a(2), b(2)]), any([a(3), b(3)])]), "3"),
        (all([all([a(1), any([b(0)])])]), "1"),
        (any([a(2), test("b", Op::In, array([int(2), int(3)]))]), "3 4 6"),
        (any([a(2), test("t", Op::ArrayContains, int(7))]), "3 4 6"),
        (any([a(2), test("t", Op::ArrayContainsAny, array([int(0), int(3)]))]), "1 4 6"),
        (
            all([
                test("a", Op::In, array([int(2), int(3)])),
                test("t", Op::ArrayContainsAny, array([int(0), int(7)])),
            ]),
            "3",
        ),
    ] {
        pair.expect(from("c").filtered(filter), ids).await;
    }
}

#[tokio::test]
async fn a_disjunction_of_inequalities_is_ordered_by_their_fields() {
    let pair = of_a_and_b().await;
    let filter = any([
        test("a", Op::GreaterThan, int(2)),
        test("b", Op::LessThan, int(1)),
        equal("a", int(1)),
    ]);
    // The order is by a, then b, and omits documents that lack one of them.
    pair.expect(from("c").filtered(filter.clone()), "1 4 3").await;
    pair.expect(from("c").filtered(filter.clone()).descending("b"), "4 3 1").await;
    pair.expect(from("c").filtered(filter).ordered("b").limited(1), "1").await;
}

#[tokio::test]
async fn inequalities_on_several_fields_combine() {
    let pair = Pair::with([
        ("c/a", fields([("x", int(1)), ("y", int(9))])),
        ("c/b", fields([("x", int(2)), ("y", int(8))])),
        ("c/c", fields([("x", int(3)), ("y", int(7))])),
        ("c/d", fields([("x", int(3)), ("y", int(1))])),
        ("c/e", fields([("x", int(4))])),
    ])
    .await;
    let over = |path, n| test(path, Op::GreaterThan, int(n));
    let both = || all([over("x", 1), over("y", 1)]);
    pair.expect(from("c").filtered(both()), "b c").await;
    pair.expect(from("c").filtered(both()).ordered("y"), "c b").await;
    pair.expect(from("c").filtered(both()).descending("x"), "c b").await;
    let range = all([over("x", 1), test("x", Op::LessThanOrEqual, int(3)), equal("y", int(1))]);
    pair.expect(from("c").filtered(range), "d").await;
    let nothing = all([over("x", 3), test("x", Op::LessThan, int(2))]);
    pair.expect(from("c").filtered(nothing), "").await;
}

#[tokio::test]
async fn names_are_filtered_as_references() {
    let pair = Pair::with(["aa", "ab", "ba", "bb"].map(|id| {
        let path = match id {
            "aa" => "c/aa",
            "ab" => "c/ab",
            "ba" => "c/ba",
            _ => "c/bb",
        };
        (path, fields([("k", text(id))]))
    }))
    .await;
    let name = |id: &str| reference(pair.name(&format!("c/{id}")));
    for (filter, ids) in [
        (equal(NAME, name("ab")), "ab"),
        (test(NAME, Op::NotEqual, name("ab")), "aa ba bb"),
        (test(NAME, Op::GreaterThan, name("aa")), "ab ba bb"),
        (test(NAME, Op::LessThan, name("b")), "aa ab"),
        (test(NAME, Op::In, array([name("bb"), name("aa"), name("zz")])), "aa bb"),
        (test(NAME, Op::NotIn, array([name("bb"), name("aa")])), "ab ba"),
        (
            all([
                test(NAME, Op::GreaterThan, name("aa")),
                test(NAME, Op::LessThanOrEqual, name("ba")),
            ]),
            "ab ba",
        ),
        (all([equal("k", text("ab")), test(NAME, Op::GreaterThan, name("aa"))]), "ab"),
    ] {
        pair.expect(from("c").filtered(filter), ids).await;
    }
    let filter = test(NAME, Op::GreaterThanOrEqual, name("ab"));
    let descending = from("c").filtered(filter).descending(NAME);
    pair.refuse(descending, Code::FailedPrecondition, "an index by name, descending").await;
    let descending = from("c").filtered(equal("k", text("ab"))).descending(NAME);
    pair.expect(descending, "ab").await;
}

#[tokio::test]
async fn indexes_follow_writes_after_they_are_built() {
    use crate::support::writes::{patch, put, remove};
    let pair = Pair::with([
        ("c/a", fields([("x", int(1)), ("y", int(1))])),
        ("c/b", fields([("x", int(1)), ("y", int(2))])),
    ])
    .await;
    let query = || from("c").filtered(equal("x", int(1))).ordered("y");
    pair.expect(query(), "a b").await;
    pair.commit([
        patch(pair.name("c/a"), fields([("y", int(3))]), ["y"]),
        put(pair.name("c/c"), fields([("x", double(1.0)), ("y", null())])),
        put(pair.name("c/d"), fields([("x", int(1))])),
    ])
    .await;
    pair.expect(query(), "c b a").await;
    pair.commit([remove(pair.name("c/b")), patch(pair.name("c/c"), fields([]), ["x"])]).await;
    pair.expect(query(), "a").await;
}
