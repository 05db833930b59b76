//! What was known of both versions when a stage began.

use serde::{Deserialize, Serialize};

use crate::appended::{self, Part};
use crate::stats::{DecodeError, Samples};

/// The format that is written. A changed layout gets the next number, and the change keeps a reader
/// for each number before, and adds fixtures of it to `tests/formats.rs`.
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
        let mut bytes = postcard::to_allocvec(&wire)
            .expect("integers and sequences of known length always encode");
        let added = [&self.control, &self.candidate].map(|it| [it.rejected, it.uncounted]);
        appended::append(&mut bytes, Part::Rejected, &added);
        bytes
    }

    /// Reads the bytes that [`Baseline::encode`] wrote.
    ///
    /// # Errors
    /// Any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.first() {
            Some(1) => {}
            Some(&found) => return Err(DecodeError::Format { found }),
            None => return Err(DecodeError::Inconsistent("they are empty")),
        }
        let (Wire { mut baseline, .. }, added): (Wire<Self>, Option<[[u64; 2]; 2]>) =
            appended::read(bytes, Part::Rejected).map_err(DecodeError::Encoding)?;
        // An earlier version did not count what was rejected.
        let unknown = [&baseline.control, &baseline.candidate].map(|it| [0, it.n()]);
        let [control, candidate] = added.unwrap_or(unknown);
        [baseline.control.rejected, baseline.control.uncounted] = control;
        [baseline.candidate.rejected, baseline.candidate.uncounted] = candidate;
        Ok(baseline)
    }
}
