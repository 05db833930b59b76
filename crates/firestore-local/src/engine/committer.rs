//! The committer, the only writer of the store. It takes requests from a queue, applies all that
//! are waiting in one transaction, makes them durable together, and only then answers.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};

use prost::Message;
use redb::{ReadableTable, Table, WriteTransaction};
use tokio::sync::oneshot;
use tonic::Status;

use super::catalog::Catalog;
use super::error::failed;
use super::reads::ReadSet;
use super::schema::{DOCUMENTS, ENTRIES, INDEXES, LAST_COMMIT, META};
use super::shared::{Committed, Outcome, Shared, Written};
use super::snapshot::{Tables, decode};
use super::store;
use crate::locks::{lock, read, write};
use crate::model::path::{Database, DocumentName, successor};
use crate::model::query::IndexSpec;
use crate::model::time::{Micros, update_time};
use crate::model::write::Mutation;
use crate::proto::Document;

/// The most requests that are made durable together. The bound limits how long the first of them
/// waits.
const MAX_GROUP: usize = 256;

pub enum Job {
    Write {
        database: Database,
        mutations: Vec<Mutation>,
        atomic: bool,
        reads: Option<Arc<Mutex<ReadSet>>>,
        reply: oneshot::Sender<Result<Outcome, Status>>,
    },
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
        Self { shared, last, generation: 1 }
    }

    /// Runs until all senders are dropped.
    pub fn run(mut self, queue: &mpsc::Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let mut jobs = vec![first];
            while jobs.len() < MAX_GROUP
                && let Ok(next) = queue.try_recv()
            {
                jobs.push(next);
            }
            self.commit_group(jobs);
        }
    }

    fn commit_group(&mut self, jobs: Vec<Job>) {
        let catalog = read(&self.shared.catalog).clone();
        let mut next_catalog = (*catalog).clone();
        let mut replies = Vec::with_capacity(jobs.len());
        match self.apply(jobs, &mut next_catalog, &mut replies) {
            Ok(()) => {
                *write(&self.shared.catalog) = Arc::new(next_catalog);
                self.shared.last_commit.store(self.last.0, Ordering::Release);
                self.shared.store.acknowledge(self.last);
                self.notify_listeners(replies.into_iter().map(Reply::send));
            }
            Err(error) => {
                tracing::error!(%error, "a commit failed");
                self.shared.store.recover_from(&error);
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
                replies.push(reply);
                applied?;
            }
            self.commit(transaction)
        });
        if let Err(error) = &applied {
            jobs.for_each(|job| job.refuse(error));
        }
        applied
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

    /// Returns the reply to send if the group succeeds, and a result whose error fails the whole
    /// group.
    fn apply_one(
        &mut self,
        transaction: &WriteTransaction,
        job: Job,
        catalog: &mut Catalog,
    ) -> (Reply, Result<(), Status>) {
        let time = self.tick();
        match job {
            Job::Write { database, mutations, atomic, reads, reply } => {
                let mut changed = Vec::new();
                let opened = OpenTables::new(&self.shared, transaction, catalog);
                let written = opened.and_then(|mut tables| {
                    let outcome = tables.write(mutations, atomic, reads.as_deref(), time);
                    changed = tables.changed;
                    outcome
                });
                let (outcome, applied) = match written {
                    Ok(outcome) => (outcome, Ok(())),
                    Err(error) => (Err(error.clone()), Err(error)),
                };
                let committed = Committed { database, names: changed };
                let committed = outcome.is_ok().then_some(committed);
                (Reply::Write(reply, outcome, committed), applied)
            }
            Job::BuildIndex { database, spec, reply } => {
                let built = build_index(transaction, &database, spec, catalog);
                (Reply::Done(reply, built.clone()), built)
            }
            Job::Clear { database, reply } => {
                let cleared = clear(transaction, &database, catalog);
                let prefix = database.key();
                write(&self.shared.large_scopes).retain(|scope| !scope.starts_with(&prefix));
                (Reply::Done(reply, cleared.clone()), cleared)
            }
        }
    }
}

impl Job {
    fn refuse(self, error: &Status) {
        match self {
            Self::Write { reply, .. } => drop(reply.send(Err(error.clone()))),
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

/// A document that the current request changes: as stored, and as it will be.
struct Staged {
    name: DocumentName,
    before: Option<Document>,
    after: Option<Document>,
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

    /// The inner result goes to the client; an outer error fails the whole group.
    fn write(
        &mut self,
        mutations: Vec<Mutation>,
        atomic: bool,
        reads: Option<&Mutex<ReadSet>>,
        time: Micros,
    ) -> Result<Result<Outcome, Status>, Status> {
        if let Some(reads) = reads
            && let Err(status) = lock(reads).validate(self.shared, self)
        {
            return Ok(Err(status));
        }
        let mut staged: Vec<(Vec<u8>, Staged)> = Vec::with_capacity(mutations.len());
        let mut positions: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut results = Vec::with_capacity(mutations.len());
        for mutation in mutations {
            match self.stage(mutation, &mut staged, &mut positions, time)? {
                Err(status) if atomic => return Ok(Err(status)),
                result => results.push(result),
            }
        }
        for (key, change) in staged {
            self.store(key, change, time)?;
        }
        Ok(Ok(Outcome { time, results }))
    }

    fn stage(
        &self,
        mutation: Mutation,
        staged: &mut Vec<(Vec<u8>, Staged)>,
        positions: &mut HashMap<Vec<u8>, usize>,
        time: Micros,
    ) -> Result<Result<Written, Status>, Status> {
        let key = mutation.name.key();
        let name = mutation.name.clone();
        let position = positions.get(&key).copied();
        let before = match position {
            Some(position) => staged[position].1.after.clone(),
            None if mutation.needs_only_existence() => {
                let exists = self.documents.get(key.as_slice()).map_err(failed)?.is_some();
                exists.then(Document::default)
            }
            None => self.stored(&key)?,
        };
        let applied = match mutation.apply(before.as_ref(), time) {
            Ok(applied) => applied,
            Err(status) => return Ok(Err(status)),
        };
        let written = Written {
            update_time: applied.document.as_ref().map(update_time),
            transform_results: applied.transform_results,
        };
        match position {
            Some(position) => staged[position].1.after = applied.document,
            None => {
                positions.insert(key.clone(), staged.len());
                staged.push((key, Staged { name, before, after: applied.document }));
            }
        }
        Ok(Ok(written))
    }

    fn store(&mut self, key: Vec<u8>, change: Staged, time: Micros) -> Result<(), Status> {
        let Staged { name, before, after } = change;
        if before.is_none() && after.is_none() {
            return Ok(());
        }
        if !self.catalog.is_empty() {
            self.update_indexes(&key, &name, before.as_ref(), after.as_ref())?;
        }
        match &after {
            Some(document) => {
                let bytes = document.encode_to_vec();
                self.documents.insert(key.as_slice(), bytes.as_slice()).map_err(failed)?;
            }
            None => {
                self.documents.remove(key.as_slice()).map_err(failed)?;
            }
        }
        write(&self.shared.last_changes).insert(name.collection_key(), time);
        if let Some(before) = before {
            lock(&self.shared.history).keep(key, before, time);
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
