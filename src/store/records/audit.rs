//! `ops_audit`: who did what, when and why. Entries are only created, always in the commit that makes
//! the change that they record.

use firestore_kit::proto::{Document, Write};

use crate::store::ids::random_id;
use crate::store::{Result, StoreError};
use crate::store::{Store, collection::AUDIT};
use f0_learning_core::audit::{Action, AuditEntry};
use firestore_kit::{Page, PageOrder, PageRequest, Query, Transaction, value, write};

const ORDER: PageOrder = PageOrder::NewestFirst("ts");

/// The fields of an entry that say what changed, and not why.
const WITHOUT_EVIDENCE: &[&str] = &[
    "ts",
    "actor",
    "actorName",
    "action",
    "id",
    "from",
    "to",
    "reason",
    "changes",
    "forced",
    "experiment",
    "guard",
    "request",
];

/// Entries that are read together. A reason has at most 1,500 bytes.
const CHANGES_AT_ONCE: usize = 200;

/// Which entries to read; a field that is left out matches all.
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
    /// All changes of one policy.
    pub fn of(id: &str) -> Self {
        Self { id: Some(id.to_owned()), ..Self::default() }
    }

    pub(super) fn query(&self) -> Query {
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
    /// When it was committed, in microseconds since the epoch: the order of the changes.
    pub committed_us: i64,
    pub entry: AuditEntry,
}

impl Store {
    /// The write that creates an entry; it belongs in the commit of the change.
    pub(in crate::store) fn audit_write(&self, entry: &AuditEntry) -> Result<Write> {
        self.audit_write_as(&random_id(), entry)
    }

    pub(in crate::store) fn audit_write_as(&self, id: &str, entry: &AuditEntry) -> Result<Write> {
        Ok(write::create(self.db.name(AUDIT, id), value::to_fields(entry)?))
    }

    /// The latest entries that match, newest first.
    pub async fn audit(&self, filter: &AuditFilter, limit: usize) -> Result<Vec<AuditRecord>> {
        let query = filter.query().descending("ts").limit(limit);
        self.db.query_map(AUDIT, query.build(), |document| self.decode_entry(&document)).await
    }

    /// The entries that match, one page at a time, newest first.
    pub async fn audit_page(
        &self,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditRecord>> {
        let found = ORDER.read(&self.db, AUDIT, filter.query(), page).await?;
        Ok(Page::decoded(ORDER, page, &found, |document| self.decode_audit(document)))
    }

    /// All changes of a policy, or those since a time, in the order of the commits.
    pub async fn trail(&self, id: &str, since: Option<i64>) -> Result<Vec<AuditRecord>> {
        self.trail_of(AuditFilter { since, ..AuditFilter::of(id) }.query()).await
    }

    /// The same without evidence, which takes most of the memory.
    pub async fn changes(&self, id: &str, since: Option<i64>) -> Result<Vec<AuditRecord>> {
        let filter = AuditFilter { since, ..AuditFilter::of(id) };
        self.trail_of(filter.query().select(WITHOUT_EVIDENCE)).await
    }

    async fn trail_of(&self, query: Query) -> Result<Vec<AuditRecord>> {
        let query = query.descending("ts").build();
        let decode = |document: Document| self.decode_entry(&document);
        let mut trail = self.db.query_map(AUDIT, query, decode).await?;
        // Entries of one commit are about different versions, so their order does not matter.
        trail.sort_by_key(|record| record.committed_us);
        Ok(trail)
    }

    /// The newest change of a policy since a time that `wanted` accepts, read in a transaction, one page
    /// at a time and without evidence.
    pub(in crate::store) async fn newest_change_in(
        &self,
        id: &str,
        since: i64,
        transaction: &Transaction,
        wanted: impl Fn(&AuditRecord) -> bool,
    ) -> Result<Option<AuditRecord>> {
        let filter = AuditFilter { since: Some(since), ..AuditFilter::of(id) };
        let newest =
            filter.query().select(WITHOUT_EVIDENCE).descending("ts").descending("__name__");
        let mut page = newest.clone();
        loop {
            let query = page.limit(CHANGES_AT_ONCE).build();
            let found = self.db.query_in(AUDIT, query, transaction).await?;
            if let Some(change) = self.decode_trail(&found).into_iter().find(&wanted) {
                return Ok(Some(change));
            }
            let Some(last) = found.last().filter(|_| found.len() == CHANGES_AT_ONCE) else {
                return Ok(None);
            };
            let ts = last.fields.get("ts").cloned().unwrap_or_default();
            page = newest.clone().start_after(vec![ts, value::reference(last.name.clone())]);
        }
    }

    /// The number of activations of a policy by an actor since a time, read in a transaction.
    pub(in crate::store) async fn activations_since(
        &self,
        id: &str,
        actor: &str,
        since: i64,
        transaction: &Transaction,
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

    /// Decodes the entries that can be decoded: any component may create entries, and a malformed one
    /// must not hide the rest.
    fn decode_trail(&self, documents: &[Document]) -> Vec<AuditRecord> {
        documents.iter().filter_map(|document| self.decode_entry(document)).collect()
    }

    pub(super) fn decode_entry(&self, document: &Document) -> Option<AuditRecord> {
        let record = self.decode_audit(document);
        record.inspect_err(|error| tracing::error!(%error, "skipping an audit entry")).ok()
    }

    pub(in crate::store) fn decode_audit(&self, document: &Document) -> Result<AuditRecord> {
        let entry = value::from_fields(&document.fields).map_err(|error| {
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
