//! `ops_audit`: who did what, when, and on what it rested. Entries are only ever created, and
//! always in the commit that makes the change they tell of.

use firestore_kit::proto::{Document, Write};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::store::{Result, StoreError};
use crate::store::{Store, collection::AUDIT};
use f0_learning_core::audit::{Action, AuditEntry};
use firestore_kit::Query;
use firestore_kit::TransactionId;
use firestore_kit::{Page, PageRequest, newest_first};
use firestore_kit::{value, write};

/// Which entries of the trail to read; all that is left out matches.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub id: Option<String>,
    pub action: Option<String>,
    pub actor: Option<String>,
    /// Entries with `ts` from here ...
    pub since: Option<i64>,
    /// ... up to here, both included.
    pub until: Option<i64>,
}

impl AuditFilter {
    /// Everything that was done to one policy.
    pub fn of(id: &str) -> Self {
        Self { id: Some(id.to_owned()), ..Self::default() }
    }

    fn query(&self) -> Query {
        let mut query = Query::of(AUDIT);
        for (field, wanted) in [("id", &self.id), ("action", &self.action), ("actor", &self.actor)]
        {
            if let Some(wanted) = wanted {
                query = query.equal(field, value::string(wanted.as_str()));
            }
        }
        if let Some(since) = self.since {
            query = query.at_least("ts", value::int(since));
        }
        if let Some(until) = self.until {
            query = query.at_most("ts", value::int(until));
        }
        query
    }
}

/// An entry as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRecord {
    /// The document's id.
    pub audit_id: String,
    /// When its commit was, in microseconds since the epoch: the order of what happened.
    pub committed_us: i64,
    pub entry: AuditEntry,
}

impl Store {
    /// The write that creates an entry; it belongs into the commit of the change itself.
    pub(in crate::store) fn audit_write(&self, entry: &AuditEntry) -> Write {
        self.audit_write_as(&Uuid::new_v4().to_string(), entry)
    }

    pub(in crate::store) fn audit_write_as(&self, id: &str, entry: &AuditEntry) -> Write {
        let fields = match serde_json::to_value(entry) {
            Ok(Json::Object(object)) => value::fields_from_json(&object),
            _ => value::Fields::default(),
        };
        write::create(self.db.name(AUDIT, id), fields)
    }

    /// The latest entries that match, newest first.
    pub async fn audit(&self, filter: &AuditFilter, limit: usize) -> Result<Vec<AuditRecord>> {
        let query = filter.query().descending("ts").limit(limit);
        Ok(self.decode_trail(&self.db.query_all(AUDIT, query.build()).await?))
    }

    /// The entries that match, a page at a time, newest first.
    pub async fn audit_page(
        &self,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditRecord>> {
        let query = newest_first(&self.db, filter.query(), AUDIT, page);
        let documents = self.db.query_all(AUDIT, query).await?;
        Page::of(page, &documents, |documents| Ok(self.decode_trail(documents)))
    }

    /// All that was done to a policy, or all since a time, in the order of the commits.
    pub async fn trail(&self, id: &str, since: Option<i64>) -> Result<Vec<AuditRecord>> {
        let query = AuditFilter { since, ..AuditFilter::of(id) }.query().descending("ts");
        let mut trail = self.decode_trail(&self.db.query_all(AUDIT, query.build()).await?);
        // Entries of one commit tell of different versions: among them any order will do.
        trail.sort_by_key(|record| record.committed_us);
        Ok(trail)
    }

    /// How often an actor activated a version of a policy since a time, read in a transaction.
    pub(in crate::store) async fn activations_since(
        &self,
        id: &str,
        actor: &str,
        since: i64,
        transaction: &TransactionId,
    ) -> Result<usize> {
        let filter = AuditFilter {
            id: Some(id.to_owned()),
            action: Some(Action::Activate.to_string()),
            actor: Some(actor.to_owned()),
            since: Some(since),
            until: None,
        };
        let query = filter.query().descending("ts").build();
        Ok(self.db.query_in(AUDIT, query, transaction).await?.len())
    }

    /// Every service may create entries: one that makes no sense must not hide the others.
    fn decode_trail(&self, documents: &[Document]) -> Vec<AuditRecord> {
        let decode = |document| {
            let record = self.decode_audit(document);
            record
                .inspect_err(|error| tracing::error!(%error, "an audit entry is passed over"))
                .ok()
        };
        documents.iter().filter_map(decode).collect()
    }

    pub(in crate::store) fn decode_audit(&self, document: &Document) -> Result<AuditRecord> {
        let json: Map<String, Json> = value::fields_to_json(&document.fields);
        let entry = serde_json::from_value(Json::Object(json)).map_err(|error| {
            StoreError::decode(self.db.short_name(&document.name), "an audit entry", error)
        })?;
        let created = document.create_time.unwrap_or_default();
        Ok(AuditRecord {
            audit_id: value::document_id(document).to_owned(),
            committed_us: value::epoch_micros(&created),
            entry,
        })
    }
}
