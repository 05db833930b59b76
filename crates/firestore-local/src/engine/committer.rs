//! The committer, the only writer of the store. It takes requests from a queue, applies all that
//! are waiting in one transaction, makes them durable together, and only then answers.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};

use prost::Message;
use redb::{ReadableTable, Table, WriteTransaction};
use tokio::sync::oneshot;
use tonic::Status;

use super::catalog::Catalog;
use super::error::failed;
use super::lock_table::{Admission, Change, LOCK_TIMEOUT, Party, TICK};
use super::reads::{ReadSet, contention};
use super::schema::{DOCUMENTS, ENTRIES, INDEXES, LAST_COMMIT, META};
use super::shared::{Committed, Outcome, Shared};
use super::snapshot::{Tables, decode};
use super::store;
use crate::indexes::WriteLimits;
use crate::locks::{lock, read, write};
use crate::model::index_entries;
use crate::model::path::{Database, DocumentName, successor};
use crate::model::query::IndexSpec;
use crate::model::time::{Micros, update_time};
use crate::model::write::Mutation;
use crate::proto::Document;

/// The most requests that are made durable together. The bound limits how long the first of them
/// waits.
const MAX_GROUP: usize = 256;

/// A request to write.
pub struct WriteJob {
    pub database: Database,
    pub mutations: Vec<Mutation>,
    /// The keys of the mutations' documents.
    pub keys: Arc<[Vec<u8>]>,
    pub atomic: bool,
    /// What must not have changed.
    pub reads: Option<Arc<Mutex<ReadSet>>>,
    /// The transaction that commits, if it holds locks. They are released afterwards.
    pub locks: Option<u64>,
    /// Set once the request has to wait for locks.
    pub wait: Option<Wait>,
    /// The number of lock releases when the request was last tried.
    pub tried_after: u64,
    /// Whether no lock is in the way.
    pub is_admitted: bool,
    pub reply: oneshot::Sender<Result<Outcome, Status>>,
}

/// The wait of a request for locks.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    id: u64,
    deadline: Micros,
}

pub enum Job {
    Write(WriteJob),
    /// Locks were released: look at the requests that wait for them.
    Wake,
    BuildIndex {
        database: Database,
        spec: IndexSpec,
        reply: oneshot::Sender<Result<(), Status>>,
    },
    Clear {
        database: Database,
        reply: oneshot::Sender<Result<(), Status>>,
    },
}

pub struct Committer {
    shared: Arc<Shared>,
    last: Micros,
    /// In the order in which the requests came.
    parked: Vec<WriteJob>,
    /// The store's generation at the last write.
    generation: u64,
}

/// An answer to send once the group is durable.
enum Reply {
    Write(oneshot::Sender<Result<Outcome, Status>>, Result<Outcome, Status>, Option<Committed>),
    Done(oneshot::Sender<Result<(), Status>>, Result<(), Status>),
}

impl Committer {
    pub fn new(shared: Arc<Shared>) -> Self {
        let last = Micros(shared.last_commit.load(Ordering::Acquire));
        Self { shared, last, parked: Vec::new(), generation: 1 }
    }

    /// Runs until all senders are dropped.
    pub fn run(mut self, queue: &mpsc::Receiver<Job>) {
        loop {
            let mut group = Vec::new();
            self.retry_parked(&mut group);
            if group.is_empty() {
                match self.first(queue) {
                    Ok(job) => self.admit(job, &mut group),
                    Err(mpsc::RecvTimeoutError::Timeout) => continue,
                    Err(mpsc::RecvTimeoutError::Disconnected) => return,
                }
            }
            while group.len() < MAX_GROUP
                && let Ok(next) = queue.try_recv()
            {
                self.admit(next, &mut group);
            }
            if !group.is_empty() {
                self.commit_group(group);
            }
        }
    }

