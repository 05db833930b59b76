//! The bill for the operations so far: document reads, writes and deletes by database and
//! collection, counted as on Firestore's pricing page.
//!
//! - One read for each document that a query returns or its offset skips, at least one per query.
//! - One read for each requested name, whether the document exists or not.
//! - One read for each request for collection ids.
//! - One read for each 1,000 documents that an aggregation counts, at least one.
//! - One write for each document written, one delete for each name deleted, even if there was no
//!   document.
//! - Nothing for a failed commit.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use serde::Serialize;

use crate::locks::lock;
use crate::model::path::{Database, DocumentName, Parent};
use crate::model::query::Query;

/// Index entries that an aggregation reads for the price of one document.
const ENTRIES_PER_READ: u64 = 1_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Billed {
    pub reads: u64,
    pub writes: u64,
    pub deletes: u64,
}

impl Billed {
    pub fn total(&self) -> u64 {
        self.reads + self.writes + self.deletes
    }

    fn add(&mut self, other: &Self) {
        self.reads += other.reads;
        self.writes += other.writes;
        self.deletes += other.deletes;
    }
}

/// Billed operations by database and collection id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bill {
    pub total: Billed,
    pub databases: BTreeMap<String, BTreeMap<String, Billed>>,
}

impl fmt::Display for Bill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Billed { reads, writes, deletes } = self.total;
        write!(f, "billed as Firestore would: {reads} reads, {writes} writes, {deletes} deletes")
    }
}

#[derive(Debug, Default)]
pub struct Meter(Mutex<BTreeMap<(Database, String), Billed>>);

impl Meter {
    fn count(&self, database: &Database, collection: &str, change: impl FnOnce(&mut Billed)) {
        let mut counts = lock(&self.0);
        change(counts.entry((database.clone(), collection.to_owned())).or_default());
    }

    pub fn got(&self, name: &DocumentName) {
        self.count(name.database(), name.collection_id(), |billed| billed.reads += 1);
    }

    pub fn wrote(&self, name: &DocumentName) {
        self.count(name.database(), name.collection_id(), |billed| billed.writes += 1);
    }

    pub fn deleted(&self, name: &DocumentName) {
        self.count(name.database(), name.collection_id(), |billed| billed.deletes += 1);
    }

    /// Bills a query that returned or skipped `documents` documents.
    pub fn queried(&self, query: &Query, documents: usize) {
        self.read(query, (documents as u64).max(1));
    }

    /// Bills an aggregation over `documents` documents.
    pub fn aggregated(&self, query: &Query, documents: u64) {
        self.read(query, documents.div_ceil(ENTRIES_PER_READ).max(1));
    }

    pub fn read(&self, query: &Query, reads: u64) {
        let collection = query.scope.collection.as_deref().unwrap_or("*");
        self.count(query.scope.parent.database(), collection, |billed| billed.reads += reads);
    }

    /// Bills a request for collection ids.
    pub fn listed_collections(&self, parent: &Parent) {
        self.count(parent.database(), "*", |billed| billed.reads += 1);
    }

    pub fn bill(&self) -> Bill {
        let mut bill = Bill::default();
        for ((database, collection), billed) in lock(&self.0).iter() {
            bill.total.add(billed);
            let database = bill.databases.entry(database.as_str().to_owned()).or_default();
            database.insert(collection.clone(), *billed);
        }
        bill
    }

    pub fn reset(&self) {
        lock(&self.0).clear();
    }
}
