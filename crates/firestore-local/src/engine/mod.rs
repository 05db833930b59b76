//! Storage: documents and indexes in one embedded store, written by one committer and read from
//! snapshots.
//!
//! - Every write goes through the committer thread, which applies requests one after another and
//!   makes many of them durable with one flush; nobody is answered before that.
//! - Every read opens a snapshot, so that what it sees is one moment.
//! - Where the disk fails, commits are refused with the error, and reads go on (`store.rs`).
//! - An index comes into being when a query over a large collection first needs it, and is kept
//!   up to date by the committer from then on.

mod acknowledged;
mod catalog;
mod committer;
mod error;
mod history;
mod overlay;
mod reads;
mod snapshot;
mod store;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};
use std::thread::JoinHandle;

use redb::TableDefinition;
use tokio::sync::{broadcast, oneshot};
use tonic::{Code, Status};

use crate::model::path::{Database, DocumentName};
use crate::model::query::{IndexSpec, Query};
use crate::model::time::Micros;
use crate::model::write::Mutation;
use crate::proto::{Document, Value};
use catalog::Catalog;
use committer::{Committer, Job};
pub use error::OpenError;
use error::{failed, internal};
use history::History;
pub use reads::ReadSet;
use snapshot::{Answer, Snapshot};
use store::{Known, Store};

/// Document key to encoded document.
const DOCUMENTS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("documents");
/// Index id and entry to document key.
const ENTRIES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("index_entries");
/// Index id to its definition.
const INDEXES: TableDefinition<u32, &[u8]> = TableDefinition::new("indexes");
/// Single values: the last commit time.
const META: TableDefinition<&str, i64> = TableDefinition::new("meta");
const LAST_COMMIT: &str = "last_commit_micros";

/// Commits that a slow listener may fall behind before it has to read everything again.
const EVENTS: usize = 1_024;

/// What a commit changed.
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
}

/// The outcome of a write request: when it was applied, and how each write went.
#[derive(Debug)]
pub struct Outcome {
    pub time: Micros,
    pub results: Vec<Result<Written, Status>>,
}

/// What the readers and the committer share.
pub struct Shared {
    store: Store,
    catalog: RwLock<Arc<Catalog>>,
    history: Mutex<History>,
    /// When each collection last changed, by its key; since the process started.
    changed: RwLock<HashMap<Vec<u8>, Micros>>,
    last_commit: AtomicI64,
    events: broadcast::Sender<Arc<Committed>>,
    /// Scopes that were once seen to hold more documents than the threshold.
    large: RwLock<HashSet<Vec<u8>>>,
    index_threshold: usize,
    clock: Clock,
}