    /// Waits for the next job, but not long while requests wait for locks.
    fn first(&self, queue: &mpsc::Receiver<Job>) -> Result<Job, mpsc::RecvTimeoutError> {
        if self.parked.is_empty() {
            queue.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected)
        } else {
            queue.recv_timeout(TICK)
        }
    }

    /// Adds a job to the group, unless it has to wait for locks.
    fn admit(&mut self, job: Job, group: &mut Vec<Job>) {
        match job {
            Job::Wake => {}
            Job::Write(write) => {
                if let Some(write) = self.admit_write(write, group) {
                    self.refuse(write, contention());
                }
            }
            other => group.push(other),
        }
    }

    /// Adds a write to the group or parks it. Returns it if it waited for locks for too long.
    fn admit_write(&mut self, mut write: WriteJob, group: &mut Vec<Job>) -> Option<WriteJob> {
        write.tried_after = self.shared.locks.releases();
        let names = write.mutations.iter().map(|mutation| &mutation.name);
        let admission = self.shared.locks.admit(write.locks, names, &write.keys);
        if let Admission::Blocked(blockers) = admission {
            return self.park(write, blockers);
        }
        write.is_admitted = admission == Admission::Granted;
        group.push(Job::Write(write));
        None
    }

    /// Lets a write wait for locks, and aborts commits if that is a deadlock. Returns the write if
    /// it has waited for too long.
    fn park(&mut self, mut write: WriteJob, blockers: BTreeSet<Party>) -> Option<WriteJob> {
        let now = self.shared.clock.now();
        let locks = &self.shared.locks;
        let wait = *write.wait.get_or_insert_with(|| Wait {
            id: locks.new_wait(),
            deadline: Micros(now.0 + LOCK_TIMEOUT.0),
        });
        if now > wait.deadline {
            return Some(write);
        }
        let names = write.mutations.iter().map(|mutation| mutation.name.clone()).collect();
        let victims = locks.wait(wait.id, write.locks, names, blockers);
        self.parked.push(write);
        for victim in victims {
            let is_victim = |parked: &mut WriteJob| parked.locks == Some(victim);
            for parked in self.parked.extract_if(.., is_victim).collect::<Vec<_>>() {
                self.refuse(parked, contention());
            }
        }
        None
    }

    /// Tries parked requests again if locks were released since, and refuses those that have
    /// waited for too long.
    fn retry_parked(&mut self, group: &mut Vec<Job>) {
        if self.parked.is_empty() {
            return;
        }
        let now = self.shared.clock.now();
        self.shared.locks.expire(now);
        let releases = self.shared.locks.releases();
        let is_ready = |parked: &mut WriteJob| {
            let is_late = parked.wait.is_some_and(|wait| now > wait.deadline);
            parked.tried_after != releases || is_late || parked.reply.is_closed()
        };
        for parked in self.parked.extract_if(.., is_ready).collect::<Vec<_>>() {
            // A client that has gone does not wait.
            if parked.reply.is_closed() {
                self.refuse(parked, contention());
            } else if let Some(late) = self.admit_write(parked, group) {
                self.refuse(late, Status::aborted("Transaction lock timeout."));
            }
        }
    }

    /// Answers a write that is not applied, and releases its locks.
    fn refuse(&self, write: WriteJob, status: Status) {
        self.end(write.wait, write.locks);
        let _ = write.reply.send(Err(status));
    }

    /// Records the end of a write: it waits for no locks and holds none.
    fn end(&self, wait: Option<Wait>, locks: Option<u64>) {
        if let Some(wait) = wait {
            self.shared.locks.end_wait(wait.id);
        }
        if let Some(locks) = locks {
            self.shared.locks.release(locks);
        }
    }

    fn commit_group(&mut self, jobs: Vec<Job>) {
        self.announce();
        let catalog = read(&self.shared.catalog).clone();
        let mut next_catalog = (*catalog).clone();
        let mut replies = Vec::with_capacity(jobs.len());
        match self.apply(jobs, &mut next_catalog, &mut replies) {
            Ok(()) => {
                *write(&self.shared.catalog) = Arc::new(next_catalog);
                self.conclude(true);
                self.shared.store.acknowledge(self.last);
                self.notify_listeners(replies.into_iter().map(Reply::send));
            }
            Err(error) => {
                tracing::error!(%error, "a commit failed");
                self.shared.store.recover_from(&error);
                self.conclude(false);
                self.notify_listeners(replies.into_iter().map(|reply| reply.refuse(&error)));
            }
        }
    }

    /// Notifies listeners of changes. This includes the changes of a failed commit, which may have
    /// reached the disk nevertheless.
    fn notify_listeners(&self, changes: impl Iterator<Item = Option<Committed>>) {
        for committed in changes.flatten() {
            // Sending fails if there are no listeners.
            let _ = self.shared.events.send(Arc::new(committed));
        }
    }

    /// Applies the jobs and makes them durable. If that fails, no job of the group may be reported
    /// as applied: the caller refuses the jobs in `replies`, and this function refuses the rest.
    fn apply(
        &mut self,
        jobs: Vec<Job>,
        catalog: &mut Catalog,
        replies: &mut Vec<Reply>,
    ) -> Result<(), Status> {
        let mut jobs = jobs.into_iter();
        let applied = self.begin(catalog).and_then(|transaction| {
            for job in jobs.by_ref() {
                let (reply, applied) = self.apply_one(&transaction, job, catalog);
                replies.extend(reply);
                applied?;
            }
            self.commit(transaction)
        });
        if let Err(error) = &applied {
            jobs.for_each(|job| match job {
                Job::Write(write) => self.refuse(write, error.clone()),
                other => other.refuse(error),
            });
        }
        applied
    }

    /// Reserves the commit times of a group: later than every time that a read was told, so that a
    /// read at that time never changes.
    fn announce(&mut self) {
        let mut times = lock(&self.shared.times);
        let first = self.shared.clock.now().max(Micros(self.last.max(times.reported).0 + 1));
        times.in_progress = Some(first);
        self.last = Micros(first.0 - 1);
    }

    /// Ends the group that [`announce`](Self::announce) began.
    fn conclude(&self, is_visible: bool) {
        let mut times = lock(&self.shared.times);
        if is_visible {
            self.shared.last_commit.store(self.last.0, Ordering::Release);
        }
        times.in_progress = None;
        drop(times);
        self.shared.locks.applied();
    }

    fn begin(&mut self, catalog: &mut Catalog) -> Result<WriteTransaction, Status> {
        let (transaction, generation) = self.shared.store.write()?;
        if generation != self.generation {
            // The state in memory predates an error; the failed commit may be in the store or not.
            let loaded = store::load_in(&transaction).map_err(failed)?;
            *catalog = loaded.catalog;
            self.last = self.last.max(loaded.last_commit);
            self.generation = generation;
        }
        Ok(transaction)
    }

    fn commit(&self, transaction: WriteTransaction) -> Result<(), Status> {
        transaction
            .open_table(META)
            .map_err(failed)?
            .insert(LAST_COMMIT, self.last.0)
            .map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    /// The next commit time: the clock's time, or later if the clock has not advanced.
    fn tick(&mut self) -> Micros {
        self.last = self.shared.clock.now().max(Micros(self.last.0 + 1));
        self.last
    }

    /// Returns the reply to send if the group succeeds (none if the job has to wait for locks), and
    /// a result whose error fails the whole group.
    fn apply_one(
        &mut self,
        transaction: &WriteTransaction,
        job: Job,
        catalog: &mut Catalog,
    ) -> (Option<Reply>, Result<(), Status>) {
        let time = self.tick();
        match job {
            Job::Wake => (None, Ok(())),
            Job::Write(mut write) => {
                let mut changed = Vec::new();
                let opened = OpenTables::new(&self.shared, transaction, catalog);
                let written = opened.and_then(|mut tables| {
                    let outcome = tables.write(&mut write, time);
                    changed = tables.changed;
                    outcome
                });
                let (outcome, applied) = match written {
                    Ok(Written::Done(outcome)) => (outcome, Ok(())),
                    Ok(Written::Blocked(blockers)) => {
                        if let Some(late) = self.park(write, blockers) {
                            self.refuse(late, Status::aborted("Transaction lock timeout."));
                        }
                        return (None, Ok(()));
                    }
                    Err(error) => (Err(error.clone()), Err(error)),
                };
                self.end(write.wait, write.locks);
                let committed = Committed { database: write.database, names: changed };
                let committed = outcome.is_ok().then_some(committed);
                (Some(Reply::Write(write.reply, outcome, committed)), applied)
            }
            Job::BuildIndex { database, spec, reply } => {
                let built = build_index(transaction, &database, spec, catalog);
                (Some(Reply::Done(reply, built.clone())), built)
            }
            Job::Clear { database, reply } => {
                let cleared = clear(transaction, &database, catalog);
                let prefix = database.key();
                write(&self.shared.large_scopes).retain(|scope| !scope.starts_with(&prefix));
                (Some(Reply::Done(reply, cleared.clone())), cleared)
            }
        }
    }
}

