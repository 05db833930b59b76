//! The columns of an archive file.

use bytes::Bytes;
use f0_learning_core::document::DocumentKey;
use firestore_kit::value::{self, Fields};

use crate::archive::{ArchiveError, Column, Table, Values, read_texts};
use crate::store::{Archived, OldDocuments};

/// The rows of a file: the keys, the fields that are queried most, and in `document` all fields.
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

/// The documents in a file of observations or quarantine, in the order of its rows, with their types.
///
/// # Errors
/// The file is not one, or is damaged.
pub fn archived_documents(file: Bytes) -> Result<Vec<(DocumentKey, Fields)>, ArchiveError> {
    let differs = |detail: String| ArchiveError::Differs { path: "a file".to_owned(), detail };
    let (keys, texts) =
        read_texts(file, &[DOCUMENT, TYPED]).map_err(|error| differs(error.to_string()))?;
    let [documents, typed] = <[_; 2]>::try_from(texts).unwrap_or_default();
    let documents = documents.ok_or_else(|| differs(format!("it has no column {DOCUMENT}")))?;
    let typed = typed.unwrap_or_else(|| vec![None; documents.len()]);
    let mut found = Vec::with_capacity(keys.len());
    for (key, (document, typed)) in keys.into_iter().zip(documents.into_iter().zip(typed)) {
        let malformed = |detail: String| differs(format!("document {}: {detail}", key.id));
        let parse = |text: String| serde_json::from_str(&text).map_err(|error| error.to_string());
        let fields = match (typed, document) {
            (Some(text), _) => parse(text).and_then(|json| value::from_typed_json(&json)),
            (None, Some(text)) => parse(text).map(|json| value::fields_from_json(&json)),
            (None, None) => Err("it has no fields".to_owned()),
        };
        let fields = fields.map_err(malformed)?;
        found.push((key, fields));
    }
    Ok(found)
}

fn as_typed_json(fields: &Fields) -> Option<String> {
    if !value::exceeds_json(fields) {
        return None;
    }
    // A stored document holds no value of another type.
    serde_json::to_string(&value::to_typed_json(fields).ok()?).ok()
}

fn as_json(fields: &Fields) -> Option<String> {
    serde_json::to_string(&value::fields_to_json(fields)).ok()
}
