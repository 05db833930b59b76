//! Values: stored values are read back unchanged, invalid ones are refused, and all are sorted.

use tonic::Code;

use crate::support::Local;
use crate::support::queries::{Refine, from};
use crate::support::v1::value::ValueType;
use crate::support::values::*;
use crate::support::writes::{put, server_time, transform};

#[tokio::test]
async fn every_type_of_value_is_read_back_unchanged() {
    let local = Local::start().await;
    let all = fields([
        ("null", null()),
        ("false", boolean(false)),
        ("true", boolean(true)),
        ("smallest integer", int(i64::MIN)),
        ("largest integer", int(i64::MAX)),
        ("integral double", double(7.0)),
        ("negative zero", double(-0.0)),
        ("smallest double", double(f64::MIN_POSITIVE)),
        ("infinity", double(f64::INFINITY)),
        ("earliest time", time(-62_135_596_800, 0)),
        ("latest time", time(253_402_300_799, 999_999_000)),
        ("empty text", text("")),
        ("text", text("ünïcödé \u{0} \u{1F980}")),
        ("bytes", bytes(&[0, 255, 128])),
        ("reference", reference(local.name("any/where"))),
        ("geo point", geo(-90.0, 180.0)),
        ("empty array", array([])),
        ("array", array([null(), int(1), text("x"), map([("a", array([int(2)]))])])),
        ("empty map", map([])),
        ("map", map([("a.b", int(1)), ("`", map([("ü", null())]))])),
        ("vector", vector([1.0, 2.5])),
    ]);
    local.commit([put(local.name("c/d"), all.clone())]).await.unwrap();
    let stored = local.get("c/d").await.unwrap();
    assert_eq!(stored.fields, all);
    let Some(ValueType::DoubleValue(zero)) = stored.fields["negative zero"].value_type else {
        panic!("a double stays a double");
    };
    assert!(zero.is_sign_negative(), "the sign of zero is kept");
}

#[tokio::test]
async fn nan_is_read_back() {
    let local = Local::start().await;
    local.set("c/d", [("x", double(f64::NAN))]).await;
    let stored = local.fields("c/d").await.unwrap();
    let Some(ValueType::DoubleValue(number)) = stored["x"].value_type else { panic!("{stored:?}") };
    assert!(number.is_nan());
}

#[tokio::test]
async fn times_are_truncated_to_microseconds() {
    let local = Local::start().await;
    let inside = array([map([("t", time(-5, 123_456_789))])]);
    local.set("c/d", [("t", time(5, 999_999_999)), ("inside", inside)]).await;
    let stored = local.fields("c/d").await.unwrap();
    assert_eq!(stored["t"], time(5, 999_999_000));
    assert_eq!(stored["inside"], array([map([("t", time(-5, 123_456_000))])]));
}

#[tokio::test]
async fn values_sort_across_types_as_documented() {
    let local = Local::start().await;
    let sorted = [
        null(),
        boolean(false),
        boolean(true),
        double(f64::NAN),
        double(f64::NEG_INFINITY),
        int(i64::MIN),
        double(-1.5),
        int(0),
        double(0.5),
        int(1),
        int(9_007_199_254_740_992),
        int(9_007_199_254_740_993),
        double(f64::INFINITY),
        time(-1, 0),
        time(1, 0),
        text(""),
        text("Z"),
        text("a"),
        text("aa"),
        text("\u{ff5e}"),
        text("\u{1F980}"),
        bytes(&[]),
        bytes(&[0]),
        bytes(&[255]),
        reference(local.name("a/b")),
        reference(local.name("a/b/c/d")),
        reference(local.name("a/c")),
        geo(-1.0, 5.0),
        geo(1.0, -5.0),
        geo(1.0, 5.0),
        array([]),
        array([int(1)]),
        array([int(1), null()]),
        array([text("")]),
        vector([9.0]),
        vector([1.0, 1.0]),
        vector([1.0, 2.0]),
        map([]),
        map([("a", int(1))]),
        map([("a", int(1)), ("b", int(0))]),
        map([("a", int(2))]),
        map([("b", int(0))]),
    ];
    // The names sort in reverse, so that an order by name would fail the test.
    let names: Vec<String> =
        (0..sorted.len()).map(|place| format!("c/{:03}", sorted.len() - place)).collect();
    let writes = names
        .iter()
        .zip(&sorted)
        .map(|(path, value)| put(local.name(path), fields([("v", value.clone())])));
    local.commit(writes).await.unwrap();
    assert_eq!(local.paths(from("c").ordered("v")).await.unwrap(), names);
    let mut reversed = names;
    reversed.reverse();
    assert_eq!(local.paths(from("c").descending("v")).await.unwrap(), reversed);
}

#[tokio::test]
async fn invalid_fields_are_refused() {
    let local = Local::start().await;
    let long_name = "n".repeat(1_501);
    for (why, name, value) in [
        ("an array in an array", "x", array([array([])])),
        ("a nested array in an array", "x", map([("m", array([array([int(1)])]))])),
        ("a reserved name", "__x__", int(1)),
        ("a nested reserved name", "x", map([("__x__", int(1))])),
        ("an empty name", "", int(1)),
        ("a long name", long_name.as_str(), int(1)),
        ("a time before year 1", "x", time(-62_135_596_801, 0)),
        ("a time after year 9999", "x", time(253_402_300_800, 0)),
        ("negative nanoseconds", "x", time(0, -1)),
        ("too many nanoseconds", "x", time(0, 1_000_000_000)),
        ("a latitude beyond the pole", "x", geo(90.1, 0.0)),
        ("a longitude beyond the date line", "x", geo(0.0, -180.1)),
        ("a latitude that is not a number", "x", geo(f64::NAN, 0.0)),
        ("a reference to a collection", "x", reference(local.name("c"))),
        ("an invalid reference", "x", reference("nonsense")),
        ("maps nested too deep", "x", nested(21)),
        ("a reference to a field", "x", value(ValueType::FieldReferenceValue("y".into()))),
        ("a reference to a variable", "x", value(ValueType::VariableReferenceValue("y".into()))),
        ("a function", "x", value(ValueType::FunctionValue(Default::default()))),
        ("a pipeline", "x", value(ValueType::PipelineValue(Default::default()))),
    ] {
        let code = local.refused(put(local.name("c/d"), fields([(name, value)]))).await;
        assert_eq!(code, Code::InvalidArgument, "{why}");
    }
    assert_eq!(local.fields("c/d").await, None);
}

#[tokio::test]
async fn twenty_levels_of_nesting_are_accepted() {
    let local = Local::start().await;
    local.set("c/d", [("x", nested(20))]).await;
    assert_eq!(local.fields("c/d").await.unwrap()["x"], nested(20));
}

#[tokio::test]
async fn a_transform_that_nests_too_deeply_is_refused() {
    let local = Local::start().await;
    let path = ["a"; 22].join(".");
    let write = transform(local.name("c/d"), [server_time(&path)]);
    assert_eq!(local.refused(write).await, Code::InvalidArgument);
}