impl Job {
    fn refuse(self, error: &Status) {
        match self {
            Self::Write(write) => drop(write.reply.send(Err(error.clone()))),
            Self::Wake => {}
            Self::BuildIndex { reply, .. } | Self::Clear { reply, .. } => {
                drop(reply.send(Err(error.clone())));
            }
        }
    }
}

impl Reply {
    /// Sends the reply. Sending fails if the client has gone, which does not matter.
    fn send(self) -> Option<Committed> {
        match self {
            Self::Write(reply, outcome, committed) => {
                let _ = reply.send(outcome);
                committed
            }
            Self::Done(reply, outcome) => {
                let _ = reply.send(outcome);
                None
            }
        }
    }

    fn refuse(self, error: &Status) -> Option<Committed> {
        match self {
            Self::Write(reply, _, committed) => {
                let _ = reply.send(Err(error.clone()));
                committed
            }
            Self::Done(reply, _) => {
                let _ = reply.send(Err(error.clone()));
                None
            }
        }
    }
}

/// The open tables of the current transaction.
struct OpenTables<'a> {
    shared: &'a Shared,
    documents: Table<'a, &'static [u8], &'static [u8]>,
    entries: Table<'a, &'static [u8], &'static [u8]>,
    catalog: &'a Catalog,
    changed: Vec<DocumentName>,
}

