//! Field transforms: the values they store, and the results they return.

use tonic::Code;

use crate::support::Local;
use crate::support::v1::document_transform::{FieldTransform, field_transform::TransformType};
use crate::support::v1::value::ValueType;
use crate::support::v1::write::Operation;
use crate::support::v1::{DocumentTransform, Value, Write};
use crate::support::values::*;
use crate::support::writes::*;

/// Stores `before` in field `x` (nothing for `None`) and applies the transform to it; returns the
/// stored value and the transform's result.
async fn apply(local: &Local, before: Option<Value>, by: FieldTransform) -> (Value, Value) {
    let stored = before.map(|value| ("x".to_owned(), value)).into_iter().collect();
    let name = local.name("c/d");
    let mut answer =
        local.commit([put(name.clone(), stored), transform(name, [by])]).await.unwrap();
    let mut results = answer.write_results.remove(1).transform_results;
    assert_eq!(results.len(), 1);
    let after = local.fields("c/d").await.unwrap().remove("x").expect("the field is set");
    (after, results.remove(0))
}

/// Bitwise equality, with all NaNs equal.
fn same(a: &Value, b: &Value) -> bool {
    match (&a.value_type, &b.value_type) {
        (Some(ValueType::DoubleValue(a)), Some(ValueType::DoubleValue(b))) => {
            a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
        }
        (a, b) => a == b,
    }
}

#[tokio::test]
async fn numbers_are_added_and_compared_as_documented() {
    let local = Local::start().await;
    let nan = || double(f64::NAN);
    for (before, by, expected) in [
        (None, increment("x", int(3)), int(3)),
        (Some(text("no number")), increment("x", double(0.5)), double(0.5)),
        (Some(int(2)), increment("x", int(-5)), int(-3)),
        (Some(int(2)), increment("x", double(0.5)), double(2.5)),
        (Some(double(0.5)), increment("x", int(1)), double(1.5)),
        (Some(int(i64::MAX)), increment("x", int(1)), int(i64::MAX)),
        (Some(int(i64::MIN)), increment("x", int(-1)), int(i64::MIN)),
        (Some(nan()), increment("x", int(1)), nan()),
        (None, maximum("x", int(3)), int(3)),
        (Some(null()), maximum("x", int(3)), int(3)),
        (Some(int(5)), maximum("x", int(3)), int(5)),
        (Some(int(5)), maximum("x", double(5.5)), double(5.5)),
        (Some(int(5)), maximum("x", double(5.0)), int(5)),
        (Some(double(0.0)), maximum("x", double(-0.0)), double(0.0)),
        (Some(nan()), maximum("x", int(3)), nan()),
        (None, minimum("x", int(3)), int(3)),
        (Some(array([])), minimum("x", int(3)), int(3)),
        (Some(int(5)), minimum("x", int(3)), int(3)),
        (Some(double(5.0)), minimum("x", int(5)), double(5.0)),
        (Some(int(1)), minimum("x", nan()), nan()),
    ] {
        let case = format!("{before:?} {by:?}");
        let (stored, answered) = apply(&local, before, by).await;
        assert!(same(&stored, &expected), "{case}: {stored:?}");
        assert!(same(&answered, &expected), "{case}: {answered:?}");
    }
}

#[tokio::test]
async fn array_union_adds_missing_elements_and_array_remove_removes_every_occurrence() {
    let local = Local::start().await;
    let items = array([int(1), text("a"), int(1), map([("k", int(1))])]);
    for (before, by, expected) in [
        (None, union("x", [int(1), int(1), int(2)]), array([int(1), int(2)])),
        (Some(text("no array")), union("x", [int(1)]), array([int(1)])),
        (
            Some(items.clone()),
            union("x", [double(1.0), text("b"), map([("k", double(1.0))])]),
            array([int(1), text("a"), int(1), map([("k", int(1))]), text("b")]),
        ),
        (Some(items.clone()), union("x", []), items.clone()),
        (None, without("x", [int(1)]), array([])),
        (Some(int(1)), without("x", [int(1)]), array([])),
        (
            Some(items.clone()),
            without("x", [double(1.0), map([("k", int(1))]), text("absent")]),
            array([text("a")]),
        ),
        (
            Some(array([null(), double(f64::NAN)])),
            without("x", [null()]),
            array([double(f64::NAN)]),
        ),
    ] {
        let case = format!("{before:?} {by:?}");
        let (stored, answered) = apply(&local, before, by).await;
        assert_eq!(format!("{stored:?}"), format!("{expected:?}"), "{case}");
        assert_eq!(answered, null(), "{case}");
    }
}