pub struct Engine {
    shared: Arc<Shared>,
    jobs: Mutex<Option<mpsc::SyncSender<Job>>>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

/// Requests waiting for the committer at most; past this, senders wait.
const JOBS: usize = 1_024;

pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Where the time comes from. By default the system's clock; a simulation has its own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Micros + Send + Sync>);

impl Clock {
    /// A clock in microseconds since the epoch. Commit times still rise with every commit.
    pub fn from_micros(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || Micros(now())))
    }

    fn now(&self) -> Micros {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::from_micros(|| {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            since.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
        })
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl Engine {
    /// Opens the store in `folder`, or an empty one in memory.
    pub fn open(
        folder: Option<&Path>,
        index_threshold: usize,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let (store, Known { catalog, last_commit }) = Store::open(folder)?;
        let last_commit = last_commit.max(clock.now());
        let (events, _) = broadcast::channel(EVENTS);
        let shared = Arc::new(Shared {
            store,
            catalog: RwLock::new(Arc::new(catalog)),
            history: Mutex::new(History::since(last_commit)),
            changed: RwLock::default(),
            last_commit: AtomicI64::new(last_commit.0),
            events,
            large: RwLock::default(),
            index_threshold,
            clock,
        });
        let (jobs, queue) = mpsc::sync_channel(JOBS);
        let committer = Committer::new(shared.clone());
        let thread = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || committer.run(&queue))
            .map_err(|source| OpenError::Thread { source })?;
        Ok(Self { shared, jobs: Mutex::new(Some(jobs)), committer: Mutex::new(Some(thread)) })
    }

    /// Applies the mutations, all or none if `atomic`, each on its own otherwise; with `reads`
    /// only if what they saw is unchanged. Answers once the outcome is durable.
    pub async fn write(
        &self,
        database: Database,
        mutations: Vec<Mutation>,
        atomic: bool,
        reads: Option<Arc<Mutex<ReadSet>>>,
    ) -> Result<Outcome, Status> {
        let (reply, outcome) = oneshot::channel();
        self.submit(Job::Write { database, mutations, atomic, reads, reply }).await?;
        outcome.await.map_err(|_| Status::unavailable("the server is shutting down"))?
    }

    async fn submit(&self, job: Job) -> Result<(), Status> {
        let jobs = lock(&self.jobs).clone();
        let jobs = jobs.ok_or_else(|| Status::unavailable("the server is shutting down"))?;
        let stopped = |_| Status::unavailable("the server is shutting down");
        match jobs.try_send(job) {
            Ok(()) => Ok(()),
            Err(mpsc::TrySendError::Full(job)) => {
                tokio::task::spawn_blocking(move || jobs.send(job))
                    .await
                    .map_err(internal)?
                    .map_err(stopped)
            }
            Err(mpsc::TrySendError::Disconnected(_)) => {
                Err(Status::unavailable("the server is shutting down"))
            }
        }
    }

    /// Waits until an index exists.
    fn build_index(&self, database: &Database, spec: IndexSpec) -> Result<(), Status> {
        let (reply, done) = oneshot::channel();
        let jobs = lock(&self.jobs).clone();
        let stopped = || Status::unavailable("the server is shutting down");
        let job = Job::BuildIndex { database: database.clone(), spec, reply };
        jobs.ok_or_else(stopped)?.send(job).map_err(|_| stopped())?;
        done.blocking_recv().map_err(|_| stopped())?
    }

    /// Removes everything of a database.
    pub async fn clear(&self, database: Database) -> Result<(), Status> {
        let (reply, done) = oneshot::channel();
        self.submit(Job::Clear { database, reply }).await?;
        done.await.map_err(|_| Status::unavailable("the server is shutting down"))?
    }

    /// The time of the last commit that is visible: a read that begins now sees everything up to
    /// it. The clock would not do: a commit that is under way may have an earlier time.
    pub fn read_time(&self) -> Micros {
        Micros(self.shared.last_commit.load(Ordering::Acquire))
    }

    /// Waits until a read at `time` sees all there will ever be to see at that time.
    pub async fn settle(&self, database: &Database, time: Micros) -> Result<(), Status> {
        if time > self.read_time() {
            // An empty commit: whatever was accepted before it is visible after it, and whatever
            // comes later has a later time.
            self.write(database.clone(), Vec::new(), true, None).await?;
        }
        Ok(())
    }

    pub fn events(&self) -> broadcast::Receiver<Arc<Committed>> {
        self.shared.events.subscribe()
    }

    /// Checks that reads at `time` can be served.
    pub fn check_read_time(&self, time: Micros) -> Result<(), Status> {
        if time > self.read_time().max(self.shared.clock.now()) {
            return Err(Status::invalid_argument("read_time cannot be in the future"));
        }
        let horizon = lock(&self.shared.history).horizon(self.shared.clock.now());
        if time < horizon {
            return Err(Status::failed_precondition(
                "The requested snapshot version is too old: firestore-local keeps one hour since \
                 its start, less under heavy writes",
            ));
        }
        Ok(())
    }

    /// Documents by name, as of `at` if given. Blocking.
    pub fn get(
        &self,
        names: &[DocumentName],
        at: Option<Micros>,
        reads: Option<&Mutex<ReadSet>>,
    ) -> Result<Vec<Option<Document>>, Status> {
        self.reading(|| self.get_once(names, at, reads))
    }

    /// Reads, and once more where the store was opened again meanwhile.
    fn reading<T>(&self, mut read: impl FnMut() -> Result<T, Status>) -> Result<T, Status> {
        match read() {
            Err(error) if error.code() == Code::Unavailable => {
                self.shared.store.recover(&error);
                read()
            }
            other => other,
        }
    }

    fn get_once(
        &self,
        names: &[DocumentName],
        at: Option<Micros>,
        reads: Option<&Mutex<ReadSet>>,
    ) -> Result<Vec<Option<Document>>, Status> {
        let snapshot = self.snapshot()?;
        if let Some(reads) = reads {
            lock(reads).validate(&self.shared, &snapshot)?;
        }
        let mut documents = Vec::with_capacity(names.len());
        for name in names {
            let document = snapshot.document(&self.shared, &name.key(), at)?;
            if let Some(reads) = reads {
                lock(reads).add_document(name.key(), document.as_ref());
            }
            documents.push(document);
        }
        Ok(documents)
    }

    /// The documents of a query in its order, unprojected, until `emit` says no more. Returns how
    /// many the offset skipped. Blocking.
    pub fn query(
        &self,
        query: &Query,
        at: Option<Micros>,
        reads: Option<&Mutex<ReadSet>>,
        emit: &mut dyn FnMut(Document) -> bool,
    ) -> Result<usize, Status> {
        if let Some(reads) = reads {
            let snapshot = self.snapshot()?;
            lock(reads).validate(&self.shared, &snapshot)?;
            let mut seen = Vec::new();
            let mut open = true;
            let as_of = self.read_time();
            let skipped = self.query(query, at, None, &mut |document| {
                seen.push(reads::version(&document));
                open = open && emit(document);
                true
            })?;
            lock(reads).add_query(query.clone(), seen, as_of);
            return Ok(skipped);
        }
        let seen = Cell::new(false);
        let mut emit = |document| {
            seen.set(true);
            emit(document)
        };
        match self.query_once(query, at, &mut emit) {
            Err(error) if error.code() == Code::Unavailable => {
                self.shared.store.recover(&error);
                if seen.get() { Err(error) } else { self.query_once(query, at, &mut emit) }
            }
            other => other,
        }
    }

    fn query_once(
        &self,
        query: &Query,
        at: Option<Micros>,
        emit: &mut dyn FnMut(Document) -> bool,
    ) -> Result<usize, Status> {
        loop {
            let snapshot = self.snapshot()?;
            match snapshot.query(&self.shared, query, at, emit)? {
                Answer::Done { skipped } => return Ok(skipped),
                Answer::NeedsIndex(spec) => {
                    self.build_index(query.scope.parent.database(), spec)?;
                }
            }
        }
    }

    /// The keys of all documents that begin with `prefix`, until `emit` says no more. Blocking.
    pub fn keys(
        &self,
        prefix: &[u8],
        from: &[u8],
        emit: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), Status> {
        self.snapshot()?.keys(prefix, from, emit)
    }

    fn snapshot(&self) -> Result<Snapshot, Status> {
        // The catalog first: an index in it is complete in every later snapshot.
        let catalog = read(&self.shared.catalog).clone();
        let transaction = self.shared.store.read()?;
        Ok(Snapshot {
            documents: transaction.open_table(DOCUMENTS).map_err(failed)?,
            entries: transaction.open_table(ENTRIES).map_err(failed)?,
            catalog,
        })
    }

    /// Takes no more writes, finishes those accepted, and closes the store.
    pub fn close(&self) {
        drop(lock(&self.jobs).take());
        if let Some(thread) = lock(&self.committer).take()
            && thread.join().is_err()
        {
            tracing::error!("the committer panicked");
        }
    }
}
