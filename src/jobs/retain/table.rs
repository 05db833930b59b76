//! The columns of an archive file.

use firestore_kit::value::{self, Fields};

use crate::archive::{Column, Table, Values};
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
        Column { name: "document", values: Values::Text(values.collect()) }
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
            vec![text("component"), text("field"), text("reason"), document()]
        }
    };
    Table { keys: documents.keys(), columns }
}

fn as_json(fields: &Fields) -> Option<String> {
    serde_json::to_string(&value::fields_to_json(fields)).ok()
}
