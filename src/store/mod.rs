//! Everything that is kept in Firestore: typed reads and commits, one file a collection. Nothing
//! outside this module names a collection or a field, and nothing in it decides anything.

mod change;
mod collection;
mod config;
mod experiments;
mod leases;
mod policies;
mod records;
mod scoring;

use std::time::Duration;

use firestore_kit::{Connection, Db, RetryPolicy};

pub use firestore_kit::{Cached, Error as StoreError, Result};

pub use change::{ChangeError, Changed, StaleDraft};
pub use config::SeedReport;
pub use experiments::{ExperimentRequest, GUARD};
pub use leases::{Lease, WorkerAnnouncement};
pub use policies::{
    AutoOutcome, DEFAULT_EFFECT_DAYS, MAX_EFFECT_DAYS, NewDraft, OverrideParams, PolicyFilter,
    ProposeOutcome, TUNER, TunerMemory,
};
pub use records::{
    Archived, AuditFilter, AuditRecord, ComponentStats, OldDocuments, Part, PendingFile,
    RetentionState,
};
pub use scoring::{
    Changes, Checkpoint, Chunk, ComponentSeries, Counted, Cursor, Group, IdCount, IdRange, Invalid,
    Item, LATE_AT_ONCE, LateBatch, Pending, Position, QuarantineFilter, Quarantined, RangeCount,
    ReconcileState, SCORED_FIELDS, StoredItem, StoredLayout, Unordered, VersionTally,
};

/// How long what rarely changes is kept before it is read again (the specification's lifetimes).
pub const POLICIES_TTL: Duration = Duration::from_secs(5 * 60);
pub const REWARD_CONFIG_TTL: Duration = Duration::from_secs(60 * 60);
pub const STATS_TTL: Duration = Duration::from_secs(60);

/// Room for encoded state in a document. Firestore allows a document 1 MiB (1,048,576 bytes); the
/// rest is left to names and other fields. A document beyond the limit would make Firestore refuse
/// the commit it is part of, and with it the scoring of every other component.
pub const DOCUMENT_BYTES: usize = 1_000_000;

/// The project's data. Cheap to clone; all clones share one connection.
#[derive(Clone, Debug)]
pub struct Store {
    db: Db,
}

impl Store {
    /// Connects. Against Google this finds the Application Default Credentials first.
    ///
    /// # Errors
    /// Firestore cannot be reached, or there are no credentials.
    pub async fn connect(connection: &Connection) -> Result<Self> {
        Ok(Self { db: Db::connect(connection).await? })
    }

    /// The connection, for the client library and for reading the protocol directly.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The project this store works in.
    pub fn project(&self) -> &str {
        self.db.project()
    }

    /// Waits before attempt number `attempt + 1` of a call that failed transiently.
    pub async fn pause(&self, attempt: u32) {
        self.db.pause(attempt).await;
    }

    /// The same store with another retry policy and a budget of its own.
    #[must_use]
    pub fn with_retry(self, policy: RetryPolicy) -> Self {
        Self { db: self.db.with_retry(policy) }
    }
}
