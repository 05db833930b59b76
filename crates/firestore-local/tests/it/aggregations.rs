//! RunAggregationQuery.

use firestore_local::Server;
use tonic::Code;

use crate::support::Local;
use crate::support::queries::*;
use crate::support::v1::Value;
use crate::support::v1::value::ValueType;
use crate::support::values::*;
use crate::support::writes::put;

async fn with<const N: usize>(values: [Option<Value>; N]) -> Local {
    let local = Local::start().await;
    let writes = values.into_iter().enumerate().map(|(n, value)| {
        let stored = value.map(|value| ("x".to_owned(), value)).into_iter().collect();
        put(local.name(&format!("c/{n:03}")), stored)
    });
    local.commit(writes).await.unwrap();
    local
}

async fn sum_of<const N: usize>(values: [Value; N]) -> Value {
    let local = with(values.map(Some)).await;
    local.aggregate(from("c"), [sum("s", "x")]).await.unwrap().remove("s").unwrap()
}

async fn average_of<const N: usize>(values: [Value; N]) -> Value {
    let local = with(values.map(Some)).await;
    local.aggregate(from("c"), [average("a", "x")]).await.unwrap().remove("a").unwrap()
}

fn is_nan(value: &Value) -> bool {
    matches!(value.value_type, Some(ValueType::DoubleValue(number)) if number.is_nan())
}

#[tokio::test]
async fn counts_follow_filters_cursors_limits_and_offsets() {
    let local = Local::start().await;
    let writes =
        (0..20).map(|n| put(local.name(&format!("c/{n:02}")), fields([("x", int(n % 5))])));
    local.commit(writes).await.unwrap();
    for (query, counted) in [
        (from("c"), 20),
        (from("c").filtered(equal("x", int(3))), 4),
        (from("c").filtered(test("x", Op::LessThan, int(2))), 8),
        (from("c").limited(7), 7),
        (from("c").skipping(15), 5),
        (from("c").skipping(15).limited(3), 3),
        (from("c").ordered("x").start_after([int(3)]), 4),
        (from("c").ordered("missing"), 0),
        (group("c"), 20),
        (from("nothing here"), 0),
    ] {
        let case = format!("{query:?}");
        let result = local.aggregate(query, [count("n")]).await.unwrap();
        assert_eq!(result, fields([("n", int(counted))]), "{case}");
    }
    let result = local.aggregate(from("c"), [count_up_to("n", 7), count("all")]).await.unwrap();
    assert_eq!(result, fields([("n", int(7)), ("all", int(20))]));
}

#[tokio::test]
async fn sums_are_integers_unless_they_include_a_double_or_overflow() {
    assert_eq!(sum_of([]).await, int(0));
    assert_eq!(sum_of([int(1), int(2)]).await, int(3));
    assert_eq!(sum_of([int(1), double(0.5)]).await, double(1.5));
    assert_eq!(sum_of([int(1), double(1.0)]).await, double(2.0));
    assert_eq!(sum_of([int(i64::MAX), int(1)]).await, double(9_223_372_036_854_775_808.0));
    assert_eq!(sum_of([int(i64::MAX), int(5), int(-5)]).await, int(i64::MAX));
    assert_eq!(sum_of([double(f64::MAX), double(f64::MAX)]).await, double(f64::INFINITY));
    assert!(is_nan(&sum_of([int(1), double(f64::NAN)]).await));
    assert!(is_nan(&sum_of([double(f64::INFINITY), double(f64::NEG_INFINITY)]).await));
    assert_eq!(sum_of([text("1"), null(), int(2), array([int(7)])]).await, int(2));
}

#[tokio::test]
async fn averages_are_doubles_or_null_without_numbers() {
    assert_eq!(average_of([]).await, null());
    assert_eq!(average_of([text("no number")]).await, null());
    assert_eq!(average_of([int(1), int(2)]).await, double(1.5));
    assert_eq!(average_of([int(2), int(2)]).await, double(2.0));
    assert_eq!(average_of([text("skipped"), int(4), double(5.0)]).await, double(4.5));
    assert!(is_nan(&average_of([int(1), double(f64::NAN)]).await));
}

