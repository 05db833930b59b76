//! The error of a text that does not name a variant of an enum.
//!
//! The enums themselves derive their texts with `strum`: the same text is written to Firestore,
//! taken by the command line and shown to users.

use thiserror::Error;

/// A text that does not name a variant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("invalid {kind} {value:?}: expected {}", list(.expected))]
pub struct UnknownVariant {
    /// What the text should have named: `status`, `window`.
    pub kind: &'static str,
    pub value: String,
    /// The names of all variants.
    pub expected: &'static [&'static str],
}

impl UnknownVariant {
    pub(crate) fn new<T: strum::VariantNames>(kind: &'static str, value: &str) -> Self {
        Self { kind, value: value.to_owned(), expected: T::VARIANTS }
    }
}

/// `a, b or c`.
fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}
