//! A short, stable fingerprint of data: equal on every platform and in every release.
//!
//! For recognising the same evidence again, not for security.

use std::fmt;

const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a, 64 bits (Fowler, Noll, Vo; RFC 9923). `std`'s hasher is free to change between
/// releases, which a fingerprint kept in the audit trail must not.
#[derive(Clone, Copy, Debug)]
pub struct Digest(u64);

impl Digest {
    pub const fn new() -> Self {
        Self(OFFSET_BASIS)
    }

    /// Bytes of which there is one sequence only, so that no length need go in.
    pub fn raw(self, bytes: &[u8]) -> Self {
        self.bytes(bytes)
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        let fold = |state: u64, byte: &u8| (state ^ u64::from(*byte)).wrapping_mul(PRIME);
        Self(bytes.iter().fold(self.0, fold))
    }

    /// The length goes in too, or `("ab", "c")` and `("a", "bc")` would look the same.
    pub fn text(self, text: &str) -> Self {
        self.number(text.len() as u64).bytes(text.as_bytes())
    }

    pub fn number(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }
}

impl fmt::Display for Digest {
    /// Sixteen hexadecimal digits: as a number it would not fit Firestore's signed integers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Digest;

    #[test]
    fn it_is_fnv_1a() {
        assert_eq!(Digest::new().bytes(b"").to_string(), "cbf29ce484222325");
        assert_eq!(Digest::new().bytes(b"foobar").to_string(), "85944171f73967e8");
    }

    #[test]
    fn where_one_text_ends_matters() {
        let first = Digest::new().text("ab").text("c").to_string();
        let second = Digest::new().text("a").text("bc").to_string();
        assert_ne!(first, second);
    }
}
