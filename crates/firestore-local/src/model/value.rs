//! Values: their order across types, their size, and which are allowed.
//!
//! The order is defined once, as bytes: [`encode`] writes a value so that the bytes of two values
//! compare as Firestore compares the values, and are the same where a query sees them as equal
//! (`1` and `1.0`). Encodings are self-delimiting, so that they can be put one behind another and
//! inverted for descending order. Order and classes: Firestore, "Data types", value type ordering.

use std::cmp::Ordering;

use tonic::Status;

use super::path::{self, Database, DocumentName};
use super::time::Micros;
use super::{Fields, invalid};
use crate::proto::{ArrayValue, MapValue, Value, value::ValueType};

/// Bytes of a document at most.
pub const MAX_DOCUMENT_BYTES: usize = 1_048_576;
/// Bytes of a field's name at most.
const MAX_FIELD_NAME_BYTES: usize = 1_500;
/// Levels of maps and arrays at most.
const MAX_DEPTH: usize = 20;

/// The class of a value: comparisons other than `!=` and `not-in` stay within one.
pub type Class = u8;

const NULL: Class = 0x08;
const BOOLEAN: Class = 0x10;
const NUMBER: Class = 0x18;
const TIMESTAMP: Class = 0x20;
const STRING: Class = 0x28;
const BYTES: Class = 0x30;
const REFERENCE: Class = 0x38;
const GEO_POINT: Class = 0x40;
const ARRAY: Class = 0x48;
const VECTOR: Class = 0x50;
const MAP: Class = 0x58;

/// Ends a list or a string; lower than whatever may follow.
const END: u8 = 0x00;
/// Begins an entry of a map.
const ENTRY: u8 = 0x01;

pub fn class(value: &Value) -> Class {
    match value.value_type.as_ref() {
        None | Some(ValueType::NullValue(_)) => NULL,
        Some(ValueType::BooleanValue(_)) => BOOLEAN,
        Some(ValueType::IntegerValue(_) | ValueType::DoubleValue(_)) => NUMBER,
        Some(ValueType::TimestampValue(_)) => TIMESTAMP,
        Some(ValueType::StringValue(_)) => STRING,
        Some(ValueType::BytesValue(_)) => BYTES,
        Some(ValueType::ReferenceValue(_)) => REFERENCE,
        Some(ValueType::GeoPointValue(_)) => GEO_POINT,
        Some(ValueType::ArrayValue(_)) => ARRAY,
        Some(ValueType::MapValue(map)) if vector_of(map).is_some() => VECTOR,
        Some(_) => MAP,
    }
}

pub fn is_null(value: &Value) -> bool {
    class(value) == NULL
}

pub fn is_nan(value: &Value) -> bool {
    matches!(value.value_type, Some(ValueType::DoubleValue(number)) if number.is_nan())
}

/// The elements of a map that stands for a vector.
fn vector_of(map: &MapValue) -> Option<&ArrayValue> {
    let kind = map.fields.get("__type__")?.value_type.as_ref()?;
    let ValueType::StringValue(kind) = kind else { return None };
    match map.fields.get("value")?.value_type.as_ref()? {
        ValueType::ArrayValue(elements) if kind == "__vector__" => Some(elements),
        _ => None,
    }
}

/// Appends the bytes of a value that sort as the value does.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    out.push(class(value));
    match value.value_type.as_ref() {
        None | Some(ValueType::NullValue(_)) => {}
        Some(ValueType::BooleanValue(flag)) => out.push(u8::from(*flag)),
        Some(ValueType::IntegerValue(whole)) => encode_integer(*whole, out),
        Some(ValueType::DoubleValue(number)) => encode_double(*number, out),
        Some(ValueType::TimestampValue(time)) => {
            out.extend_from_slice(&ordered(Micros::from(time).0));
        }
        Some(ValueType::StringValue(text)) => encode_bytes(text.as_bytes(), out),
        Some(ValueType::BytesValue(data)) => encode_bytes(data, out),
        Some(ValueType::ReferenceValue(name)) => {
            path::push_reference(out, name);
        }
        Some(ValueType::GeoPointValue(point)) => {
            out.extend_from_slice(&ordered_double(point.latitude));
            out.extend_from_slice(&ordered_double(point.longitude));
        }
        Some(ValueType::ArrayValue(array)) => encode_list(&array.values, out),
        Some(ValueType::MapValue(map)) => match vector_of(map) {
            Some(elements) => {
                let length = u32::try_from(elements.values.len()).unwrap_or(u32::MAX);
                out.extend_from_slice(&length.to_be_bytes());
                encode_list(&elements.values, out);
            }
            None => encode_map(map, out),
        },
        Some(_) => out.push(END),
    }
}

