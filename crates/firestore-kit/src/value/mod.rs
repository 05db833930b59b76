//! Firestore values: short constructors, readers, and the conversion to and from JSON, for documents
//! that are read rarely.

mod carry;
mod memory;
mod read;
mod typed;

use std::collections::HashMap;

use firestore::gcloud_sdk::google::firestore::v1::{
    ArrayValue, Document, MapValue, Value, value::ValueType,
};
use prost_types::Timestamp;
use serde::Serialize;
use serde_json::{Map, Number, Value as Json};

use crate::error::{Error, Result};
pub use carry::{NotJson, over};
pub use memory::memory;
pub use read::{ReadError, from_fields, from_known_fields};
pub use typed::{exceeds_json, from_typed_json, to_typed_json};

/// The fields of a document or of a map value.
pub type Fields = HashMap<String, Value>;

fn value(kind: ValueType) -> Value {
    Value { value_type: Some(kind) }
}

pub fn int(number: i64) -> Value {
    value(ValueType::IntegerValue(number))
}

pub fn boolean(flag: bool) -> Value {
    value(ValueType::BooleanValue(flag))
}

pub fn double(number: f64) -> Value {
    value(ValueType::DoubleValue(number))
}

pub fn string(text: impl Into<String>) -> Value {
    value(ValueType::StringValue(text.into()))
}

pub fn bytes(data: Vec<u8>) -> Value {
    value(ValueType::BytesValue(data))
}

pub fn array(values: Vec<Value>) -> Value {
    value(ValueType::ArrayValue(ArrayValue { values }))
}

pub fn map(fields: Fields) -> Value {
    value(ValueType::MapValue(MapValue { fields }))
}

pub fn reference(name: String) -> Value {
    value(ValueType::ReferenceValue(name))
}

pub fn timestamp(time: Timestamp) -> Value {
    value(ValueType::TimestampValue(time))
}

/// Fields from pairs of name and value.
pub fn fields<const N: usize>(pairs: [(&str, Value); N]) -> Fields {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

pub fn as_str(fields: &Fields, name: &str) -> Option<String> {
    match fields.get(name)?.value_type.as_ref()? {
        ValueType::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

pub fn as_int(fields: &Fields, name: &str) -> Option<i64> {
    match fields.get(name)?.value_type.as_ref()? {
        ValueType::IntegerValue(number) => Some(*number),
        _ => None,
    }
}

pub fn as_bool(fields: &Fields, name: &str) -> Option<bool> {
    match fields.get(name)?.value_type.as_ref()? {
        ValueType::BooleanValue(flag) => Some(*flag),
        _ => None,
    }
}

pub fn as_map<'a>(fields: &'a Fields, name: &str) -> Option<&'a Fields> {
    match fields.get(name)?.value_type.as_ref()? {
        ValueType::MapValue(map) => Some(&map.fields),
        _ => None,
    }
}

/// A whole number, stored as an integer or as a double.
pub fn as_whole(fields: &Fields, name: &str) -> Option<i64> {
    match fields.get(name)?.value_type.as_ref()? {
        ValueType::IntegerValue(number) => Some(*number),
        #[expect(clippy::cast_possible_truncation, reason = "small, and checked to be whole")]
        ValueType::DoubleValue(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            Some(*number as i64)
        }
        _ => None,
    }
}

/// A time in epoch milliseconds, stored as a whole number or as a Timestamp.
pub fn as_millis(fields: &Fields, name: &str) -> Option<i64> {
    match fields.get(name)?.value_type.as_ref()? {
        ValueType::TimestampValue(time) => Some(epoch_millis(time)),
        _ => as_whole(fields, name),
    }
}

/// A number, stored as an integer or as a double.
pub fn as_number(fields: &Fields, name: &str) -> Option<f64> {
    match fields.get(name)?.value_type.as_ref()? {
        #[expect(clippy::cast_precision_loss, reason = "for values that are doubles in the end")]
        ValueType::IntegerValue(number) => Some(*number as f64),
        ValueType::DoubleValue(number) => Some(*number),
        _ => None,
    }
}

pub fn as_bytes<'a>(fields: &'a Fields, name: &str) -> Option<&'a [u8]> {
    match fields.get(name)?.value_type.as_ref()? {
        ValueType::BytesValue(data) => Some(data),
        _ => None,
    }
}

