//! Documents as typed values, read as a person or another SDK would naturally have written them: a
//! whole number may be an integer, a double without a fraction, or, where milliseconds are
//! expected, a Timestamp or its RFC 3339 text. Errors name the path of the field.

use std::fmt::{self, Display};

use firestore::gcloud_sdk::google::firestore::v1::{Value, value::ValueType};
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};

use super::{Fields, epoch_millis, to_json};
use crate::error::Error;

/// Why a document cannot be read, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// The field, as in `policies.router-core.stepBound`; empty for the document as a whole.
    pub path: String,
    pub detail: String,
}

impl ReadError {
    /// The error of a whole call: "cannot read `document` `path` as `expected`".
    pub fn of_document(&self, document: &str, expected: &'static str) -> Error {
        let place = format!("{document} {}", self.path);
        Error::decode(place.trim_end(), expected, &self.detail)
    }

    fn at(path: &str, detail: impl Into<String>) -> Self {
        Self { path: path.to_owned(), detail: detail.into() }
    }

    /// The same error of the field `name` of an outer map.
    #[must_use]
    pub fn within(mut self, name: &str) -> Self {
        self.path = match self.path.as_str() {
            "" => name.to_owned(),
            inner => format!("{name}.{inner}"),
        };
        self
    }
}

impl Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.detail),
            path => write!(f, "{path}: {}", self.detail),
        }
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: Display>(detail: T) -> Self {
        Self::at("", detail.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::at(field, format!("missing field `{field}`"))
    }
}

/// Reads a value from the fields of a document; unknown fields are ignored.
///
/// # Errors
/// The first field that is missing or has another type.
pub fn from_fields<T: DeserializeOwned>(fields: &Fields) -> Result<T, ReadError> {
    T::deserialize(Whole { fields, strict: false })
}

/// The same, but a field that the type does not have is an error that names the nearest known one.
///
/// # Errors
/// The first field that is unknown, missing, or has another type.
pub fn from_known_fields<T: DeserializeOwned>(fields: &Fields) -> Result<T, ReadError> {
    T::deserialize(Whole { fields, strict: true })
}

/// A document.
#[derive(Clone, Copy)]
struct Whole<'a> {
    fields: &'a Fields,
    /// Whether unknown fields are errors.
    strict: bool,
}

impl<'de> Whole<'de> {
    fn visit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let mut entries: Vec<_> = self.fields.iter().collect();
        // The first error is the same in every run.
        entries.sort_unstable_by(|a, b| b.0.cmp(a.0));
        visitor.visit_map(Entries { left: entries, value: None, strict: self.strict })
    }

    fn visit_struct<V: Visitor<'de>>(
        self,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if self.strict {
            let unknown = self.fields.keys().filter(|name| !known.contains(&name.as_str()));
            if let Some(name) = unknown.min() {
                return Err(ReadError::at(name, format!("unknown field; {}", advice(name, known))));
            }
        }
        self.visit(visitor)
    }
}

impl<'de> Deserializer<'de> for Whole<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.visit(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.visit_struct(fields, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// One value of a document.
#[derive(Clone, Copy)]
struct One<'a> {
    value: &'a Value,
    strict: bool,
}

impl<'de> One<'de> {
    fn map(self) -> Option<Whole<'de>> {
        match self.value.value_type.as_ref()? {
            ValueType::MapValue(map) => Some(Whole { fields: &map.fields, strict: self.strict }),
            _ => None,
        }
    }

    /// A whole number, as which a time counts in milliseconds.
    fn whole(self) -> Option<i64> {
        match self.value.value_type.as_ref()? {
            ValueType::IntegerValue(number) => Some(*number),
            #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
            ValueType::DoubleValue(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
                Some(*number as i64)
            }
            ValueType::TimestampValue(time) => Some(epoch_millis(time)),
            ValueType::StringValue(text) => {
                Some(chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis())
            }
            _ => None,
        }
    }

    fn visit_whole<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.whole() {
            Some(number) => visitor.visit_i64(number),
            None => self.deserialize_any(visitor),
        }
    }
}

macro_rules! whole_numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            self.visit_whole(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for One<'de> {
    type Error = ReadError;

    whole_numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value.value_type.as_ref() {
            None | Some(ValueType::NullValue(_)) => visitor.visit_unit(),
            Some(ValueType::BooleanValue(flag)) => visitor.visit_bool(*flag),
            Some(ValueType::IntegerValue(number)) => visitor.visit_i64(*number),
            Some(ValueType::DoubleValue(number)) if number.is_finite() => {
                visitor.visit_f64(*number)
            }
            Some(ValueType::StringValue(text)) => visitor.visit_str(text),
            Some(ValueType::ArrayValue(array)) => {
                let left = array.values.iter();
                visitor.visit_seq(Items { left, at: 0, strict: self.strict })
            }
            Some(ValueType::MapValue(map)) => {
                Whole { fields: &map.fields, strict: self.strict }.visit(visitor)
            }
            // Types that JSON lacks, as `to_json` shows them.
            Some(_) => to_json(self.value).deserialize_any(visitor).map_err(de::Error::custom),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value.value_type.as_ref() {
            None | Some(ValueType::NullValue(_)) => visitor.visit_none(),
            Some(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match self.map() {
            Some(map) => map.visit_struct(fields, visitor),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match self.value.value_type.as_ref() {
            Some(ValueType::StringValue(text)) => {
                let text: StrDeserializer<'_, ReadError> = text.as_str().into_deserializer();
                visitor.visit_enum(text)
            }
            _ => {
                let json = to_json(self.value);
                json.deserialize_enum(name, variants, visitor).map_err(de::Error::custom)
            }
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier
    }
}

/// The fields that are still to be read, the last first.
struct Entries<'a> {
    left: Vec<(&'a String, &'a Value)>,
    value: Option<(&'a String, &'a Value)>,
    strict: bool,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        self.value = self.left.pop();
        let Some((name, _)) = self.value else { return Ok(None) };
        seed.deserialize(Key(name)).map(Some).map_err(|error| error.within(name))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let Some((name, value)) = self.value.take() else {
            return Err(de::Error::custom("a value was read before its name"));
        };
        let read = seed.deserialize(One { value, strict: self.strict });
        read.map_err(|error| error.within(name))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len())
    }
}

/// The name of a field. Firestore has names of text only, so a number is read from its digits.
struct Key<'a>(&'a str);

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.0.parse() {
            Ok(number) => visitor.visit_i64(number),
            Err(_) => self.deserialize_any(visitor),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.0.parse() {
            Ok(number) => visitor.visit_u64(number),
            Err(_) => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let text: StrDeserializer<'_, ReadError> = self.0.into_deserializer();
        text.deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i128 u8 u16 u32 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Items<'a> {
    left: std::slice::Iter<'a, Value>,
    at: usize,
    strict: bool,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        let Some(value) = self.left.next() else { return Ok(None) };
        let at = self.at.to_string();
        self.at += 1;
        let read = seed.deserialize(One { value, strict: self.strict });
        read.map(Some).map_err(|error| error.within(&at))
    }
}

