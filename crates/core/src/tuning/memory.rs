//! Since when an arm's observations are believed to be of one kind.
//!
//! Arms change: a model is updated, a provider degrades. Evidence from before says nothing about
//! after. So each pass asks of each arm whether its recent rewards differ from the earlier ones by
//! more than luck explains (and by more than 0.03), and if so begins the arm anew with the next full
//! hour. What made it suspicious is not used again: data that were chosen because they look
//! different would lead to false claims. It also forgets what is older than the period before this
//! one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::budget::{PERIOD_MS, period_of};
use crate::estimate::{Cells, RewardScore, Sample, is_greater};
use crate::stats::Timeline;

const HOUR_MS: i64 = 3_600_000;

/// What the tuner remembers of a policy's arms from pass to pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// Counted from 1970 in steps of [`PERIOD_MS`].
    pub period: i64,
    /// Arms that are not named began with their first observation.
    pub arms: BTreeMap<String, ArmMemory>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ArmMemory {
    /// Epoch milliseconds: nothing before counts.
    pub since: i64,
    /// How often it began anew in this period.
    pub restarts: u32,
}

/// How sure it must be that an arm has changed. This is not part of the policy's budget: to begin
/// anew for no reason costs evidence, and claims nothing.
const ALPHA: f64 = 1e-4;

/// A mean reward that has moved by less is not worth losing the evidence for: what components are
/// asked to do differs from hour to hour, too.
const CHANGE: f64 = 0.03;

/// Ages at which the past is cut in two, in hours.
const CUTS: [i64; 7] = [1, 2, 4, 8, 24, 72, 168];

/// An arm is known for so many buckets of the timeline, hours while they are recent, before it can
/// differ from what it was.
const KNOWN: usize = 3;

/// Past this an arm is not begun anew again within the period: it changes all the time, and what
/// can be said of it is what it earns on average.
const MAX_RESTARTS: u32 = 20;

impl Memory {
    pub fn of(&self, arm: &str) -> ArmMemory {
        self.arms.get(arm).copied().unwrap_or_default()
    }

    /// What is remembered after a look at `now`; observations may weigh as much as `max_weight`.
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
            // An arm that is named nowhere remembers everything that there is; it is named from
            // here on, so that what is too old is left out.
            for arm in timelines.keys() {
                let since = self.of(arm).since.max(oldest);
                next.arms.insert(arm.clone(), ArmMemory { since, restarts: 0 });
            }
            next.arms.retain(|arm, _| timelines.contains_key(arm));
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
    // Ages that fall into one bucket are one cut.
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
        known >= KNOWN && differ(&sum(before).within(max_weight), &sum(after).within(max_weight))
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

    /// So many hours of so many observations each, with a share of successes that `success` gives
    /// for the hour.
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
    fn an_arm_that_stays_as_it_is_is_never_begun_anew() {
        let mut memory = Memory::default();
        for hours in 1..60 {
            memory = look(&memory, timeline(hours, 100, |_| 7), hours);
        }
        assert_eq!(memory.of("a").restarts, 0);
    }

    #[test]
    fn an_arm_that_changes_begins_anew_with_the_next_hour_and_only_once() {
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
    fn a_new_period_forgets_restarts_and_what_is_older_than_the_last() {
        let memory = ArmMemory { since: START + HOUR_MS, restarts: 3 };
        let memory = Memory { period: 660, arms: BTreeMap::from([("a".to_owned(), memory)]) };
        let next = look(&memory, timeline(1, 5, |_| 7), 24 * 30);
        assert_eq!((next.period, next.of("a").restarts), (661, 0));
        assert_eq!(next.of("a").since, START + HOUR_MS, "the period before still counts");
        let later = look(&memory, timeline(1, 5, |_| 7), 24 * 60);
        assert_eq!(later.of("a").since, START + PERIOD_MS);
    }
}
