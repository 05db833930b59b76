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

use super::blocks::{Block, Blocks, Claims, Mark};
use super::budget::{PERIOD_MS, period_of};
use super::{Pressed, Pressing, Side};
use crate::belief::BeliefState;
use crate::estimate::{Cells, RewardScore, Sample, is_greater};
use crate::stats::Timeline;
use crate::time::HOUR_MS;

/// What the tuner remembers about the arms of a policy between passes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// The current period, counted from 1970 in steps of [`PERIOD_MS`].
    pub period: i64,
    /// All observations of an arm that is not listed count.
    pub arms: BTreeMap<String, ArmMemory>,
    /// By arm, when its rewards last started again because `config/reward_config` changed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rewards_since: BTreeMap<String, i64>,
    /// What allocation by belief remembers.
    #[serde(skip_serializing_if = "BeliefState::is_empty")]
    pub belief: BeliefState,
    /// By time, what was counted of each version.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub marks: BTreeMap<i64, Mark>,
    /// The time of the mark from which an arm that restarted is compared.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub starts: BTreeMap<String, i64>,
    /// The time of the mark from which all arms are compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<i64>,
    /// The time of the mark from which all arms are compared in the next period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_base: Option<i64>,
    /// The approved bounds that belief wants to pass, pass after pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pressures: Vec<Pressure>,
    /// The time of the first mark with enough rewards to say which bets on later ones are useful. An
    /// arm that restarted has a mark of its own for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pilot: Option<i64>,
}

/// A bound that belief has wanted to pass in consecutive hours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pressure {
    pub arm: String,
    pub side: Side,
    /// The time of the first pass that found it, in epoch milliseconds.
    pub since: i64,
    /// The consecutive hours in which every pass found it, counted from the one of `since`.
    pub hours: u32,
    /// The latest of these hours, counted from 1970.
    pub hour: i64,
}

/// The consecutive hours after which a person is asked about a bound. A belief that wants to pass it
/// for less time may be chance: an hour's mean differs from the next one's.
pub const PRESSED_HOURS: u32 = 6;

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

/// With more versions, all arms restart: only so many are read.
const MAX_VERSIONS: usize = 48;

/// The most bytes of all marks together. A document holds a million, and a mark is stored with two
/// characters a byte.
const MARKS_BYTES: usize = 300_000;

/// The most restarts in a period. An arm that changes more often is judged by its average.
const MAX_RESTARTS: u32 = 20;

impl Memory {
    pub fn of(&self, arm: &str) -> ArmMemory {
        self.arms.get(arm).copied().unwrap_or_default()
    }

    /// The memory after a pass at `now`; `max_weight` is the largest weight of an observation.
    /// `versions` must have been counted at least as far as `timelines`.
    #[must_use]
    pub fn advanced(
        &self,
        timelines: &BTreeMap<String, Timeline>,
        versions: &BTreeMap<String, Block>,
        max_weight: f64,
        now: i64,
    ) -> Self {
        let mut next = self.clone();
        let period = period_of(now);
        let is_new_period = period > self.period;
        if is_new_period {
            next.period = period;
            next.base = next.next_base;
            next.next_base = None;
            let is_pilot = |at: &i64| next.marks.get(at).is_some_and(|it| it.pilot().is_some());
            next.pilot = next.base.filter(is_pilot).or(next.pilot);
            let oldest = (period - 1) * PERIOD_MS;
            // All observations of an unlisted arm count; from now on it is listed, so that the
            // oldest do not.
            for arm in timelines.keys() {
                let since = self.of(arm).since.max(oldest);
                next.arms.insert(arm.clone(), ArmMemory { since, restarts: 0 });
            }
            next.arms.retain(|arm, _| timelines.contains_key(arm));
            next.rewards_since.retain(|arm, _| timelines.contains_key(arm));
            next.starts.retain(|_, start| Some(*start) > next.base);
        }
        let base = next.base.and_then(|at| next.marks.get(&at)).cloned().unwrap_or_default();
        let is_full = base.grown(versions) > MAX_VERSIONS;
        let mut restarted = Vec::new();
        for (arm, timeline) in timelines {
            let memory = next.of(arm);
            if memory.restarts < MAX_RESTARTS
                && (is_full || has_changed(timeline, memory.since, max_weight, now))
            {
                let since = (now.div_euclid(HOUR_MS) + 1) * HOUR_MS;
                let restarts = memory.restarts + 1;
                next.arms.insert(arm.clone(), ArmMemory { since, restarts });
                restarted.push(arm.clone());
            } else if memory.restarts > 0 && !is_new_period && !next.starts.contains_key(arm) {
                // It restarted before marks were kept.
                restarted.push(arm.clone());
            }
        }
        next.mark(restarted, is_full, versions, timelines.len(), now);
        next
    }

