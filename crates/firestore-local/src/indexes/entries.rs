//! The index entries of a document.
//!
//! Sources: "Index types", index entries, and "Storage size calculations". A value counts with at
//! most 1,500 bytes, because longer values are truncated. Of equal elements of an array one counts.

use std::collections::HashSet;

use super::{Column, Composite, Indexes, Mode, Scope};
use crate::model::Fields;
use crate::model::path::DocumentName;
use crate::model::value;
use crate::proto::{Document, Value, value::ValueType};

/// The most bytes of an indexed value; the rest is cut off.
const MAX_VALUE_BYTES: u64 = 1_500;

/// The directions of names in which an automatic index holds each element of an array. The
/// documentation shows one entry for an element. But arrays of more than 20,000 distinct elements
/// were seen to exceed the limit of 40,000 entries.
const ELEMENT_ENTRIES: u64 = 2;

/// The index entries of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    pub count: u64,
    /// Their sizes as Firestore counts storage.
    pub bytes: u64,
    /// The size of the largest one.
    pub largest: u64,
}

/// Counts the index entries of a document. A document without a valid name has none.
pub fn index_entries(document: &Document, indexes: &Indexes) -> Entries {
    let name = DocumentName::parse(&document.name);
    name.map_or_else(|_| Entries::default(), |name| entries_of(&name, &document.fields, indexes))
}

pub(crate) fn entries_of(name: &DocumentName, fields: &Fields, indexes: &Indexes) -> Entries {
    let (own, parent) = (name.size() as u64, name.parent_size() as u64);
    let mut counting =
        Counting { group: name.collection_id(), own, parent, indexes, found: Entries::default() };
    counting.add_fields(fields, &mut Vec::new());
    for composite in indexes.of_group(name.collection_id()) {
        counting.add_composite(composite, fields);
    }
    counting.found
}

struct Counting<'a> {
    group: &'a str,
    /// The size of the document's name.
    own: u64,
    /// The size of the name of the document that the collection is in; 0 without one.
    parent: u64,
    indexes: &'a Indexes,
    found: Entries,
}

impl Counting<'_> {
    fn add_fields(&mut self, fields: &Fields, path: &mut Vec<String>) {
        for (name, field) in fields {
            path.push(name.clone());
            self.add_field(field, path);
            if let Some(ValueType::MapValue(map)) = &field.value_type
                && !value::is_vector(field)
            {
                self.add_fields(&map.fields, path);
            }
            path.pop();
        }
    }

    /// Adds the entries of single-field indexes.
    fn add_field(&mut self, field: &Value, path: &[String]) {
        let indexes = self.indexes;
        let name = path.iter().map(|segment| segment.len() as u64 + 1).sum::<u64>();
        for index in indexes.of_field(self.group, path) {
            let fixed = name + self.own + self.parent_or_more(index.scope, 48);
            match index.mode {
                Mode::Ascending | Mode::Descending => self.add(fixed + value_size(field), 1),
                Mode::Contains => {
                    for element in distinct(field) {
                        self.add(fixed + value_size(element), ELEMENT_ENTRIES);
                    }
                }
                Mode::Vector => {}
            }
        }
    }

    fn add_composite(&mut self, composite: &Composite, fields: &Fields) {
        let fixed = self.own + self.parent_or_more(composite.scope, 32);
        let (mut bytes, mut elements) = (fixed, None);
        for Column { path, mode } in &composite.columns {
            let Some(field) = path.get(fields) else { return };
            match mode {
                Mode::Contains => elements = Some(distinct(field)),
                _ => bytes += value_size(field),
            }
        }
        match elements {
            None => self.add(bytes, 1),
            Some(elements) => {
                elements.into_iter().for_each(|element| self.add(bytes + value_size(element), 1));
            }
        }
    }

    /// What the scope adds to an entry: an index of a collection holds the parent's name.
    fn parent_or_more(&self, scope: Scope, of_group: u64) -> u64 {
        match scope {
            Scope::Collection => self.parent + 32,
            Scope::CollectionGroup => of_group,
        }
    }

    fn add(&mut self, bytes: u64, count: u64) {
        self.found.count += count;
        self.found.bytes += bytes * count;
        self.found.largest = self.found.largest.max(bytes);
    }
}

fn value_size(value: &Value) -> u64 {
    (value::size(value) as u64).min(MAX_VALUE_BYTES)
}

