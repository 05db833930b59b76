//! The locks of pessimistic transactions, and the graph of who waits for whom.
//!
//! Every read of a pessimistic transaction takes a shared lock: on the document, or on the range
//! that a query covers. Every write checks them in the committer and waits until no other
//! transaction holds a lock on what it changes.
//!
//! - Exclusive locks last only while the committer applies a group: a read of a document in it
//!   waits until the group is visible.
//! - A read also waits for writes that already wait for the document, so that readers cannot keep
//!   a writer waiting forever, unless that wait would be a deadlock.
//! - A transaction that repeats an aborted one claims the documents that the aborted one wrote when
//!   it reads them, and two claims exclude each other. Contending transactions thus queue from
//!   their second attempt on.
//! - A deadlock aborts the commit of its youngest transaction. A transaction that repeats an
//!   aborted one keeps its age, so that it wins in the end. A read is never aborted: it only takes
//!   its lock.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tonic::Status;

use crate::locks::lock;
use crate::model::path::DocumentName;
use crate::model::query::Query;
use crate::model::time::Micros;
use crate::proto::Document;

/// How long a write waits for locks before it is aborted.
pub const LOCK_TIMEOUT: Micros = Micros(20_000_000);

/// Firestore's limits on the age and the idle time of a transaction.
pub const MAX_AGE: Micros = Micros(270_000_000);
pub const MAX_IDLE: Micros = Micros(60_000_000);

/// How often waiting requests look at the clock, which may not be the machine's.
pub const TICK: Duration = Duration::from_millis(10);

/// The times that bound the life of a transaction.
#[derive(Debug)]
pub struct Life {
    began: Micros,
    used: AtomicI64,
}

impl Life {
    pub fn beginning(now: Micros) -> Self {
        Self { began: now, used: AtomicI64::new(now.0) }
    }

    pub fn touch(&self, now: Micros) {
        self.used.fetch_max(now.0, Ordering::Relaxed);
    }

    pub fn has_expired(&self, now: Micros) -> bool {
        now.0 - self.began.0 > MAX_AGE.0 || now.0 - self.used.load(Ordering::Relaxed) > MAX_IDLE.0
    }
}

/// What a transaction and its repetitions have in common.
#[derive(Debug)]
pub struct Lineage {
    /// Rises with each first attempt.
    age: u64,
    /// The documents that an aborted attempt wrote.
    intents: Mutex<HashMap<Vec<u8>, DocumentName>>,
}

impl Lineage {
    /// Records what an aborted attempt wrote.
    pub fn intend(&self, names: &[DocumentName]) {
        lock(&self.intents).extend(names.iter().map(|name| (name.key(), name.clone())));
    }
}

/// A shared lock on what a query covers.
#[derive(Debug)]
pub struct QueryLock {
    query: Query,
    /// The order key of the last document of a limited result: what comes after it is not locked.
    until: Mutex<Option<Vec<u8>>>,
}

impl QueryLock {
    fn covers_name(&self, name: &DocumentName) -> bool {
        self.query.scope.contains(name)
    }

    fn covers(&self, name: &DocumentName, document: &Document) -> bool {
        let Some(key) = self.query.matches(name, document) else { return false };
        lock(&self.until).as_ref().is_none_or(|until| key <= *until)
    }

    /// Releases what comes after the last document of a limited result.
    pub fn narrow(&self, document: &Document) {
        if let Ok(name) = DocumentName::parse(&document.name) {
            *lock(&self.until) = self.query.matches(&name, document);
        }
    }
}

/// What a read is about to lock.
#[derive(Debug)]
pub enum Wanted<'a> {
    Documents(&'a [DocumentName]),
    Query(&'a Query),
}

impl Wanted<'_> {
    fn covers(&self, name: &DocumentName) -> bool {
        match self {
            Self::Documents(names) => names.contains(name),
            Self::Query(query) => query.scope.contains(name),
        }
    }
}

/// The keys that a read is about to lock, or a prefix that all of them have.
#[derive(Debug)]
enum Reach {
    Keys(HashSet<Vec<u8>>),
    Prefix(Vec<u8>),
}

impl Reach {
    fn of(wanted: &Wanted<'_>) -> Self {
        match wanted {
            Wanted::Documents(names) => Self::Keys(names.iter().map(DocumentName::key).collect()),
            Wanted::Query(query) => Self::Prefix(query.scope.key_prefix()),
        }
    }

    fn may_cover(&self, key: &[u8]) -> bool {
        match self {
            Self::Keys(keys) => keys.contains(key),
            Self::Prefix(prefix) => key.starts_with(prefix),
        }
    }
}