    /// Counts the hours in which belief wants to pass an approved bound. An hour without a pass, or a
    /// pass that does not find it, starts the count again, and so does the approval of an envelope.
    #[must_use]
    pub fn pressed(self, pressing: &[Pressing], approved_at: i64, now: i64) -> Self {
        let hour = now.div_euclid(HOUR_MS);
        let next = |it: &Pressing| {
            let before = self.pressures.iter().find(|known| {
                let is_same = known.arm == it.arm && known.side == it.side;
                is_same && hour - known.hour <= 1 && known.since >= approved_at
            });
            let (since, hours) = match before {
                Some(before) => (before.since, before.hours + u32::from(hour > before.hour)),
                None => (now, 1),
            };
            Pressure { arm: it.arm.clone(), side: it.side, since, hours, hour }
        };
        let pressures = pressing.iter().map(next).collect();
        Self { pressures, ..self }
    }

    /// The bounds that belief has wanted to pass for so long that a person is asked.
    pub fn lasting(&self) -> Vec<Pressed> {
        let lasting = self.pressures.iter().filter(|it| it.hours >= PRESSED_HOURS);
        let pressed =
            |it: &Pressure| Pressed { arm: it.arm.clone(), side: it.side, since: it.since };
        lasting.map(pressed).collect()
    }

    /// Keeps what is counted now, if an arm restarted, the period has no mark yet, or this is the
    /// pilot.
    fn mark(
        &mut self,
        restarted: Vec<String>,
        is_full: bool,
        versions: &BTreeMap<String, Block>,
        arms: usize,
        now: i64,
    ) {
        let pilot = self.pilot.filter(|at| Some(*at) >= self.base);
        if restarted.is_empty() && self.next_base.is_some() && pilot.is_some() {
            return;
        }
        // At most one mark for each arm, and three for all.
        let mark = Mark::of(versions, MARKS_BYTES / (arms + 3));
        let is_pilot = pilot.is_none() && mark.pilot().is_some();
        if restarted.is_empty() && self.next_base.is_some() && !is_pilot {
            return;
        }
        self.pilot = if is_pilot { Some(now) } else { pilot };
        self.marks.insert(now, mark);
        if is_full && restarted.len() == arms {
            self.base = Some(now);
        }
        self.starts.extend(restarted.into_iter().map(|arm| (arm, now)));
        self.next_base.get_or_insert(now);
        let (starts, kept) = (&self.starts, [self.base, self.next_base, self.pilot]);
        self.marks.retain(|at, _| kept.contains(&Some(*at)) || starts.values().any(|it| it == at));
    }