#[tokio::test]
async fn only_documents_with_all_aggregated_fields_count() {
    let local = Local::start().await;
    let book = |pages, year: Option<i64>| {
        let mut stored = fields([("pages", int(pages))]);
        stored.extend(year.map(|year| ("year".to_owned(), int(year))));
        stored
    };
    let books =
        [book(100, Some(1980)), book(50, Some(2020)), book(150, Some(2021)), book(50, None)];
    let writes = books.into_iter().enumerate();
    let writes = writes.map(|(n, book)| put(local.name(&format!("c/{n}")), book));
    local.commit(writes).await.unwrap();
    let aggregations =
        [sum("pages", "pages"), average("length", "pages"), average("year", "year"), count("n")];
    let result = local.aggregate(from("c"), aggregations).await.unwrap();
    let expected =
        [("pages", int(300)), ("length", double(100.0)), ("year", double(2007.0)), ("n", int(3))];
    assert_eq!(result, fields(expected));
    let alone = local.aggregate(from("c"), [sum("pages", "pages"), count("n")]).await.unwrap();
    assert_eq!(alone, fields([("pages", int(350)), ("n", int(4))]));
}

#[tokio::test]
async fn aggregations_without_an_alias_get_one_by_position() {
    let local = with([Some(int(5)), Some(int(6))]).await;
    let result = local.aggregate(from("c"), [count(""), sum("s", "x"), sum("", "x")]).await;
    let expected = fields([("field_1", int(2)), ("s", int(11)), ("field_2", int(11))]);
    assert_eq!(result.unwrap(), expected);
}

#[tokio::test]
async fn aggregated_fields_may_lie_in_maps() {
    let local = Local::start().await;
    local.set("c/a", [("m", map([("odd key", int(2))]))]).await;
    local.set("c/b", [("m", map([("odd key", int(3))]))]).await;
    let result = local.aggregate(from("c"), [sum("s", "m.`odd key`")]).await.unwrap();
    assert_eq!(result, fields([("s", int(5))]));
}

#[tokio::test]
async fn invalid_aggregations_are_refused() {
    let local = with([Some(int(1))]).await;
    let refused = async |outcome: Result<Fields, tonic::Status>| {
        assert_eq!(outcome.unwrap_err().code(), Code::InvalidArgument);
    };
    refused(local.aggregate(from("c"), []).await).await;
    let six = ["a", "b", "c", "d", "e", "f"].map(count);
    refused(local.aggregate(from("c"), six).await).await;
    refused(local.aggregate(from("c"), [count("n"), sum("n", "x")]).await).await;
    refused(local.aggregate(from("c"), [count_up_to("n", 0)]).await).await;
    refused(local.aggregate(from("c"), [sum("s", "x.")]).await).await;
    refused(local.aggregate(from("c").limited(-1), [count("n")]).await).await;
}

#[tokio::test]
async fn scans_and_indexes_agree_on_aggregations() {
    let scanning = Local::of(Server::builder().index_threshold(usize::MAX - 1)).await;
    let indexing = Local::of(Server::builder().index_threshold(0)).await;
    let mut answers = Vec::new();
    for local in [&scanning, &indexing] {
        let writes = (0..300).map(|n| {
            put(local.name(&format!("c/{n}")), fields([("x", int(n % 10)), ("y", double(0.5))]))
        });
        local.commit(writes).await.unwrap();
        let query = || from("c").filtered(test("x", Op::GreaterThanOrEqual, int(4)));
        let all = [count("n"), sum("x", "x"), average("y", "y")];
        answers.push(local.aggregate(query(), all).await.unwrap());
    }
    let expected = fields([("n", int(180)), ("x", int(1_170)), ("y", double(0.5))]);
    assert_eq!(answers, [expected.clone(), expected]);
}
