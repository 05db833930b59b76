//! Paths to fields: `a.b`, with segments that are not plain identifiers in backticks.

use std::fmt;

use tonic::Status;

use super::{Fields, invalid};
use crate::proto::{Document, DocumentMask, MapValue, Value, value::ValueType};

/// The path by which queries name the document itself.
pub const NAME: &str = "__name__";
/// Bytes of a path at most.
const MAX_BYTES: usize = 1_500;

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    pub fn parse(text: &str) -> Result<Self, Status> {
        let wrong = || invalid!("Invalid property path {text:?}");
        if text.len() > MAX_BYTES {
            return Err(invalid!("A property path is longer than {MAX_BYTES} bytes"));
        }
        let mut segments = Vec::new();
        let mut symbols = text.chars().peekable();
        loop {
            let mut segment = String::new();
            if symbols.next_if_eq(&'`').is_some() {
                loop {
                    match symbols.next().ok_or_else(wrong)? {
                        '`' => break,
                        '\\' => segment.push(symbols.next().ok_or_else(wrong)?),
                        other => segment.push(other),
                    }
                }
            } else {
                while let Some(symbol) = symbols.next_if(|symbol| is_plain(*symbol)) {
                    segment.push(symbol);
                }
                if segment.starts_with(|first: char| first.is_ascii_digit()) {
                    return Err(wrong());
                }
            }
            if segment.is_empty() {
                return Err(wrong());
            }
            segments.push(segment);
            match symbols.next() {
                None => return Ok(Self(segments)),
                Some('.') => {}
                Some(_) => return Err(wrong()),
            }
        }
    }

    pub fn is_name(&self) -> bool {
        matches!(&self.0[..], [only] if only == NAME)
    }

    /// Whether it leads through a name that documents may not use.
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

    /// Puts a value, making the maps on the way; what is there and no map is replaced.
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

/// Names that documents may not use: `__.*__`.
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

/// The paths of a mask.
pub fn parse_mask(mask: &DocumentMask) -> Result<Vec<FieldPath>, Status> {
    mask.field_paths.iter().map(|path| FieldPath::parse(path)).collect()
}

/// The document with only the fields that `paths` name. `__name__` names no field.
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
    fn quoted_segments_hold_what_plain_ones_cannot() {
        let path = FieldPath::parse(r"a.`b.c`.`d\`e\\`").unwrap();
        assert_eq!(path.0, ["a", "b.c", r"d`e\"]);
        for text in ["", ".", "a.", ".a", "a..b", "`a", "1a", "a b", "a`b`"] {
            assert!(FieldPath::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn setting_below_a_scalar_replaces_it_and_removing_leaves_neighbours() {
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
        fn paths_come_back_from_their_text(segments in prop::collection::vec(".{1,5}", 1..4)) {
            let path = FieldPath(segments);
            prop_assert_eq!(FieldPath::parse(&path.to_string()).unwrap(), path);
        }
    }
}
