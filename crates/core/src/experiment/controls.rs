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

use super::Compared;
use super::compare::Sides;
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
/// How often the samples since the activation begin anew: in five minutes, an hour, six hours, or a day
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
        let within = |(start, end, _): &(i64, i64, &Samples)| *start >= since && *end <= at;
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

/// The factors that two ranges allow.
pub(super) fn ratio(of: Interval, to: Interval) -> Interval {
    let quotient = |a: f64, b: f64| if b > 0.0 { (a / b).min(f64::MAX) } else { f64::MAX };
    Interval { low: of.low / to.high.max(f64::MIN_POSITIVE), high: quotient(of.high, to.low) }
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
