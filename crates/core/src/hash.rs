//! Hash functions whose results are stored or computed in several languages, so that they must
//! never change. The hasher of `std` may change between releases.
//!
//! - [`Fingerprint`], FNV-1a with 64 bits: recognises equal data. Not for security.
//! - [`fnv1a_32`]: assigns ids to shards.
//! - [`sha256`]: assigns units to the versions of an experiment.

use std::fmt;

use sha2::{Digest, Sha256};

/// A fingerprint of data that is equal on every platform and in every release: FNV-1a with 64 bits
/// (Fowler, Noll, Vo; RFC 9923).
#[derive(Clone, Copy, Debug)]
pub struct Fingerprint(u64);

impl Fingerprint {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;

    pub const fn new() -> Self {
        Self(Self::OFFSET_BASIS)
    }

    /// Adds bytes without their length; use it only for the last or the only part.
    pub fn raw(self, bytes: &[u8]) -> Self {
        let fold = |state: u64, byte: &u8| (state ^ u64::from(*byte)).wrapping_mul(Self::PRIME);
        Self(bytes.iter().fold(self.0, fold))
    }

    /// Adds a text and its length. Without the length, `("ab", "c")` and `("a", "bc")` would have
    /// the same fingerprint.
    pub fn text(self, text: &str) -> Self {
        self.number(text.len() as u64).raw(text.as_bytes())
    }

    pub fn number(self, number: u64) -> Self {
        self.raw(&number.to_le_bytes())
    }
}

impl Default for Fingerprint {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Fingerprint {
    /// Sixteen hexadecimal digits: the number does not fit into Firestore's signed integers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// FNV-1a with 32 bits (Fowler, Noll, Vo; RFC 9923).
pub fn fnv1a_32(bytes: &[u8]) -> u32 {
    let fold = |state: u32, byte: &u8| (state ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    bytes.iter().fold(0x811c_9dc5, fold)
}

/// SHA-256 of the parts, one after the other.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of the function's authors.
    #[test]
    fn fingerprints_are_fnv_1a_with_64_bits() {
        assert_eq!(Fingerprint::new().raw(b"").to_string(), "cbf29ce484222325");
        assert_eq!(Fingerprint::new().raw(b"foobar").to_string(), "85944171f73967e8");
    }

    #[test]
    fn the_32_bit_hash_is_fnv_1a() {
        for (text, hash) in [("", 0x811c_9dc5_u32), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
            assert_eq!(fnv1a_32(text.as_bytes()), hash, "{text:?}");
        }
    }

    #[test]
    fn sha256_hashes_the_parts_as_one_text() {
        assert_eq!(sha256(&[b"a", b"bc"]), sha256(&[b"abc"]));
        assert_eq!(sha256(&[b"abc"])[..4], [0xba, 0x78, 0x16, 0xbf]);
    }

    #[test]
    fn the_end_of_a_text_matters() {
        let first = Fingerprint::new().text("ab").text("c").to_string();
        let second = Fingerprint::new().text("a").text("bc").to_string();
        assert_ne!(first, second);
    }
}
