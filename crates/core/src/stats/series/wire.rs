//! How a series is stored: compact, versioned, and checked when it comes back.

use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

use super::{MAX_AHEAD_MS, MAX_NOW, Series};
use crate::estimate::COARSER;
use crate::stats::bucket::Bucket;
use crate::stats::tiers::{Slot, Tiers};
use crate::stats::timeline::{Samples, Timeline};

/// Raised whenever the layout of anything within changes; what was written before is then
/// refused by number rather than misread, and rebuilt from the observations.
const FORMAT: u8 = 3;

#[derive(Deserialize)]
pub(super) struct Wire {
    format: u8,
    now: i64,
    windows: [Vec<Slot<Bucket>>; 3],
    timeline: [Vec<Slot<Samples>>; 3],
}

/// [`Wire`] on the way out, where nothing needs to be copied first.
#[derive(Serialize)]
struct WireRef<'a> {
    format: u8,
    now: i64,
    windows: &'a [Vec<Slot<Bucket>>; 3],
    timeline: &'a [Vec<Slot<Samples>>; 3],
}

#[derive(Debug, Error)]
pub enum DecodeError {
    #[error("the statistics buckets are stored in format {found}, this version reads {FORMAT}")]
    Format { found: u8 },
    #[error("the statistics buckets contradict themselves: {0}")]
    Inconsistent(&'static str),
    #[error("the statistics buckets do not decode")]
    Encoding(#[source] postcard::Error),
}

impl Series {
    /// The bytes to store, no more than `most` if that can be. Where sample rates or propensities are
    /// many the timeline takes too much room: it then keeps fewer weights, from which the same
    /// means are estimated, less surely. A million bytes always suffice.
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

    /// The bytes to store; a few hundred for each bucket in use.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("integers and sequences of known length always encode")
    }

    /// Reads what [`Series::encode`] wrote, and refuses anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        // The format comes first and alone, so that another format is recognised as such.
        match bytes.first() {
            Some(&FORMAT) | None => {}
            Some(&found) => return Err(DecodeError::Format { found }),
        }
        let wire: Wire = postcard::from_bytes(bytes).map_err(DecodeError::Encoding)?;
        Self::try_from(wire)
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
            return Err(DecodeError::Inconsistent("its time is out of range"));
        }
        let latest = now + MAX_AHEAD_MS;
        let windows = Tiers::from_slots(windows, now, latest).map_err(DecodeError::Inconsistent)?;
        let timeline =
            Timeline::from_slots(timeline, now, latest).map_err(DecodeError::Inconsistent)?;
        Ok(Self { now, windows, timeline })
    }
}