/// A document that a request changes: as stored, and as it will be.
#[derive(Debug)]
pub struct Change<'a> {
    pub key: &'a [u8],
    pub name: &'a DocumentName,
    pub before: Option<&'a Document>,
    pub after: Option<&'a Document>,
}

/// A request that waits, or that others wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Party {
    Transaction(u64),
    /// A write outside of transactions.
    Write(u64),
}

#[derive(Debug)]
struct Holder {
    lineage: Arc<Lineage>,
    life: Arc<Life>,
    documents: HashSet<Vec<u8>>,
    has_queries: bool,
    claims: HashMap<Vec<u8>, DocumentName>,
    /// A transaction that commits does not expire.
    commits: bool,
}

#[derive(Debug)]
struct Wait {
    party: Party,
    blockers: BTreeSet<Party>,
    /// What a waiting write changes; `None` for a read.
    writes: Option<Arc<[DocumentName]>>,
}

#[derive(Debug, Default)]
struct State {
    holders: HashMap<u64, Holder>,
    by_document: HashMap<Vec<u8>, Vec<u64>>,
    queries: Vec<(u64, Arc<QueryLock>)>,
    waits: HashMap<u64, Wait>,
    /// The keys of the writes in the committer's group, which become visible together.
    applying: Vec<Arc<[Vec<u8>]>>,
}

/// Whether the committer may apply a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    Granted,
    /// A query lock may be in the way; that depends on the documents.
    Unclear,
    Blocked(BTreeSet<Party>),
}

#[derive(Debug, Default)]
pub struct LockTable {
    state: Mutex<State>,
    next: AtomicU64,
    /// Rises whenever a lock is released.
    releases: AtomicU64,
    changed: Notify,
}

fn expired() -> Status {
    Status::invalid_argument("The referenced transaction has expired or is no longer valid")
}

impl LockTable {
    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub fn new_lineage(&self) -> Arc<Lineage> {
        Arc::new(Lineage { age: self.next(), intents: Mutex::default() })
    }

    /// Opens a transaction that may take locks.
    pub fn open(&self, lineage: Arc<Lineage>, life: Arc<Life>) -> u64 {
        let id = self.next();
        let holder = Holder {
            lineage,
            life,
            documents: HashSet::new(),
            has_queries: false,
            claims: HashMap::new(),
            commits: false,
        };
        lock(&self.state).holders.insert(id, holder);
        id
    }

    /// Records that a transaction commits: its locks last until the commit ends.
    pub fn commit(&self, id: u64) -> Result<(), Status> {
        let mut state = lock(&self.state);
        state.holders.get_mut(&id).ok_or_else(expired)?.commits = true;
        Ok(())
    }

    /// Releases the locks of a transaction.
    pub fn release(&self, id: u64) {
        let mut state = lock(&self.state);
        if state.remove(id) {
            drop(state);
            self.note_release();
        }
    }

    /// Releases the locks of transactions that have expired.
    pub fn expire(&self, now: Micros) {
        let mut state = lock(&self.state);
        let gone: Vec<u64> = state
            .holders
            .iter()
            .filter(|(_, holder)| !holder.commits && holder.life.has_expired(now))
            .map(|(id, _)| *id)
            .collect();
        for id in &gone {
            state.remove(*id);
        }
        drop(state);
        if !gone.is_empty() {
            self.note_release();
        }
    }

    fn note_release(&self) {
        self.releases.fetch_add(1, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Records that a lock was narrowed.
    pub fn narrowed(&self) {
        self.note_release();
    }

    /// A number that changes whenever a waiting request may be able to continue.
    pub fn releases(&self) -> u64 {
        self.releases.load(Ordering::Acquire)
    }

    pub fn has_waiting_writes(&self) -> bool {
        lock(&self.state).waits.values().any(|wait| wait.writes.is_some())
    }

    /// Takes the shared locks of a read, once nothing is in the way.
    pub async fn read(
        &self,
        id: u64,
        wanted: Wanted<'_>,
        now: impl Fn() -> Micros,
    ) -> Result<Option<Arc<QueryLock>>, Status> {
        let deadline = Micros(now().0 + LOCK_TIMEOUT.0);
        let waiting = Waiting { table: self, id: self.next() };
        let reach = Reach::of(&wanted);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let is_late = now() > deadline;
            if let Some(granted) =
                lock(&self.state).read(id, &wanted, &reach, waiting.id, is_late)?
            {
                return Ok(granted);
            }
            let _ = tokio::time::timeout(TICK, changed).await;
            self.expire(now());
        }
    }

    /// Whether a request may change documents with these names. If it may, they count as being
    /// applied until [`applied`](Self::applied).
    pub fn admit<'a>(
        &self,
        transaction: Option<u64>,
        names: impl Iterator<Item = &'a DocumentName> + Clone,
        keys: &Arc<[Vec<u8>]>,
    ) -> Admission {
        let mut state = lock(&self.state);
        if !state.by_document.is_empty() {
            let blockers = state.holders_of(transaction, keys.iter().map(Vec::as_slice));
            if !blockers.is_empty() {
                return Admission::Blocked(blockers);
            }
        }
        let is_covered = state.queries.iter().any(|(holder, lock)| {
            Some(*holder) != transaction && names.clone().any(|name| lock.covers_name(name))
        });
        if is_covered {
            return Admission::Unclear;
        }
        state.applying.push(keys.clone());
        Admission::Granted
    }

