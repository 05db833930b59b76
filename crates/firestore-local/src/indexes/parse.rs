//! Reads `firestore.indexes.json` as the Firebase CLI does, comments included.

use std::collections::HashMap;

use serde::Deserialize;

use super::limits::{MAX_COLUMNS, MAX_COMPOSITES, MAX_OVERRIDES};
use super::{Column, Composite, FieldIndex, Indexes, Mode, Override, Scope};
use crate::model::field_path::FieldPath;
use crate::model::path::check_collection_id;

/// Why a file is not valid: the place, and what was expected there.
#[derive(Debug, thiserror::Error)]
pub enum InvalidIndexes {
    #[error("{0}")]
    Json(serde_json::Error),
    #[error("{place}: expected {expected}, got {got}")]
    Entry { place: String, expected: String, got: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    indexes: Vec<IndexEntry>,
    #[serde(default)]
    field_overrides: Vec<OverrideEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IndexEntry {
    collection_group: String,
    query_scope: Scope,
    fields: Vec<Field>,
    api_scope: Option<String>,
    density: Option<String>,
    multikey: Option<bool>,
    unique: Option<bool>,
    #[expect(dead_code, reason = "the CLI writes it, and the Standard edition ignores it")]
    shard_count: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Field {
    field_path: String,
    order: Option<Order>,
    array_config: Option<ArrayConfig>,
    vector_config: Option<VectorConfig>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Order {
    Ascending,
    Descending,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum ArrayConfig {
    Contains,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VectorConfig {
    #[expect(dead_code, reason = "vector search is not supported")]
    dimension: u32,
    #[expect(dead_code, reason = "vector search is not supported")]
    flat: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OverrideEntry {
    collection_group: String,
    field_path: String,
    indexes: Vec<FieldIndexEntry>,
    #[expect(dead_code, reason = "documents do not expire here")]
    ttl: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FieldIndexEntry {
    query_scope: Option<Scope>,
    order: Option<Order>,
    array_config: Option<ArrayConfig>,
}

fn wrong(
    place: impl Into<String>,
    expected: impl Into<String>,
    got: impl Into<String>,
) -> InvalidIndexes {
    InvalidIndexes::Entry { place: place.into(), expected: expected.into(), got: got.into() }
}

fn path(place: &str, text: &str) -> Result<FieldPath, InvalidIndexes> {
    let place = || format!("{place}.fieldPath");
    FieldPath::parse(text).map_err(|_| wrong(place(), "a field path", format!("{text:?}")))
}

fn mode(
    place: &str,
    order: Option<Order>,
    array: Option<ArrayConfig>,
    vector: bool,
) -> Result<Mode, InvalidIndexes> {
    match (order, array, vector) {
        (Some(Order::Ascending), None, false) => Ok(Mode::Ascending),
        (Some(Order::Descending), None, false) => Ok(Mode::Descending),
        (None, Some(ArrayConfig::Contains), false) => Ok(Mode::Contains),
        (None, None, true) => Ok(Mode::Vector),
        (None, None, false) => Err(wrong(place, "`order` or `arrayConfig`", "neither")),
        _ => Err(wrong(place, "one of `order`, `arrayConfig` and `vectorConfig`", "several")),
    }
}

fn check_group(place: &str, group: &str) -> Result<(), InvalidIndexes> {
    let place = || format!("{place}.collectionGroup");
    check_collection_id(group).map_err(|_| wrong(place(), "a collection id", format!("{group:?}")))
}

fn check_count(place: &str, count: usize, most: usize) -> Result<(), InvalidIndexes> {
    if count > most {
        return Err(wrong(place, format!("at most {most} entries"), count.to_string()));
    }
    Ok(())
}

impl Indexes {
    /// Parses the text of an index file.
    ///
    /// # Errors
    /// The place of the first mistake, and what was expected there.
    pub fn parse(text: &str) -> Result<Self, InvalidIndexes> {
        let file: File =
            serde_json::from_str(&without_comments(text)).map_err(InvalidIndexes::Json)?;
        check_count("indexes", file.indexes.len(), MAX_COMPOSITES)?;
        check_count("fieldOverrides", file.field_overrides.len(), MAX_OVERRIDES)?;
        let mut parsed = Self::default();
        let mut declared = HashMap::new();
        for (position, entry) in file.indexes.into_iter().enumerate() {
            let place = format!("indexes[{position}]");
            let composite = composite(&place, entry)?;
            let key = format!("{composite:?}");
            if let Some(first) = declared.insert(key, position) {
                let got = format!("the same as indexes[{first}]");
                return Err(wrong(place, "an index that is declared once", got));
            }
            parsed.composites.push(composite);
        }
        let mut declared = HashMap::new();
        for (position, entry) in file.field_overrides.into_iter().enumerate() {
            let place = format!("fieldOverrides[{position}]");
            let found = field_override(&place, entry)?;
            if let Some(first) =
                declared.insert((found.group.clone(), found.path.clone()), position)
            {
                let got = format!("the field of fieldOverrides[{first}]");
                return Err(wrong(place, "one entry for each field", got));
            }
            parsed.overrides.push(found);
        }
        Ok(parsed)
    }
}

fn composite(place: &str, entry: IndexEntry) -> Result<Composite, InvalidIndexes> {
    check_group(place, &entry.collection_group)?;
    check_edition(place, &entry)?;
    let mut columns: Vec<Column> = Vec::with_capacity(entry.fields.len());
    let mut name = None;
    let all = entry.fields.len();
    for (position, field) in entry.fields.into_iter().enumerate() {
        let place = format!("{place}.fields[{position}]");
        let path = path(&place, &field.field_path)?;
        let mode = mode(&place, field.order, field.array_config, field.vector_config.is_some())?;
        if path.is_name() {
            if position + 1 < all {
                return Err(wrong(place, "`__name__` as the last field", "a field after it"));
            }
            name = Some(match mode {
                Mode::Ascending => false,
                Mode::Descending => true,
                _ => return Err(wrong(place, "an `order` of `__name__`", "another mode")),
            });
            continue;
        }
        if columns.iter().any(|other| other.path == path) {
            return Err(wrong(place, "each field once", format!("{path} twice")));
        }
        if mode == Mode::Contains && columns.iter().any(|other| other.mode == Mode::Contains) {
            return Err(wrong(place, "at most one field with `arrayConfig`", "two"));
        }
        columns.push(Column { path, mode });
    }
    if columns.len() > MAX_COLUMNS {
        let expected = format!("at most {MAX_COLUMNS} fields");
        return Err(wrong(format!("{place}.fields"), expected, columns.len().to_string()));
    }
    let implied = Composite::implied_name_descending(&columns);
    let name_descending = name.unwrap_or(implied);
    let is_vector = columns.iter().any(|column| column.mode == Mode::Vector);
    // The service refuses an index that is the same as a single-field index.
    if columns.is_empty() || (columns.len() == 1 && !is_vector && name_descending == implied) {
        let expected = "at least two fields (an entry of `fieldOverrides` for one field)";
        return Err(wrong(format!("{place}.fields"), expected, columns.len().to_string()));
    }
    Ok(Composite {
        group: entry.collection_group,
        scope: entry.query_scope,
        columns,
        name_descending,
    })
}

/// Refuses the indexes of other editions, which do not serve the queries of this one.
fn check_edition(place: &str, entry: &IndexEntry) -> Result<(), InvalidIndexes> {
    let checks = [
        ("density", &entry.density, ["SPARSE_ALL", "DENSITY_UNSPECIFIED"]),
        ("apiScope", &entry.api_scope, ["ANY_API", "API_SCOPE_UNSPECIFIED"]),
    ];
    for (key, value, allowed) in checks {
        if let Some(value) = value
            && !allowed.contains(&value.as_str())
        {
            let expected = format!("{}, as for the Standard edition", allowed[0]);
            return Err(wrong(format!("{place}.{key}"), expected, value.clone()));
        }
    }
    for (key, value) in [("multikey", entry.multikey), ("unique", entry.unique)] {
        if value == Some(true) {
            let expected = "false, as for the Standard edition";
            return Err(wrong(format!("{place}.{key}"), expected, "true"));
        }
    }
    Ok(())
}

fn field_override(place: &str, entry: OverrideEntry) -> Result<Override, InvalidIndexes> {
    check_group(place, &entry.collection_group)?;
    let path = match entry.field_path.as_str() {
        "*" => None,
        text => Some(path(place, text)?),
    };
    let mut indexes = Vec::with_capacity(entry.indexes.len());
    for (position, index) in entry.indexes.into_iter().enumerate() {
        let place = format!("{place}.indexes[{position}]");
        let mode = mode(&place, index.order, index.array_config, false)?;
        let scope = index.query_scope.unwrap_or(Scope::Collection);
        indexes.push(FieldIndex { scope, mode });
    }
    Ok(Override { group: entry.collection_group, path, indexes })
}

/// The text with comments replaced by spaces, so that lines and columns stay.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut symbols = text.chars().peekable();
    let mut in_string = false;
    while let Some(symbol) = symbols.next() {
        match (in_string, symbol, symbols.peek()) {
            (true, '\\', _) => {
                out.push(symbol);
                out.extend(symbols.next());
            }
            (_, '"', _) => {
                in_string = !in_string;
                out.push(symbol);
            }
            (false, '/', Some('/')) => {
                out.push(' ');
                while let Some(skipped) = symbols.next_if(|next| *next != '\n') {
                    out.push(if skipped == '\r' { '\r' } else { ' ' });
                }
            }
            (false, '/', Some('*')) => {
                symbols.next();
                out.push_str("  ");
                let mut last = ' ';
                for skipped in symbols.by_ref() {
                    out.push(if skipped == '\n' { '\n' } else { ' ' });
                    if last == '*' && skipped == '/' {
                        break;
                    }
                    last = skipped;
                }
            }
            _ => out.push(symbol),
        }
    }
    out
}
