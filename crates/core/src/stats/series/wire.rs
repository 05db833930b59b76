//! The stored form of a series: compact, versioned, and checked when it is read.

use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

use super::{MAX_AHEAD_MS, MAX_NOW, Series};
use crate::appended::{self, Part};
use crate::estimate::COARSER;
use crate::stats::bucket::Bucket;
use crate::stats::tiers::{Slot, Tiers};
use crate::stats::timeline::{Samples, Timeline};

/// The format that is written. A changed layout gets the next number, and the change keeps a reader
/// for each number before, and adds fixtures of it to `tests/formats.rs`.
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
        let mut bytes = postcard::to_allocvec(self)
            .expect("integers and sequences of known length always encode");
        let added = Added::of(self);
        if !added.is_zero() {
            appended::append(&mut bytes, Part::Rejected, &added);
        }
        let windows = self.windows.slots().iter().flatten();
        let unversioned: Vec<u64> = windows.map(|slot| slot.bucket.unversioned()).collect();
        if unversioned.iter().any(|it| *it > 0) {
            appended::append(&mut bytes, Part::Unversioned, &unversioned);
        }
        bytes
    }

    /// Reads the bytes that [`Series::encode`] wrote.
    ///
    /// # Errors
    /// Any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        // The format comes first, because the rest of another format would be misread.
        match bytes.first() {
            Some(3) => {}
            Some(&found) => return Err(DecodeError::Format { found }),
            None => return Err(DecodeError::Inconsistent("they are empty")),
        }
        let (wire, added): (Wire, Option<Added>) =
            appended::read(bytes, Part::Rejected).map_err(DecodeError::Encoding)?;
        let mut series = Self::try_from(wire)?;
        match added {
            Some(added) => added.restore(&mut series)?,
            None => series.count_rejected_of_windows(),
        }
        let (_, unversioned): (Wire, Option<Vec<u64>>) =
            appended::read(bytes, Part::Unversioned).map_err(DecodeError::Encoding)?;
        if let Some(unversioned) = unversioned {
            if unversioned.len() != series.windows.len() {
                return Err(DecodeError::Inconsistent("a count belongs to no bucket"));
            }
            for (bucket, unversioned) in series.windows.buckets_mut().zip(unversioned) {
                bucket.set_unversioned(unversioned);
            }
        }
        Ok(series)
    }

    /// An earlier version counted rejected documents in the windows only.
    fn count_rejected_of_windows(&mut self) {
        let rejected = self.windows.slots().iter().flatten();
        for slot in rejected.filter(|slot| slot.bucket.rejected() > 0) {
            if let Some(samples) = self.timeline.tiers_mut().bucket_at(slot.start) {
                samples.rejected = samples.rejected.saturating_add(slot.bucket.rejected());
            }
        }
    }
}

/// What is stored after the wire form: a number for each bucket, in the order of the buckets.
#[derive(Serialize, Deserialize)]
struct Added {
    /// Malformed fields, by bucket of the windows.
    malformed: Vec<u64>,
    /// Rejected documents, by bucket of the timeline.
    rejected: Vec<u64>,
}

impl Added {
    fn of(series: &Series) -> Self {
        let windows = series.windows.slots().iter().flatten();
        let timeline = series.timeline.tiers().slots().iter().flatten();
        Self {
            malformed: windows.map(|slot| slot.bucket.malformed()).collect(),
            rejected: timeline.map(|slot| slot.bucket.rejected).collect(),
        }
    }

    fn is_zero(&self) -> bool {
        self.malformed.iter().chain(&self.rejected).all(|it| *it == 0)
    }

    fn restore(self, series: &mut Series) -> Result<(), DecodeError> {
        let timeline = series.timeline.tiers_mut();
        if self.malformed.len() != series.windows.len() || self.rejected.len() != timeline.len() {
            return Err(DecodeError::Inconsistent("a count belongs to no bucket"));
        }
        for (samples, rejected) in timeline.buckets_mut().zip(self.rejected) {
            samples.rejected = rejected;
        }
        for (bucket, malformed) in series.windows.buckets_mut().zip(self.malformed) {
            bucket.set_malformed(malformed);
        }
        Ok(())
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