    /// Like [`admit`](Self::admit), with the documents before and after the request.
    pub fn admit_changes(
        &self,
        transaction: Option<u64>,
        changes: &[Change<'_>],
        keys: &Arc<[Vec<u8>]>,
    ) -> Admission {
        let mut state = lock(&self.state);
        let mut blockers = state.holders_of(transaction, changes.iter().map(|change| change.key));
        for (holder, lock) in &state.queries {
            if Some(*holder) != transaction && changes.iter().any(|change| change.meets(lock)) {
                blockers.insert(Party::Transaction(*holder));
            }
        }
        if !blockers.is_empty() {
            return Admission::Blocked(blockers);
        }
        state.applying.push(keys.clone());
        Admission::Granted
    }

    /// Records that a write waits. Returns the transactions whose commits are aborted to break a
    /// deadlock, which may include this one.
    pub fn wait(
        &self,
        wait: u64,
        transaction: Option<u64>,
        writes: Arc<[DocumentName]>,
        blockers: BTreeSet<Party>,
    ) -> Vec<u64> {
        let party = transaction.map_or(Party::Write(wait), Party::Transaction);
        let mut state = lock(&self.state);
        state.waits.insert(wait, Wait { party, blockers, writes: Some(writes) });
        let victims = state.break_deadlocks(party);
        drop(state);
        if victims.is_empty() {
            // A read that was part of a deadlock may take its lock now.
            self.changed.notify_waiters();
        } else {
            self.note_release();
        }
        victims
    }

    /// An id for a write that may wait.
    pub fn new_wait(&self) -> u64 {
        self.next()
    }

    /// Records that a write no longer waits.
    pub fn end_wait(&self, wait: u64) {
        lock(&self.state).waits.remove(&wait);
    }

    /// Records that all writes that were admitted are visible, or have failed.
    pub fn applied(&self) {
        lock(&self.state).applying.clear();
        self.changed.notify_waiters();
    }
}

impl Change<'_> {
    fn meets(&self, lock: &QueryLock) -> bool {
        let covers = |document: Option<&Document>| {
            document.is_some_and(|document| lock.covers(self.name, document))
        };
        lock.covers_name(self.name) && (covers(self.before) || covers(self.after))
    }
}

/// Removes the wait of a read, also if its client goes away.
struct Waiting<'a> {
    table: &'a LockTable,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.table.end_wait(self.id);
    }
}

impl State {
    /// Removes a transaction; returns whether it held locks.
    fn remove(&mut self, id: u64) -> bool {
        let Some(holder) = self.holders.remove(&id) else { return false };
        for key in &holder.documents {
            if let Some(holders) = self.by_document.get_mut(key) {
                holders.retain(|other| *other != id);
                if holders.is_empty() {
                    self.by_document.remove(key);
                }
            }
        }
        if holder.has_queries {
            self.queries.retain(|(other, _)| *other != id);
        }
        holder.has_queries || !holder.documents.is_empty() || !holder.claims.is_empty()
    }