/// JSON to a Firestore value. Whole numbers become integers, others doubles; a number beyond the
/// 64-bit range becomes a double, as the official SDKs do.
pub fn from_json(json: &Json) -> Value {
    value(match json {
        Json::Null => ValueType::NullValue(0),
        Json::Bool(flag) => ValueType::BooleanValue(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => ValueType::IntegerValue(whole),
            None => ValueType::DoubleValue(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => ValueType::StringValue(text.clone()),
        Json::Array(items) => {
            ValueType::ArrayValue(ArrayValue { values: items.iter().map(from_json).collect() })
        }
        Json::Object(object) => ValueType::MapValue(MapValue { fields: fields_from_json(object) }),
    })
}

pub fn fields_from_json(object: &Map<String, Json>) -> Fields {
    object.iter().map(|(name, json)| (name.clone(), from_json(json))).collect()
}

/// A Firestore value as JSON. Types that JSON lacks become strings (timestamps as RFC 3339, bytes
/// in hexadecimal, NaN and the infinities by name), so that a reader sees every field. Only
/// documents of JSON types may be written back from the result.
pub fn to_json(value: &Value) -> Json {
    match value.value_type.as_ref() {
        None | Some(ValueType::NullValue(_)) => Json::Null,
        Some(ValueType::BooleanValue(flag)) => Json::Bool(*flag),
        Some(ValueType::IntegerValue(number)) => Json::from(*number),
        Some(ValueType::DoubleValue(number)) => {
            Number::from_f64(*number).map_or_else(|| Json::String(number.to_string()), Json::Number)
        }
        Some(ValueType::TimestampValue(time)) => Json::String(rfc3339(time)),
        Some(ValueType::StringValue(text) | ValueType::ReferenceValue(text)) => {
            Json::String(text.clone())
        }
        Some(ValueType::BytesValue(data)) => Json::String(hex::encode(data)),
        Some(ValueType::GeoPointValue(point)) => {
            serde_json::json!({ "latitude": point.latitude, "longitude": point.longitude })
        }
        Some(ValueType::ArrayValue(array)) => array.values.iter().map(to_json).collect(),
        Some(ValueType::MapValue(map)) => Json::Object(fields_to_json(&map.fields)),
        Some(other) => Json::String(format!("{other:?}")),
    }
}

/// The fields of a value that serializes as a JSON object.
///
/// # Errors
/// Any other value: it must not be stored as an empty document.
pub fn to_fields(value: &impl Serialize) -> Result<Fields> {
    match encoded(value)? {
        Json::Object(object) => Ok(fields_from_json(&object)),
        other => Err(Error::Encode { detail: format!("expected a map, got {other}") }),
    }
}

/// The JSON of a value that is to be stored.
///
/// # Errors
/// The value does not serialize.
pub fn encoded(value: &impl Serialize) -> Result<Json> {
    serde_json::to_value(value).map_err(|error| Error::Encode { detail: error.to_string() })
}

pub fn fields_to_json(fields: &Fields) -> Map<String, Json> {
    fields.iter().map(|(name, value)| (name.clone(), to_json(value))).collect()
}

fn rfc3339(time: &Timestamp) -> String {
    let nanos = u32::try_from(time.nanos).unwrap_or(0);
    chrono::DateTime::from_timestamp(time.seconds, nanos)
        .map_or_else(|| format!("{}s", time.seconds), |moment| moment.to_rfc3339())
}

/// A time in epoch microseconds, the resolution of Firestore.
pub fn epoch_micros(time: &Timestamp) -> i64 {
    time.seconds.saturating_mul(1_000_000).saturating_add(i64::from(time.nanos) / 1_000)
}

/// A time in epoch milliseconds, rounded down.
pub fn epoch_millis(time: &Timestamp) -> i64 {
    epoch_micros(time).div_euclid(1_000)
}

/// The time from epoch microseconds.
pub fn from_epoch_micros(micros: i64) -> Timestamp {
    let nanos = micros.rem_euclid(1_000_000) * 1_000;
    let seconds = micros.div_euclid(1_000_000);
    Timestamp { seconds, nanos: i32::try_from(nanos).unwrap_or_default() }
}

/// The last segment of a document's resource name.
pub fn document_id(document: &Document) -> &str {
    document.name.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_survives_the_conversion_to_firestore_values_and_back() {
        let json = serde_json::json!({
            "whole": 7, "half": 0.5, "one": 1.0, "text": "a/b", "none": null, "yes": true,
            "list": [1, "two", { "three": 3 }], "nested": { "deep": { "deeper": [] } },
        });
        let back = to_json(&from_json(&json));
        assert_eq!(back, json);
        assert!(back["one"].is_f64(), "1.0 stays a double");
    }

    #[test]
    fn a_value_that_is_not_a_map_is_refused_instead_of_stored_empty() {
        let error = to_fields(&7).unwrap_err().to_string();
        assert!(error.contains("expected a map, got 7"), "{error}");
        let keys = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(to_fields(&keys).is_err());
        assert_eq!(to_fields(&serde_json::json!({ "a": 1 })).unwrap().len(), 1);
    }

    #[test]
    fn values_without_a_json_type_become_strings() {
        assert_eq!(to_json(&double(f64::NAN)), Json::from("NaN"));
        assert_eq!(to_json(&bytes(vec![0, 255])), Json::from("00ff"));
        let time = Timestamp { seconds: 0, nanos: 0 };
        assert_eq!(to_json(&timestamp(time)), Json::from("1970-01-01T00:00:00+00:00"));
    }

    #[test]
    fn times_survive_microseconds_and_are_rounded_down_to_milliseconds() {
        for micros in [0, 1, -1, 999_999, -1_000_001, 1_780_000_000_123_456] {
            let time = from_epoch_micros(micros);
            assert!((0..1_000_000_000).contains(&time.nanos), "{time:?}");
            assert_eq!(epoch_micros(&time), micros);
            assert_eq!(epoch_millis(&time), micros.div_euclid(1_000));
        }
    }
}
