//! What the readers and the committer share, and the outcomes that the committer reports.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, RwLock};

use tokio::sync::broadcast;
use tonic::Status;

use super::catalog::Catalog;
use super::clock::Clock;
use super::history::History;
use super::lock_table::LockTable;
use super::store::Store;
use crate::indexes::Enforced;
use crate::model::path::{Database, DocumentName};
use crate::model::time::Micros;
use crate::proto::Value;

/// The documents that a commit changed.
#[derive(Debug)]
pub struct Committed {
    pub database: Database,
    pub names: Vec<DocumentName>,
}

/// The outcome of one write.
#[derive(Clone, Debug)]
pub struct Written {
    /// `None` for a delete.
    pub update_time: Option<Micros>,
    pub transform_results: Vec<Value>,
    /// How many automatic index entries the write added or removed.
    pub index_entries: u64,
}

/// The outcome of a write request: its commit time and the result of each write.
#[derive(Debug)]
pub struct Outcome {
    pub time: Micros,
    pub results: Vec<Result<Written, Status>>,
}

/// Keeps commit times and reported read times apart: a commit that a read did not see is later than
/// the time that the read reports.
#[derive(Debug, Default)]
pub struct Times {
    /// The latest time that a read was told: commits that begin later have later times.
    pub reported: Micros,
    /// The first commit time of the group that is not visible yet.
    pub in_progress: Option<Micros>,
}

pub struct Shared {
    pub store: Store,
    pub catalog: RwLock<Arc<Catalog>>,
    pub history: Mutex<History>,
    /// When each collection last changed, by collection key. Starts empty with the process.
    pub last_changes: RwLock<HashMap<Vec<u8>, Micros>>,
    pub last_commit: AtomicI64,
    pub times: Mutex<Times>,
    pub events: broadcast::Sender<Arc<Committed>>,
    /// Scopes that have held more documents than the index threshold.
    pub large_scopes: RwLock<HashSet<Vec<u8>>>,
    pub index_threshold: usize,
    pub clock: Clock,
    pub locks: LockTable,
    /// What indexes allow in documents.
    pub indexes: Arc<Enforced>,
}
