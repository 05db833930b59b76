//! What was known of both versions when a stage began.

use serde::{Deserialize, Serialize};

use crate::stats::{DecodeError, Samples};

/// The format that is written. Whoever changes the layout gives it the next number, keeps a reader for
/// each number before, and adds fixtures of it to `tests/formats.rs`.
const FORMAT: u8 = 1;

/// The samples of both versions at the start of a stage. Only later observations are compared:
/// otherwise a share that changes while other conditions change, too, would make the versions look
/// different.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    pub control: Samples,
    pub candidate: Samples,
}

#[derive(Serialize, Deserialize)]
struct Wire<T> {
    format: u8,
    baseline: T,
}

impl Baseline {
    pub fn encode(&self) -> Vec<u8> {
        let wire = Wire { format: FORMAT, baseline: self };
        postcard::to_allocvec(&wire).expect("integers and sequences of known length always encode")
    }

    /// Reads the bytes that [`Baseline::encode`] wrote.
    ///
    /// # Errors
    /// Any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.first() {
            Some(1) => {
                let wire: Wire<Self> =
                    postcard::from_bytes(bytes).map_err(DecodeError::Encoding)?;
                Ok(wire.baseline)
            }
            Some(&found) => Err(DecodeError::Format { found }),
            None => Err(DecodeError::Inconsistent("they are empty")),
        }
    }
}
