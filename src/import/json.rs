//! JSON files as records: objects one after the other, an array of them, or an object that contains
//! such an array. Only one record is in memory at a time.

use std::fmt;
use std::io::Read;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

use super::record::{Bound, ReadError, Record};

/// The names under which exports keep their list of records.
const LISTS: [&str; 9] = [
    "data",
    "items",
    "results",
    "rows",
    "logs",
    "spend_logs",
    "observations",
    "requests",
    "resourceSpans",
];

/// Calls `take` with each record until it returns `false`.
pub fn values(
    reader: impl Read,
    bound: &Bound,
    take: &mut dyn FnMut(u64, Result<Record, ReadError>) -> bool,
) -> Result<(), ReadError> {
    let mut deserializer = serde_json::Deserializer::from_reader(bound.limit(reader));
    let mut out = Out { take, bound, number: 0, stopped: false };
    loop {
        match (Top { out: &mut out }).deserialize(&mut deserializer) {
            Ok(()) if out.stopped => return Ok(()),
            Ok(()) => {}
            Err(_) if out.stopped => return Ok(()),
            Err(error) if error.is_eof() && deserializer.end().is_ok() => return Ok(()),
            Err(error) => return Err(bound.explain(error.into())),
        }
        if deserializer.end().is_ok() {
            return Ok(());
        }
    }
}

struct Out<'a> {
    take: &'a mut dyn FnMut(u64, Result<Record, ReadError>) -> bool,
    bound: &'a Bound,
    number: u64,
    stopped: bool,
}

impl Out<'_> {
    fn put<E: serde::de::Error>(&mut self, value: Json) -> Result<(), E> {
        self.number += 1;
        self.bound.restart();
        let record = match value {
            Json::Object(record) => Ok(record),
            _ => Err(ReadError::NotObject),
        };
        if (self.take)(self.number, record) {
            return Ok(());
        }
        self.stopped = true;
        Err(E::custom("stopped"))
    }
}

/// A value at the top: a record, or what contains records.
struct Top<'a, 'b> {
    out: &'a mut Out<'b>,
}

impl<'de> DeserializeSeed<'de> for Top<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Top<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects, or an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while let Some(value) = array.next_element::<Json>()? {
            self.out.put(value)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut record, mut listed) = (Map::new(), false);
        while let Some(name) = map.next_key::<String>()? {
            if !LISTS.contains(&name.as_str()) {
                record.insert(name, map.next_value()?);
                continue;
            }
            match map.next_value_seed(List { out: self.out })? {
                None => listed = true,
                Some(other) => {
                    record.insert(name, other);
                }
            }
        }
        if listed { Ok(()) } else { self.out.put(Json::Object(record)) }
    }
}

/// A field that may be the list of records; any other value is returned.
struct List<'a, 'b> {
    out: &'a mut Out<'b>,
}

impl<'de> DeserializeSeed<'de> for List<'_, '_> {
    type Value = Option<Json>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Json>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_, '_> {
    type Value = Option<Json>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Option<Json>, A::Error> {
        while let Some(value) = array.next_element::<Json>()? {
            self.out.put(value)?;
        }
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<Json>, A::Error> {
        let inner = serde::de::value::MapAccessDeserializer::new(map);
        serde::Deserialize::deserialize(inner).map(Some)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Option<Json>, E> {
        Ok(Some(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Option<Json>, E> {
        Ok(Some(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Option<Json>, E> {
        Ok(Some(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Option<Json>, E> {
        Ok(Some(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Option<Json>, E> {
        Ok(Some(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Option<Json>, E> {
        Ok(Some(Json::Null))
    }
}
