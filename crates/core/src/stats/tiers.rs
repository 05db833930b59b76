//! Buckets over time: older buckets are wider.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

/// The content of a bucket.
pub(super) trait Merge: Default {
    fn merge(&mut self, other: &Self);
}

/// How far back each of three tiers reaches, and how wide its buckets are. The step of a tier divides
/// that of the next tier, so that a bucket never straddles the end of a tier.
pub(super) trait Scale {
    const SPANS: [i64; 3];
    const STEPS: [i64; 3];

    /// The start of each tier at `now`, which is the start of a bucket.
    fn starts(now: i64) -> [i64; 3] {
        [0, 1, 2].map(|tier| align(now.saturating_sub(Self::SPANS[tier]), Self::STEPS[tier]))
    }
}

/// The start of the bucket that contains `ts`.
pub(super) const fn align(ts: i64, step: i64) -> i64 {
    ts.saturating_sub(ts.rem_euclid(step))
}

/// A bucket and its start; its width follows from its tier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Slot<B> {
    pub start: i64,
    pub bucket: B,
}

/// Buckets in three tiers. As time passes, a bucket that leaves a tier is merged into a wider bucket of
/// the next tier; a bucket that leaves the last tier is dropped.
pub(super) struct Tiers<S, B> {
    starts: [i64; 3],
    /// `slots[i]` contains the buckets of tier `i` and of no shorter tier, sorted by time.
    slots: [Vec<Slot<B>>; 3],
    scale: PhantomData<fn() -> S>,
}

impl<S: Scale, B: Merge> Tiers<S, B> {
    pub fn at(now: i64) -> Self {
        Self { starts: S::starts(now), slots: Default::default(), scale: PhantomData }
    }

    /// Restores stored slots, if every bucket is in the tier of its time at `now`.
    ///
    /// # Errors
    /// What is inconsistent.
    pub fn from_slots(
        slots: [Vec<Slot<B>>; 3],
        now: i64,
        latest: i64,
    ) -> Result<Self, &'static str> {
        let starts = S::starts(now);
        let mut end = latest;
        for tier in 0..3 {
            let within = |slot: &Slot<B>| (starts[tier]..=end).contains(&slot.start);
            let aligned = |slot: &Slot<B>| align(slot.start, S::STEPS[tier]) == slot.start;
            if !slots[tier].iter().all(|slot| within(slot) && aligned(slot)) {
                return Err("a bucket is in the wrong tier");
            }
            if !slots[tier].is_sorted_by(|a, b| a.start < b.start) {
                return Err("buckets are out of order");
            }
            end = starts[tier] - 1;
        }
        Ok(Self { starts, slots, scale: PhantomData })
    }

    /// From when to when each bucket reaches, the oldest first.
    pub fn spans(&self) -> impl Iterator<Item = (i64, i64, &B)> {
        let tiers = self.slots.iter().zip(S::STEPS).rev();
        tiers.flat_map(|(slots, step)| {
            slots.iter().map(move |it| (it.start, it.start + step, &it.bucket))
        })
    }

    pub fn start(&self, tier: usize) -> i64 {
        self.starts[tier]
    }

    pub fn slots(&self) -> &[Vec<Slot<B>>; 3] {
        &self.slots
    }

    pub fn buckets_mut(&mut self) -> impl Iterator<Item = &mut B> {
        self.slots.iter_mut().flatten().map(|slot| &mut slot.bucket)
    }

    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(Vec::is_empty)
    }

    pub fn len(&self) -> usize {
        self.slots.iter().map(Vec::len).sum()
    }

    /// The bucket of `ts`; `None` if `ts` is older than the last tier.
    pub fn bucket_at(&mut self, ts: i64) -> Option<&mut B> {
        let tier = self.tier_of(ts)?;
        let start = align(ts, S::STEPS[tier]);
        let slots = &mut self.slots[tier];
        // From the end, because most observations are recent.
        let at = match slots.iter().rposition(|slot| slot.start <= start) {
            Some(at) if slots[at].start == start => at,
            before => {
                let at = before.map_or(0, |at| at + 1);
                slots.insert(at, Slot { start, bucket: B::default() });
                at
            }
        };
        Some(&mut slots[at].bucket)
    }

    pub fn advance(&mut self, now: i64) {
        let starts = S::starts(now);
        if starts == self.starts {
            return;
        }
        self.starts = starts;
        for tier in 0..3 {
            let start = self.starts[tier];
            let gone = self.slots[tier].partition_point(|slot| slot.start < start);
            let expired: Vec<Slot<B>> = self.slots[tier].drain(..gone).collect();
            expired.iter().for_each(|slot| self.put(slot));
        }
    }

    /// Adds the buckets of another, which must not be ahead in time.
    pub fn merge(&mut self, other: &Self) {
        other.slots.iter().flatten().for_each(|slot| self.put(slot));
    }

    /// As steps divide one another, a slot is part of one bucket of the tier of its time.
    fn put(&mut self, slot: &Slot<B>) {
        if let Some(bucket) = self.bucket_at(slot.start) {
            bucket.merge(&slot.bucket);
        }
    }

    fn tier_of(&self, ts: i64) -> Option<usize> {
        self.starts.iter().position(|start| *start <= ts)
    }

    /// When the oldest bucket of a tier leaves the tier.
    pub fn expiry(&self, tier: usize) -> Option<i64> {
        let oldest = self.slots[tier].first()?;
        // A bucket has left the tier once the tier starts at the bucket's end.
        Some(oldest.start + S::STEPS[tier] + S::SPANS[tier])
    }
}

impl<S, B: Clone> Clone for Tiers<S, B> {
    fn clone(&self) -> Self {
        Self { starts: self.starts, slots: self.slots.clone(), scale: PhantomData }
    }
}

impl<S, B: PartialEq> PartialEq for Tiers<S, B> {
    fn eq(&self, other: &Self) -> bool {
        self.starts == other.starts && self.slots == other.slots
    }
}

impl<S, B: fmt::Debug> fmt::Debug for Tiers<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.slots.iter().flatten()).finish()
    }
}
