//! The optional fields of a document that were invalid.

use super::Rejection;

/// The fields of an observation that were invalid and cost only themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Malformed(u8);

impl Malformed {
    /// The fields that an observation is scored without. `sampleRate` and `propensity` are not among
    /// them: without them nothing is known about how many actions the document represents.
    pub const FIELDS: [&'static str; 7] =
        ["durationMs", "costUsd", "tokensIn", "tokensOut", "policyVersion", "errorCode", "shard"];

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The number of fields.
    pub fn count(self) -> u64 {
        u64::from(self.0.count_ones())
    }

    pub fn contains(self, field: &str) -> bool {
        self.fields().any(|it| it == field)
    }

    pub fn fields(self) -> impl Iterator<Item = &'static str> {
        let is_set = move |(bit, _): &(usize, &'static str)| (self.0 >> bit) & 1 == 1;
        Self::FIELDS.into_iter().enumerate().filter(is_set).map(|(_, field)| field)
    }

    pub(super) fn insert(&mut self, field: &str) {
        if let Some(bit) = Self::FIELDS.iter().position(|it| *it == field) {
            self.0 |= 1 << bit;
        }
    }
}

/// The invalid optional fields of a document that is read.
#[derive(Debug, Default)]
pub(super) struct Unusable {
    pub fields: Malformed,
    /// The first of them, with the reason.
    pub first: Option<Rejection>,
}

impl Unusable {
    /// The value of an optional field; `None` if it is absent or invalid.
    pub fn usable<T>(&mut self, read: Result<Option<T>, Rejection>) -> Option<T> {
        read.unwrap_or_else(|rejection| {
            self.fields.insert(rejection.field);
            self.first.get_or_insert(rejection);
            None
        })
    }
}