/// The distinct elements of an array; none of another value.
fn distinct(field: &Value) -> Vec<&Value> {
    let Some(ValueType::ArrayValue(array)) = &field.value_type else { return Vec::new() };
    let mut seen = HashSet::with_capacity(array.values.len());
    array.values.iter().filter(|value| seen.insert(value::encoded(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{ArrayValue, MapValue};

    fn value(kind: ValueType) -> Value {
        Value { value_type: Some(kind) }
    }

    fn text(text: &str) -> Value {
        value(ValueType::StringValue(text.to_owned()))
    }

    fn array(values: Vec<Value>) -> Value {
        value(ValueType::ArrayValue(ArrayValue { values }))
    }

    fn int(number: i64) -> Value {
        value(ValueType::IntegerValue(number))
    }

    fn document<const N: usize>(path: &str, fields: [(&str, Value); N]) -> Document {
        Document {
            name: format!("projects/p/databases/(default)/documents/{path}"),
            fields: fields.map(|(name, value)| (name.to_owned(), value)).into(),
            ..Document::default()
        }
    }

    fn counted(document: &Document, file: &str) -> Entries {
        index_entries(document, &Indexes::parse(file).unwrap())
    }

    /// The document of "Storage size calculations".
    fn task() -> Document {
        let done = value(ValueType::BooleanValue(false));
        document("users/jeff/tasks/my_task_id", [("done", done), ("priority", int(1))])
    }

    /// An index file that exempts all fields of `tasks`, with more entries.
    fn only(indexes: &str, overrides: &str) -> String {
        let all = r#"{"collectionGroup": "tasks", "fieldPath": "*", "indexes": []}"#;
        format!(r#"{{"indexes": [{indexes}], "fieldOverrides": [{all}{overrides}]}}"#)
    }

    fn on_done(scope: &str) -> String {
        format!(
            r#", {{"collectionGroup": "tasks", "fieldPath": "done",
                 "indexes": [{{"order": "ASCENDING", "queryScope": "{scope}"}}]}}"#
        )
    }

    fn on_both(scope: &str) -> String {
        format!(
            r#"{{"collectionGroup": "tasks", "queryScope": "{scope}", "fields": [
                 {{"fieldPath": "done", "order": "ASCENDING"}},
                 {{"fieldPath": "priority", "order": "ASCENDING"}}]}}"#
        )
    }

    #[test]
    fn entries_have_the_sizes_of_the_documentation() {
        for (file, bytes) in [
            (only("", &on_done("COLLECTION")), 109),
            (only("", &on_done("COLLECTION_GROUP")), 98),
            (only(&on_both("COLLECTION"), ""), 112),
            (only(&on_both("COLLECTION_GROUP"), ""), 85),
            (only("", ""), 0),
        ] {
            let expected = Entries { count: u64::from(bytes > 0), bytes, largest: bytes };
            assert_eq!(counted(&task(), &file), expected, "{file}");
        }
    }

    /// The document of "Index entries"; the automatic index holds elements in both directions.
    #[test]
    fn maps_and_arrays_have_the_entries_of_the_documentation() {
        let hoods = array(["Mission", "Downtown", "Marina"].map(text).to_vec());
        let temperatures = value(ValueType::MapValue(MapValue {
            fields: [("summer".to_owned(), int(67)), ("winter".to_owned(), int(55))].into(),
        }));
        let city = document(
            "cities/SF",
            [
                ("city_name", text("San Francisco")),
                ("temperatures", temperatures),
                ("neighborhoods", hoods),
            ],
        );
        let file = |fields: &str| {
            format!(
                r#"{{"indexes": [{fields}], "fieldOverrides": [
                     {{"collectionGroup": "cities", "fieldPath": "temperatures", "indexes": []}}]}}"#
            )
        };
        assert_eq!(counted(&city, r#"{"indexes": []}"#).count, 10 + 2 * 3);
        assert_eq!(counted(&city, &file("")).count, 4 + 2 * 3);
        let contains = |order| {
            format!(
                r#"{{"collectionGroup": "cities", "queryScope": "COLLECTION", "fields": [
                     {{"fieldPath": "city_name", "order": "{order}"}},
                     {{"fieldPath": "neighborhoods", "arrayConfig": "CONTAINS"}}]}}"#
            )
        };
        let two = file(&format!("{}, {}", contains("ASCENDING"), contains("DESCENDING")));
        assert_eq!(counted(&city, &two).count, 4 + 2 * 3 + 2 * 3);
    }

    #[test]
    fn long_values_are_cut_off_and_equal_elements_count_once() {
        let long = document("c/d", [("f", text(&"x".repeat(9_000)))]);
        let found = index_entries(&long, &Indexes::default());
        assert_eq!(found, Entries { count: 2, bytes: 2 * found.largest, ..found });
        // The name has 2 + 2 + 16 bytes, the field 2, and there is no parent document.
        assert_eq!(found.largest, 20 + 2 + 1_500 + 32);
        let repeated = document("c/d", [("f", array(vec![int(1); 1_000]))]);
        assert_eq!(index_entries(&repeated, &Indexes::default()).count, 2 + 2);
    }
}
