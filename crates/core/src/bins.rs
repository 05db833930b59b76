//! Weighted counts by bin number, the basis of sketches, histograms and samples.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::number::{Lossy, whole_u128};

/// Counts of the bins `0..LEN`; only bins in use take memory.
///
/// The bins are sorted arrays rather than one slot per bin: most buckets use a few dozen of more than
/// a thousand bins, and a service holds thousands of buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bins<const LEN: u16> {
    numbers: Vec<u16>,
    counts: Vec<u64>,
}

impl<const LEN: u16> Bins<LEN> {
    /// Sums saturate. As counts are never negative, a saturating sum is as associative and commutative
    /// as an exact one.
    pub(crate) fn add(&mut self, number: u16, count: u64) {
        debug_assert!(number < LEN && count > 0);
        match self.numbers.binary_search(&number) {
            Ok(at) => self.counts[at] = self.counts[at].saturating_add(count),
            Err(at) => {
                self.numbers.insert(at, number);
                self.counts.insert(at, count);
            }
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        if self.numbers == other.numbers {
            for (count, more) in self.counts.iter_mut().zip(&other.counts) {
                *count = count.saturating_add(*more);
            }
        } else {
            *self = self.merged(other);
        }
    }

    /// The counts that were added since `earlier`, an earlier state of these bins.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut more = Self::with_capacity(self.numbers.len());
        let mut before = earlier.iter().peekable();
        for (number, count) in self.iter() {
            while before.next_if(|(other, _)| *other < number).is_some() {}
            let had = before.next_if(|(other, _)| *other == number).map_or(0, |(_, count)| count);
            if count > had {
                more.push(number, count - had);
            }
        }
        more
    }

    fn merged(&self, other: &Self) -> Self {
        let mut merged = Self::with_capacity(self.numbers.len() + other.numbers.len());
        let (mut ours, mut theirs) = (self.iter().peekable(), other.iter().peekable());
        loop {
            let next = match (ours.peek(), theirs.peek()) {
                (Some(a), Some(b)) if a.0 == b.0 => {
                    let sum = (a.0, a.1.saturating_add(b.1));
                    theirs.next();
                    ours.next();
                    Some(sum)
                }
                (Some(a), Some(b)) if b.0 < a.0 => theirs.next(),
                (None, _) => theirs.next(),
                (Some(_), _) => ours.next(),
            };
            let Some((number, count)) = next else { break };
            merged.push(number, count);
        }
        merged
    }

    /// The first bin up to which the counts reach `share` of their total; `None` when empty.
    pub(crate) fn quantile(&self, share: f64) -> Option<u16> {
        let total = self.counts.iter().fold(0_u128, |sum, count| sum + u128::from(*count));
        let target = whole_u128((share.clamp(0.0, 1.0) * total.to_f64()).ceil());
        let mut reached = 0;
        let found = self.iter().find(|(_, count)| {
            reached += u128::from(*count);
            reached >= target
        });
        // The product may be rounded up to more than the total.
        found.map(|(number, _)| number).or_else(|| self.numbers.last().copied())
    }

    fn with_capacity(bins: usize) -> Self {
        Self { numbers: Vec::with_capacity(bins), counts: Vec::with_capacity(bins) }
    }

    fn push(&mut self, number: u16, count: u64) {
        self.numbers.push(number);
        self.counts.push(count);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, u64)> {
        self.numbers.iter().copied().zip(self.counts.iter().copied())
    }
}

/// The stored form: the gap from bin to bin, and each count without the zero bits that all counts end
/// with. Nearly all weights are whole, so that their fraction bits are zero. Written with a variable
/// length, a bin then takes two or three bytes.
#[derive(Serialize, Deserialize)]
struct Packed {
    /// The number of zero bits that were removed from each count.
    shift: u8,
    gaps_and_counts: Vec<(u16, u64)>,
}

impl<const LEN: u16> Serialize for Bins<LEN> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shift = self.counts.iter().fold(0, |bits, count| bits | count).trailing_zeros() % 64;
        let mut before = 0;
        let gaps_and_counts = self.iter().map(|(number, count)| {
            let gap = number - before;
            before = number;
            (gap, count >> shift)
        });
        let packed = Packed {
            shift: u8::try_from(shift).unwrap_or_default(),
            gaps_and_counts: gaps_and_counts.collect(),
        };
        packed.serialize(serializer)
    }
}

impl<'de, const LEN: u16> Deserialize<'de> for Bins<LEN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let packed = Packed::deserialize(deserializer)?;
        Self::unpack(&packed).ok_or_else(|| de::Error::custom("bins out of order or range"))
    }
}

impl<const LEN: u16> Bins<LEN> {
    fn unpack(packed: &Packed) -> Option<Self> {
        let shift = u32::from(packed.shift);
        let mut bins = Self::with_capacity(packed.gaps_and_counts.len().min(LEN.into()));
        for (gap, count) in &packed.gaps_and_counts {
            let number = match bins.numbers.last() {
                None => *gap,
                Some(_) if *gap == 0 => return None,
                Some(last) => last.checked_add(*gap)?,
            };
            let fits = shift <= count.leading_zeros();
            if number >= LEN || *count == 0 || !fits {
                return None;
            }
            bins.push(number, count << shift);
        }
        Some(bins)
    }
}
