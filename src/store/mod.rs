//! Everything that is kept in Firestore: typed reads and commits, one file a collection. Nothing
//! outside this module names a collection or a field, and nothing in it decides anything.

mod audit;
mod batch;
mod cache;
mod change;
mod checkpoint;
mod config;
mod connect;
mod counts;
mod cursor;
mod effectiveness;
mod error;
mod escape;
mod experiments;
mod leases;
mod observations;
mod page;
mod policies;
mod quarantine;
mod query;
mod ranges;
mod reconcile;
mod retention;
mod retry;
mod rewards;
mod rpc;
mod seed;
mod series;
mod stats;
mod transaction;
mod tuner;
pub mod value;
mod versions;
mod write;

use std::sync::Arc;

use firestore::FirestoreDb;

use retry::Retry;

pub use audit::{AuditFilter, AuditRecord};
pub use batch::{Created, MAX_BATCH};
pub use cache::{Cached, POLICIES_TTL, REWARD_CONFIG_TTL, STATS_TTL};
pub use change::{
    ChangeError, Changed, Guard, IdempotencyKey, Intent, MAX_ACTOR_CHARS, MAX_KEY_CHARS,
    MAX_REASON_CHARS, StaleDraft,
};
pub use checkpoint::Changes;
pub use config::{FlagChanges, Flags, FlagsState, LearningFlags};
pub use connect::{Connection, LOCAL_PROJECT};
pub use cursor::{Checkpoint, Cursor, Pending, Position, StoredLayout};
pub use effectiveness::{DEFAULT_EFFECT_DAYS, MAX_EFFECT_DAYS};
pub use error::{Result, StoreError};
pub use experiments::{Asked, Experiment, GUARD};
pub use leases::{AnnouncedWorker, Lease};
pub use observations::{Chunk, Invalid, Item, SCORED_FIELDS, StoredItem};
pub use page::{DEFAULT_PAGE, MAX_PAGE, NoCursor, Page, PageCursor, PageRequest};
pub use policies::{
    AutoOutcome, Candidate, NewDraft, OverrideParams, Pin, Policy, PolicyFilter, ProposeOutcome,
    TUNER,
};
pub use quarantine::{QuarantineFilter, Quarantined};
pub use ranges::{Counted, Group, IdCount, IdRange, RangeCount, Unordered};
pub use reconcile::{LATE_AT_ONCE, LateBatch, ReconcileState};
pub use retention::{Archived, OldDocuments, Part, PendingFile, RetentionState};
pub use retry::RetryPolicy;
pub use seed::SeedReport;
pub use series::ComponentSeries;
pub use stats::ComponentStats;
pub use tuner::TunerMemory;
pub use versions::VersionTally;

/// The collections, by the names that components and people know them by.
pub mod collection {
    pub const OBSERVATIONS: &str = "ops_observations";
    pub const REWARDS: &str = "ops_rewards";
    pub const STATS: &str = "ops_stats";
    pub const POLICIES: &str = "ops_policies";
    pub const AUDIT: &str = "ops_audit";
    pub const EXPERIMENTS: &str = "ops_experiments";
    pub const QUARANTINE: &str = "ops_quarantine";
    pub const STATE: &str = "ops_state";
    pub const CONFIG: &str = "config";
}

/// What encoded state may take of the 1 MiB (1,048,576 bytes) that Firestore allows a document; the
/// rest is left to names and other fields. A document that is refused would hold up scoring for all.
pub const DOCUMENT_BYTES: usize = 1_000_000;

/// A handle on the project's data. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct Store {
    db: FirestoreDb,
    retry: Arc<Retry>,
}

impl Store {
    /// Waits before attempt number `attempt + 1` at something that failed for the moment.
    pub async fn pause(&self, attempt: u32) {
        self.retry.wait(attempt).await;
    }

    /// The same store with other delays between attempts; its budget is its own.
    #[must_use]
    pub fn with_retry(self, policy: RetryPolicy) -> Self {
        Self { retry: Arc::new(Retry::new(policy)), ..self }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("database", self.db.get_database_path()).finish()
    }
}