impl<'a> Tables for OpenTables<'a> {
    type Table = Table<'a, &'static [u8], &'static [u8]>;

    fn documents(&self) -> &Self::Table {
        &self.documents
    }

    fn entries(&self) -> &Self::Table {
        &self.entries
    }

    fn catalog(&self) -> &Catalog {
        self.catalog
    }
}

/// How far a request to write came.
enum Written {
    /// The result for the client.
    Done(Result<Outcome, Status>),
    /// Nothing was changed: others hold locks.
    Blocked(BTreeSet<Party>),
}

/// A document that the current request changes: as stored, and as it will be.
struct Staged {
    name: DocumentName,
    before: Option<Document>,
    after: Option<Document>,
    /// The bytes of the new document with its index entries; 0 if no indexes are declared.
    bytes: u64,
}

impl Staged {
    fn change<'a>(&'a self, key: &'a [u8]) -> Change<'a> {
        let Self { name, before, after, .. } = self;
        Change { key, name, before: before.as_ref(), after: after.as_ref() }
    }
}

impl<'a> OpenTables<'a> {
    fn new(
        shared: &'a Shared,
        transaction: &'a WriteTransaction,
        catalog: &'a Catalog,
    ) -> Result<Self, Status> {
        Ok(Self {
            shared,
            documents: transaction.open_table(DOCUMENTS).map_err(failed)?,
            entries: transaction.open_table(ENTRIES).map_err(failed)?,
            catalog,
            changed: Vec::new(),
        })
    }

    /// An error fails the whole group.
    fn write(&mut self, write: &mut WriteJob, time: Micros) -> Result<Written, Status> {
        if let Some(reads) = &write.reads
            && let Err(status) = lock(reads).validate(self.shared, self)
        {
            return Ok(Written::Done(Err(status)));
        }
        // A write that may have to wait is repeated later.
        let original = (!write.is_admitted).then(|| write.mutations.clone());
        let keys = write.keys.clone();
        let mutations = std::mem::take(&mut write.mutations);
        let mut staged: Vec<(&[u8], Staged)> = Vec::with_capacity(mutations.len());
        let mut positions: HashMap<&[u8], usize> = HashMap::new();
        let mut results = Vec::with_capacity(mutations.len());
        let limits = self.shared.indexes.writes();
        for (key, mutation) in keys.iter().zip(mutations) {
            match self.stage(key, mutation, &limits, &mut staged, &mut positions, time)? {
                Err(status) if write.atomic => return Ok(Written::Done(Err(status))),
                result => results.push(result),
            }
        }
        let bytes = staged.iter().map(|(_, staged)| staged.bytes).sum();
        if write.atomic
            && let Err(status) = limits.check_commit(bytes)
        {
            return Ok(Written::Done(Err(status)));
        }
        if let Some(original) = original {
            let changes: Vec<_> = staged.iter().map(|(key, staged)| staged.change(key)).collect();
            let admission = self.shared.locks.admit_changes(write.locks, &changes, &keys);
            if let Admission::Blocked(blockers) = admission {
                write.mutations = original;
                return Ok(Written::Blocked(blockers));
            }
        }
        for (key, change) in staged {
            self.store(key, change, time)?;
        }
        Ok(Written::Done(Ok(Outcome { time, results })))
    }

    fn stage<'k>(
        &self,
        key: &'k [u8],
        mutation: Mutation,
        limits: &WriteLimits,
        staged: &mut Vec<(&'k [u8], Staged)>,
        positions: &mut HashMap<&'k [u8], usize>,
        time: Micros,
    ) -> Result<Result<super::Written, Status>, Status> {
        let name = mutation.name.clone();
        let position = positions.get(key).copied();
        let before = match position {
            Some(position) => staged[position].1.after.clone(),
            None if mutation.needs_only_existence() => {
                let exists = self.documents.get(key).map_err(failed)?.is_some();
                exists.then(Document::default)
            }
            None => self.stored(key)?,
        };
        let applied = match mutation.apply(before.as_ref(), time) {
            Ok(applied) => applied,
            Err(status) => return Ok(Err(status)),
        };
        let checked = applied.document.as_ref().map(|new| limits.check_document(&name, new));
        let bytes = match checked.transpose() {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(status) => return Ok(Err(status)),
        };
        let written = super::Written {
            index_entries: index_entries::changed(before.as_ref(), applied.document.as_ref()),
            update_time: applied.document.as_ref().map(update_time),
            transform_results: applied.transform_results,
        };
        match position {
            Some(position) => {
                let staged = &mut staged[position].1;
                (staged.after, staged.bytes) = (applied.document, bytes);
            }
            None => {
                positions.insert(key, staged.len());
                staged.push((key, Staged { name, before, after: applied.document, bytes }));
            }
        }
        Ok(Ok(written))
    }

