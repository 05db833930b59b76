//! What did not change as the control of a watch: other components, before and after an activation.
//!
//! A watch compares the time before an activation with the time after it. If everything becomes worse
//! at the same hour, that is not an effect of the version. The components that the version does not
//! concern show by how much everything changed: the *shift*. A claim about the version must hold
//! beyond the shift.
//!
//! The shift is a mean over components of the change of each. A component counts by its observations
//! before the activation, up to the median of all components, so that a large one does not decide
//! alone and a small one does not add its noise. Every observation is measured from the mean of its
//! own component in an earlier time (the *anchor*): a component whose share of the traffic changes
//! does not look like a shift.

use serde::{Deserialize, Serialize};

use super::sides::{Compared, Sides, ratio};
use crate::estimate::{
    Cells, Interval, Latency, Measured, Sample, difference, mean_interval, quantile_interval,
};
use crate::number::{Lossy, whole_u16, whole_u64};
use crate::stats::{Samples, Series};
use crate::time::{DAY_MS, MINUTE_MS};

/// The longest time before the activation that is used.
pub const MAX_BEFORE_MS: i64 = 7 * DAY_MS;
/// The most components that are used.
pub const MAX_COMPONENTS: usize = 50;
/// A component that was observed before the activation is awaited for this long after it.
const AWAITED_MS: i64 = 10 * MINUTE_MS;
/// The fewest observations of a component before the activation, the anchor not included.
const LEAST_BEFORE: u64 = 20;
/// The share of a component's observations before the activation that are its anchor, at least.
const ANCHOR: f64 = 0.25;

/// The part of the capital that is not staked on the shift. The more, the less a shift near 0 delays a
/// claim about the version; the less, the sooner a large shift is known.
const UNSTAKED: f64 = 0.9;
/// The steps in which the error is divided between a version's change and the shift.
const STEPS: u32 = 5;
/// How often the samples since the activation restart: in five minutes, an hour, six hours, or a day
/// after it, as older buckets become wider.
const BEGINNINGS: f64 = 4.0;

/// The points at which values are kept, as intervals of the range.
const POINTS: u16 = 32;
/// A cost is at most this many times the usual cost of its component.
const MOST_COST: f64 = 8.0;
/// The smallest weight of an observation of a large component.
const LEAST_WEIGHT: f64 = 1.0 / 32.0;

/// What was observed of one component that a version does not concern.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OtherComponent {
    pub anchor: Samples,
    /// Before the activation, and after the anchor.
    pub before: Samples,
    pub after: Samples,
}

impl OtherComponent {
    /// The component with this series, as of `now`, if it was observed between `since` and `at`, when
    /// the version was activated, and after that.
    pub fn of(series: &Series, since: i64, at: i64, now: i64) -> Option<Self> {
        let since = since.max(at.saturating_sub(MAX_BEFORE_MS));
        let within = |(_, end, _): &(i64, i64, &Samples)| *end > since && *end <= at;
        let n: u64 = series.timeline().spans().filter(within).map(|(_, _, it)| count(it)).sum();
        let mut found = Self { after: series.since(at), ..Self::default() };
        for (_, _, samples) in series.timeline().spans().filter(within) {
            let is_anchor = count(&found.anchor).to_f64() < ANCHOR * n.to_f64();
            if is_anchor { &mut found.anchor } else { &mut found.before }.merge(samples);
        }
        let is_known = count(&found.before) >= LEAST_BEFORE;
        let is_awaited = now.saturating_sub(at) < AWAITED_MS;
        (is_known && (count(&found.after) > 0 || is_awaited)).then_some(found)
    }
}

fn count(samples: &Samples) -> u64 {
    whole_u64(samples.success.n().round())
}

/// What other components did at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Controls {
    pub components: u64,
    /// Their observations before the activation ...
    pub before_n: u64,
    /// ... and after it.
    pub after_n: u64,
    /// Absent, like the following, if it was not observed both before and after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<Shift>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_rate: Option<Shift>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_latency: Option<RatioShift>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<RatioShift>,
}

/// By how much a mean changed in other components, and how much more it changed in the version.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    pub others: Measured,
    /// The change of the version minus that of the others.
    pub beyond: Measured,
}

/// By what factor something changed in other components, and by what further factor in the version.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RatioShift {
    pub others: Interval,
    pub beyond: Interval,
}

