//! Storage: documents and indexes in one embedded store, written by one committer and read from
//! snapshots.
//!
//! - Every write goes through the committer thread, which applies requests one after another and
//!   makes many of them durable with one flush. A request is answered only after that flush.
//! - Every read opens a snapshot, so that it sees one consistent state.
//! - When the disk fails, commits are refused with the error, and reads continue (`store.rs`).
//! - An index is built when a query over a large collection first needs it. From then on the
//!   committer keeps it up to date.

mod acknowledged;
mod catalog;
mod clock;
mod committer;
mod error;
mod history;
mod lock_table;
mod overlay;
mod reads;
mod schema;
mod shared;
mod snapshot;
mod store;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, RwLock, mpsc};
use std::thread::JoinHandle;

use tokio::sync::{broadcast, oneshot};
use tonic::{Code, Status};

use crate::indexes::Enforced;
use crate::locks::{lock, read};
use crate::model::path::{Database, DocumentName};
use crate::model::query::{IndexSpec, Query};
use crate::model::time::Micros;
use crate::model::write::Mutation;
use crate::proto::Document;
pub use clock::Clock;
use committer::{Committer, Job, WriteJob};
pub use error::OpenError;
use error::{failed, internal};
use history::History;
use lock_table::LockTable;
pub use lock_table::{Life, Lineage, MAX_AGE, Wanted};
pub use reads::{ReadSet, Recording, contention};
use schema::{DOCUMENTS, ENTRIES};
use shared::{Committed, Shared};
pub use shared::{Outcome, Written};
use snapshot::{Answer, EmitKey, Snapshot};
use store::{Loaded, Store};

/// Commits that a slow listener may fall behind before it has to read everything again.
const EVENT_BUFFER: usize = 1_024;

/// The most requests that wait for the committer; past this, senders wait.
const JOB_QUEUE: usize = 1_024;

fn shutting_down() -> Status {
    Status::unavailable("the server is shutting down")
}

