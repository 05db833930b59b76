//! What a refused query lacks, in the syntax of the index file.

use serde_json::{Value, json};
use tonic::Status;

use super::{Column, Composite, FieldIndex, Indexes, Mode, Part, Scope};
use crate::model::field_path::NAME;

/// An entry to add to an index file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Index(Value),
    /// Replaces the override of the same field, if there is one.
    Override(Value),
}

impl Part {
    /// The entry that declares the index.
    pub(super) fn entry(&self, indexes: &Indexes) -> Entry {
        let implied = Composite::implied_name_descending(&self.columns);
        match &self.columns[..] {
            [] => self.of_field(indexes, NAME, &[NAME.to_owned()], Mode::Descending),
            [Column { path, mode }]
                if *mode == Mode::Contains || self.name_descending == implied =>
            {
                self.of_field(indexes, &path.to_string(), path.segments(), *mode)
            }
            columns => {
                let mut fields: Vec<_> = columns.iter().map(column_json).collect();
                if self.name_descending != implied {
                    let order = if self.name_descending { "DESCENDING" } else { "ASCENDING" };
                    fields.push(json!({ "fieldPath": NAME, "order": order }));
                }
                Entry::Index(json!({
                    "collectionGroup": self.group, "queryScope": self.scope, "fields": fields,
                }))
            }
        }
    }

    /// The override that adds a single-field index to those that the field has.
    fn of_field(&self, indexes: &Indexes, field: &str, path: &[String], mode: Mode) -> Entry {
        let mut all: Vec<FieldIndex> = match field {
            NAME => Vec::new(),
            _ => indexes.of_field(&self.group, path).to_vec(),
        };
        all.push(FieldIndex { scope: self.scope, mode });
        let all: Vec<_> = all.iter().map(field_index_json).collect();
        Entry::Override(
            json!({ "collectionGroup": self.group, "fieldPath": field, "indexes": all }),
        )
    }
}

pub(super) fn composite_json(composite: &Composite) -> Value {
    let mut fields: Vec<_> = composite.columns.iter().map(column_json).collect();
    if composite.name_descending != Composite::implied_name_descending(&composite.columns) {
        let order = if composite.name_descending { "DESCENDING" } else { "ASCENDING" };
        fields.push(json!({ "fieldPath": NAME, "order": order }));
    }
    json!({
        "collectionGroup": composite.group, "queryScope": composite.scope, "fields": fields,
    })
}

fn column_json(column: &Column) -> Value {
    let path = column.path.to_string();
    match column.mode {
        Mode::Ascending => json!({ "fieldPath": path, "order": "ASCENDING" }),
        Mode::Descending => json!({ "fieldPath": path, "order": "DESCENDING" }),
        Mode::Contains => json!({ "fieldPath": path, "arrayConfig": "CONTAINS" }),
        Mode::Vector => json!({ "fieldPath": path, "vectorConfig": {} }),
    }
}

fn field_index_json(index: &FieldIndex) -> Value {
    let scope: Scope = index.scope;
    match index.mode {
        Mode::Descending => json!({ "order": "DESCENDING", "queryScope": scope }),
        Mode::Contains => json!({ "arrayConfig": "CONTAINS", "queryScope": scope }),
        Mode::Ascending | Mode::Vector => json!({ "order": "ASCENDING", "queryScope": scope }),
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Index(entry) => write!(f, "\"indexes\": {entry}"),
            Self::Override(entry) => write!(f, "\"fieldOverrides\": {entry}"),
        }
    }
}

/// Google's words, with the entries to add where Google has a link.
pub(super) fn refusal(file: &str, indexes: &Indexes, parts: &[Part]) -> Status {
    let mut entries: Vec<String> =
        parts.iter().map(|part| part.entry(indexes).to_string()).collect();
    entries.dedup();
    Status::failed_precondition(format!(
        "The query requires an index. You can add it to {file} in {}",
        entries.join(" and in ")
    ))
}