impl Controls {
    /// `None` without other components.
    pub(super) fn of(sides: &Sides<'_>, others: &[OtherComponent], tail: f64) -> Option<Self> {
        let group = Group::of(others)?;
        let sum = |of: fn(&OtherComponent) -> &Samples| others.iter().map(|it| count(of(it))).sum();
        let mean = |sample: MeanOf, compared: Option<Compared>| {
            let (change, shift) = (compared?.change, group.mean(sample)?);
            Some(shift.beyond(change, |tail| sample.change(sides, tail), tail))
        };
        Some(Self {
            components: others.len().try_into().unwrap_or(u64::MAX),
            before_n: sum(|it| &it.before),
            after_n: sum(|it| &it.after),
            reward: mean(MeanOf::Reward, sides.reward(tail)),
            success_rate: mean(MeanOf::Success, sides.success_rate(tail)),
            p95_latency: group.latency().and_then(|it| {
                ratio_beyond(|tail| sides.latency_ratio(tail), |a| it.ratio(a), tail)
            }),
            cost_usd: group
                .cost()
                .and_then(|it| ratio_beyond(|tail| sides.cost_ratio(tail), |a| it.ratio(a), tail)),
        })
    }
}

#[derive(Clone, Copy, Debug)]
enum MeanOf {
    Reward,
    Success,
}

impl MeanOf {
    fn points(self, samples: &Samples) -> Vec<(f64, f64, f64)> {
        match self {
            Self::Reward => samples.reward.points().collect(),
            Self::Success => samples.success.points().collect(),
        }
    }

    fn change(self, sides: &Sides<'_>, tail: f64) -> Option<Interval> {
        let compared = match self {
            Self::Reward => sides.reward(tail),
            Self::Success => sides.success_rate(tail),
        };
        compared.map(|it| Interval { low: it.change.low, high: it.change.high })
    }
}

/// Other components with the weight of an observation of each.
struct Group<'a> {
    others: Vec<(&'a OtherComponent, f64)>,
    max_weight: f64,
}

impl<'a> Group<'a> {
    fn of(others: &'a [OtherComponent]) -> Option<Self> {
        let mut counts: Vec<u64> = others.iter().map(|it| count(&it.before)).collect();
        counts.sort_unstable();
        let median = counts.get(counts.len() / 2)?.to_f64();
        // A power of two, so that few weights differ.
        let weight = |it: &OtherComponent| {
            let share = (median / count(&it.before).to_f64()).clamp(LEAST_WEIGHT, 1.0);
            share.log2().round().exp2()
        };
        let all = others.iter().flat_map(|it| [&it.anchor, &it.before, &it.after]);
        let max_weight = all.map(|it| it.success.max_weight()).fold(1.0, f64::max);
        Some(Self { others: others.iter().map(|it| (it, weight(it))).collect(), max_weight })
    }

    /// The values of all components, each measured from its anchor.
    fn mean(&self, of: MeanOf) -> Option<MeanShift> {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let mut parts = Vec::new();
        for (other, weight) in &self.others {
            let Some(anchor) = mean_of(of.points(&other.anchor)) else { continue };
            let centred = |value: f64| f64::midpoint(1.0, value - anchor);
            let then = gather(&mut before, *weight, of.points(&other.before), centred);
            let now = gather(&mut after, *weight, of.points(&other.after), centred);
            parts.push((then, now));
        }
        let [before, after] =
            [before, after].map(|it| Cells::from_points(it).within(self.max_weight));
        if before.is_empty() {
            return None;
        }
        Some(MeanShift { drift: drift(&parts), before, after })
    }

    /// The costs of all components, each as a multiple of the mean of its anchor.
    fn cost(&self) -> Option<CostShift> {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (other, weight) in &self.others {
            let Some(anchor) = mean_of(other.anchor.cost.points()).filter(|it| *it > 0.0) else {
                continue;
            };
            let relative = |cost: f64| (cost / anchor / MOST_COST).min(1.0);
            gather(&mut before, *weight, other.before.cost.points(), relative);
            gather(&mut after, *weight, other.after.cost.points(), relative);
        }
        let [before, after] =
            [before, after].map(|it| Cells::from_points(it).within(self.max_weight));
        (!before.is_empty()).then_some(CostShift { before, after })
    }

