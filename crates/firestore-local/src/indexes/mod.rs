//! The indexes of a database: which queries they serve, and which documents they allow, as
//! Firestore's Standard edition decides.
//!
//! `parse` reads `firestore.indexes.json`, `shape` reduces a query to what decides about indexes,
//! `decide` finds the indexes that serve it, `refusal` names the missing ones, `entries` counts the
//! entries of a document, and `suggest` compares a recorded run with a file. These are pure. `file`
//! reads the file again when it changes, `recorder` writes the shapes of a run, and `enforced` is
//! what the service asks.
//!
//! Sources: "Index types in Cloud Firestore", "Index Definition Reference", "Storage size
//! calculations" of the public documentation, and the messages of `Index` in the Admin API.

pub mod command;
mod decide;
mod enforced;
pub mod entries;
mod file;
mod limits;
mod parse;
mod recorder;
mod refusal;
mod shape;
mod suggest;

use serde::{Deserialize, Serialize};

use crate::model::field_path::FieldPath;
pub use decide::{Decision, Part, Used};
pub(crate) use enforced::{Enforced, WriteLimits};
pub use file::{IndexesError, IndexesFile};
pub use parse::InvalidIndexes;
pub(crate) use recorder::Recorder;
pub use recorder::{RecordError, read as read_record};
pub use shape::{Alternative, Order, Shape};
pub use suggest::{Suggestions, suggest};

/// Which queries an index serves: those over one collection, or those over all collections with an
/// id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Scope {
    Collection,
    CollectionGroup,
}

/// How an index holds a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    Ascending,
    Descending,
    /// One entry for each element of an array.
    Contains,
    /// For vector search, which no other query uses.
    Vector,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Column {
    pub path: FieldPath,
    pub mode: Mode,
}

/// An index over several fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composite {
    pub group: String,
    pub scope: Scope,
    /// Without the document's name.
    pub columns: Vec<Column>,
    /// Whether entries with equal columns are in the descending order of names.
    pub name_descending: bool,
}

/// An index over one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldIndex {
    pub scope: Scope,
    pub mode: Mode,
}

/// The indexes of one field, of the fields of a map, or of all fields, instead of the automatic
/// ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    pub group: String,
    /// `None` for all fields of the collection group.
    pub path: Option<FieldPath>,
    pub indexes: Vec<FieldIndex>,
}

/// The indexes that a file declares. The default declares none: every field has its automatic
/// indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexes {
    pub composites: Vec<Composite>,
    pub overrides: Vec<Override>,
}

/// The automatic indexes of a field.
const AUTOMATIC: [FieldIndex; 3] = [
    FieldIndex { scope: Scope::Collection, mode: Mode::Ascending },
    FieldIndex { scope: Scope::Collection, mode: Mode::Descending },
    FieldIndex { scope: Scope::Collection, mode: Mode::Contains },
];

/// Documents are stored in the ascending order of their names.
const OF_NAMES: [FieldIndex; 2] = [
    FieldIndex { scope: Scope::Collection, mode: Mode::Ascending },
    FieldIndex { scope: Scope::CollectionGroup, mode: Mode::Ascending },
];

impl Composite {
    /// The direction of the name if a definition does not give it: that of the last field, or
    /// ascending if that has none.
    fn implied_name_descending(columns: &[Column]) -> bool {
        columns.last().is_some_and(|last| last.mode == Mode::Descending)
    }
}

impl Override {
    /// How many segments of the path this names; `None` if it is about other fields.
    fn depth(&self, path: &[String]) -> Option<usize> {
        match &self.path {
            None => Some(0),
            Some(own) => path.starts_with(own.segments()).then_some(own.segments().len()),
        }
    }
}

impl Indexes {
    /// The single-field indexes of a field: those of the override that names it, or else its
    /// nearest parent, or else all fields; without any, the automatic ones.
    pub(crate) fn of_field(&self, group: &str, path: &[String]) -> &[FieldIndex] {
        let overrides = self.overrides.iter().filter(|it| it.group == group);
        let nearest = overrides.filter_map(|it| Some((it.depth(path)?, it)));
        let is_name = matches!(path, [only] if only == crate::model::field_path::NAME);
        match nearest.max_by_key(|(depth, _)| *depth) {
            // All fields means all fields of documents.
            Some((depth, found)) if depth > 0 || !is_name => &found.indexes,
            _ if is_name => &OF_NAMES,
            _ => &AUTOMATIC,
        }
    }

    fn of_group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Composite> {
        self.composites.iter().filter(move |it| it.group == group)
    }
}

#[cfg(test)]
mod tests;