    /// The other transactions that hold locks on documents.
    fn holders_of<'a>(
        &self,
        transaction: Option<u64>,
        keys: impl Iterator<Item = &'a [u8]>,
    ) -> BTreeSet<Party> {
        keys.filter_map(|key| self.by_document.get(key))
            .flatten()
            .filter(|holder| Some(**holder) != transaction)
            .map(|holder| Party::Transaction(*holder))
            .collect()
    }

    /// Takes the locks of a read, or records what it waits for.
    fn read(
        &mut self,
        id: u64,
        wanted: &Wanted<'_>,
        reach: &Reach,
        wait: u64,
        is_late: bool,
    ) -> Result<Option<Option<Arc<QueryLock>>>, Status> {
        let holder = self.holders.get(&id).ok_or_else(expired)?;
        let mut applying = self.applying.iter().flat_map(|keys| keys.iter());
        if applying.any(|key| reach.may_cover(key)) {
            return Ok(None);
        }
        let claims: HashMap<_, _> = lock(&holder.lineage.intents)
            .iter()
            .filter(|(_, name)| wanted.covers(name))
            .map(|(key, name)| (key.clone(), name.clone()))
            .collect();
        let blockers = self.blockers_of_read(id, wanted, !claims.is_empty());
        // A wait that was removed was part of a deadlock.
        let party = Party::Transaction(id);
        if !blockers.is_empty() && !is_late && self.path(&blockers, party).is_none() {
            self.waits.insert(wait, Wait { party, blockers, writes: None });
            return Ok(None);
        }
        self.waits.remove(&wait);
        let holder = self.holders.get_mut(&id).ok_or_else(expired)?;
        holder.claims.extend(claims);
        Ok(Some(match wanted {
            Wanted::Documents(names) => {
                for key in names.iter().map(DocumentName::key) {
                    if holder.documents.insert(key.clone()) {
                        self.by_document.entry(key).or_default().push(id);
                    }
                }
                None
            }
            Wanted::Query(query) => {
                holder.has_queries = true;
                let query = query.unlimited();
                let lock = Arc::new(QueryLock { query, until: Mutex::default() });
                self.queries.push((id, lock.clone()));
                Some(lock)
            }
        }))
    }

    fn blockers_of_read(&self, id: u64, wanted: &Wanted<'_>, claims: bool) -> BTreeSet<Party> {
        let own = Party::Transaction(id);
        let waiting = self.waits.values().filter(|wait| {
            let writes = wait.writes.as_deref().unwrap_or_default();
            wait.party != own && writes.iter().any(|name| wanted.covers(name))
        });
        let mut blockers: BTreeSet<Party> = waiting.map(|wait| wait.party).collect();
        if claims {
            let claiming = self.holders.iter().filter(|(other, holder)| {
                **other != id && holder.claims.values().any(|name| wanted.covers(name))
            });
            blockers.extend(claiming.map(|(other, _)| Party::Transaction(*other)));
        }
        blockers
    }

    /// The parties on a path from one of `from` to `to` along the waits, `to` last.
    fn path(&self, from: &BTreeSet<Party>, to: Party) -> Option<Vec<Party>> {
        let mut edges: HashMap<Party, Vec<Party>> = HashMap::new();
        for wait in self.waits.values() {
            edges.entry(wait.party).or_default().extend(&wait.blockers);
        }
        let mut reached_from: HashMap<Party, Option<Party>> =
            from.iter().map(|party| (*party, None)).collect();
        let mut open: Vec<Party> = from.iter().copied().collect();
        while let Some(party) = open.pop() {
            if party == to {
                let mut path = vec![party];
                let mut at = party;
                while let Some(Some(previous)) = reached_from.get(&at) {
                    path.push(*previous);
                    at = *previous;
                }
                path.reverse();
                return Some(path);
            }
            for next in edges.get(&party).into_iter().flatten() {
                if !reached_from.contains_key(next) {
                    reached_from.insert(*next, Some(party));
                    open.push(*next);
                }
            }
        }
        None
    }

    /// Breaks the deadlocks that a party is in: a read in it stops waiting; otherwise the youngest
    /// commit is aborted.
    fn break_deadlocks(&mut self, party: Party) -> Vec<u64> {
        let mut victims = Vec::new();
        loop {
            let blockers: BTreeSet<Party> = self
                .waits
                .values()
                .filter(|wait| wait.party == party)
                .flat_map(|wait| wait.blockers.iter().copied())
                .collect();
            let Some(cycle) = self.path(&blockers, party) else { return victims };
            let reads = |wait: &Wait| wait.writes.is_none() && cycle.contains(&wait.party);
            let waits = self.waits.len();
            self.waits.retain(|_, wait| !reads(wait));
            if self.waits.len() < waits {
                continue;
            }
            let age = |id: &u64| self.holders.get(id).map_or(0, |holder| holder.lineage.age);
            let commits = cycle.iter().filter_map(|party| match party {
                Party::Transaction(id) => Some(*id),
                Party::Write(_) => None,
            });
            let Some(victim) = commits.max_by_key(age) else { return victims };
            self.waits.retain(|_, wait| wait.party != Party::Transaction(victim));
            self.remove(victim);
            victims.push(victim);
        }
    }
}
