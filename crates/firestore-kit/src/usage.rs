//! What a connection has asked of Firestore: the operations that Google bills, counted from the
//! answers, the calls that failed, and the calls that were repeated.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use firestore::gcloud_sdk::google::firestore::v1::{Write, write::Operation};
use firestore::gcloud_sdk::tonic::{Code, Status};

/// Index entries of an aggregation that Google bills as one read.
const ENTRIES_IN_A_READ: u64 = 1_000;

/// The counts of a connection since it was made.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    reads: AtomicU64,
    writes: AtomicU64,
    deletes: AtomicU64,
    failures: Mutex<BTreeMap<String, u64>>,
}

/// How many writes of a request change documents, and how many delete them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Operations {
    writes: u64,
    deletes: u64,
}

impl Operations {
    pub fn of<'a>(all: impl IntoIterator<Item = &'a Write>) -> Self {
        let mut counted = Self::default();
        for write in all {
            match write.operation {
                Some(Operation::Delete(_)) => counted.deletes += 1,
                _ => counted.writes += 1,
            }
        }
        counted
    }
}

/// The counts at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Billed reads. An estimate: Google also bills reads that an answer does not show, as those of
    /// security rules.
    pub reads: u64,
    pub writes: u64,
    pub deletes: u64,
    /// Calls that were repeated.
    pub retries: u64,
    /// Calls that failed, by the name of their gRPC code. A refused commit is one of them.
    pub failures: BTreeMap<String, u64>,
}

impl Usage {
    /// Documents that were read by name; a missing one is billed as well.
    pub fn read(&self, documents: u64) {
        self.reads.fetch_add(documents, Ordering::Relaxed);
    }

    /// A query is billed for its documents, and for one if it finds none.
    pub fn queried(&self, documents: usize) {
        self.read(u64::try_from(documents).unwrap_or(u64::MAX).max(1));
    }

    pub fn counted(&self, entries: u64) {
        self.read(entries.div_ceil(ENTRIES_IN_A_READ).max(1));
    }

    pub fn wrote(&self, Operations { writes, deletes }: Operations) {
        self.writes.fetch_add(writes, Ordering::Relaxed);
        self.deletes.fetch_add(deletes, Ordering::Relaxed);
    }

    pub fn failed(&self, status: &Status) {
        let code = status.code();
        if code != Code::Ok {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            *failures.entry(format!("{code:?}")).or_default() += 1;
        }
    }

    pub fn used(&self) -> Used {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Used {
            reads: of(&self.reads),
            writes: of(&self.writes),
            deletes: of(&self.deletes),
            retries: 0,
            failures: self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Fields;
    use crate::write;

    #[test]
    fn operations_are_counted_as_google_bills_them() {
        let usage = Usage::default();
        usage.read(2);
        usage.queried(0);
        usage.queried(7);
        for entries in [0, 1_000, 1_001] {
            usage.counted(entries);
        }
        let set = write::set("projects/p/x/1".to_owned(), Fields::default());
        usage.wrote(Operations::of([&set, &write::delete("projects/p/x/2".to_owned()), &set]));
        usage.failed(&Status::aborted("first"));
        usage.failed(&Status::ok(""));
        let failures = BTreeMap::from([("Aborted".to_owned(), 1)]);
        let expected = Used { reads: 14, writes: 2, deletes: 1, retries: 0, failures };
        assert_eq!(usage.used(), expected);
    }
}
