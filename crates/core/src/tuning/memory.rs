//! Detecting that an arm has changed, and ignoring its earlier observations.
//!
//! Arms change: a model is updated, a provider degrades. Earlier evidence then says nothing about the
//! arm. Each pass therefore tests whether the recent rewards of an arm differ from the earlier ones
//! by more than chance explains (and by more than 0.03). If so, the arm restarts at the next full
//! hour: only later observations count. The observations that revealed the change do not count,
//! because data that were selected for looking different would lead to false claims. Observations
//! from before the previous period are ignored as well.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::budget::{PERIOD_MS, period_of};
use crate::estimate::{Cells, RewardScore, Sample, is_greater};
use crate::stats::Timeline;
use crate::time::HOUR_MS;

/// What the tuner remembers about the arms of a policy between passes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// The current period, counted from 1970 in steps of [`PERIOD_MS`].
    pub period: i64,
    /// All observations of an arm that is not listed count.
    pub arms: BTreeMap<String, ArmMemory>,
    /// By arm, when its rewards last started again because `config/reward_config` changed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rewards_since: BTreeMap<String, i64>,
}

/// What the tuner remembers about one arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ArmMemory {
    /// Epoch milliseconds: earlier observations do not count.
    pub since: i64,
    /// The number of restarts in this period.
    pub restarts: u32,
}

/// The probability of error of the claim that an arm has changed. It is not part of the policy's
/// budget: an unnecessary restart costs evidence but claims nothing.
const ALPHA: f64 = 1e-4;

/// A smaller change of the mean reward does not justify losing the evidence: the actions of a
/// component also differ from hour to hour.
const CHANGE: f64 = 0.03;

/// The ages, in hours, at which the past is divided into earlier and recent.
const CUTS: [i64; 7] = [1, 2, 4, 8, 24, 72, 168];

/// The earlier part must have at least this many buckets of the timeline, which are hours while they
/// are recent.
const MIN_BUCKETS: usize = 3;

/// The most restarts in a period. An arm that changes more often is judged by its average.
const MAX_RESTARTS: u32 = 20;

impl Memory {
    pub fn of(&self, arm: &str) -> ArmMemory {
        self.arms.get(arm).copied().unwrap_or_default()
    }

    /// The memory after a pass at `now`; `max_weight` is the largest weight of an observation.
    #[must_use]
    pub fn advanced(
        &self,
        timelines: &BTreeMap<String, Timeline>,
        max_weight: f64,
        now: i64,
    ) -> Self {
        let mut next = self.clone();
        let period = period_of(now);
        if period > self.period {
            next.period = period;
            let oldest = (period - 1) * PERIOD_MS;
            // All observations of an unlisted arm count; from now on it is listed, so that the
            // oldest do not.
            for arm in timelines.keys() {
                let since = self.of(arm).since.max(oldest);
                next.arms.insert(arm.clone(), ArmMemory { since, restarts: 0 });
            }
            next.arms.retain(|arm, _| timelines.contains_key(arm));
            next.rewards_since.retain(|arm, _| timelines.contains_key(arm));
        }
        for (arm, timeline) in timelines {
            let memory = next.of(arm);
            if memory.restarts < MAX_RESTARTS
                && has_changed(timeline, memory.since, max_weight, now)
            {
                let since = (now.div_euclid(HOUR_MS) + 1) * HOUR_MS;
                let restarts = memory.restarts + 1;
                next.arms.insert(arm.clone(), ArmMemory { since, restarts });
            }
        }
        next
    }
}

fn has_changed(timeline: &Timeline, since: i64, max_weight: f64, now: i64) -> bool {
    let starts: Vec<i64> = timeline.buckets().map(|(start, _)| start).collect();
    // Several ages may fall into the same bucket.
    let mut cuts: Vec<i64> = CUTS
        .iter()
        .filter_map(|hours| starts.iter().find(|start| **start >= now - hours * HOUR_MS).copied())
        .filter(|cut| *cut > since)
        .collect();
    cuts.sort_unstable();
    cuts.dedup();
    let parts = timeline.parts(since, &cuts);
    (1..parts.len()).any(|cut| {
        let (before, after) = parts.split_at(cut);
        let known: usize = before.iter().map(|(buckets, _)| buckets).sum();
        known >= MIN_BUCKETS
            && differ(&sum(before).within(max_weight), &sum(after).within(max_weight))
    })
}

fn sum(parts: &[(usize, Sample<RewardScore>)]) -> Cells {
    let mut sum = Sample::default();
    parts.iter().for_each(|(_, part)| sum.merge(part));
    Cells::of(&sum)
}

fn differ(a: &Cells, b: &Cells) -> bool {
    is_greater(a, b, CHANGE, ALPHA) || is_greater(b, a, CHANGE, ALPHA)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::{Observation, Outcome};
    use crate::reward::{RewardConfig, score};
    use crate::stats::Series;

    /// The start of a period.
    const START: i64 = 660 * PERIOD_MS;

    /// `hours` hours with `each` observations, of which `success(hour)` in ten succeed.
    fn timeline(hours: i64, each: i64, success: impl Fn(i64) -> i64) -> Timeline {
        let mut series = Series::default();
        for hour in 0..hours {
            for n in 0..each {
                let ts = START + hour * HOUR_MS + n;
                let good = n % 10 < success(hour);
                let observation =
                    Observation::at(ts, if good { Outcome::Success } else { Outcome::Failure });
                let _ =
                    series.record(&observation, &score(&RewardConfig::default(), &observation), ts);
            }
        }
        series.timeline().clone()
    }

    fn look(memory: &Memory, timeline: Timeline, hours: i64) -> Memory {
        let timelines = BTreeMap::from([("a".to_owned(), timeline)]);
        memory.advanced(&timelines, 1.0, START + hours * HOUR_MS)
    }

    #[test]
    fn an_arm_that_does_not_change_never_restarts() {
        let mut memory = Memory::default();
        for hours in 1..60 {
            memory = look(&memory, timeline(hours, 100, |_| 7), hours);
        }
        assert_eq!(memory.of("a").restarts, 0);
    }

    #[test]
    fn an_arm_that_changes_restarts_once_at_the_next_hour() {
        let drop = |hour| if hour < 20 { 9 } else { 4 };
        let mut memory = Memory::default();
        for hours in 1..40 {
            memory = look(&memory, timeline(hours, 100, drop), hours);
        }
        let found = memory.of("a");
        assert_eq!(found.restarts, 1);
        assert!(found.since > START + 21 * HOUR_MS && found.since <= START + 24 * HOUR_MS);
    }

    #[test]
    fn a_new_period_resets_restarts_and_ignores_observations_before_the_previous_period() {
        let memory = ArmMemory { since: START + HOUR_MS, restarts: 3 };
        let arms = BTreeMap::from([("a".to_owned(), memory)]);
        let memory = Memory { period: 660, arms, ..Memory::default() };
        let next = look(&memory, timeline(1, 5, |_| 7), 24 * 30);
        assert_eq!((next.period, next.of("a").restarts), (661, 0));
        assert_eq!(next.of("a").since, START + HOUR_MS, "the period before still counts");
        let later = look(&memory, timeline(1, 5, |_| 7), 24 * 60);
        assert_eq!(later.of("a").since, START + PERIOD_MS);
    }
}