    /// What these arms are compared by.
    pub fn blocks<'a>(
        &self,
        arms: impl IntoIterator<Item = &'a String>,
        versions: BTreeMap<String, Block>,
    ) -> Blocks {
        let start = |arm: &'a String| {
            let start = self.starts.get(arm).copied().max(self.base)?;
            Some((arm.clone(), start))
        };
        let starts: BTreeMap<String, i64> = arms.into_iter().filter_map(start).collect();
        let is_used = |at: &i64| starts.values().any(|it| it == at) || self.pilot == Some(*at);
        let marks = self.marks.iter().filter(|(at, _)| is_used(at));
        let marks = marks.map(|(at, mark)| (*at, mark.clone())).collect();
        Blocks { versions, marks, starts, claims: Claims::default() }
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

    #[test]
    fn a_bound_is_pressed_for_six_consecutive_hours() {
        let pressing =
            |arm: &str| Pressing { arm: arm.to_owned(), side: Side::Max, approved: 0.5, wish: 0.9 };
        let first = START + 20 * 60_000;
        let mut memory = Memory::default();
        for pass in 0..10 {
            memory = memory.pressed(&[pressing("a")], 0, first + pass * HOUR_MS / 2);
            assert!(memory.lasting().is_empty(), "half an hour, {pass} passes");
        }
        let sixth = first + 5 * HOUR_MS;
        let asked = memory.clone().pressed(&[pressing("a"), pressing("b")], 0, sixth).lasting();
        let side = Side::Max;
        assert_eq!(asked, [Pressed { arm: "a".to_owned(), side, since: first }]);
        // A pass that does not find it, or an hour without a pass, starts the count again.
        let interrupted = memory.clone().pressed(&[pressing("b")], 0, sixth - 1);
        assert!(interrupted.pressed(&[pressing("a")], 0, sixth).lasting().is_empty());
        let approved = memory.clone().pressed(&[pressing("a")], sixth - 1, sixth);
        assert!(approved.lasting().is_empty(), "a person approved bounds since");
        assert!(memory.pressed(&[pressing("a")], 0, sixth + 2 * HOUR_MS).lasting().is_empty());
    }

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
        memory.advanced(&timelines, &BTreeMap::new(), 1.0, START + hours * HOUR_MS)
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
    /// A version that `n` observations of the arm name.
    fn version(n: u32) -> BTreeMap<String, Block> {
        let mut log = crate::estimate::ArmLog::default();
        (0..n).for_each(|_| log.add(&Observation::at(0, Outcome::Success), 1.0));
        let weights = BTreeMap::from([("a".to_owned(), 1.0)]);
        let logs = BTreeMap::from([("a".to_owned(), log)]);
        BTreeMap::from([("1.0.0".to_owned(), Block { weights, logs, rewards_since: None })])
    }

    #[test]
    fn a_restart_keeps_what_was_counted_until_then_of_each_version() {
        let drop = |hour| if hour < 20 { 9 } else { 4 };
        let mut memory = Memory::default();
        for hours in 1..40_u32 {
            let now = START + i64::from(hours) * HOUR_MS;
            let timelines = BTreeMap::from([("a".to_owned(), timeline(hours.into(), 100, drop))]);
            memory = memory.advanced(&timelines, &version(hours), 1.0, now);
        }
        let start = memory.starts["a"];
        let seen = u32::try_from((start - START) / HOUR_MS).unwrap();
        assert!((21..24).contains(&seen), "{seen}");
        assert_eq!(memory.marks[&start].grown(&version(seen)), 0);
        assert_eq!(memory.marks[&start].grown(&version(seen + 1)), 1);
        assert_eq!(memory.marks.len(), 2, "one of the restart, one of the period");
    }

    #[test]
    fn a_new_period_compares_what_was_counted_since_the_previous_one() {
        let at = |memory: &Memory, period: i64, n: u32| {
            let now = period * PERIOD_MS + HOUR_MS;
            memory.advanced(&BTreeMap::new(), &version(n), 1.0, now)
        };
        let first = at(&Memory::default(), 660, 1);
        assert_eq!(first.base, None);
        let second = at(&first, 661, 2);
        assert_eq!((second.base, second.marks.len()), (first.next_base, 2));
        let third = at(&second, 662, 3);
        assert_eq!(third.base, second.next_base);
        assert_eq!(third.marks[&third.base.unwrap()].grown(&version(2)), 0);
        assert_eq!(at(&third, 662, 9), third, "a memory changes only if something happened");
    }

    #[test]
    fn an_arm_that_restarted_before_marks_were_kept_is_compared_from_now_on() {
        let arms = BTreeMap::from([("a".to_owned(), ArmMemory { since: START, restarts: 1 })]);
        let memory = Memory { period: 660, arms, ..Memory::default() };
        let next = look(&memory, timeline(2, 5, |_| 7), 2);
        assert_eq!(next.starts.get("a"), Some(&(START + 2 * HOUR_MS)));
        assert_eq!(look(&next, timeline(3, 5, |_| 7), 3), next);
    }
}
