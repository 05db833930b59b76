//! What was known of both versions when a stage began.

use serde::{Deserialize, Serialize};

use crate::stats::{DecodeError, Samples};

/// Raised whenever the layout of anything within changes.
const FORMAT: u8 = 1;

/// Only what was observed since is compared: a share that changes while the world changes too would
/// otherwise make the versions look different.
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

    /// Reads what [`Baseline::encode`] wrote, and refuses anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.first() {
            Some(&FORMAT) | None => {}
            Some(&found) => return Err(DecodeError::Format { found }),
        }
        let wire: Wire<Self> = postcard::from_bytes(bytes).map_err(DecodeError::Encoding)?;
        Ok(wire.baseline)
    }
}