    fn store(&mut self, key: &[u8], change: Staged, time: Micros) -> Result<(), Status> {
        let Staged { name, before, after, .. } = change;
        if before.is_none() && after.is_none() {
            return Ok(());
        }
        if !self.catalog.is_empty() {
            self.update_indexes(key, &name, before.as_ref(), after.as_ref())?;
        }
        match &after {
            Some(document) => {
                let bytes = document.encode_to_vec();
                self.documents.insert(key, bytes.as_slice()).map_err(failed)?;
            }
            None => {
                self.documents.remove(key).map_err(failed)?;
            }
        }
        write(&self.shared.last_changes).insert(name.collection_key(), time);
        if let Some(before) = before {
            lock(&self.shared.history).keep(key.to_vec(), before, time);
        }
        self.changed.push(name);
        Ok(())
    }

    fn update_indexes(
        &mut self,
        key: &[u8],
        name: &DocumentName,
        before: Option<&Document>,
        after: Option<&Document>,
    ) -> Result<(), Status> {
        let catalog = self.catalog;
        for index in catalog.of(name.database(), name.collection_id()) {
            let entry = |document: Option<&Document>| {
                let entry = index.spec.entry(name, document?)?;
                Some([index.prefix.as_slice(), &entry].concat())
            };
            let (old, new) = (entry(before), entry(after));
            if old == new {
                continue;
            }
            if let Some(old) = old {
                self.entries.remove(old.as_slice()).map_err(failed)?;
            }
            if let Some(new) = new {
                self.entries.insert(new.as_slice(), key).map_err(failed)?;
            }
        }
        Ok(())
    }
}

fn build_index(
    transaction: &WriteTransaction,
    database: &Database,
    spec: IndexSpec,
    catalog: &mut Catalog,
) -> Result<(), Status> {
    if catalog.find(database, &spec).is_some() {
        return Ok(());
    }
    tracing::info!(index = spec.id(), "building an index");
    let documents = transaction.open_table(DOCUMENTS).map_err(failed)?;
    let mut entries = transaction.open_table(ENTRIES).map_err(failed)?;
    let (id, stored) = catalog.add(database, spec.clone());
    let prefix = id.to_be_bytes();
    let from = database.key();
    let until = successor(&from).unwrap_or_default();
    let all = documents.range::<&[u8]>(from.as_slice()..until.as_slice()).map_err(failed)?;
    for entry in all {
        let (key, bytes) = entry.map_err(failed)?;
        let document = decode(bytes.value())?;
        let name = DocumentName::parse(&document.name)?;
        if let Some(entry) = spec.entry(&name, &document) {
            let entry = [prefix.as_slice(), &entry].concat();
            entries.insert(entry.as_slice(), key.value()).map_err(failed)?;
        }
    }
    let mut indexes = transaction.open_table(INDEXES).map_err(failed)?;
    indexes.insert(id, stored.as_slice()).map_err(failed)?;
    Ok(())
}

fn clear(
    transaction: &WriteTransaction,
    database: &Database,
    catalog: &mut Catalog,
) -> Result<(), Status> {
    let mut documents = transaction.open_table(DOCUMENTS).map_err(failed)?;
    let mut entries = transaction.open_table(ENTRIES).map_err(failed)?;
    let mut indexes = transaction.open_table(INDEXES).map_err(failed)?;
    let key = database.key();
    let until = successor(&key).unwrap_or_default();
    documents
        .retain_in::<&[u8], _>(key.as_slice()..until.as_slice(), |_, _| false)
        .map_err(failed)?;
    for prefix in catalog.remove(database) {
        let until = successor(&prefix).unwrap_or_default();
        entries
            .retain_in::<&[u8], _>(prefix.as_slice()..until.as_slice(), |_, _| false)
            .map_err(failed)?;
        indexes.remove(u32::from_be_bytes(prefix)).map_err(failed)?;
    }
    Ok(())
}
