//! The automatic single-field index entries of a document: their number, their changes and sizes.
//!
//! Firestore keeps an ascending and a descending entry for each field that is neither an array nor
//! a map, one entry for each distinct element of an array, and the entries of the fields of a map.
//! This is the only place that knows it. Exemptions and composite indexes are not considered.

use std::collections::BTreeSet;

use super::Fields;
use super::path::DocumentName;
use super::value::{self, encoded};
use crate::proto::{Document, Value, value::ValueType};

/// The most bytes of a value that an entry holds.
const MAX_VALUE_BYTES: usize = 1_500;
/// What Firestore adds to the size of an entry of collection scope.
const ENTRY_BYTES: usize = 32;

enum Kind<'a> {
    Map(&'a Fields),
    Array(&'a [Value]),
    Vector,
    Plain,
}

fn kind(value: &Value) -> Kind<'_> {
    match &value.value_type {
        Some(ValueType::MapValue(_)) if value::is_vector(value) => Kind::Vector,
        Some(ValueType::MapValue(map)) => Kind::Map(&map.fields),
        Some(ValueType::ArrayValue(array)) => Kind::Array(&array.values),
        _ => Kind::Plain,
    }
}

fn distinct(values: &[Value]) -> BTreeSet<Vec<u8>> {
    values.iter().map(encoded).collect()
}

fn count(value: &Value) -> u64 {
    match kind(value) {
        Kind::Map(fields) => fields.values().map(count).sum(),
        Kind::Array(values) => distinct(values).len() as u64,
        Kind::Vector => 0,
        Kind::Plain => 2,
    }
}

/// The number of entries that a change of a document adds and removes.
pub fn changed(before: Option<&Document>, after: Option<&Document>) -> u64 {
    match (before, after) {
        (None, None) => 0,
        (Some(only), None) | (None, Some(only)) => only.fields.values().map(count).sum(),
        (Some(before), Some(after)) => difference(&before.fields, &after.fields),
    }
}

fn difference(before: &Fields, after: &Fields) -> u64 {
    let gone = before.iter().filter(|(name, _)| !after.contains_key(*name));
    let gone: u64 = gone.map(|(_, value)| count(value)).sum();
    let new = after.iter().map(|(name, value)| match before.get(name) {
        Some(old) => replaced(old, value),
        None => count(value),
    });
    gone + new.sum::<u64>()
}

fn replaced(old: &Value, new: &Value) -> u64 {
    if old == new {
        return 0;
    }
    match (kind(old), kind(new)) {
        (Kind::Map(old), Kind::Map(new)) => difference(old, new),
        (Kind::Array(old), Kind::Array(new)) => {
            distinct(old).symmetric_difference(&distinct(new)).count() as u64
        }
        _ => count(old) + count(new),
    }
}

/// The number and bytes of all entries of a document.
pub fn sizes(name: &DocumentName, fields: &Fields) -> (u64, u64) {
    let parent = name.parent().map_or(0, |parent| parent.size());
    let mut sum = Sum { fixed: name.size() + parent + ENTRY_BYTES, entries: 0, bytes: 0 };
    sum.fields(0, fields);
    (sum.entries, sum.bytes)
}

struct Sum {
    /// What each entry holds except for the field's name and value.
    fixed: usize,
    entries: u64,
    bytes: u64,
}

impl Sum {
    /// `prefix` is the length of the path of the map, with its dot.
    fn fields(&mut self, prefix: usize, fields: &Fields) {
        for (name, value) in fields {
            let path = prefix + name.len();
            match kind(value) {
                Kind::Map(fields) => self.fields(path + 1, fields),
                Kind::Array(values) => {
                    let mut seen = BTreeSet::new();
                    for value in values.iter().filter(|value| seen.insert(encoded(value))) {
                        self.add(path, value, 1);
                    }
                }
                Kind::Vector => {}
                Kind::Plain => self.add(path, value, 2),
            }
        }
    }

    fn add(&mut self, path: usize, value: &Value, times: u64) {
        let bytes = self.fixed + path + 1 + value::size(value).min(MAX_VALUE_BYTES);
        self.entries += times;
        self.bytes += times * bytes as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{ArrayValue, MapValue};

    fn text(text: &str) -> Value {
        Value { value_type: Some(ValueType::StringValue(text.to_owned())) }
    }

    fn boolean(value: bool) -> Value {
        Value { value_type: Some(ValueType::BooleanValue(value)) }
    }

    fn array(values: impl IntoIterator<Item = Value>) -> Value {
        let values = values.into_iter().collect();
        Value { value_type: Some(ValueType::ArrayValue(ArrayValue { values })) }
    }

    fn map<const N: usize>(of: [(&str, Value); N]) -> Value {
        Value { value_type: Some(ValueType::MapValue(MapValue { fields: fields(of) })) }
    }

    fn fields<const N: usize>(of: [(&str, Value); N]) -> Fields {
        of.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn document<const N: usize>(of: [(&str, Value); N]) -> Document {
        Document { fields: fields(of), ..Document::default() }
    }

    #[test]
    fn an_entry_has_the_size_of_the_documentation() {
        // "Storage size calculations", collection scope: the document's name (44 bytes), its parent's
        // name (27), the field's name (5), the value (1), and 32 bytes.
        let name = "projects/p/databases/(default)/documents/users/jeff/tasks/my_task_id";
        let name = DocumentName::parse(name).unwrap();
        assert_eq!(sizes(&name, &fields([("done", boolean(false))])), (2, 2 * 109));
    }

    #[test]
    fn maps_count_by_field_and_arrays_by_distinct_element() {
        let document = document([
            ("a", text("x")),
            ("list", array([text("x"), text("y"), text("x")])),
            ("map", map([("b", text("x")), ("c", boolean(true))])),
        ]);
        assert_eq!(changed(None, Some(&document)), 2 + 2 + 4);
        assert_eq!(changed(Some(&document), None), 8);
        assert_eq!(changed(Some(&document), Some(&document)), 0);
    }

    #[test]
    fn only_changed_fields_change_entries() {
        let before = document([
            ("same", text("x")),
            ("gone", text("x")),
            ("list", array([text("x"), text("y")])),
            ("map", map([("b", text("x")), ("c", text("x"))])),
        ]);
        let after = document([
            ("same", text("x")),
            ("new", text("x")),
            ("list", array([text("y"), text("z")])),
            ("map", map([("b", text("x")), ("c", text("y"))])),
        ]);
        assert_eq!(changed(Some(&before), Some(&after)), 2 + 2 + 2 + 4);
    }
}
