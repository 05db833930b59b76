//! Everything that the service stores in Firestore: typed reads and commits, one file for each
//! collection. No module outside names a collection, and the decisions are made elsewhere: by the
//! core, on what is read here.

mod audit_key;
mod change;
mod clock;
mod collection;
mod config;
mod experiments;
mod ids;
mod leases;
mod lifecycle;
mod named;
mod policies;
mod probe;
mod rebuild;
mod records;
mod remedy;
mod scoring;

use std::time::Duration;

use firestore_kit::{Connection, Db, RetryPolicy, Used};

pub use firestore_kit::{Cached, Error as StoreError, Result};

pub use change::{ChangeError, Changed, StaleDraft};
pub use clock::PassTimes;
pub use config::{
    ConfigDocument, ConfigError, MAX_CONFIG_BYTES, ReadConfig, SeedReport, StoredConfig,
    check_config, seed_text,
};
pub use experiments::{ExperimentRequest, TestEstimate};
pub use leases::{Lease, WorkerAnnouncement};
pub use lifecycle::{GUARD, TUNER, UnreadableVersion};
pub use policies::{
    ActiveVersions, AutoLimits, AutoOutcome, DEFAULT_EFFECT_DAYS, EnvelopeTerms, FirstVersion,
    MAX_EFFECT_DAYS, NewDraft, OverrideParams, PastRefusals, PolicyFilter, ProposeOutcome,
    TunerMemory,
};
pub use probe::Probe;
pub use rebuild::{
    CountedReward, Cut, Evidence, EvidencePage, Fence, Known, Recounted, Rejected, Repair,
    StateKind, Statistic, Stored, Sums, Swapped, counted_observation, observation_of_reward,
    rejected_of_entry,
};
pub use records::{
    AUDIT_OVERLAP_MS, Archived, ArchivedBefore, AuditFilter, AuditRecord, MIN_KEPT_DAYS,
    NotifyState, OldDocuments, Part, PendingFile, PendingNotice, RetentionState,
};
pub use remedy::{remedy, shell_word, state_id, state_path};
pub use scoring::{
    Admission, Announced, Changes, Checkpoint, Chunk, ComponentSeries, ComponentStats, Counted,
    Cursor, ExpiredPage, Group, IdCount, IdRange, Invalid, Item, LATE_AT_ONCE, LateBatch,
    MAX_SAMPLE, Parked, Pending, Position, QuarantineFilter, Quarantined, RangeCount,
    ReconcileState, SCORED_FIELDS, StoredItem, StoredLayout, StoredReward, Unordered, Unparked,
    VersionTally,
};

/// How long documents that rarely change are cached (the lifetimes of the specification).
pub const POLICIES_TTL: Duration = Duration::from_secs(5 * 60);
pub const REWARD_CONFIG_TTL: Duration = Duration::from_secs(60 * 60);
pub const STATS_TTL: Duration = Duration::from_secs(60);

/// The most observations in a range that scoring announces. A larger one would be counted twice by a
/// rebuild of its cursor.
pub const MAX_CHUNK: usize = 25_000;

/// The most bytes of encoded state in a document. Firestore limits a document to 1 MiB (1,048,576
/// bytes); the rest is for names and other fields. A document beyond the limit would make Firestore
/// refuse its commit, and with it the scoring of every other component.
pub const DOCUMENT_BYTES: usize = 1_000_000;

/// The project's data. Cheap to clone; all clones share one connection.
#[derive(Clone, Debug)]
pub struct Store {
    db: Db,
}

impl Store {
    /// Connects. For a database of Google's, finds the Application Default Credentials first.
    ///
    /// # Errors
    /// Firestore cannot be reached, or there are no credentials.
    pub async fn connect(connection: &Connection) -> Result<Self> {
        firestore_kit::set_remedies(remedy);
        Ok(Self { db: Db::connect(connection).await? })
    }

    /// The connection, for the client library and for direct use of the protocol.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// What this process has asked of Firestore through this store and its clones.
    pub fn used(&self) -> Used {
        self.db.used()
    }

    /// The project of the database.
    pub fn project(&self) -> &str {
        self.db.project()
    }

    /// Waits between attempt number `attempt` and the next one.
    pub async fn pause(&self, attempt: u32) {
        self.db.pause(attempt).await;
    }

    /// The same store with another retry policy and a separate budget.
    #[must_use]
    pub fn with_retry(self, policy: RetryPolicy) -> Self {
        Self { db: self.db.with_retry(policy) }
    }
}
