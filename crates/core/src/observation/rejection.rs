//! Why a document is not an observation, with a message that the author can act on.

use thiserror::Error;

/// The first invalid field of a document.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{field} {reason}")]
pub struct Rejection {
    pub field: &'static str,
    pub reason: RejectionReason,
}

/// Why a field is invalid. The message continues a sentence that begins with the field.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum RejectionReason {
    #[error("is missing")]
    Missing,
    #[error("is empty")]
    Empty,
    #[error("is {found}, must be {expected}")]
    WrongType { found: &'static str, expected: &'static str },
    #[error("is {value}, must be between {min} and {max}")]
    OutOfRange { value: f64, min: f64, max: f64 },
    #[error(
        "is {value}, must be at least {least}: one observation would count for too many actions; \
         see minSampleRate and minPropensity in config/scoring"
    )]
    BelowLimit { value: f64, least: f64 },
    #[error(
        "is {value}, must be at least {least} with this sampleRate: one observation would count for \
         too many actions; see minSampleRate in config/scoring"
    )]
    BelowProduct { value: f64, least: f64 },
    #[error("is {value}, must be a whole number")]
    Fraction { value: f64 },
    #[error("is {value}, which looks like {unit}: must be epoch milliseconds")]
    WrongUnit { value: f64, unit: &'static str },
    #[error(
        "is {minutes} minutes after the document was written, must be at most 60: check the \
         component's clock"
    )]
    AheadOfWriting { minutes: i64 },
    #[error(
        "is older than what was archived, must be at least {before}: its counts are kept, its \
         documents are not, so that it would be counted twice"
    )]
    Archived { before: i64 },
    #[error("is {value}, must be success, failure or timeout")]
    UnknownOutcome { value: String },
    #[error("is {bytes} bytes long, must be at most {max}")]
    TooLong { bytes: usize, max: usize },
    #[error("contains the control character {found:?} at byte {at}, must contain none")]
    ControlCharacter { found: char, at: usize },
    #[error("is {value}, must equal the document's id {id} or be left out")]
    OtherId { value: String, id: String },
    #[error("is {value}, must be {{id}}@{{version}} such as router-core@1.0.0: {why}")]
    NotAPolicyVersion { value: String, why: String },
}

impl RejectionReason {
    pub(crate) const fn at(self, field: &'static str) -> Rejection {
        Rejection { field, reason: self }
    }
}

/// The longest part of a value that a message quotes.
const MAX_QUOTED_CHARS: usize = 80;

/// The text quoted and escaped, and cut if it would make the message unreadable.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}... ({} bytes)", &text[..end], text.len()),
    }
}
