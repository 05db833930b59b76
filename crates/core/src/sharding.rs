//! Dividing the observations among workers.
//!
//! An observation may have a field `shard`, a whole number below the number of shards in
//! `config/scoring`. Each shard has its own cursor and lease, so that one worker per shard can score
//! at the same time. Firestore limits an index over a rising field to 500 writes a second; with the
//! index (`shard`, `ts`) the limit applies to each shard. Any even distribution works; the collector
//! uses [`shard_of`] the observation's id.

use serde::{Deserialize, Serialize};

use crate::hash::fnv1a_32;

/// The most shards. At 500 writes a second each, they accept 500,000 observations a second.
pub const MAX_SHARDS: u32 = 1_000;

/// The observations that one cursor covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shard {
    /// All observations: sharding is off.
    All,
    /// The observations whose `shard` is this number.
    One(u32),
}

/// The number of shards; 0 if sharding is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    pub shards: u32,
}

impl Layout {
    pub fn shards(self) -> Vec<Shard> {
        match self.shards {
            0 => vec![Shard::All],
            shards => (0..shards).map(Shard::One).collect(),
        }
    }

    /// The shard whose cursor covers an observation with this `shard`; `None` if the number is missing
    /// or is not the number of a shard.
    pub fn shard_of_number(self, number: Option<i64>) -> Option<Shard> {
        if self.shards == 0 {
            return Some(Shard::All);
        }
        let number = number.and_then(|number| u32::try_from(number).ok());
        number.filter(|number| *number < self.shards).map(Shard::One)
    }
}

/// The shard number that is recorded for observations that the queries of no shard find.
pub const UNSHARDED: i64 = -1;

/// The shard number that is recorded for an observation with this `shard`. It does not depend on
/// the number of shards, so that a recount by shard number finds the same observations after the
/// number of shards has changed.
pub fn recorded_shard(number: Option<i64>) -> i64 {
    let number = number.filter(|number| (0..i64::from(MAX_SHARDS)).contains(number));
    number.unwrap_or(UNSHARDED)
}

/// The shard of an observation's id: [`fnv1a_32`] of its UTF-8 bytes, modulo the number of shards;
/// `None` if there are no shards.
pub fn shard_of(id: &str, shards: u32) -> Option<u32> {
    fnv1a_32(id.as_bytes()).checked_rem(shards)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shard_is_the_hash_modulo_the_number_of_shards() {
        // From the test vectors of the hash's authors.
        for (text, hash) in [("", 0x811c_9dc5_u32), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
            assert_eq!(shard_of(text, u32::MAX), Some(hash % u32::MAX), "{text:?}");
        }
        assert_eq!(shard_of("a", 0), None);
    }

    #[test]
    fn ids_spread_evenly_over_shards() {
        let mut counts = [0; 8];
        for n in 0..8_000 {
            let shard = shard_of(&format!("{n:08x}-observation"), 8).unwrap();
            counts[usize::try_from(shard).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (800..=1_200).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_number_outside_of_the_layout_belongs_to_no_shard() {
        let layout = Layout { shards: 4 };
        assert_eq!(layout.shard_of_number(Some(3)), Some(Shard::One(3)));
        for number in [None, Some(4), Some(-1), Some(i64::MAX)] {
            assert_eq!(layout.shard_of_number(number), None, "{number:?}");
        }
        assert_eq!(Layout::default().shard_of_number(None), Some(Shard::All));
    }
}
