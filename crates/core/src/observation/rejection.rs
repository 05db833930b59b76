//! Why a document is not an observation, in words its author can act on.

use thiserror::Error;

/// The first thing found wrong with a document.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{field} {problem}")]
pub struct Rejection {
    pub field: &'static str,
    pub problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Error)]
pub enum Problem {
    #[error("is missing")]
    Missing,
    #[error("is empty")]
    Empty,
    #[error("is {found}, must be {expected}")]
    WrongType { found: &'static str, expected: &'static str },
    #[error("is {value}, must be between {min} and {max}")]
    OutOfRange { value: f64, min: f64, max: f64 },
    #[error("is {value}, must be a whole number")]
    Fraction { value: f64 },
    #[error("is {value}, which looks like {unit}: must be epoch milliseconds")]
    WrongUnit { value: f64, unit: &'static str },
    #[error(
        "lies {minutes} minutes after the document was written, must lie at most 60: check the \
         component's clock"
    )]
    AheadOfWriting { minutes: i64 },
    #[error("is {value}, must be success, failure or timeout")]
    UnknownOutcome { value: String },
    #[error("is {bytes} bytes long, must be at most {max}")]
    TooLong { bytes: usize, max: usize },
    #[error("holds the control character {found:?} at byte {at}, must hold none")]
    ControlCharacter { found: char, at: usize },
    #[error("is {value}, must equal the document's id {id} or be left out")]
    OtherId { value: String, id: String },
    #[error("is {value}, must be {{id}}@{{version}} such as router-core@1.0.0: {why}")]
    NotAPolicyVersion { value: String, why: String },
}

impl Problem {
    pub(super) const fn at(self, field: &'static str) -> Rejection {
        Rejection { field, problem: self }
    }
}

/// Longest piece of a foreign text that a message quotes.
const MAX_QUOTED_CHARS: usize = 80;

/// The text quoted and escaped, cut where it would make the message unreadable.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}... ({} bytes)", &text[..end], text.len()),
    }
}
