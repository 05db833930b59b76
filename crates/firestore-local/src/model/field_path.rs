//! Field paths such as `a.b`. Segments that are not plain identifiers are quoted in backticks.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tonic::Status;

use super::{Fields, invalid};
use crate::proto::{Document, DocumentMask, MapValue, Value, value::ValueType};

/// The path that queries use for the document's name.
pub const NAME: &str = "__name__";
/// The maximum length of a path.
const MAX_BYTES: usize = 1_500;

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    pub fn parse(text: &str) -> Result<Self, Status> {
        let malformed = || invalid!("Invalid property path {text:?}");
        if text.len() > MAX_BYTES {
            return Err(invalid!("A property path is longer than {MAX_BYTES} bytes"));
        }
        let mut segments = Vec::new();
        let mut symbols = text.chars().peekable();
        loop {
            let mut segment = String::new();
            if symbols.next_if_eq(&'`').is_some() {
                loop {
                    match symbols.next().ok_or_else(malformed)? {
                        '`' => break,
                        '\\' => segment.push(symbols.next().ok_or_else(malformed)?),
                        other => segment.push(other),
                    }
                }
            } else {
                while let Some(symbol) = symbols.next_if(|symbol| is_plain(*symbol)) {
                    segment.push(symbol);
                }
                if segment.starts_with(|first: char| first.is_ascii_digit()) {
                    return Err(malformed());
                }
            }
            if segment.is_empty() {
                return Err(malformed());
            }
            segments.push(segment);
            match symbols.next() {
                None => return Ok(Self(segments)),
                Some('.') => {}
                Some(_) => return Err(malformed()),
            }
        }
    }

    pub fn segments(&self) -> &[String] {
        &self.0
    }

    pub fn is_name(&self) -> bool {
        matches!(&self.0[..], [only] if only == NAME)
    }

    /// Whether the path contains a name that documents cannot use.
    pub fn is_reserved(&self) -> bool {
        self.0.iter().any(|segment| is_reserved(segment))
    }

    pub fn get<'a>(&self, fields: &'a Fields) -> Option<&'a Value> {
        let (last, parents) = self.0.split_last()?;
        let mut fields = fields;
        for segment in parents {
            fields = map_fields(fields.get(segment)?)?;
        }
        fields.get(last)
    }

    /// Sets a value, and creates the maps on the path. Other values on the path are replaced.
    pub fn set(&self, fields: &mut Fields, value: Value) {
        let Some((last, parents)) = self.0.split_last() else { return };
        let mut fields = fields;
        for segment in parents {
            let next = fields.entry(segment.clone()).or_default();
            if !matches!(next.value_type, Some(ValueType::MapValue(_))) {
                next.value_type = Some(ValueType::MapValue(MapValue::default()));
            }
            let Some(ValueType::MapValue(map)) = &mut next.value_type else { return };
            fields = &mut map.fields;
        }
        fields.insert(last.clone(), value);
    }

    pub fn remove(&self, fields: &mut Fields) {
        let Some((last, parents)) = self.0.split_last() else { return };
        let mut fields = fields;
        for segment in parents {
            match fields.get_mut(segment).and_then(|value| value.value_type.as_mut()) {
                Some(ValueType::MapValue(map)) => fields = &mut map.fields,
                _ => return,
            }
        }
        fields.remove(last);
    }
}

/// Whether a name is reserved, which means that documents cannot use it: `__.*__`.
pub fn is_reserved(name: &str) -> bool {
    name.len() >= 4 && name.starts_with("__") && name.ends_with("__")
}

fn is_plain(symbol: char) -> bool {
    symbol.is_ascii_alphanumeric() || symbol == '_'
}

fn map_fields(value: &Value) -> Option<&Fields> {
    match value.value_type.as_ref()? {
        ValueType::MapValue(map) => Some(&map.fields),
        _ => None,
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            let plain = segment.chars().all(is_plain)
                && !segment.starts_with(|first: char| first.is_ascii_digit());
            if plain {
                f.write_str(segment)?;
            } else {
                let escaped = segment.replace('\\', "\\\\").replace('`', "\\`");
                write!(f, "`{escaped}`")?;
            }
        }
        Ok(())
    }
}

impl Serialize for FieldPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FieldPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|status| D::Error::custom(status.message()))
    }
}

/// Parses the paths of a mask.
pub fn parse_mask(mask: &DocumentMask) -> Result<Vec<FieldPath>, Status> {
    mask.field_paths.iter().map(|path| FieldPath::parse(path)).collect()
}

/// The document with only the fields in `paths`. `__name__` is not a field.
pub fn project(document: Document, paths: Option<&[FieldPath]>) -> Document {
    let Some(paths) = paths else { return document };
    let mut fields = Fields::new();
    for path in paths {
        if let Some(value) = path.get(&document.fields) {
            path.set(&mut fields, value.clone());
        }
    }
    Document { fields, ..document }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quoted_segments_may_contain_any_symbol() {
        let path = FieldPath::parse(r"a.`b.c`.`d\`e\\`").unwrap();
        assert_eq!(path.0, ["a", "b.c", r"d`e\"]);
        for text in ["", ".", "a.", ".a", "a..b", "`a", "1a", "a b", "a`b`"] {
            assert!(FieldPath::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn set_replaces_a_scalar_on_the_path_and_remove_keeps_other_fields() {
        let int = |n| Value { value_type: Some(ValueType::IntegerValue(n)) };
        let path = |text| FieldPath::parse(text).unwrap();
        let mut fields = Fields::from([("a".to_owned(), int(1))]);
        path("a.b").set(&mut fields, int(2));
        path("a.c").set(&mut fields, int(3));
        path("a.b").remove(&mut fields);
        path("x.y").remove(&mut fields);
        assert_eq!(path("a.c").get(&fields), Some(&int(3)));
        assert_eq!(path("a.b").get(&fields), None);
        assert_eq!(path("a.c.d").get(&fields), None);
    }

    proptest! {
        #[test]
        fn paths_survive_a_round_trip(segments in prop::collection::vec(".{1,5}", 1..4)) {
            let path = FieldPath(segments);
            prop_assert_eq!(FieldPath::parse(&path.to_string()).unwrap(), path);
        }
    }
}
