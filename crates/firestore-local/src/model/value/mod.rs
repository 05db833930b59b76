//! Values: their order across types, their size, and the checks before they are stored.
//!
//! The order is defined once, by bytes: the encodings that [`encode`] writes compare as Firestore
//! compares the values, and are equal for values that a query treats as equal (`1` and `1.0`).
//! Encodings are self-delimiting, so that they can be concatenated, and inverted for descending
//! order. The order and the classes follow Firestore, "Data types", value type ordering.

use std::cmp::Ordering;

use tonic::Status;

use super::field_path::is_reserved;
use super::path::{self, Database, DocumentName};
use super::time::Micros;
use super::{Fields, invalid};
use crate::proto::{ArrayValue, MapValue, Value, value::ValueType};

/// The maximum size of a document.
pub const MAX_DOCUMENT_BYTES: usize = 1_048_576;
/// The maximum length of a field name.
const MAX_FIELD_NAME_BYTES: usize = 1_500;
/// The maximum length of a string or bytes value.
const MAX_FIELD_VALUE_BYTES: usize = MAX_DOCUMENT_BYTES - 89;
/// The maximum number of elements of a vector.
const MAX_VECTOR_ELEMENTS: usize = 2_048;
/// The maximum depth of nested maps and arrays.
const MAX_DEPTH: usize = 20;

/// The class of a value. Comparisons other than `!=` and `not-in` match only values of one class.
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

/// Ends a list or a string; lower than any byte that may continue it.
const END: u8 = 0x00;
/// Starts an entry of a map.
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

pub fn is_vector(value: &Value) -> bool {
    class(value) == VECTOR
}

/// The elements of a map that represents a vector.
fn vector_of(map: &MapValue) -> Option<&ArrayValue> {
    let kind = map.fields.get("__type__")?.value_type.as_ref()?;
    let ValueType::StringValue(kind) = kind else { return None };
    match map.fields.get("value")?.value_type.as_ref()? {
        ValueType::ArrayValue(elements) if kind == "__vector__" => Some(elements),
        _ => None,
    }
}

/// Appends the encoding of a value, whose bytes sort as the value does.
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

/// The prefix of the encodings of all references into a database; a name's order key follows it.
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

/// Bytes that sort as integers do.
fn ordered(number: i64) -> [u8; 8] {
    (number.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// Bytes that sort as doubles do. NaN sorts before all other doubles, and both zeros are equal.
fn ordered_double(number: f64) -> [u8; 8] {
    if number.is_nan() {
        return [0; 8];
    }
    let bits = if number == 0.0 { 0 } else { number.to_bits() };
    let sign = 1 << 63;
    (if bits & sign == 0 { bits | sign } else { !bits }).to_be_bytes()
}

/// Encodes a number as its nearest double, followed by the exact difference from it, which is
/// nonzero only for integers beyond 2^53 and at most 2^9. Rounding preserves the order, so that
/// comparing first the doubles and then the differences is exact.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the nearest double is meant; it has no fraction and the difference is small"
)]
fn encode_integer(whole: i64, out: &mut Vec<u8>) {
    let nearest = whole as f64;
    let difference = i128::from(whole) - nearest as i128;
    encode_number(nearest, difference as i16, out);
}

fn encode_double(number: f64, out: &mut Vec<u8>) {
    encode_number(number, 0, out);
}

fn encode_number(nearest: f64, difference: i16, out: &mut Vec<u8>) {
    out.extend_from_slice(&ordered_double(nearest));
    out.extend_from_slice(&(difference.cast_unsigned() ^ (1 << 15)).to_be_bytes());
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

/// The size of a value as Firestore counts it ("Storage size calculations").
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

/// The size of a document as Firestore counts it: its name, its fields, and 32 bytes.
pub fn document_size(name: &DocumentName, fields: &Fields) -> usize {
    name.size() + fields_size(fields) + 32
}

/// Checks the fields of a document before it is stored, and truncates timestamps to microseconds.
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
        if is_reserved(name) {
            return Err(invalid!("Document fields cannot begin and end with \"__\" ({name})"));
        }
        check_value(database, name, value, depth)?;
    }
    Ok(())
}

/// Checks the value of the field `name`, or a value in an array there.
fn check_value(
    database: &Database,
    name: &str,
    value: &mut Value,
    depth: usize,
) -> Result<(), Status> {
    match &mut value.value_type {
        None => return Err(invalid!("The value of property {name:?} has no type")),
        Some(ValueType::StringValue(text)) => check_length(name, text.len())?,
        Some(ValueType::BytesValue(data)) => check_length(name, data.len())?,
        Some(ValueType::TimestampValue(time)) => {
            if !(-62_135_596_800..=253_402_300_799).contains(&time.seconds)
                || !(0..1_000_000_000).contains(&time.nanos)
            {
                return Err(invalid!("A timestamp is outside of the years 1 to 9999"));
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
        Some(ValueType::ReferenceValue(target)) => {
            DocumentName::parse(target)?;
        }
        Some(ValueType::MapValue(map)) if vector_of(map).is_some() => check_vector(name, map)?,
        Some(ValueType::MapValue(map)) => check_map(database, &mut map.fields, depth + 1)?,
        Some(ValueType::ArrayValue(array)) => {
            if depth > MAX_DEPTH {
                return Err(invalid!(
                    "Property has more than {MAX_DEPTH} levels of nested entities"
                ));
            }
            for element in &mut array.values {
                if matches!(element.value_type, Some(ValueType::ArrayValue(_))) {
                    return Err(invalid!("Cannot store an array value in an array value"));
                }
                check_value(database, name, element, depth + 1)?;
            }
        }
        Some(
            ValueType::FieldReferenceValue(_)
            | ValueType::VariableReferenceValue(_)
            | ValueType::FunctionValue(_)
            | ValueType::PipelineValue(_),
        ) => return Err(invalid!("A document cannot hold field references or functions")),
        Some(
            ValueType::NullValue(_)
            | ValueType::BooleanValue(_)
            | ValueType::IntegerValue(_)
            | ValueType::DoubleValue(_),
        ) => {}
    }
    Ok(())
}

fn check_length(name: &str, length: usize) -> Result<(), Status> {
    if length > MAX_FIELD_VALUE_BYTES {
        return Err(invalid!(
            "The value of property {name:?} is longer than {MAX_FIELD_VALUE_BYTES} bytes."
        ));
    }
    Ok(())
}

fn check_vector(name: &str, map: &MapValue) -> Result<(), Status> {
    let elements = vector_of(map).map(|array| &array.values[..]).unwrap_or_default();
    if elements.len() > MAX_VECTOR_ELEMENTS {
        return Err(invalid!("The vector {name:?} has more than {MAX_VECTOR_ELEMENTS} dimensions"));
    }
    if map.fields.len() != 2 || !elements.iter().all(|element| class(element) == NUMBER) {
        return Err(invalid!("The vector {name:?} holds other values than numbers"));
    }
    Ok(())
}

#[cfg(test)]
pub mod tests;
