//! One component's statistics over time.
//!
//! The last hour is kept in buckets of 5 minutes, the rest of the last day in buckets of an hour, and
//! the rest of the last week in buckets of 6 hours: about 65 buckets, independent of the number of
//! observations. The [`Timeline`] holds the samples that estimates are computed from.

mod wire;

use serde::Deserialize;

use super::bucket::{Bucket, Distribution};
use super::tiers::{Merge, Scale, Tiers};
use super::timeline::{Samples, Timeline};
use super::window::{Window, WindowStats};
use crate::observation::Observation;
use crate::reward::Reward;
use crate::time::MINUTE_MS;

pub use wire::DecodeError;

/// How far the time of an observation may be ahead of the clock. An observation that is further ahead
/// counts as this far ahead: the clocks of components differ by seconds, and an unlimited future would
/// need unlimited buckets. Observations ahead of the clock count in every window at once.
pub const MAX_AHEAD_MS: i64 = 5 * MINUTE_MS;

/// The end of the year 9999. A later `now` counts as this, so that no sum overflows.
const MAX_NOW: i64 = 253_402_300_799_999;

/// Whether an observation was counted in the windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    Counted,
    /// The observation is older than the longest window; the timeline may still count it.
    TooOld,
}

/// One tier for each window.
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

/// The statistics of one component. Time only moves forward: a `now` before the latest one counts as
/// the latest, so that passes on several machines agree.
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
    /// Counts an observation in every window of its `ts`, even if it arrives late.
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

    /// Leaves out the rewards in the timeline, because they are of another config than those that
    /// follow. Everything else is kept, and so are the windows, which describe what happened.
    pub fn restart_rewards(&mut self) {
        self.timeline.restart_rewards();
    }

    /// Counts a document that is not an observation in the windows and the timeline of its `ts`; a
    /// document without `ts` counts as one of now.
    pub fn reject(&mut self, ts: Option<i64>, now: i64) -> Placement {
        self.advance(now);
        let ts = ts.unwrap_or(self.now).min(self.now + MAX_AHEAD_MS);
        if let Some(samples) = self.timeline.tiers_mut().bucket_at(ts) {
            samples.reject();
        }
        match self.windows.bucket_at(ts) {
            Some(bucket) => {
                bucket.reject();
                Placement::Counted
            }
            None => Placement::TooOld,
        }
    }

    /// Counts that a document, which was recorded or rejected, names no version of a policy.
    pub fn add_unversioned(&mut self, ts: Option<i64>, now: i64) {
        self.advance(now);
        let ts = ts.unwrap_or(self.now).min(self.now + MAX_AHEAD_MS);
        if let Some(bucket) = self.windows.bucket_at(ts) {
            bucket.add_unversioned();
        }
    }

    /// A rejected document with this `ts`, which named no version, was released from quarantine.
    pub fn release_unversioned(&mut self, ts: i64, now: i64) {
        self.advance(now);
        if let Some(bucket) = self.windows.bucket_at(ts.min(self.now + MAX_AHEAD_MS)) {
            bucket.release_unversioned();
        }
    }

    /// A rejected document with this `ts` was released from quarantine.
    pub fn release(&mut self, ts: i64, now: i64) {
        self.advance(now);
        let ts = ts.min(self.now + MAX_AHEAD_MS);
        if let Some(samples) = self.timeline.tiers_mut().bucket_at(ts) {
            samples.release();
        }
        if let Some(bucket) = self.windows.bucket_at(ts) {
            bucket.release();
        }
    }

    /// Advances the time to `now`; observations that have left a window no longer count in it.
    pub fn advance(&mut self, now: i64) {
        let now = now.min(MAX_NOW);
        if now <= self.now {
            return;
        }
        self.now = now;
        self.windows.advance(now);
        self.timeline.tiers_mut().advance(now);
    }

    /// The latest time of the series.
    pub const fn now(&self) -> i64 {
        self.now
    }

    pub const fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The samples since `at`. An hour that began before is included from its next five minutes on, as
    /// long as it is kept in such steps, without cost and latency.
    pub fn since(&self, at: i64) -> Samples {
        let mut sum = Samples::default();
        let mut began = at;
        for (start, end, samples) in self.timeline.spans().filter(|(_, end, _)| *end > at) {
            if start < at {
                began = end;
            } else {
                sum.merge(samples);
            }
        }
        if self.timeline.max_weight() > 1.0 {
            return sum;
        }
        let minutes = &self.windows.slots()[Window::OneHour as usize];
        for slot in minutes.iter().filter(|slot| (at..began).contains(&slot.start)) {
            if let Some(samples) = slot.bucket.samples() {
                sum.merge(&samples);
            }
        }
        sum
    }

    pub fn is_empty(&self) -> bool {
        self.windows.is_empty() && self.timeline.is_empty()
    }

    /// The number of buckets of the windows.
    pub fn buckets(&self) -> usize {
        self.windows.len()
    }

    /// The figures of one window, as of the last [`Series::advance`] or [`Series::record`].
    pub fn window(&self, window: Window) -> WindowStats {
        self.sum(window).stats(self.windows.start(window as usize))
    }

    /// How durations and rewards are distributed in one window.
    pub fn distribution(&self, window: Window) -> Distribution {
        self.sum(window).distribution()
    }

    fn sum(&self, window: Window) -> Bucket {
        let mut sum = Bucket::default();
        for tier in &self.windows.slots()[..=window as usize] {
            tier.iter().for_each(|slot| sum.merge(&slot.bucket));
        }
        sum
    }

    /// All windows, at the cost of the longest alone.
    pub fn windows(&self) -> [(Window, WindowStats); 3] {
        let mut sum = Bucket::default();
        Window::ALL.map(|window| {
            let tier = &self.windows.slots()[window as usize];
            tier.iter().for_each(|slot| sum.merge(&slot.bucket));
            (window, sum.stats(self.windows.start(window as usize)))
        })
    }

    /// The start, the end and the figures of each bucket of the windows, the oldest first; as of the
    /// last [`Series::advance`] or [`Series::record`].
    pub fn course(&self) -> impl Iterator<Item = (i64, i64, WindowStats)> {
        self.windows.spans().map(|(start, end, bucket)| (start, end, bucket.stats(start)))
    }

    /// When the passing of time alone next changes the visible statistics, never before `now`; `None` if
    /// nothing can expire any more. Once all windows are empty, only the end of the timeline matters.
    pub fn next_change(&self, now: i64) -> Option<i64> {
        let windows = (0..3).filter_map(|tier| self.windows.expiry(tier)).min();
        let last = || (0..3).rev().find_map(|tier| self.timeline.tiers().expiry(tier));
        windows.or_else(last).map(|expiry| expiry.max(now))
    }

    /// Adds the statistics of another series of the same component.
    pub fn merge(&mut self, other: &Self) {
        self.advance(other.now);
        self.windows.merge(&other.windows);
        self.timeline.tiers_mut().merge(other.timeline.tiers());
    }
}
