//! Values as JSON that keeps every type: each value is an object with its type as the only key, with the
//! names of the REST API of Firestore, as in `{"integerValue": "7"}`. A Timestamp is its seconds and
//! nanoseconds, bytes are in hexadecimal, and doubles that JSON does not keep are their bits.

use firestore::gcloud_sdk::google::firestore::v1::{ArrayValue, MapValue, Value, value::ValueType};
use firestore::gcloud_sdk::google::r#type::LatLng;
use prost_types::Timestamp;
use serde_json::{Map, Value as Json, json};

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

/// A number, or its bits where JSON does not keep it.
fn exact(number: f64) -> Json {
    match survives_json(number) {
        true => json!(number),
        false => json!(format!("{:016x}", number.to_bits())),
    }
}

fn number_of(json: &Json) -> Option<f64> {
    match json.as_str() {
        Some(bits) => Some(f64::from_bits(u64::from_str_radix(bits, 16).ok()?)),
        None => json.as_f64(),
    }
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

/// The fields with their types.
///
/// # Errors
/// The path of a value that no document can hold.
pub fn to_typed_json(fields: &Fields) -> Result<Map<String, Json>, String> {
    let field = |(name, value): (&String, &Value)| match typed(value) {
        Ok(json) => Ok((name.clone(), json)),
        Err(path) => Err(format!("{name}.{path}")),
    };
    fields.iter().map(field).collect()
}

fn typed(value: &Value) -> Result<Json, String> {
    Ok(match value.value_type.as_ref() {
        None => json!({}),
        Some(ValueType::NullValue(_)) => json!({ "nullValue": null }),
        Some(ValueType::BooleanValue(flag)) => json!({ "booleanValue": flag }),
        Some(ValueType::IntegerValue(number)) => json!({ "integerValue": number.to_string() }),
        Some(ValueType::DoubleValue(number)) => json!({ "doubleValue": exact(*number) }),
        Some(ValueType::TimestampValue(time)) => {
            json!({ "timestampValue": { "seconds": time.seconds, "nanos": time.nanos } })
        }
        Some(ValueType::StringValue(text)) => json!({ "stringValue": text }),
        Some(ValueType::BytesValue(data)) => json!({ "bytesValue": hex::encode(data) }),
        Some(ValueType::ReferenceValue(name)) => json!({ "referenceValue": name }),
        Some(ValueType::GeoPointValue(point)) => {
            let (latitude, longitude) = (exact(point.latitude), exact(point.longitude));
            json!({ "geoPointValue": { "latitude": latitude, "longitude": longitude } })
        }
        Some(ValueType::ArrayValue(array)) => {
            let values = array.values.iter().map(typed).collect::<Result<Vec<_>, _>>()?;
            json!({ "arrayValue": { "values": values } })
        }
        Some(ValueType::MapValue(map)) => {
            json!({ "mapValue": { "fields": to_typed_json(&map.fields)? } })
        }
        Some(other) => return Err(format!("{other:?}")),
    })
}

/// The fields that [`to_typed_json`] wrote.
///
/// # Errors
/// Any other JSON, with the path of the first value that cannot be read.
pub fn from_typed_json(json: &Map<String, Json>) -> Result<Fields, String> {
    let field = |(name, json): (&String, &Json)| match untyped(json) {
        Ok(value) => Ok((name.clone(), value)),
        Err(path) => Err(format!("{name}: {path}")),
    };
    json.iter().map(field).collect()
}

fn untyped(json: &Json) -> Result<Value, String> {
    let object = json.as_object().filter(|object| object.len() <= 1);
    let object = object.ok_or_else(|| format!("expected a typed value, got {json}"))?;
    let Some((kind, content)) = object.iter().next() else { return Ok(Value::default()) };
    let value = of_kind(kind, content);
    let value = value.ok_or_else(|| format!("cannot read a {kind} from {content}"))??;
    Ok(Value { value_type: Some(value) })
}

/// `None` where the content is not of the kind.
fn of_kind(kind: &str, content: &Json) -> Option<Result<ValueType, String>> {
    let number = |name: &str| number_of(content.get(name)?);
    Some(Ok(match kind {
        "nullValue" => ValueType::NullValue(0),
        "booleanValue" => ValueType::BooleanValue(content.as_bool()?),
        "integerValue" => ValueType::IntegerValue(content.as_str()?.parse().ok()?),
        "doubleValue" => ValueType::DoubleValue(number_of(content)?),
        "timestampValue" => {
            let seconds = content.get("seconds")?.as_i64()?;
            let nanos = i32::try_from(content.get("nanos")?.as_i64()?).ok()?;
            ValueType::TimestampValue(Timestamp { seconds, nanos })
        }
        "stringValue" => ValueType::StringValue(content.as_str()?.to_owned()),
        "bytesValue" => ValueType::BytesValue(hex::decode(content.as_str()?).ok()?),
        "referenceValue" => ValueType::ReferenceValue(content.as_str()?.to_owned()),
        "geoPointValue" => {
            let (latitude, longitude) = (number("latitude")?, number("longitude")?);
            ValueType::GeoPointValue(LatLng { latitude, longitude })
        }
        "arrayValue" => {
            let values = content.get("values")?.as_array()?.iter().map(untyped);
            match values.collect() {
                Ok(values) => ValueType::ArrayValue(ArrayValue { values }),
                Err(error) => return Some(Err(error)),
            }
        }
        "mapValue" => match from_typed_json(content.get("fields")?.as_object()?) {
            Ok(fields) => ValueType::MapValue(MapValue { fields }),
            Err(error) => return Some(Err(error)),
        },
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            let json = Json::Object(to_typed_json(&fields).unwrap()).to_string();
            let read: Map<String, Json> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(from_typed_json(&read).unwrap(), fields.clone());
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
    fn other_json_is_refused_with_its_path() {
        let json =
            json!({ "a": { "mapValue": { "fields": { "b": { "timestampValue": "soon" } } } } });
        let error = from_typed_json(json.as_object().unwrap()).unwrap_err();
        assert!(error.starts_with("a: b: cannot read a timestampValue"), "{error}");
    }
}