    /// The durations of all components, each moved so that the anchors have the same 95th percentile.
    fn latency(&self) -> Option<LatencyShift> {
        let mut shift = LatencyShift { max_weight: self.max_weight, ..LatencyShift::default() };
        for (other, _) in &self.others {
            let Some(bin) = other.anchor.latency.bin_of(0.95) else { continue };
            shift.before.merge(&other.before.latency.moved(bin, Latency::MIDDLE));
            shift.after.merge(&other.after.latency.moved(bin, Latency::MIDDLE));
        }
        (!shift.before.is_empty()).then_some(shift)
    }
}

fn mean_of(points: impl IntoIterator<Item = (f64, f64, f64)>) -> Option<f64> {
    let sums = points.into_iter().fold((0.0, 0.0), |sums, (weight, value, n)| {
        (sums.0 + weight * n, sums.1 + weight * n * value)
    });
    (sums.0 > 0.0).then(|| sums.1 / sums.0)
}

/// Adds points with mapped values, each split between two of a small number of points. Returns the sum of the
/// weights, and that of the weighted values.
fn gather(
    gathered: &mut Vec<(f64, f64, f64)>,
    weight: f64,
    points: impl IntoIterator<Item = (f64, f64, f64)>,
    mapped: impl Fn(f64) -> f64,
) -> [f64; 2] {
    let mut sums = [0.0; 2];
    for (own, value, n) in points {
        let (weight, value) = (weight * own, mapped(value).clamp(0.0, 1.0));
        let steps = value * f64::from(POINTS);
        let low = whole_u16(steps.floor());
        let share = steps - f64::from(low);
        for (point, share) in [(low, 1.0 - share), (low + 1, share)] {
            if share > 0.0 {
                gathered.push((weight, f64::from(point) / f64::from(POINTS), n * share));
            }
        }
        sums[0] += weight * n;
        sums[1] += weight * n * value;
    }
    sums
}

/// How much of the shift may be due to changed shares of the components, whose means before were not
/// quite those of their anchors.
fn drift(parts: &[([f64; 2], [f64; 2])]) -> f64 {
    let total = parts.iter().fold([0.0; 2], |sum, (then, now)| [sum[0] + then[0], sum[1] + now[0]]);
    let of = |([weight, value], now): &([f64; 2], [f64; 2])| {
        let moved = now[0] / total[1] - weight / total[0];
        if *weight > 0.0 { moved * value / weight } else { 0.0 }
    };
    if total[0] > 0.0 && total[1] > 0.0 { parts.iter().map(of).sum::<f64>().abs() } else { 0.0 }
}

/// The means of all components before and after, on a scale from 0 (one below the anchor) to 1 (one
/// above it).
struct MeanShift {
    before: Cells,
    after: Cells,
    drift: f64,
}

impl MeanShift {
    fn interval(&self, tail: f64) -> Interval {
        let Interval { low, high } = difference(&self.after, &self.before, 2.0 * tail);
        Interval { low: 2.0 * (low - self.drift), high: 2.0 * (high + self.drift) }
    }

    fn beyond(
        &self,
        change: Measured,
        changed: impl Fn(f64) -> Option<Interval>,
        tail: f64,
    ) -> Shift {
        let estimate = match self.after.is_empty() {
            true => 0.0,
            false => 2.0 * (self.after.mean() - self.before.mean()),
        };
        let Interval { low, high } = self.interval(tail);
        let others = Measured { estimate, low, high };
        let mut beyond = Interval { low: f64::INFINITY, high: f64::NEG_INFINITY };
        for (of_version, of_others) in splits(tail) {
            let Some(change) = changed(of_version) else { continue };
            let shift = self.interval(of_others);
            beyond.low = beyond.low.min(change.low - shift.high);
            beyond.high = beyond.high.max(change.high - shift.low);
        }
        let Interval { low, high } = beyond;
        let beyond = Measured { estimate: change.estimate - estimate, low, high };
        Shift { others, beyond }
    }
}

struct CostShift {
    before: Cells,
    after: Cells,
}

impl CostShift {
    fn ratio(&self, tail: f64) -> Option<Interval> {
        let [before, after] = [&self.before, &self.after].map(|it| mean_interval(it, tail));
        Some(ratio(after, before))
    }
}

#[derive(Default)]
struct LatencyShift {
    before: Sample<Latency>,
    after: Sample<Latency>,
    max_weight: f64,
}

