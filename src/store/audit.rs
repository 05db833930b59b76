//! `ops_audit`: who did what, when, and on what it rested. Entries are only ever created, and
//! always in the commit that makes the change they tell of.

use firestore::gcloud_sdk::google::firestore::v1::{Document, Write};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::error::{Result, StoreError};
use super::query::Query;
use super::value;
use super::{Store, collection::AUDIT, write};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Epoch milliseconds.
    pub ts: i64,
    pub actor: String,
    /// What was done: `propose`, `supersede`, `flags`.
    pub action: String,
    /// What it was done to: a policy's id, or `flags`.
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the decision rested on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Json>,
}

#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub id: Option<String>,
    pub action: Option<String>,
    pub actor: Option<String>,
}

impl Store {
    /// The write that creates an entry; it belongs into the commit of the change itself.
    pub(super) fn audit_write(&self, entry: &AuditEntry) -> Write {
        let fields = match serde_json::to_value(entry) {
            Ok(Json::Object(object)) => value::fields_from_json(&object),
            _ => value::Fields::default(),
        };
        write::create(self.name(AUDIT, &Uuid::new_v4().to_string()), fields)
    }

    /// The latest entries that match, newest first, each with its document id.
    pub async fn audit(
        &self,
        filter: &AuditFilter,
        limit: usize,
    ) -> Result<Vec<(String, AuditEntry)>> {
        let mut query = Query::of(AUDIT).descending("ts").limit(limit);
        for (field, wanted) in
            [("id", &filter.id), ("action", &filter.action), ("actor", &filter.actor)]
        {
            if let Some(wanted) = wanted {
                query = query.equal(field, value::string(wanted.as_str()));
            }
        }
        let documents = self.query_all(AUDIT, query.build()).await?;
        documents.iter().map(|document| self.decode_audit(document)).collect()
    }

    fn decode_audit(&self, document: &Document) -> Result<(String, AuditEntry)> {
        let json: Map<String, Json> = value::fields_to_json(&document.fields);
        let entry = serde_json::from_value(Json::Object(json)).map_err(|error| {
            StoreError::decode(self.short_name(&document.name), "an audit entry", error)
        })?;
        Ok((value::document_id(document).to_owned(), entry))
    }
}
