//! One component's statistics over time.
//!
//! The last hour is kept in buckets of 5 minutes, the rest of the last day in buckets of an hour,
//! the rest of the last week in buckets of 6 hours: some 65 buckets, whatever the volume. As time
//! moves on, a bucket that has left a window is merged into a wider one of the next window, and
//! one that has left the last is dropped.

mod wire;

use serde::{Deserialize, Serialize};

use super::bucket::Bucket;
use super::window::{Window, WindowStats};
use crate::domain::observation::Observation;
use crate::domain::reward::Reward;

pub use wire::DecodeError;

/// How far ahead of the clock an observation's time is believed. One that claims to be further
/// ahead is counted as if it were this far: clocks of components differ by seconds, and a future
/// without end would need buckets without end. Observations ahead of the clock count in every
/// window at once.
pub const MAX_AHEAD_MS: i64 = 5 * 60_000;

/// The end of the year 9999: any `now` beyond is taken as that, so that no sum overflows.
const MAX_NOW: i64 = 253_402_300_799_999;

/// What became of an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    Counted,
    /// Older than the longest window: there is nothing left that it could count in.
    TooOld,
}

/// Windows of one component. Time only moves forwards: a `now` before one that the series has
/// seen is taken as that, so that passes on several machines agree.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "wire::Wire")]
pub struct Series {
    now: i64,
    /// The start of each of [`Window::ALL`] at `now`. Derived; kept because every record asks.
    starts: [i64; 3],
    /// `tiers[i]` holds what is in `Window::ALL[i]` and in no shorter window, sorted by time.
    tiers: [Vec<Slot>; 3],
}

/// A bucket and when it starts; how wide it is follows from its tier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Slot {
    start: i64,
    bucket: Bucket,
}

impl Default for Series {
    fn default() -> Self {
        Self { now: 0, starts: starts_at(0), tiers: Default::default() }
    }
}

impl Series {
    /// Counts an observation in every window it belongs to, however late it comes.
    pub fn record(&mut self, observation: &Observation, reward: &Reward, now: i64) -> Placement {
        self.advance(now);
        let ts = observation.ts.min(self.now + MAX_AHEAD_MS);
        match self.tier_of(ts) {
            Some(tier) => {
                self.bucket_at(tier, ts).add(observation, reward);
                Placement::Counted
            }
            None => Placement::TooOld,
        }
    }

    /// Counts a document that is no observation in every window that its `ts` belongs to; in the
    /// present where it has none.
    pub fn reject(&mut self, ts: Option<i64>, now: i64) -> Placement {
        self.advance(now);
        let ts = ts.unwrap_or(self.now).min(self.now + MAX_AHEAD_MS);
        match self.tier_of(ts) {
            Some(tier) => {
                self.bucket_at(tier, ts).reject();
                Placement::Counted
            }
            None => Placement::TooOld,
        }
    }

    /// Moves on to `now`: what has left a window leaves its buckets.
    pub fn advance(&mut self, now: i64) {
        let now = now.min(MAX_NOW);
        if now <= self.now {
            return;
        }
        self.now = now;
        let starts = starts_at(now);
        if starts != self.starts {
            self.starts = starts;
            self.compact();
        }
    }

    /// The latest time that the series has seen.
    pub const fn now(&self) -> i64 {
        self.now
    }

    pub fn is_empty(&self) -> bool {
        self.tiers.iter().all(Vec::is_empty)
    }

    pub fn buckets(&self) -> usize {
        self.tiers.iter().map(Vec::len).sum()
    }

    /// The figures of one window, as of the last [`Series::advance`] or [`Series::record`].
    pub fn window(&self, window: Window) -> WindowStats {
        let mut sum = Bucket::default();
        for tier in &self.tiers[..=window as usize] {
            tier.iter().for_each(|slot| sum.merge(&slot.bucket));
        }
        sum.stats(self.starts[window as usize])
    }

    /// All windows, at the price of the longest.
    pub fn windows(&self) -> [(Window, WindowStats); 3] {
        let mut sum = Bucket::default();
        Window::ALL.map(|window| {
            let tier = &self.tiers[window as usize];
            tier.iter().for_each(|slot| sum.merge(&slot.bucket));
            (window, sum.stats(self.starts[window as usize]))
        })
    }

    /// When the passing of time alone next changes a window, never before `now`; `None` when
    /// nothing is left that could expire.
    pub fn next_change(&self, now: i64) -> Option<i64> {
        let expiries = Window::ALL.into_iter().filter_map(|window| {
            let oldest = self.tiers[window as usize].first()?;
            // A bucket is out once the window starts at its end.
            Some(oldest.start + window.step_ms() + window.span_ms())
        });
        expiries.min().map(|expiry| expiry.max(now))
    }

    /// Adds what another series of the same component has counted.
    pub fn merge(&mut self, other: &Self) {
        self.advance(other.now);
        for slot in other.tiers.iter().flatten() {
            self.put(slot);
        }
    }

    fn compact(&mut self) {
        for tier in 0..self.tiers.len() {
            let start = self.starts[tier];
            let gone = self.tiers[tier].partition_point(|slot| slot.start < start);
            let expired: Vec<Slot> = self.tiers[tier].drain(..gone).collect();
            expired.iter().for_each(|slot| self.put(slot));
        }
    }

    /// Merges a slot into the tier where its time now belongs. Steps divide one another, so it
    /// lies within one bucket there, and within one tier.
    fn put(&mut self, slot: &Slot) {
        if let Some(tier) = self.tier_of(slot.start) {
            self.bucket_at(tier, slot.start).merge(&slot.bucket);
        }
    }

    /// The tier of the shortest window that `ts` belongs to.
    fn tier_of(&self, ts: i64) -> Option<usize> {
        self.starts.iter().position(|start| *start <= ts)
    }

    /// Looks from the end: what comes in is mostly recent.
    fn bucket_at(&mut self, tier: usize, ts: i64) -> &mut Bucket {
        let start = Window::ALL[tier].align(ts);
        let slots = &mut self.tiers[tier];
        let at = match slots.iter().rposition(|slot| slot.start <= start) {
            Some(at) if slots[at].start == start => at,
            before => {
                let at = before.map_or(0, |at| at + 1);
                slots.insert(at, Slot { start, bucket: Bucket::default() });
                at
            }
        };
        &mut slots[at].bucket
    }
}

fn starts_at(now: i64) -> [i64; 3] {
    Window::ALL.map(|window| window.start(now))
}
