//! One component's statistics over time.
//!
//! The last hour is kept in buckets of 5 minutes, the rest of the last day in buckets of an hour,
//! the rest of the last week in buckets of 6 hours: some 65 buckets, whatever the volume. Beside
//! them stands the [`Timeline`], from which estimates with their errors are made.

mod wire;

use serde::Deserialize;

use super::bucket::Bucket;
use super::tiers::{Merge, Scale, Tiers};
use super::timeline::Timeline;
use super::window::{Window, WindowStats};
use crate::observation::Observation;
use crate::reward::Reward;

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
    /// Older than the longest window: at most the timeline still counts it.
    TooOld,
}

/// A tier for each window.
enum Windows {}

impl Scale for Windows {
    const SPANS: [i64; 3] =
        [Window::ALL[0].span_ms(), Window::ALL[1].span_ms(), Window::ALL[2].span_ms()];
    const STEPS: [i64; 3] =
        [Window::ALL[0].step_ms(), Window::ALL[1].step_ms(), Window::ALL[2].step_ms()];
}

impl Merge for Bucket {
    fn merge(&mut self, other: &Self) {
        Bucket::merge(self, other);
    }
}

/// Windows of one component. Time only moves forwards: a `now` before one that the series has
/// seen is taken as that, so that passes on several machines agree.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "wire::Wire")]
pub struct Series {
    now: i64,
    windows: Tiers<Windows, Bucket>,
    timeline: Timeline,
}

impl Default for Series {
    fn default() -> Self {
        Self { now: 0, windows: Tiers::at(0), timeline: Timeline::at(0) }
    }
}

impl Series {
    /// Counts an observation in every window it belongs to, however late it comes.
    pub fn record(&mut self, observation: &Observation, reward: &Reward, now: i64) -> Placement {
        self.advance(now);
        let ts = observation.ts.min(self.now + MAX_AHEAD_MS);
        if let Some(samples) = self.timeline.tiers_mut().bucket_at(ts) {
            samples.add_of_arm(observation, reward);
        }
        match self.windows.bucket_at(ts) {
            Some(bucket) => {
                bucket.add(observation, reward);
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
        match self.windows.bucket_at(ts) {
            Some(bucket) => {
                bucket.reject();
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
        self.windows.advance(now);
        self.timeline.tiers_mut().advance(now);
    }

    /// The latest time that the series has seen.
    pub const fn now(&self) -> i64 {
        self.now
    }

    pub const fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    pub fn is_empty(&self) -> bool {
        self.windows.is_empty() && self.timeline.is_empty()
    }

    /// How many buckets the windows take.
    pub fn buckets(&self) -> usize {
        self.windows.len()
    }

    /// The figures of one window, as of the last [`Series::advance`] or [`Series::record`].
    pub fn window(&self, window: Window) -> WindowStats {
        let mut sum = Bucket::default();
        for tier in &self.windows.slots()[..=window as usize] {
            tier.iter().for_each(|slot| sum.merge(&slot.bucket));
        }
        sum.stats(self.windows.start(window as usize))
    }

    /// All windows, at the price of the longest.
    pub fn windows(&self) -> [(Window, WindowStats); 3] {
        let mut sum = Bucket::default();
        Window::ALL.map(|window| {
            let tier = &self.windows.slots()[window as usize];
            tier.iter().for_each(|slot| sum.merge(&slot.bucket));
            (window, sum.stats(self.windows.start(window as usize)))
        })
    }

    /// When the passing of time alone next changes what a reader sees, never before `now`; `None`
    /// when nothing is left that could expire. Once all windows are empty only the end of the
    /// timeline counts.
    pub fn next_change(&self, now: i64) -> Option<i64> {
        let windows = (0..3).filter_map(|tier| self.windows.expiry(tier)).min();
        let last = || (0..3).rev().find_map(|tier| self.timeline.tiers().expiry(tier));
        windows.or_else(last).map(|expiry| expiry.max(now))
    }

    /// Adds what another series of the same component has counted.
    pub fn merge(&mut self, other: &Self) {
        self.advance(other.now);
        self.windows.merge(&other.windows);
        self.timeline.tiers_mut().merge(other.timeline.tiers());
    }
}