impl LatencyShift {
    fn ratio(&self, tail: f64) -> Option<Interval> {
        let of = |sample| quantile_interval(sample, self.max_weight, 0.95, tail);
        match of(&self.after) {
            Some(after) => Some(ratio(after, of(&self.before)?)),
            None => Some(Interval { low: 0.0, high: f64::MAX }),
        }
    }
}

fn ratio_beyond(
    of_version: impl Fn(f64) -> Option<Interval>,
    of_others: impl Fn(f64) -> Option<Interval>,
    tail: f64,
) -> Option<RatioShift> {
    let others = of_others(tail)?;
    let mut beyond = Interval { low: f64::INFINITY, high: 0.0 };
    for (version, shift) in splits(tail) {
        let factor = ratio(of_version(version)?, of_others(shift)?);
        beyond.low = beyond.low.min(factor.low);
        beyond.high = beyond.high.max(factor.high);
    }
    Some(RatioShift { others, beyond })
}

/// Divisions of the error `tail` between the version's change and the shift: in each, the probability of
/// error of an end of the first, and of an end of the second. A bound must hold for all of them.
///
/// Two gamblers bet, one on the change and one on the shift, and as no observation is used by both,
/// the product of their capitals is fair. It must exceed 1 / `tail` for every shift. The second keeps
/// [`UNSTAKED`] of the capital. Between two steps of the shift, the second has at least the capital of
/// the first step, and the first gambler must contribute the rest.
fn splits(tail: f64) -> impl Iterator<Item = (f64, f64)> {
    let capital = move |step: u32| tail.powf(-f64::from(step) / f64::from(STEPS));
    (0..STEPS).map(move |step| {
        let kept = if step == 0 { UNSTAKED } else { capital(step) };
        let needed = (capital(step + 1) - UNSTAKED) / (1.0 - UNSTAKED);
        ((tail * kept).min(0.5), 1.0 / (needed * BEGINNINGS).max(2.0))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::experiment::{
        Comparison, Effect, GuardConfig, Judgement, Kind, Metric, Setting, Verdict, compare,
        compare_beyond, judge,
    };
    use crate::observation::{Observation, Outcome};
    use crate::reward::{RewardConfig, score};
    use crate::time::HOUR_MS;

    const AT: i64 = 20_000 * DAY_MS + 25 * MINUTE_MS;
    const TAIL: f64 = 0.05 / 11.0;

    /// What is observed: the success rate, the duration and the cost.
    #[derive(Clone, Copy)]
    struct World {
        success: f64,
        latency_ms: f64,
        cost_usd: f64,
    }

    const USUAL: World = World { success: 0.9, latency_ms: 400.0, cost_usd: 0.01 };

    fn succeeding(success: f64) -> World {
        World { success, ..USUAL }
    }

    fn observed(world: World, n: usize, random: &mut StdRng) -> Samples {
        let mut samples = Samples::default();
        for _ in 0..n {
            let spread = random.random_range(0.5..1.5);
            let success = random.random_bool(world.success);
            let observation = Observation {
                duration_ms: Some(world.latency_ms * spread),
                cost_usd: Some(world.cost_usd * spread),
                ..Observation::at(0, if success { Outcome::Success } else { Outcome::Failure })
            };
            samples.add(&observation, &score(&RewardConfig::default(), &observation));
        }
        samples
    }

    /// Four components that become `after`, of which the first has three times its traffic then if it
    /// `moves`.
    fn others(
        after: impl Fn(World) -> World,
        moves: bool,
        random: &mut StdRng,
    ) -> Vec<OtherComponent> {
        let of = |(number, success): (usize, f64)| {
            let usual = World { success, cost_usd: 0.01 * success, ..USUAL };
            let n = if moves && number == 0 { 6_000 } else { 2_000 };
            OtherComponent {
                anchor: observed(usual, 1_000, random),
                before: observed(usual, 3_000, random),
                after: observed(after(usual), n, random),
            }
        };
        [0.5, 0.7, 0.8, 0.95].into_iter().enumerate().map(of).collect()
    }

    fn judged(comparison: &Comparison) -> Judgement {
        let setting = Setting {
            kind: Kind::Watch,
            metric: Metric::Reward,
            stage: 0,
            started_at: 0,
            stage_started_at: 0,
        };
        judge(&setting, &GuardConfig::default(), comparison, HOUR_MS)
    }

    /// The comparison of a version with the usual one, without and with controls.
    fn both(
        version: World,
        after: impl Fn(World) -> World,
        moves: bool,
        seed: u64,
    ) -> [Comparison; 2] {
        let mut random = StdRng::seed_from_u64(seed);
        let (a, b) = (observed(USUAL, 4_000, &mut random), observed(version, 1_500, &mut random));
        let others = others(after, moves, &mut random);
        let alone = compare(&a, &b, 0.1, 1.0, TAIL);
        [alone, compare_beyond(&a, &b, &others, 0.1, 1.0, TAIL)]
    }

    fn falling(by: f64) -> impl Fn(World) -> World {
        move |it| World { success: it.success - by, ..it }
    }

    #[test]
    fn a_version_that_falls_with_all_others_is_not_rolled_back() {
        for seed in 0..4 {
            let [alone, beyond] = both(succeeding(0.7), falling(0.2), seed % 2 == 1, seed);
            assert!(matches!(judged(&alone), Judgement::Breach(_)), "{alone:?}");
            assert_eq!(judged(&beyond), Judgement::Continue, "{beyond:?}");
            let controls = beyond.controls.unwrap();
            assert_eq!((controls.components, controls.before_n), (4, 12_000));
            let shift = controls.success_rate.unwrap();
            assert!(shift.others.low < -0.2 && shift.others.high > -0.2, "{shift:?}");
            assert!(shift.beyond.low < 0.0 && shift.beyond.high > 0.0, "{shift:?}");
            assert!(beyond.basis().contains("4 other components changed by -0."));
        }
    }

    #[test]
    fn a_version_that_falls_further_than_all_others_is_rolled_back() {
        for seed in 0..2 {
            for by in [0.0, 0.1] {
                let [_, beyond] = both(succeeding(0.5), falling(by), false, seed);
                let Judgement::Breach(breach) = judged(&beyond) else { panic!("{beyond:?}") };
                assert!(breach.proven < 0.4 - by, "{breach:?}");
            }
        }
    }

    #[test]
    fn latency_and_cost_are_measured_beyond_the_factor_of_all_others() {
        let slower = |it: World| World { latency_ms: it.latency_ms * 2.0, ..it };
        let dearer = |it: World| World { cost_usd: it.cost_usd * 1.6, ..it };
        let version = World { latency_ms: 800.0, ..USUAL };
        let [alone, beyond] = both(version, slower, false, 1);
        assert!(matches!(judged(&alone), Judgement::Breach(_)));
        assert_eq!(judged(&beyond), Judgement::Continue, "{beyond:?}");
        let [alone, beyond] = both(dearer(USUAL), dearer, false, 2);
        assert!(matches!(judged(&alone), Judgement::Breach(_)));
        assert_eq!(judged(&beyond), Judgement::Continue, "{beyond:?}");
        let by_itself =
            [World { latency_ms: 1_000.0, ..USUAL }, World { cost_usd: 0.025, ..USUAL }];
        for version in by_itself {
            let [_, beyond] = both(version, |it| it, false, 3);
            assert!(matches!(judged(&beyond), Judgement::Breach(_)), "{beyond:?}");
        }
    }

    #[test]
    fn a_version_that_rises_with_all_others_is_not_better() {
        let verdict = |it: Comparison| {
            Verdict::of("1.0.0", Kind::Watch, it, 0.01, Some(0.05), 0).unwrap().effect
        };
        let [alone, beyond] = both(succeeding(0.95), falling(-0.05), false, 5);
        assert_eq!((verdict(alone), verdict(beyond)), (Effect::Better, Effect::Unclear));
        let [_, beyond] = both(succeeding(0.99), falling(0.05), false, 6);
        assert_eq!(verdict(beyond), Effect::Better);
    }

    /// Traffic that moves to a component with a low success rate is not a fall.
    #[test]
    fn a_changed_share_of_the_traffic_is_not_a_shift() {
        let [_, beyond] = both(USUAL, |it| it, true, 7);
        let shift = beyond.controls.unwrap().success_rate.unwrap().others;
        assert!(shift.estimate.abs() < 0.02 && shift.low < 0.0 && shift.high > 0.0, "{shift:?}");
    }

    #[test]
    fn a_comparison_that_was_stored_without_controls_is_read() {
        let [alone, beyond] = both(USUAL, |it| it, false, 8);
        let mut stored = serde_json::to_value(&beyond).unwrap();
        assert_eq!(serde_json::from_value::<Comparison>(stored.clone()).unwrap(), beyond);
        stored.as_object_mut().unwrap().remove("controls");
        assert_eq!(serde_json::from_value::<Comparison>(stored).unwrap(), alone);
        assert!(alone.qualified(Kind::Watch, "worse").contains("without controls"));
        assert_eq!(alone.qualified(Kind::Ab, "worse"), "worse");
    }

    fn record(series: &mut Series, ts: i64, now: i64) {
        let observation = Observation::at(ts, Outcome::Success);
        let _ = series.record(&observation, &score(&RewardConfig::default(), &observation), now);
    }

    #[test]
    fn the_hour_of_the_activation_counts_from_the_next_five_minutes_on() {
        let mut series = Series::default();
        let minutes = (AT - 3 * HOUR_MS..AT + 20 * MINUTE_MS).step_by(60_000);
        minutes.for_each(|ts| record(&mut series, ts, ts));
        let now = AT + 20 * MINUTE_MS;
        let of = |series: &Series, at, now| OtherComponent::of(series, i64::MIN, at, now);
        let found = of(&series, AT, now).unwrap();
        // 21:25 to 22:00 is part of an hour, and so are 25 minutes before the activation.
        assert_eq!(count(&found.anchor) + count(&found.before), 155);
        assert_eq!(count(&found.after), 20);
        assert!(count(&found.anchor) >= 38 && count(&found.before) >= 60);
        // An hour later those minutes are part of an hour, of which some is earlier.
        (now..AT + 2 * HOUR_MS).step_by(60_000).for_each(|ts| record(&mut series, ts, ts));
        assert_eq!(count(&of(&series, AT, AT + 2 * HOUR_MS).unwrap().after), 85);
    }

    #[test]
    fn a_component_that_is_not_observed_after_the_activation_is_awaited_for_ten_minutes() {
        let mut series = Series::default();
        (AT - 3 * HOUR_MS..AT - 1).step_by(60_000).for_each(|ts| record(&mut series, ts, ts));
        let of = |now| OtherComponent::of(&series, i64::MIN, AT, now);
        assert!(of(AT + 10 * MINUTE_MS).is_none());
        let awaited = of(AT + 9 * MINUTE_MS).unwrap();
        let mut random = StdRng::seed_from_u64(9);
        let (a, b) =
            (observed(USUAL, 500, &mut random), observed(succeeding(0.3), 200, &mut random));
        let comparison = compare_beyond(&a, &b, &[awaited], 0.1, 1.0, TAIL);
        assert_eq!(judged(&comparison), Judgement::Continue, "{comparison:?}");
        let early = OtherComponent::of(&series, AT - HOUR_MS, AT, AT);
        assert!(early.is_none(), "without an anchor, after less than an hour");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        /// Every division of the error uses at most all of it.
        #[test]
        fn a_split_of_the_error_is_a_valid_product(tail in 1e-6..0.2_f64) {
            let capital = |error: f64| 1.0 / error;
            let mut kept = UNSTAKED;
            for (of_version, of_shift) in splits(tail) {
                prop_assert!(of_version <= 0.5 && of_shift <= 0.5);
                // The first gambler has what is needed at every shift that the second has not refuted.
                prop_assert!(capital(of_version) * kept >= capital(tail) * (1.0 - 1e-9) || tail * kept > 0.5);
                kept = UNSTAKED + (1.0 - UNSTAKED) * capital(of_shift) / BEGINNINGS;
            }
            prop_assert!(kept >= capital(tail) * (1.0 - 1e-9), "a refuted shift needs no more");
        }

        #[test]
        fn the_interval_beyond_others_is_wider_than_their_own_and_contains_the_truth(
            fall in 0.0..0.3_f64, shock in 0.0..0.3_f64, moves: bool, seed: u64,
        ) {
            let [alone, beyond] = both(succeeding(0.9 - fall), falling(shock), moves, seed);
            let shift = beyond.controls.unwrap().success_rate.unwrap();
            prop_assert!(shift.others.low <= -shock && -shock <= shift.others.high, "{shift:?}");
            let truth = shock - fall;
            prop_assert!(shift.beyond.low <= truth && truth <= shift.beyond.high, "{shift:?}");
            let width = |it: Measured| it.high - it.low;
            let change = alone.success_rate.unwrap().change;
            prop_assert!(width(change) <= width(shift.beyond));
            prop_assert_eq!(alone.reward, beyond.reward);
        }
    }
}
