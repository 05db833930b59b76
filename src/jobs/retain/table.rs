//! The columns of an archive file.

use std::error::Error;

use bytes::Bytes;
use f0_learning_core::document::DocumentKey;
use firestore_kit::value::{self, Fields};

use crate::archive::{ArchiveError, Column, Row, Table, Values, read_rows};
use crate::store::{Archived, OldDocuments};

/// The rows of a part of a file: the keys, the fields that are queried most, and in `document` all fields.
pub fn archive_table(archived: Archived, documents: &OldDocuments) -> Table {
    let text = |name: &'static str| {
        let values = documents.fields().map(|fields| value::as_str(fields, name));
        Column { name, values: Values::Text(values.collect()) }
    };
    let number = |name: &'static str| {
        let values = documents.fields().map(|fields| value::as_number(fields, name));
        Column { name, values: Values::Number(values.collect()) }
    };
    let whole = |name: &'static str| {
        let values = documents.fields().map(|fields| value::as_whole(fields, name));
        Column { name, values: Values::Whole(values.collect()) }
    };
    let detail = |name: &'static str| {
        let values = documents.fields().map(|fields| {
            value::as_map(fields, "details").and_then(|map| value::as_number(map, name))
        });
        Column { name, values: Values::Number(values.collect()) }
    };
    let document = || {
        let values = documents.fields().map(as_json);
        Column { name: DOCUMENT, values: Values::Text(values.collect()) }
    };
    let typed = || {
        let values = documents.fields().map(as_typed_json);
        Column { name: TYPED, values: Values::Text(values.collect()) }
    };
    let columns = match archived {
        Archived::Observations => vec![
            text("component"),
            text("outcome"),
            number("durationMs"),
            whole("tokensIn"),
            whole("tokensOut"),
            number("costUsd"),
            text("policyVersion"),
            text("errorCode"),
            number("sampleRate"),
            number("propensity"),
            document(),
            typed(),
        ],
        Archived::Rewards => vec![
            text("component"),
            number("score"),
            detail("successBoost"),
            detail("latencyPenalty"),
            detail("costPenalty"),
            detail("errorPenalty"),
            text("policyVersion"),
            text("configVersion"),
        ],
        Archived::Quarantine => {
            vec![text("component"), text("field"), text("reason"), document(), typed()]
        }
    };
    Table { keys: documents.keys(), columns }
}

/// All fields as JSON, for queries. Types that JSON lacks are text here.
const DOCUMENT: &str = "document";

/// All fields with their types, of a document with types that JSON lacks. Files of earlier versions do
/// not have this column.
const TYPED: &str = "documentTyped";

/// Calls `each` with the documents in a file of observations or quarantine that are `wanted` by their
/// key, in the order of its rows, with their types.
///
/// # Errors
/// The file is not one, or is damaged.
pub fn archived_documents(
    file: Bytes,
    wanted: impl Fn(&DocumentKey) -> bool,
    mut each: impl FnMut(DocumentKey, Fields),
) -> Result<(), ArchiveError> {
    let rows = read_rows(file, &[DOCUMENT, TYPED], &[], |Row { key, mut texts, .. }| {
        if !wanted(&key) {
            return Ok(());
        }
        let typed = texts.pop().flatten();
        let fields = match (typed, texts.pop().flatten()) {
            (Some(text), _) => value::from_typed_json(&text),
            (None, Some(text)) => serde_json::from_str(&text)
                .map(|json| value::fields_from_json(&json))
                .map_err(|error| error.to_string()),
            (None, None) => Err("it has no fields".to_owned()),
        };
        match fields {
            Ok(fields) => {
                each(key, fields);
                Ok(())
            }
            Err(detail) => Err(Damage(format!("document {}: {detail}", key.id))),
        }
    });
    let path = "a file".to_owned();
    rows.map_err(|Damage(detail)| ArchiveError::Differs { path, detail })
}

/// Why a row cannot be read.
struct Damage(String);

impl<E: Error> From<E> for Damage {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

fn as_typed_json(fields: &Fields) -> Option<String> {
    if !value::exceeds_json(fields) {
        return None;
    }
    // A stored document holds no value of another type.
    value::to_typed_json(fields).ok()
}

fn as_json(fields: &Fields) -> Option<String> {
    serde_json::to_string(&value::fields_to_json(fields)).ok()
}
