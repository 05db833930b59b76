//! The stored form of a series: compact, versioned, and checked when it is read.

use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

use super::{MAX_AHEAD_MS, MAX_NOW, Series};
use crate::estimate::COARSER;
use crate::stats::bucket::Bucket;
use crate::stats::tiers::{Slot, Tiers};
use crate::stats::timeline::{Samples, Timeline};

/// The format that is written. Whoever changes the layout gives it the next number, keeps a reader for
/// each number before, and adds fixtures of it to `tests/formats.rs`.
const FORMAT: u8 = 3;

#[derive(Deserialize)]
pub(super) struct Wire {
    format: u8,
    now: i64,
    windows: [Vec<Slot<Bucket>>; 3],
    timeline: [Vec<Slot<Samples>>; 3],
}

/// [`Wire`] for writing, which borrows instead of copying.
#[derive(Serialize)]
struct WireRef<'a> {
    format: u8,
    now: i64,
    windows: &'a [Vec<Slot<Bucket>>; 3],
    timeline: &'a [Vec<Slot<Samples>>; 3],
}

/// Why stored statistics cannot be read.
#[derive(Debug, Error)]
pub enum DecodeError {
    #[error("the statistics are stored in format {found}, which this version cannot read")]
    Format { found: u8 },
    #[error("the statistics are inconsistent: {0}")]
    Inconsistent(&'static str),
    #[error("the statistics cannot be decoded")]
    Encoding(#[source] postcard::Error),
}

impl Series {
    /// The bytes to store, at most `most` if possible. Many different sample rates or propensities take
    /// too much space: the timeline then keeps fewer weights, which leads to the same means with wider
    /// intervals. A million bytes always suffice.
    pub fn encode_within(&mut self, most: usize) -> Vec<u8> {
        let mut encoded = self.encode();
        for points in COARSER {
            if encoded.len() <= most {
                break;
            }
            self.timeline.coarsen(points);
            encoded = self.encode();
        }
        encoded
    }

    /// The bytes to store, a few hundred for each bucket in use.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("integers and sequences of known length always encode")
    }

    /// Reads the bytes that [`Series::encode`] wrote.
    ///
    /// # Errors
    /// Any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        // The format comes first, because the rest of another format would be misread.
        match bytes.first() {
            Some(3) => {
                let wire: Wire = postcard::from_bytes(bytes).map_err(DecodeError::Encoding)?;
                Self::try_from(wire)
            }
            Some(&found) => Err(DecodeError::Format { found }),
            None => Err(DecodeError::Inconsistent("they are empty")),
        }
    }
}

impl Serialize for Series {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WireRef {
            format: FORMAT,
            now: self.now,
            windows: self.windows.slots(),
            timeline: self.timeline.tiers().slots(),
        }
        .serialize(serializer)
    }
}

impl TryFrom<Wire> for Series {
    type Error = DecodeError;

    fn try_from(Wire { format, now, windows, timeline }: Wire) -> Result<Self, Self::Error> {
        if format != FORMAT {
            return Err(DecodeError::Format { found: format });
        }
        if !(0..=MAX_NOW).contains(&now) {
            return Err(DecodeError::Inconsistent("the time is out of range"));
        }
        let latest = now + MAX_AHEAD_MS;
        let windows = Tiers::from_slots(windows, now, latest).map_err(DecodeError::Inconsistent)?;
        let timeline =
            Timeline::from_slots(timeline, now, latest).map_err(DecodeError::Inconsistent)?;
        Ok(Self { now, windows, timeline })
    }
}
