//! Builders for values.

use std::collections::HashMap;

use firestore::gcloud_sdk::google::r#type::LatLng;
use prost_types::Timestamp;

use super::v1::value::ValueType;
use super::v1::{ArrayValue, MapValue, Value};

pub type Fields = HashMap<String, Value>;

pub fn value(kind: ValueType) -> Value {
    Value { value_type: Some(kind) }
}

pub fn null() -> Value {
    value(ValueType::NullValue(0))
}

pub fn boolean(flag: bool) -> Value {
    value(ValueType::BooleanValue(flag))
}

pub fn int(number: i64) -> Value {
    value(ValueType::IntegerValue(number))
}

pub fn double(number: f64) -> Value {
    value(ValueType::DoubleValue(number))
}

pub fn time(seconds: i64, nanos: i32) -> Value {
    value(ValueType::TimestampValue(Timestamp { seconds, nanos }))
}

pub fn text(text: &str) -> Value {
    value(ValueType::StringValue(text.to_owned()))
}

pub fn bytes(bytes: &[u8]) -> Value {
    value(ValueType::BytesValue(bytes.to_vec()))
}

pub fn reference(name: impl Into<String>) -> Value {
    value(ValueType::ReferenceValue(name.into()))
}

pub fn geo(latitude: f64, longitude: f64) -> Value {
    value(ValueType::GeoPointValue(LatLng { latitude, longitude }))
}

pub fn array(values: impl IntoIterator<Item = Value>) -> Value {
    value(ValueType::ArrayValue(list(values)))
}

pub fn list(values: impl IntoIterator<Item = Value>) -> ArrayValue {
    ArrayValue { values: values.into_iter().collect() }
}

pub fn map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    value(ValueType::MapValue(MapValue { fields: fields(pairs) }))
}

/// A vector, which is a map by convention.
pub fn vector<const N: usize>(elements: [f64; N]) -> Value {
    map([("__type__", text("__vector__")), ("value", array(elements.map(double)))])
}

pub fn fields<const N: usize>(pairs: [(&str, Value); N]) -> Fields {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// `levels` maps, one inside the other.
pub fn nested(levels: usize) -> Value {
    (0..levels).fold(int(1), |inner, _| map([("m", inner)]))
}

/// The integer that a value holds.
pub fn integer(value: &Value) -> i64 {
    match value.value_type {
        Some(ValueType::IntegerValue(number)) => number,
        ref other => panic!("not an integer: {other:?}"),
    }
}
