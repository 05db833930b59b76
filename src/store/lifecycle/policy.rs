//! Reading and writing a document of `ops_policies`.

use f0_learning_client::decode_policy;
use f0_learning_core::document::Policy;
use f0_learning_core::policy::PolicyStatus;
use firestore_kit::proto::Document;
use firestore_kit::value::{self, Fields};
use semver::Version;
use serde_json::Value as Json;

use crate::store::{Result, Store};

/// The fields that a pin consists of.
pub(in crate::store) const PIN_FIELDS: [&str; 4] = ["pinned", "pinReason", "pinnedBy", "pinnedAt"];

pub(in crate::store) fn document_id(id: &str, version: &Version) -> String {
    format!("{id}@{version}")
}

pub(in crate::store) fn has_status(document: Option<&Document>, status: PolicyStatus) -> bool {
    document
        .and_then(|document| value::as_str(&document.fields, "status"))
        .is_some_and(|found| found == status.as_str())
}

impl Store {
    pub(in crate::store) fn decode_policy(&self, document: &Document) -> Result<Policy> {
        decode_policy(document)
    }

    /// Decodes what can be. One document that somebody spoilt by hand must not hide the others:
    /// it is told in the log, and by name where it is asked for.
    pub(in crate::store) fn decode_sound(&self, documents: &[Document]) -> Vec<Policy> {
        let decode = |document| {
            let policy = self.decode_policy(document);
            policy
                .inspect_err(|error| tracing::error!(%error, "a policy version is passed over"))
                .ok()
        };
        documents.iter().filter_map(decode).collect()
    }
}

/// The pin that these fields hold, to be moved to another version; empty where there is none.
pub(in crate::store) fn pin_of(fields: &Fields) -> Fields {
    if fields.get("pinned").map(value::to_json) != Some(Json::Bool(true)) {
        return Fields::default();
    }
    let held = PIN_FIELDS.into_iter().filter_map(|name| {
        let value = fields.get(name)?;
        Some((name.to_owned(), value.clone()))
    });
    held.collect()
}
