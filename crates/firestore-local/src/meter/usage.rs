//! What is counted.

use std::fmt;

use serde::Serialize;

/// Billed operations.
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
}

impl fmt::Display for Billed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reads, writes, deletes } = self;
        write!(f, "{reads} reads, {writes} writes, {deletes} deletes")
    }
}

/// Billed operations, and the counts behind them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    #[serde(flatten)]
    pub billed: Billed,
    /// The part of the reads that security rules made with `get`, `exists`, `getAfter` and
    /// `existsAfter`.
    pub rule_reads: u64,
    /// Index entries of the documents that queries and aggregations found or skipped.
    pub index_entries_read: u64,
    /// Automatic single-field index entries that writes and deletes added or removed.
    pub index_entries_written: u64,
}

impl Usage {
    pub(crate) fn reads(reads: u64) -> Self {
        Self { billed: Billed { reads, ..Billed::default() }, ..Self::default() }
    }

    pub(crate) fn write(index_entries: u64) -> Self {
        let billed = Billed { writes: 1, ..Billed::default() };
        Self { billed, index_entries_written: index_entries, ..Self::default() }
    }

    pub(crate) fn delete(index_entries: u64) -> Self {
        let billed = Billed { deletes: 1, ..Billed::default() };
        Self { billed, index_entries_written: index_entries, ..Self::default() }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.billed.reads += other.billed.reads;
        self.billed.writes += other.billed.writes;
        self.billed.deletes += other.billed.deletes;
        self.rule_reads += other.rule_reads;
        self.index_entries_read += other.index_entries_read;
        self.index_entries_written += other.index_entries_written;
    }
}
