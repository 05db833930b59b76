//! What the operations so far would have cost on Google's Firestore, Standard edition: document
//! reads, writes and deletes by collection and by caller, counted as on the pricing page.
//!
//! - One read for each document that a query returns or its offset skips, at least one per query.
//!   A query with inequalities on more than one field also pays one read for each 1,000 index
//!   entries.
//! - One read for each requested name, whether the document exists or not.
//! - One read for each request for collection ids.
//! - One read for each 1,000 index entries that an aggregation counts, at least one.
//! - One read for each document that security rules read for a request, however often they read it,
//!   also if they deny the request.
//! - One read for each document that a listener receives, and for each that left its result because
//!   it changed; none for a deleted one. A listener that resumes within 30 minutes pays for what
//!   changed meanwhile, a later one as a new query.
//! - One write for each document written, one delete for each name deleted, even if there was no
//!   document.
//! - Nothing for a failed commit.

mod budget;
mod callers;
mod prices;
mod report;
mod storage;
mod table;
mod tally;
mod usage;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tonic::metadata::MetadataMap;

use crate::engine::Clock;
use crate::locks::lock;
use crate::model::path::{Database, DocumentName, Parent};
use crate::model::query::Query;
use crate::model::time::Micros;
use crate::rules::Claims;
pub use budget::{Budget, Exceeded};
use callers::Callers;
pub use prices::{Operations, Prices, PricesError};
pub use report::{Bill, Charged, Line, Report};
pub use storage::{Storage, Stored};
use tally::Tally;
pub use usage::{Billed, Usage};

/// Index entries that are read for the price of one document.
const ENTRIES_PER_READ: u64 = 1_000;

/// The collection of requests that name none.
const ANY_COLLECTION: &str = "*";

/// How long a listener may be away without being billed as a new query.
const RESUMABLE: Micros = Micros(30 * 60 * 1_000_000);

pub struct Meter {
    clock: Clock,
    prices: Prices,
    budget: Budget,
    callers: Callers,
    counts: Mutex<Counts>,
    /// Bytes that connections have sent.
    sent: Arc<AtomicU64>,
    exceeded: watch::Sender<Option<Exceeded>>,
}

struct Counts {
    since: Micros,
    tally: Tally,
    /// Bytes sent before the last reset.
    sent_before: u64,
}

impl Meter {
    pub fn new(clock: Clock, prices: Prices, budget: Budget) -> Self {
        let counts = Counts { since: clock.now(), tally: Tally::default(), sent_before: 0 };
        Self {
            clock,
            prices,
            budget,
            callers: Callers::default(),
            counts: Mutex::new(counts),
            sent: Arc::default(),
            exceeded: watch::Sender::new(None),
        }
    }

    /// Counts the bytes that connections send.
    pub fn sent(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.sent)
    }

    fn sent_so_far(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// The account of the caller of a request.
    pub fn account(self: &Arc<Self>, headers: &MetadataMap, user: Option<&Claims>) -> Account {
        let caller = self.callers.number(&callers::name_of(headers, user));
        Account { meter: Arc::clone(self), caller }
    }

    /// The account of callers that are not known.
    pub fn other(self: &Arc<Self>) -> Account {
        Account { meter: Arc::clone(self), caller: 0 }
    }

    fn count(&self, database: &Database, collection: &str, caller: u16, usage: &Usage) {
        let (now, sent) = (self.clock.now(), self.sent_so_far());
        let mut counts = lock(&self.counts);
        counts.tally.add(now, (database, collection), caller, sent, usage);
        if let Err(exceeded) = self.budget.check(&counts.tally.total().billed) {
            drop(counts);
            self.exceeded.send_if_modified(|first| {
                let is_first = first.is_none();
                first.get_or_insert(exceeded);
                is_first
            });
        }
    }

    pub fn bill(&self) -> Bill {
        Bill::of(&lock(&self.counts).tally.since_start())
    }

    pub fn report(&self) -> Report {
        let now = self.clock.now();
        let exceeded = self.exceeded.borrow().clone();
        let counts = lock(&self.counts);
        let sent = self.sent_so_far();
        let mut start = counts.tally.since_start();
        start.sent_before = Some(counts.sent_before);
        let hour = counts.tally.last_hour(now);
        let seconds = (now.0 - counts.since.0).max(0) / 1_000_000;
        Report::new(report::Input {
            seconds: seconds.unsigned_abs(),
            start,
            hour,
            sent,
            callers: &self.callers,
            prices: &self.prices,
            budget: self.budget,
            exceeded,
        })
    }

    /// Forgets the counts. A budget that was exceeded stays exceeded.
    pub fn reset(&self) {
        let mut counts = lock(&self.counts);
        *counts = Counts {
            since: self.clock.now(),
            tally: Tally::default(),
            sent_before: self.sent_so_far(),
        };
    }

    /// How the budget was exceeded, once it is.
    pub fn exceeded(&self) -> watch::Receiver<Option<Exceeded>> {
        self.exceeded.subscribe()
    }
}

/// The meter, for the requests of one caller. Cheap to clone.
#[derive(Clone)]
pub struct Account {
    meter: Arc<Meter>,
    caller: u16,
}

impl Account {
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    fn named(&self, name: &DocumentName, usage: &Usage) {
        self.meter.count(name.database(), name.collection_id(), self.caller, usage);
    }

    fn scoped(&self, query: &Query, usage: &Usage) {
        let collection = query.scope.collection.as_deref().unwrap_or(ANY_COLLECTION);
        self.meter.count(query.scope.parent.database(), collection, self.caller, usage);
    }

    pub fn got(&self, name: &DocumentName) {
        self.named(name, &Usage::reads(1));
    }

    /// Bills a read by security rules.
    pub fn got_by_rules(&self, name: &DocumentName) {
        self.named(name, &Usage { rule_reads: 1, ..Usage::reads(1) });
    }

    pub fn wrote(&self, name: &DocumentName, index_entries: u64) {
        self.named(name, &Usage::write(index_entries));
    }

    pub fn deleted(&self, name: &DocumentName, index_entries: u64) {
        self.named(name, &Usage::delete(index_entries));
    }

    /// Bills a query that returned or skipped `documents` documents.
    pub fn queried(&self, query: &Query, documents: usize) {
        let documents = documents as u64;
        let entries =
            if query.inequality_fields() > 1 { documents.div_ceil(ENTRIES_PER_READ) } else { 0 };
        let usage = Usage::reads(documents.max(1) + entries);
        self.scoped(query, &Usage { index_entries_read: documents, ..usage });
    }

    /// Bills an aggregation over `documents` documents.
    pub fn aggregated(&self, query: &Query, documents: u64) {
        let usage = Usage::reads(documents.div_ceil(ENTRIES_PER_READ).max(1));
        self.scoped(query, &Usage { index_entries_read: documents, ..usage });
    }

    /// Bills the changes that a listener receives.
    pub fn read(&self, query: &Query, reads: u64) {
        self.scoped(query, &Usage::reads(reads));
    }

    /// Bills a request for collection ids.
    pub fn listed_collections(&self, parent: &Parent) {
        self.meter.count(parent.database(), ANY_COLLECTION, self.caller, &Usage::reads(1));
    }

    /// Whether a listener that was last up to date at `time` is billed for changes only.
    pub fn is_resumable(&self, time: Micros) -> bool {
        self.meter.clock.now().0 - time.0 <= RESUMABLE.0
    }
}