/// What was probably meant by an unknown name.
fn advice(name: &str, known: &[&str]) -> String {
    let distances = known.iter().map(|known| (distance(name, known), *known));
    match distances.min() {
        Some((distance, nearest)) if distance <= 1 + name.chars().count() / 3 => {
            format!("did you mean `{nearest}`?")
        }
        Some(_) => format!("expected one of `{}`", known.join("`, `")),
        None => "no field is expected".to_owned(),
    }
}

/// The least number of letters to insert, remove or replace between two names, in any case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{self as value, from_json};
    use super::*;
    use serde::Deserialize;
    use serde_json::{Map, Value as Json, json};

    #[derive(Clone, Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Bounds {
        step_bound: f64,
        #[serde(default)]
        samples: u32,
        #[serde(default)]
        created_at: Option<i64>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Config {
        policies: BTreeMap<String, Bounds>,
        #[serde(flatten)]
        other: Map<String, Json>,
    }

    fn fields(json: &Json) -> Fields {
        value::fields_from_json(json.as_object().unwrap())
    }

    fn bounds(created_at: Value) -> Fields {
        value::fields([
            ("stepBound", value::int(1)),
            ("samples", value::double(100.0)),
            ("createdAt", created_at),
        ])
    }

    #[test]
    fn the_numbers_that_a_map_is_keyed_by_are_read_back() {
        let by_time = BTreeMap::from([(-7_i64, 1), (1_780_000_000_000, 2)]);
        let fields = value::to_fields(&by_time).unwrap();
        assert_eq!(from_fields::<BTreeMap<i64, i32>>(&fields), Ok(by_time));
        let other = value::fields([("soon", value::int(1))]);
        let error = from_fields::<BTreeMap<i64, i32>>(&other).unwrap_err();
        assert_eq!(error.path, "soon");
    }

    #[test]
    fn numbers_may_be_integers_or_doubles_and_times_may_be_timestamps() {
        let expected = Bounds { step_bound: 1.0, samples: 100, created_at: Some(1_500) };
        let time = value::from_epoch_micros(1_500_000);
        for time in [
            value::int(1_500),
            value::double(1_500.0),
            value::timestamp(time),
            value::string("1970-01-01T01:00:01.500+01:00"),
        ] {
            assert_eq!(from_fields(&bounds(time)), Ok(expected.clone()));
        }
        for unclear in [value::string("1500"), value::boolean(true), value::double(0.5)] {
            let error = from_fields::<Bounds>(&bounds(unclear)).unwrap_err();
            assert_eq!(error.path, "createdAt");
        }
    }

    #[test]
    fn an_error_names_the_path_of_the_field() {
        let error = |json: Json| from_fields::<Config>(&fields(&json)).unwrap_err();
        let wrong = json!({ "policies": { "a.b": { "stepBound": "wide" } } });
        assert_eq!(error(wrong).path, "policies.a.b.stepBound");
        let missing = json!({ "policies": { "p": {} } });
        assert_eq!(error(missing).to_string(), "policies.p.stepBound: missing field `stepBound`");
    }

    #[test]
    fn an_unknown_field_is_ignored_or_refused_with_the_nearest_name() {
        let typo = fields(&json!({ "stepBound": 0.1, "stepBond": 0.2 }));
        assert!(from_fields::<Bounds>(&typo).is_ok());
        let error = from_known_fields::<Bounds>(&typo).unwrap_err();
        assert_eq!(error.to_string(), "stepBond: unknown field; did you mean `stepBound`?");
        let unrelated = fields(&json!({ "stepBound": 0.1, "tokens": 1 }));
        let error = from_known_fields::<Bounds>(&unrelated).unwrap_err().to_string();
        assert!(error.contains("`stepBound`, `samples`, `createdAt`"), "{error}");
    }

    #[test]
    fn types_that_json_lacks_are_read_as_text_into_json() {
        let mut all = fields(&json!({ "policies": {} }));
        all.insert("at".to_owned(), value::timestamp(value::from_epoch_micros(0)));
        all.insert("list".to_owned(), from_json(&json!([1, { "x": null }])));
        let config: Config = from_fields(&all).unwrap();
        assert_eq!(config.other["at"], json!("1970-01-01T00:00:00+00:00"));
        assert_eq!(config.other["list"], json!([1, { "x": null }]));
    }
}