/// What the encodings of all references into a database begin with, before a name's order key.
pub fn name_prefix(database: &Database) -> Vec<u8> {
    let mut prefix = vec![REFERENCE];
    path::push_reference(&mut prefix, &format!("{database}/documents"));
    prefix.truncate(prefix.len() - path::NAME_END.len());
    prefix
}

fn encode_list(values: &[Value], out: &mut Vec<u8>) {
    for value in values {
        encode(value, out);
    }
    out.push(END);
}

fn encode_map(map: &MapValue, out: &mut Vec<u8>) {
    let mut entries: Vec<_> = map.fields.iter().collect();
    entries.sort_unstable_by_key(|(name, _)| *name);
    for (name, value) in entries {
        out.push(ENTRY);
        encode_bytes(name.as_bytes(), out);
        encode(value, out);
    }
    out.push(END);
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[END, 0x01]);
}

fn ordered(number: i64) -> [u8; 8] {
    (number.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// NaN sorts before all other doubles, and the zeros are one.
fn ordered_double(number: f64) -> [u8; 8] {
    if number.is_nan() {
        return [0; 8];
    }
    let bits = if number == 0.0 { 0 } else { number.to_bits() };
    let sign = 1 << 63;
    (if bits & sign == 0 { bits | sign } else { !bits }).to_be_bytes()
}

/// What an integer differs from its nearest double by is below this, so that it can be added to
/// make the difference positive.
const HALF: i128 = 1 << 15;

/// A number is its nearest double and, for integers beyond 2^53, the exact difference from it.
/// Rounding keeps order, so comparing first the doubles and then the differences is exact.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "see above")]
fn encode_integer(whole: i64, out: &mut Vec<u8>) {
    let nearest = whole as f64;
    let difference = i128::from(whole) - nearest as i128;
    out.extend_from_slice(&ordered_double(nearest));
    out.extend_from_slice(&((difference + HALF) as u16).to_be_bytes());
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small constant")]
fn encode_double(number: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(&ordered_double(number));
    out.extend_from_slice(&(HALF as u16).to_be_bytes());
}

pub fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    encode(value, &mut out);
    out
}

/// Firestore's order of values.
pub fn compare(a: &Value, b: &Value) -> Ordering {
    encoded(a).cmp(&encoded(b))
}

/// Bytes that Firestore counts for a value ("Storage size calculations").
pub fn size(value: &Value) -> usize {
    match value.value_type.as_ref() {
        None | Some(ValueType::NullValue(_) | ValueType::BooleanValue(_)) => 1,
        Some(
            ValueType::IntegerValue(_) | ValueType::DoubleValue(_) | ValueType::TimestampValue(_),
        ) => 8,
        Some(ValueType::StringValue(text)) => text.len() + 1,
        Some(ValueType::BytesValue(data)) => data.len(),
        Some(ValueType::ReferenceValue(name)) => {
            DocumentName::parse(name).map_or(name.len(), |name| name.size())
        }
        Some(ValueType::GeoPointValue(_)) => 16,
        Some(ValueType::ArrayValue(array)) => array.values.iter().map(size).sum(),
        Some(ValueType::MapValue(map)) => fields_size(&map.fields),
        Some(_) => 1,
    }
}

fn fields_size(fields: &Fields) -> usize {
    fields.iter().map(|(name, value)| name.len() + 1 + size(value)).sum()
}

/// Bytes that Firestore counts for a document: its name, its fields, and 32.
pub fn document_size(name: &DocumentName, fields: &Fields) -> usize {
    name.size() + fields_size(fields) + 32
}

/// Checks the fields of a document to be stored, and cuts timestamps to microseconds.
pub fn check_fields(database: &Database, fields: &mut Fields) -> Result<(), Status> {
    check_map(database, fields, 1)
}

fn check_map(database: &Database, fields: &mut Fields, depth: usize) -> Result<(), Status> {
    if depth > MAX_DEPTH + 1 {
        return Err(invalid!("Property has more than {MAX_DEPTH} levels of nested entities"));
    }
    for (name, value) in fields {
        if name.is_empty() {
            return Err(invalid!("Document contains a field with an empty name"));
        }
        if name.len() > MAX_FIELD_NAME_BYTES {
            return Err(invalid!("A field name is longer than {MAX_FIELD_NAME_BYTES} bytes"));
        }
        if name.len() >= 4 && name.starts_with("__") && name.ends_with("__") && name != "__type__" {
            return Err(invalid!("Document fields cannot begin and end with \"__\" ({name})"));
        }
        check_value(database, value, depth)?;
    }
    Ok(())
}

fn check_value(database: &Database, value: &mut Value, depth: usize) -> Result<(), Status> {
    match &mut value.value_type {
        None => return Err(invalid!("A value has no type")),
        Some(ValueType::TimestampValue(time)) => {
            if !(-62_135_596_800..=253_402_300_799).contains(&time.seconds)
                || !(0..1_000_000_000).contains(&time.nanos)
            {
                return Err(invalid!("A timestamp is outside of years 1 to 9999"));
            }
            time.nanos -= time.nanos % 1_000;
        }
        Some(ValueType::GeoPointValue(point)) => {
            if !(-90.0..=90.0).contains(&point.latitude)
                || !(-180.0..=180.0).contains(&point.longitude)
            {
                return Err(invalid!("A geo point lies outside of -90..90, -180..180"));
            }
        }
        Some(ValueType::ReferenceValue(name)) => {
            DocumentName::parse(name)?;
        }
        Some(ValueType::MapValue(map)) => check_map(database, &mut map.fields, depth + 1)?,
        Some(ValueType::ArrayValue(array)) => {
            if depth >= MAX_DEPTH + 1 {
                return Err(invalid!("Property has more than {MAX_DEPTH} levels of nested entities"));
            }
            for element in &mut array.values {
                if matches!(element.value_type, Some(ValueType::ArrayValue(_))) {
                    return Err(invalid!("Cannot store an array value in an array value"));
                }
                check_value(database, element, depth + 1)?;
            }
        }
        Some(
            ValueType::FieldReferenceValue(_)
            | ValueType::FunctionValue(_)
            | ValueType::PipelineValue(_),
        ) => return Err(invalid!("A document holds no references to fields and no functions")),
        Some(_) => {}
    }
    Ok(())
}

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::value::ValueType as V;

    pub fn value(kind: V) -> Value {
        Value { value_type: Some(kind) }
    }

    pub fn int(number: i64) -> Value {
        value(V::IntegerValue(number))
    }

    pub fn double(number: f64) -> Value {
        value(V::DoubleValue(number))
    }

    pub fn string(text: &str) -> Value {
        value(V::StringValue(text.to_owned()))
    }

    pub fn array(values: Vec<Value>) -> Value {
        value(V::ArrayValue(ArrayValue { values }))
    }

    pub fn map(pairs: &[(&str, Value)]) -> Value {
        let fields = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        value(V::MapValue(MapValue { fields }))
    }

    fn timestamp(seconds: i64) -> Value {
        value(V::TimestampValue(prost_types::Timestamp { seconds, nanos: 0 }))
    }

    #[test]
    fn values_sort_across_types_as_firestore_documents() {
        let vector = |values| map(&[("__type__", string("__vector__")), ("value", array(values))]);
        let sorted = [
            value(V::NullValue(0)),
            value(V::BooleanValue(false)),
            value(V::BooleanValue(true)),
            double(f64::NAN),
            double(f64::NEG_INFINITY),
            int(i64::MIN),
            double(-1.5),
            int(-1),
            double(0.0),
            int(1),
            double(1.5),
            int(9_007_199_254_740_992),
            int(9_007_199_254_740_993),
            int(i64::MAX),
            double(9_223_372_036_854_775_808.0),
            double(f64::INFINITY),
            timestamp(-5),
            timestamp(5),
            string(""),
            string("a"),
            string("a\0"),
            string("ab"),
            string("é"),
            value(V::BytesValue(vec![].into())),
            value(V::BytesValue(vec![0xff].into())),
            value(V::ReferenceValue("projects/p/databases/d/documents/a/b".to_owned())),
            value(V::ReferenceValue("projects/p/databases/d/documents/a/b/c/d".to_owned())),
            value(V::ReferenceValue("projects/p/databases/d/documents/a/ba".to_owned())),
            array(vec![]),
            array(vec![int(1)]),
            array(vec![int(1), int(1)]),
            array(vec![int(2)]),
            vector(vec![double(9.0)]),
            vector(vec![double(1.0), double(2.0)]),
            map(&[]),
            map(&[("a", int(1))]),
            map(&[("a", int(1)), ("b", int(0))]),
            map(&[("a", int(2))]),
            map(&[("b", int(0))]),
        ];
        for (index, low) in sorted.iter().enumerate() {
            for high in &sorted[index + 1..] {
                assert_eq!(compare(low, high), Ordering::Less, "{low:?} {high:?}");
            }
        }
    }

    #[test]
    fn numbers_that_are_equal_encode_equal() {
        assert_eq!(compare(&int(1), &double(1.0)), Ordering::Equal);
        assert_eq!(compare(&double(-0.0), &int(0)), Ordering::Equal);
        assert_eq!(compare(&double(f64::NAN), &double(-f64::NAN)), Ordering::Equal);
    }

    #[test]
    fn sizes_follow_the_published_example() {
        // "Storage size calculations": users/jeff/tasks/my_task_id with four fields is 147 bytes.
        let name = DocumentName::parse(
            "projects/p/databases/d/documents/users/jeff/tasks/my_task_id",
        )
        .unwrap();
        let fields = Fields::from([
            ("type".to_owned(), string("Personal")),
            ("done".to_owned(), value(V::BooleanValue(false))),
            ("priority".to_owned(), int(1)),
            ("description".to_owned(), string("Learn Cloud Firestore")),
        ]);
        assert_eq!(document_size(&name, &fields), 147);
    }

    #[test]
    fn what_no_document_may_hold_is_refused() {
        let database = Database::parse("projects/p/databases/d").unwrap();
        let deep = |levels: usize| (0..levels).fold(int(1), |inner, _| map(&[("m", inner)]));
        let check = |name: &str, value: Value| {
            check_fields(&database, &mut Fields::from([(name.to_owned(), value)]))
        };
        assert!(check("a", array(vec![array(vec![])])).is_err());
        assert!(check("__a__", int(1)).is_err());
        assert!(check("", int(1)).is_err());
        assert!(check(&"x".repeat(1_501), int(1)).is_err());
        assert!(check("a", Value::default()).is_err());
        assert!(check("a", deep(21)).is_err());
        assert!(check("a", deep(20)).is_ok());
        assert!(check("a", array(vec![map(&[("b", array(vec![int(1)]))])])).is_ok());
    }

    fn number() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<i64>().prop_map(int),
            any::<f64>().prop_map(double),
            (-3i64..3).prop_map(int),
            (-3i64..3).prop_map(|n| double(n as f64 / 2.0)),
            any::<i64>().prop_map(|n| double(n as f64)),
        ]
    }

    fn exact(a: &Value, b: &Value) -> Option<Ordering> {
        match (a.value_type.as_ref()?, b.value_type.as_ref()?) {
            (V::IntegerValue(a), V::IntegerValue(b)) => Some(a.cmp(b)),
            (V::DoubleValue(a), V::DoubleValue(b)) => a.partial_cmp(b),
            (V::IntegerValue(a), V::DoubleValue(b)) => {
                if b.is_nan() {
                    None
                } else if *b >= 9_223_372_036_854_775_808.0 {
                    Some(Ordering::Less)
                } else if *b < -9_223_372_036_854_775_808.0 {
                    Some(Ordering::Greater)
                } else {
                    let whole = b.trunc() as i64;
                    Some(a.cmp(&whole).then(0.0f64.total_cmp(&(b - b.trunc() + 0.0))))
                }
            }
            _ => exact(b, a).map(Ordering::reverse),
        }
    }

    proptest! {
        #[test]
        fn numbers_compare_exactly_across_integers_and_doubles(a in number(), b in number()) {
            if let Some(expected) = exact(&a, &b) {
                prop_assert_eq!(compare(&a, &b), expected);
            }
        }

        #[test]
        fn strings_compare_by_their_utf8_bytes(a in "\\PC{0,4}", b in "[a\0é]{0,4}") {
            prop_assert_eq!(compare(&string(&a), &string(&b)), a.as_bytes().cmp(b.as_bytes()));
        }
    }
}