pub struct Engine {
    shared: Arc<Shared>,
    jobs: Mutex<Option<mpsc::SyncSender<Job>>>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// Opens the store in `folder`, or an empty one in memory.
    pub fn open(
        folder: Option<&Path>,
        index_threshold: usize,
        clock: Clock,
        indexes: Arc<Enforced>,
    ) -> Result<Self, OpenError> {
        let (store, Loaded { catalog, last_commit }) = Store::open(folder)?;
        let last_commit = last_commit.max(clock.now());
        let (events, _) = broadcast::channel(EVENT_BUFFER);
        let shared = Arc::new(Shared {
            store,
            catalog: RwLock::new(Arc::new(catalog)),
            history: Mutex::new(History::since(last_commit)),
            last_changes: RwLock::default(),
            last_commit: AtomicI64::new(last_commit.0),
            times: Mutex::default(),
            events,
            large_scopes: RwLock::default(),
            index_threshold,
            clock,
            locks: LockTable::default(),
            indexes,
        });
        let (jobs, queue) = mpsc::sync_channel(JOB_QUEUE);
        let committer = Committer::new(shared.clone());
        let thread = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || committer.run(&queue))
            .map_err(|source| OpenError::Thread { source })?;
        Ok(Self { shared, jobs: Mutex::new(Some(jobs)), committer: Mutex::new(Some(thread)) })
    }

    /// Applies the mutations: all or none if `atomic`, otherwise each independently. With `reads`,
    /// applies them only if nothing in the read set has changed. Waits for the locks that other
    /// transactions than `locks` hold, and releases the locks of that one. Returns once the outcome
    /// is durable.
    pub async fn write(
        &self,
        database: Database,
        mutations: Vec<Mutation>,
        atomic: bool,
        reads: Option<Arc<Mutex<ReadSet>>>,
        locks: Option<u64>,
    ) -> Result<Outcome, Status> {
        let (reply, outcome) = oneshot::channel();
        let keys = mutations.iter().map(|mutation| mutation.name.key()).collect();
        let write = WriteJob {
            database,
            mutations,
            keys,
            atomic,
            reads,
            locks,
            wait: None,
            tried_after: 0,
            is_admitted: false,
            reply,
        };
        self.submit(Job::Write(write)).await?;
        outcome.await.map_err(|_| shutting_down())?
    }

    async fn submit(&self, job: Job) -> Result<(), Status> {
        let jobs = lock(&self.jobs).clone().ok_or_else(shutting_down)?;
        match jobs.try_send(job) {
            Ok(()) => Ok(()),
            Err(mpsc::TrySendError::Full(job)) => {
                let sending = tokio::task::spawn_blocking(move || jobs.send(job).is_ok());
                let is_sent = sending.await.map_err(internal)?;
                if is_sent { Ok(()) } else { Err(shutting_down()) }
            }
            Err(mpsc::TrySendError::Disconnected(_)) => Err(shutting_down()),
        }
    }

    /// Builds an index unless it exists, and waits until it is complete. Blocking.
    fn build_index(&self, database: &Database, spec: IndexSpec) -> Result<(), Status> {
        let (reply, done) = oneshot::channel();
        let jobs = lock(&self.jobs).clone().ok_or_else(shutting_down)?;
        let job = Job::BuildIndex { database: database.clone(), spec, reply };
        jobs.send(job).map_err(|_| shutting_down())?;
        done.blocking_recv().map_err(|_| shutting_down())?
    }

    /// Removes all documents and indexes of a database.
    pub async fn clear(&self, database: Database) -> Result<(), Status> {
        let (reply, done) = oneshot::channel();
        self.submit(Job::Clear { database, reply }).await?;
        done.await.map_err(|_| shutting_down())?
    }

    /// The time on the clock that commit times come from.
    pub fn now(&self) -> Micros {
        self.shared.clock.now()
    }

    pub fn new_lineage(&self) -> Arc<Lineage> {
        self.shared.locks.new_lineage()
    }

    /// Opens a transaction that takes locks; returns its id.
    pub fn open_locks(&self, lineage: Arc<Lineage>, life: Arc<Life>) -> u64 {
        self.shared.locks.open(lineage, life)
    }

    /// Keeps the locks of a transaction until its commit has ended.
    pub fn commit_locks(&self, id: u64) -> Result<(), Status> {
        self.shared.locks.commit(id)
    }

    /// Takes the locks of a read, once nothing is in the way.
    pub async fn lock(
        &self,
        id: u64,
        wanted: Wanted<'_>,
    ) -> Result<Option<Arc<lock_table::QueryLock>>, Status> {
        self.shared.locks.read(id, wanted, || self.now()).await
    }

    /// Releases the locks of a transaction, and continues what waits for them.
    pub fn release_locks(&self, id: u64) {
        self.shared.locks.release(id);
        self.wake();
    }

    /// Lets the committer look at the requests that wait for locks. If its queue is full, it does so
    /// without this.
    fn wake(&self) {
        if self.shared.locks.has_waiting_writes()
            && let Some(jobs) = &*lock(&self.jobs)
        {
            let _ = jobs.try_send(Job::Wake);
        }
    }

    /// The time of the last visible commit: a read that begins now sees everything up to it.
    pub fn read_time(&self) -> Micros {
        Micros(self.shared.last_commit.load(Ordering::Acquire))
    }

    /// The current time, as a read reports it: the read sees every commit up to it.
    pub fn read_now(&self) -> Micros {
        let mut times = lock(&self.shared.times);
        let now = match times.in_progress {
            Some(first) => self.now().min(Micros(first.0 - 1)),
            None => self.now(),
        };
        let now = now.max(self.read_time());
        times.reported = times.reported.max(now);
        now
    }

    /// Whether no later commit can change what a read at `time` sees, now that it has asked.
    fn is_settled(&self, time: Micros) -> bool {
        let mut times = lock(&self.shared.times);
        times.reported = times.reported.max(time);
        times.in_progress.is_none_or(|first| first > time)
    }

    /// Waits until no later commit can change what a read at `time` sees.
    pub async fn settle(&self, database: &Database, time: Micros) -> Result<(), Status> {
        if time > self.read_time() && !self.is_settled(time) {
            // After this empty commit, every request accepted before it is visible, and every
            // later one gets a later time.
            self.write(database.clone(), Vec::new(), true, None, None).await?;
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

    /// Reads documents by name, as of `at` if given. Blocking.
    pub fn get(
        &self,
        names: &[DocumentName],
        at: Option<Micros>,
        reads: Option<&Recording>,
    ) -> Result<Vec<Option<Document>>, Status> {
        match self.get_once(names, at, reads) {
            // The store was unusable: read once more after it is reopened.
            Err(error) if error.code() == Code::Unavailable => {
                self.shared.store.recover(&error);
                self.get_once(names, at, reads)
            }
            other => other,
        }
    }

    fn get_once(
        &self,
        names: &[DocumentName],
        at: Option<Micros>,
        reads: Option<&Recording>,
    ) -> Result<Vec<Option<Document>>, Status> {
        let snapshot = self.snapshot()?;
        let mut documents = Vec::with_capacity(names.len());
        for name in names {
            let document = snapshot.document(&self.shared, &name.key(), at)?;
            if let Some(reads) = reads {
                lock(&reads.set).add_document(name.key(), document.as_ref());
            }
            documents.push(document);
        }
        Ok(documents)
    }

    /// Emits the documents of a query in its order, without its projection, until `emit` returns
    /// false. Returns how many documents the offset skipped. Blocking.
    pub fn query(
        &self,
        query: &Query,
        at: Option<Micros>,
        reads: Option<&Recording>,
        emit: &mut dyn FnMut(Document) -> bool,
    ) -> Result<usize, Status> {
        if let Some(reads) = reads {
            let mut seen = Vec::new();
            let mut open = true;
            let as_of = at.unwrap_or_else(|| self.read_time());
            let skipped = self.query(query, at, None, &mut |document| {
                seen.push(reads::version(&document));
                if Some(seen.len()) == query.limit
                    && let Some(lock) = &reads.lock
                {
                    lock.narrow(&document);
                    self.shared.locks.narrowed();
                }
                open = open && emit(document);
                true
            })?;
            if reads.lock.is_some() && Some(seen.len()) == query.limit {
                self.wake();
            }
            lock(&reads.set).add_query(query.clone(), seen, as_of);
            return Ok(skipped);
        }
        let emitted = Cell::new(false);
        let mut emit = |document| {
            emitted.set(true);
            emit(document)
        };
        match self.query_once(query, at, &mut emit) {
            // The store was unusable: query once more, unless documents were emitted already.
            Err(error) if error.code() == Code::Unavailable => {
                self.shared.store.recover(&error);
                if emitted.get() { Err(error) } else { self.query_once(query, at, &mut emit) }
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

    /// Emits the keys of documents that begin with `prefix`, from `from` on, until `emit` returns
    /// false. Blocking.
    pub fn keys(&self, prefix: &[u8], from: &[u8], emit: EmitKey<'_>) -> Result<(), Status> {
        self.snapshot()?.keys(prefix, from, emit)
    }

    /// Emits every document of every database. Blocking.
    pub fn all(&self, emit: &mut dyn FnMut(Document) -> Result<(), Status>) -> Result<(), Status> {
        self.snapshot()?.all(emit)
    }

    /// The keys of the documents that existed at a time and begin with `prefix`. Blocking.
    pub fn keys_at(&self, prefix: &[u8], at: Micros) -> Result<BTreeSet<Vec<u8>>, Status> {
        self.snapshot()?.keys_at(&self.shared, prefix, at)
    }

    fn snapshot(&self) -> Result<Snapshot, Status> {
        // Read the catalog first: an index in it is complete in every later snapshot.
        let catalog = read(&self.shared.catalog).clone();
        let transaction = self.shared.store.read()?;
        Ok(Snapshot {
            documents: transaction.open_table(DOCUMENTS).map_err(failed)?,
            entries: transaction.open_table(ENTRIES).map_err(failed)?,
            catalog,
        })
    }

    /// Stops accepting writes, finishes the accepted ones, and stops the committer.
    pub fn close(&self) {
        drop(lock(&self.jobs).take());
        if let Some(thread) = lock(&self.committer).take()
            && thread.join().is_err()
        {
            tracing::error!("the committer panicked");
        }
    }
}
