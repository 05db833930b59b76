//! The operations that Firestore would bill.

use std::fmt;
use std::ops::{AddAssign, Sub};

use firestore_local::Billed;

/// Documents read, written and deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub reads: u64,
    pub writes: u64,
    pub deletes: u64,
}

impl Cost {
    pub fn total(self) -> u64 {
        self.reads + self.writes + self.deletes
    }
}

impl From<Billed> for Cost {
    fn from(billed: Billed) -> Self {
        Self { reads: billed.reads, writes: billed.writes, deletes: billed.deletes }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.reads += other.reads;
        self.writes += other.writes;
        self.deletes += other.deletes;
    }
}

/// The difference to an earlier reading of the same meter.
impl Sub for Cost {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            reads: self.reads - earlier.reads,
            writes: self.writes - earlier.writes,
            deletes: self.deletes - earlier.deletes,
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} reads, {} writes, {} deletes", self.reads, self.writes, self.deletes)
    }
}
