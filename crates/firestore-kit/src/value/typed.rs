//! Values as JSON that keeps every type: each value is an object with its type as the only key, with the
//! names of the REST API of Firestore, as in `{"integerValue": "7"}`. A Timestamp is its seconds and
//! nanoseconds, bytes are in hexadecimal, and doubles that JSON does not keep are their bits.

use std::collections::HashMap;
use std::fmt;

use firestore::gcloud_sdk::google::firestore::v1::{ArrayValue, MapValue, Value, value::ValueType};
use firestore::gcloud_sdk::google::r#type::LatLng;
use prost_types::Timestamp;
use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::ser::{self, SerializeMap};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

use super::Fields;

/// Whether [`fields_to_json`](super::fields_to_json) loses a type: JSON lacks Timestamps, references,
/// bytes, points, NaN, the infinities, and some doubles in the last place.
pub fn exceeds_json(fields: &Fields) -> bool {
    fields.values().any(exceeds)
}

/// Whether the parser of JSON reads back the same number: for speed, it may err in the last place.
fn survives_json(number: f64) -> bool {
    let read = serde_json::to_string(&number).and_then(|text| serde_json::from_str::<f64>(&text));
    read.is_ok_and(|read| read.to_bits() == number.to_bits())
}

fn exceeds(value: &Value) -> bool {
    match value.value_type.as_ref() {
        Some(ValueType::ArrayValue(array)) => array.values.iter().any(exceeds),
        Some(ValueType::MapValue(map)) => exceeds_json(&map.fields),
        Some(ValueType::DoubleValue(number)) => !survives_json(*number),
        Some(
            ValueType::NullValue(_)
            | ValueType::BooleanValue(_)
            | ValueType::IntegerValue(_)
            | ValueType::StringValue(_),
        ) => false,
        _ => true,
    }
}

/// The fields with their types, as the text of a JSON object. It is written without a tree of JSON, which
/// would take hundreds of bytes for each value.
///
/// # Errors
/// A value that no document can hold.
pub fn to_typed_json(fields: &Fields) -> Result<String, String> {
    serde_json::to_string(&TypedFields(fields)).map_err(|error| error.to_string())
}

/// The fields that [`to_typed_json`] wrote.
///
/// # Errors
/// Any other text.
pub fn from_typed_json(text: &str) -> Result<Fields, String> {
    let fields: HashMap<String, Untyped> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(plain(fields))
}

struct TypedFields<'a>(&'a Fields);

impl Serialize for TypedFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, Typed(value))))
    }
}

struct Typed<'a>(&'a Value);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(kind) = self.0.value_type.as_ref() else {
            return serializer.serialize_map(Some(0))?.end();
        };
        let mut map = serializer.serialize_map(Some(1))?;
        match kind {
            ValueType::NullValue(_) => map.serialize_entry("nullValue", &())?,
            ValueType::BooleanValue(flag) => map.serialize_entry("booleanValue", flag)?,
            ValueType::IntegerValue(number) => {
                map.serialize_entry("integerValue", &number.to_string())?;
            }
            ValueType::DoubleValue(number) => {
                map.serialize_entry("doubleValue", &Exact(*number))?;
            }
            ValueType::TimestampValue(time) => {
                let time = Time { seconds: time.seconds, nanos: time.nanos };
                map.serialize_entry("timestampValue", &time)?;
            }
            ValueType::StringValue(text) => map.serialize_entry("stringValue", text)?,
            ValueType::BytesValue(data) => {
                map.serialize_entry("bytesValue", &hex::encode(data))?;
            }
            ValueType::ReferenceValue(name) => map.serialize_entry("referenceValue", name)?,
            ValueType::GeoPointValue(point) => {
                let (latitude, longitude) = (Exact(point.latitude), Exact(point.longitude));
                map.serialize_entry("geoPointValue", &Point { latitude, longitude })?;
            }
            ValueType::ArrayValue(array) => {
                let values = array.values.iter().map(Typed).collect();
                map.serialize_entry("arrayValue", &Items { values })?;
            }
            ValueType::MapValue(inner) => {
                let fields = TypedFields(&inner.fields);
                map.serialize_entry("mapValue", &Inner { fields })?;
            }
            other => return Err(ser::Error::custom(format!("{other:?}"))),
        }
        map.end()
    }
}

/// A number, or its bits where JSON does not keep it.
struct Exact(f64);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match survives_json(self.0) {
            true => serializer.serialize_f64(self.0),
            false => serializer.serialize_str(&format!("{:016x}", self.0.to_bits())),
        }
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = match Json::deserialize(deserializer)? {
            Json::String(bits) => u64::from_str_radix(&bits, 16).ok().map(f64::from_bits),
            other => other.as_f64(),
        };
        number.map(Self).ok_or_else(|| de::Error::custom("expected a number or its bits"))
    }
}

#[derive(Serialize, Deserialize)]
struct Time {
    seconds: i64,
    nanos: i32,
}

#[derive(Serialize, Deserialize)]
struct Point {
    latitude: Exact,
    longitude: Exact,
}

#[derive(Serialize, Deserialize)]
struct Items<T> {
    values: Vec<T>,
}

#[derive(Serialize, Deserialize)]
struct Inner<T> {
    fields: T,
}

/// A value that is read from its typed form.
struct Untyped(Value);

fn plain(fields: HashMap<String, Untyped>) -> Fields {
    fields.into_iter().map(|(name, value)| (name, value.0)).collect()
}

impl<'de> Deserialize<'de> for Untyped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UntypedVisitor)
    }
}

struct UntypedVisitor;

