//! Sharing the observations among workers.
//!
//! An observation may carry `shard`, a whole number below the number of shards of
//! `config/scoring`. Each shard has a cursor and a lease of its own, so that as many workers can
//! score at once, and the index that a cursor walks, (`shard`, `ts`), takes as many times the 500
//! writes a second that Firestore gives an index over a rising field. Any even spread will do; the
//! collector takes [`shard_of`] the id.

use serde::{Deserialize, Serialize};

/// As many as Firestore's 500 writes a second each take to bear 500,000 observations a second.
pub const MAX_SHARDS: u32 = 1_000;

/// The observations that one cursor covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shard {
    /// All of them: sharding is off.
    All,
    /// Those that carry this number.
    One(u32),
}

/// How many shards there are; none where sharding is off.
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

    /// The shard whose cursor will come by an observation that carries `number`; none where it
    /// carries no number, or one that is no shard's.
    pub fn shard_of_number(self, number: Option<i64>) -> Option<Shard> {
        if self.shards == 0 {
            return Some(Shard::All);
        }
        let number = number.and_then(|number| u32::try_from(number).ok());
        number.filter(|number| *number < self.shards).map(Shard::One)
    }
}

/// What is recorded, as `shard`, with what accounts for an observation that no shard's queries find.
pub const UNSHARDED: i64 = -1;

/// What is recorded, as `shard`, with what accounts for an observation that carries `number`: it
/// does not depend on how many shards there are, so that what is found by one number is accounted
/// for under the same.
pub fn recorded(number: Option<i64>) -> i64 {
    let number = number.filter(|number| (0..i64::from(MAX_SHARDS)).contains(number));
    number.unwrap_or(UNSHARDED)
}

/// The shard of an observation's id: FNV-1a (32 bits) of its UTF-8 bytes, modulo the number of
/// shards (Fowler, Noll, Vo; RFC 9923).
pub fn shard_of(id: &str, shards: u32) -> Option<u32> {
    let hash = id
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.checked_rem(shards)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
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
            counts[shard_of(&format!("{n:08x}-observation"), 8).unwrap() as usize] += 1;
        }
        assert!(counts.iter().all(|count| (800..=1_200).contains(count)), "{counts:?}");
    }

    #[test]
    fn numbers_beyond_the_layout_are_nobodys() {
        let layout = Layout { shards: 4 };
        assert_eq!(layout.shard_of_number(Some(3)), Some(Shard::One(3)));
        for number in [None, Some(4), Some(-1), Some(i64::MAX)] {
            assert_eq!(layout.shard_of_number(number), None, "{number:?}");
        }
        assert_eq!(Layout::default().shard_of_number(None), Some(Shard::All));
    }
}
