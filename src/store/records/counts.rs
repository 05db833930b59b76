//! How much waits, and how much was done: counts for the metrics, each a read for a thousand documents.

use crate::store::collection::{AUDIT, EXPERIMENTS, POLICIES, QUARANTINE};
use crate::store::records::audit::{AuditFilter, AuditRecord};
use crate::store::{Result, Store};
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::time::MINUTE_MS;
use firestore_kit::proto::Document;
use firestore_kit::{Query, value};

/// How long before its commit an entry may have got its `ts`: who follows the trail reads as far back
/// again.
pub const AUDIT_OVERLAP_MS: i64 = 5 * MINUTE_MS;

impl Store {
    /// The number of open drafts, counted up to `most`.
    pub async fn draft_count(&self, most: usize) -> Result<u64> {
        let status = value::string(PolicyStatus::Draft.as_str());
        self.db
            .count(POLICIES, Query::of(POLICIES).equal("status", status).limit(most).build())
            .await
    }

    /// The number of open experiments, counted up to `most`.
    pub async fn open_experiment_count(&self, most: usize) -> Result<u64> {
        let query = Query::of(EXPERIMENTS).equal("open", value::boolean(true)).limit(most);
        self.db.count(EXPERIMENTS, query.build()).await
    }

    /// The number of observations that were quarantined since a time, counted up to `most`.
    pub async fn quarantined_since(&self, since: i64, most: usize) -> Result<u64> {
        let query = Query::of(QUARANTINE).at_least("ts", value::int(since)).limit(most);
        self.db.count(QUARANTINE, query.build()).await
    }

    /// The number of entries of the audit trail that match; with a reason, of those with it.
    pub async fn audit_count(&self, filter: &AuditFilter, reason: Option<&str>) -> Result<u64> {
        let mut query = filter.query();
        if let Some(reason) = reason {
            query = query.equal("reason", value::string(reason));
        }
        self.db.count(AUDIT, query.build()).await
    }

    /// The entries of the audit trail with a `ts` from `since` on, oldest first; at most `limit`. Entries
    /// that cannot be read are left out, and counted in the second value.
    pub async fn audit_from(&self, since: i64, limit: usize) -> Result<(Vec<AuditRecord>, usize)> {
        let filter = AuditFilter { since: Some(since), ..AuditFilter::default() };
        let query = filter.query().ascending("ts").limit(limit).build();
        let documents: Vec<Document> = self.db.query_all(AUDIT, query).await?;
        let read = documents.len();
        Ok((documents.iter().filter_map(|document| self.decode_entry(document)).collect(), read))
    }
}