#[tokio::test]
async fn server_time_is_the_commit_time_in_milliseconds_for_all_writes() {
    let local = Local::start().await;
    let writes = [
        transform(local.name("c/a"), [server_time("t"), server_time("m.t")]),
        transform(local.name("c/b"), [server_time("t")]),
    ];
    let answer = local.commit(writes).await.unwrap();
    let commit_time = answer.commit_time.unwrap();
    let a = local.fields("c/a").await.unwrap();
    let Some(ValueType::TimestampValue(stored)) = a["t"].value_type else { panic!("{a:?}") };
    assert_eq!(stored.seconds, commit_time.seconds);
    assert_eq!(stored.nanos, commit_time.nanos - commit_time.nanos % 1_000_000);
    assert_eq!(a["m"], map([("t", a["t"].clone())]));
    assert_eq!(local.fields("c/b").await.unwrap()["t"], a["t"]);
    assert_eq!(answer.write_results[0].transform_results, [a["t"].clone(), a["t"].clone()]);
}

#[tokio::test]
async fn transforms_apply_in_order_after_the_update() {
    let local = Local::start().await;
    local.set("c/d", [("n", int(100)), ("kept", int(1))]).await;
    let write = Write {
        update_transforms: vec![
            increment("n", int(1)),
            increment("n", int(10)),
            maximum("m.`odd key`", int(7)),
        ],
        ..patch(local.name("c/d"), fields([("n", int(5))]), ["n"])
    };
    let answer = local.commit([write]).await.unwrap();
    assert_eq!(answer.write_results[0].transform_results, [int(6), int(16), int(7)]);
    let expected = fields([("n", int(16)), ("kept", int(1)), ("m", map([("odd key", int(7))]))]);
    assert_eq!(local.fields("c/d").await, Some(expected));
}

#[tokio::test]
async fn the_older_transform_operation_is_supported() {
    let local = Local::start().await;
    local.set("c/d", [("n", int(1))]).await;
    let write = Write {
        operation: Some(Operation::Transform(DocumentTransform {
            document: local.name("c/d"),
            field_transforms: vec![increment("n", int(1))],
        })),
        ..Write::default()
    };
    let answer = local.commit([write]).await.unwrap();
    assert_eq!(answer.write_results[0].transform_results, [int(2)]);
    assert_eq!(local.fields("c/d").await, Some(fields([("n", int(2))])));
}

#[tokio::test]
async fn a_transform_alone_creates_the_document() {
    let local = Local::start().await;
    local.commit([transform(local.name("c/d"), [increment("n", int(1))])]).await.unwrap();
    assert_eq!(local.fields("c/d").await, Some(fields([("n", int(1))])));
}

#[tokio::test]
async fn invalid_transforms_are_refused() {
    let local = Local::start().await;
    let typeless = FieldTransform { field_path: "x".into(), transform_type: None };
    let unknown = FieldTransform {
        field_path: "x".into(),
        transform_type: Some(TransformType::SetToServerValue(99)),
    };
    for by in [
        increment("x", text("1")),
        increment("x", null()),
        maximum("x", boolean(true)),
        minimum("x", array([])),
        union("x", [array([])]),
        increment("", int(1)),
        increment("__name__", int(1)),
        increment("__x__", int(1)),
        typeless,
        unknown,
    ] {
        let case = format!("{by:?}");
        let code = local.refused(transform(local.name("c/d"), [by])).await;
        assert_eq!(code, Code::InvalidArgument, "{case}");
    }
    let with_delete =
        Write { update_transforms: vec![increment("x", int(1))], ..remove(local.name("c/d")) };
    assert_eq!(local.refused(with_delete).await, Code::InvalidArgument);
    assert_eq!(local.fields("c/d").await, None);
}

#[tokio::test]
async fn concurrent_increments_are_all_counted() {
    let local = Local::start().await;
    let increments = (0..50).map(|_| {
        let client = local.clone();
        tokio::spawn(async move {
            let write = transform(client.name("c/d"), [increment("n", int(1))]);
            client.commit([write]).await.unwrap();
        })
    });
    for outcome in futures::future::join_all(increments).await {
        outcome.unwrap();
    }
    assert_eq!(local.fields("c/d").await, Some(fields([("n", int(50))])));
}