impl<'de> Visitor<'de> for UntypedVisitor {
    type Value = Untyped;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a typed value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Untyped, A::Error> {
        let Some(kind) = map.next_key::<String>()? else { return Ok(Untyped(Value::default())) };
        let value = of_kind(&kind, &mut map)?;
        match map.next_key::<IgnoredAny>()? {
            None => Ok(Untyped(Value { value_type: Some(value) })),
            Some(_) => Err(de::Error::custom("expected a single type")),
        }
    }
}

fn of_kind<'de, A: MapAccess<'de>>(kind: &str, map: &mut A) -> Result<ValueType, A::Error> {
    let malformed = || de::Error::custom(format!("cannot read a {kind}"));
    Ok(match kind {
        "nullValue" => {
            map.next_value::<()>()?;
            ValueType::NullValue(0)
        }
        "booleanValue" => ValueType::BooleanValue(map.next_value()?),
        "integerValue" => {
            let number = map.next_value::<String>()?.parse();
            ValueType::IntegerValue(number.map_err(|_| malformed())?)
        }
        "doubleValue" => ValueType::DoubleValue(map.next_value::<Exact>()?.0),
        "timestampValue" => {
            let Time { seconds, nanos } = map.next_value()?;
            ValueType::TimestampValue(Timestamp { seconds, nanos })
        }
        "stringValue" => ValueType::StringValue(map.next_value()?),
        "bytesValue" => {
            let data = hex::decode(map.next_value::<String>()?);
            ValueType::BytesValue(data.map_err(|_| malformed())?)
        }
        "referenceValue" => ValueType::ReferenceValue(map.next_value()?),
        "geoPointValue" => {
            let Point { latitude, longitude } = map.next_value()?;
            ValueType::GeoPointValue(LatLng { latitude: latitude.0, longitude: longitude.0 })
        }
        "arrayValue" => {
            let Items { values } = map.next_value::<Items<Untyped>>()?;
            let values = values.into_iter().map(|value| value.0).collect();
            ValueType::ArrayValue(ArrayValue { values })
        }
        "mapValue" => {
            let Inner { fields } = map.next_value::<Inner<HashMap<String, Untyped>>>()?;
            ValueType::MapValue(MapValue { fields: plain(fields) })
        }
        _ => return Err(de::Error::custom(format!("unknown type {kind}"))),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Map;

    use super::super::{self as value, fields_from_json, fields_to_json};
    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value { value_type: Some(ValueType::NullValue(0)) }),
            any::<bool>().prop_map(value::boolean),
            any::<i64>().prop_map(value::int),
            any::<f64>()
                .prop_filter("NaN is not equal to itself", |it| !it.is_nan())
                .prop_map(value::double),
            Just(value::double(f64::INFINITY)),
            ".{0,8}".prop_map(value::string),
            any::<i64>().prop_map(|it| value::timestamp(value::from_epoch_micros(it / 1_000))),
            prop::collection::vec(any::<u8>(), 0..6).prop_map(value::bytes),
            Just(value::reference("projects/p/databases/d/documents/a/b".to_owned())),
            (-90.0..=90.0_f64, -180.0..=180.0_f64).prop_map(|(latitude, longitude)| Value {
                value_type: Some(ValueType::GeoPointValue(LatLng { latitude, longitude })),
            }),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            let array = prop::collection::vec(inner.clone(), 0..4).prop_map(|values| Value {
                value_type: Some(ValueType::ArrayValue(ArrayValue { values })),
            });
            let map = prop::collection::hash_map(".{0,5}", inner, 0..4).prop_map(value::map);
            prop_oneof![array, map]
        })
    }

    proptest! {
        #[test]
        fn every_value_survives(fields in prop::collection::hash_map(".{0,5}", any_value(), 0..5)) {
            let text = to_typed_json(&fields).unwrap();
            prop_assert_eq!(from_typed_json(&text).unwrap(), fields.clone());
            if !exceeds_json(&fields) {
                let json = Json::Object(fields_to_json(&fields)).to_string();
                let read: Map<String, Json> = serde_json::from_str(&json).unwrap();
                prop_assert_eq!(fields_from_json(&read), fields);
            }
        }
    }

    #[test]
    fn nan_survives_with_its_bits() {
        let nan = f64::from_bits(0x7ff8_0000_0000_0001);
        let json = to_typed_json(&value::fields([("n", value::double(nan))])).unwrap();
        let read = from_typed_json(&json).unwrap();
        assert_eq!(value::as_number(&read, "n").unwrap().to_bits(), nan.to_bits());
    }

    #[test]
    fn the_stored_form_is_the_one_of_earlier_versions() {
        let fields = value::fields([(
            "a",
            value::map(value::fields([("b", value::timestamp(value::from_epoch_micros(5)))])),
        )]);
        let text =
            r#"{"a":{"mapValue":{"fields":{"b":{"timestampValue":{"seconds":0,"nanos":5000}}}}}}"#;
        assert_eq!(to_typed_json(&fields).unwrap(), text);
        assert_eq!(from_typed_json(text).unwrap(), fields);
        assert_eq!(from_typed_json(r#"{"a":{}}"#).unwrap()["a"], Value::default());
    }

    #[test]
    fn other_json_is_refused() {
        for text in [
            r#"{"a":{"mapValue":{"fields":{"b":{"timestampValue":"soon"}}}}}"#,
            r#"{"a":{"integerValue":"x"}}"#,
            r#"{"a":{"pointValue":1}}"#,
            r#"{"a":{"nullValue":null,"booleanValue":true}}"#,
            "[]",
        ] {
            assert!(from_typed_json(text).is_err(), "{text}");
        }
    }
}
