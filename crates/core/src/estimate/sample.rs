//! Samples: the observations, kept such that the capital of any constant bet can be computed.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::bins::Bins;
use crate::number::{Lossy, whole_u16, whole_u64};
use crate::observation::{MAX_COST_USD, MAX_DURATION_MS, Weight};

/// The points at which values of one kind are kept.
pub trait Grid {
    /// The number of points.
    const POINTS: u16;

    /// The point at or below a value, and the position of the value between this point and the next, in
    /// steps of 1 / 4,096.
    fn place(value: f64) -> (u16, u64);

    /// The value of a point.
    fn point(index: u16) -> f64;
}

/// The number of steps between two points of a value.
pub const SHARES: u64 = 1 << 12;
/// The number of steps between two points of a weight.
const WEIGHT_SHARES: u64 = 1 << 16;
/// The mass of one observation. 64 bits hold 2^36 of them; beyond, sums saturate.
const WHOLE: u64 = SHARES * WEIGHT_SHARES;

/// The number of points of the weight 1 / sampleRate: four for each doubling, from 1 to 2^20.
const WEIGHTS: u16 = 81;
/// The powers 2^0, 2^(1/4), 2^(2/4) and 2^(3/4), as literals so that all machines agree.
const QUARTERS: [f64; 4] =
    [1.0, 1.189_207_115_002_721, std::f64::consts::SQRT_2, 1.681_792_830_507_429];

pub(super) fn weight_point(index: u16) -> f64 {
    QUARTERS[usize::from(index % 4)] * f64::from(1_u32 << (index / 4))
}

/// The lowest point that is at least `weight`.
pub(super) fn weight_point_from(weight: f64) -> f64 {
    let (index, share) = place_weight(weight);
    weight_point(if share > 0 { index + 1 } else { index })
}

/// How many points of the weights are merged into one to make a sample smaller: one point remains for
/// each doubling, one for four doublings, or only the first and the last.
pub const COARSER: [u16; 3] = [4, 16, WEIGHTS - 1];

/// The last point of the weights that does not exceed `weight`.
fn weight_index(weight: f64) -> u16 {
    let exponent = whole_u16((weight.log2() * 4.0).floor().clamp(0.0, f64::from(WEIGHTS - 1)));
    // The logarithm may be wrong in the last place on either side of a point.
    match exponent {
        index if weight_point(index) > weight => index.saturating_sub(1),
        index if index + 1 < WEIGHTS && weight_point(index + 1) <= weight => index + 1,
        index => index,
    }
}

/// The point at or below a weight, and the position between this point and the next.
fn place_weight(weight: f64) -> (u16, u64) {
    let index = weight_index(weight);
    if index + 1 >= WEIGHTS {
        return (WEIGHTS - 1, 0);
    }
    let (low, high) = (weight_point(index), weight_point(index + 1));
    let share = ((weight - low) / (high - low) * WEIGHT_SHARES.to_f64()).round();
    carry(index, whole_u64(share), WEIGHT_SHARES)
}

/// The same for 1 / propensity, which is kept at the same points.
pub(super) fn place_inverse(value: f64) -> (u16, f64) {
    let index = weight_index(value).min(WEIGHTS - 2);
    let (low, high) = (weight_point(index), weight_point(index + 1));
    (index, ((value - low) / (high - low)).clamp(0.0, 1.0))
}

/// The part of a mass at a point that moves to the upper of two points around it.
fn share(class: u16, [low, high]: [u16; 2], mass: u64) -> u64 {
    let (low, high) = (weight_point(low), weight_point(high));
    let share = (weight_point(class) - low) / (high - low);
    whole_u64((mass.to_f64() * share).round()).min(mass)
}

fn carry(index: u16, share: u64, shares: u64) -> (u16, u64) {
    if share >= shares { (index + 1, 0) } else { (index, share) }
}

/// The mass at each point of (weight, value).
///
/// The masses are sums of integers: they are exactly the same for every order of the observations, and
/// for every grouping into samples that are merged. The size is bounded by the number of points.
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Sample<G> {
    mass: Bins<{ u16::MAX }>,
    #[serde(skip)]
    grid: PhantomData<fn() -> G>,
}

/// Sums over the observations of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    pub weight: f64,
    pub squared_weight: f64,
    /// The sum of weight times value.
    pub sum: f64,
    /// The sum of weight times squared value.
    pub squares: f64,
}

impl<G: Grid> Sample<G> {
    pub fn add(&mut self, value: f64, weight: Weight) {
        self.add_portion(value, weight, |mass| mass);
    }

    /// Adds `n` observations with the same value and the weight 1.
    pub fn add_times(&mut self, value: f64, n: u64) {
        let (point, share) = G::place(value);
        for (point, share) in [(point, SHARES - share), (point + 1, share)] {
            let mass = n.saturating_mul(WEIGHT_SHARES * share);
            if mass > 0 {
                self.mass.add(point, mass);
            }
        }
    }

    /// Adds only a portion of each part of the observation's mass.
    pub(super) fn add_portion(&mut self, value: f64, weight: Weight, portion: impl Fn(u64) -> u64) {
        let (point, share) = G::place(value);
        let (class, weight_share) =
            if weight == Weight::ONE { (0, 0) } else { place_weight(weight.as_f64()) };
        let parts = [
            (class, point, (WEIGHT_SHARES - weight_share) * (SHARES - share)),
            (class, point + 1, (WEIGHT_SHARES - weight_share) * share),
            (class + 1, point, weight_share * (SHARES - share)),
            (class + 1, point + 1, weight_share * share),
        ];
        for (class, point, mass) in parts {
            let mass = portion(mass);
            if mass > 0 {
                self.mass.add(class * G::POINTS + point, mass);
            }
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.mass.merge(&other.mass);
    }

    /// Keeps every `points`-th point of the weights, where `points` is one of [`COARSER`]. The masses
    /// between are split, like an observation, so that sums do not change and no estimate becomes more
    /// certain.
    pub fn coarsen(&mut self, points: u16) {
        let mut coarse = Bins::default();
        for (number, mass) in self.mass.iter() {
            let (class, value) = (number / G::POINTS, number % G::POINTS);
            let low = class / points * points;
            let further = if low == class { 0 } else { share(class, [low, low + points], mass) };
            for (class, mass) in [(low, mass - further), (low + points, further)] {
                if mass > 0 {
                    coarse.add(class * G::POINTS + value, mass);
                }
            }
        }
        self.mass = coarse;
    }

    /// What was added since `earlier`, an earlier state of this sample.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self { mass: self.mass.since(&earlier.mass), grid: PhantomData }
    }

    pub fn is_empty(&self) -> bool {
        self.mass.iter().next().is_none()
    }

    /// The points with observations as (weight, value, count), sorted by weight and value.
    pub fn points(&self) -> impl Iterator<Item = (f64, f64, f64)> {
        self.mass.iter().map(|(number, mass)| {
            let (class, point) = (number / G::POINTS, number % G::POINTS);
            (weight_point(class), G::point(point), mass.to_f64() / WHOLE.to_f64())
        })
    }

    pub fn moments(&self) -> Moments {
        self.points().fold(Moments::default(), |all, (weight, value, n)| Moments {
            weight: all.weight + weight * n,
            squared_weight: all.squared_weight + weight * weight * n,
            sum: all.sum + weight * n * value,
            squares: all.squares + weight * n * value * value,
        })
    }

    /// The largest weight; 1 without observations.
    pub fn max_weight(&self) -> f64 {
        self.points().map(|(weight, _, _)| weight).fold(1.0, f64::max)
    }

    /// The number of observations, independent of their weights.
    pub fn n(&self) -> f64 {
        self.points().map(|(_, _, n)| n).sum()
    }
}

impl Sample<Latency> {
    /// The bin of the quantile `share`; `None` without observations.
    pub fn bin_of(&self, share: f64) -> Option<u16> {
        let mut by_bin = BTreeMap::<u16, f64>::new();
        for (number, mass) in self.mass.iter() {
            let (class, bin) = (number / Latency::POINTS, number % Latency::POINTS);
            *by_bin.entry(bin).or_default() += weight_point(class) * mass.to_f64();
        }
        let total: f64 = by_bin.values().sum();
        let mut up_to = 0.0;
        by_bin.into_iter().find_map(|(bin, mass)| {
            up_to += mass;
            (up_to >= share * total).then_some(bin)
        })
    }

    /// The same durations, divided so that those in the bin `from` move to the bin `to`. The edges of
    /// bins have a constant ratio, so that every duration moves by whole bins.
    #[must_use]
    pub fn moved(&self, from: u16, to: u16) -> Self {
        let mut moved = Bins::default();
        for (number, mass) in self.mass.iter() {
            let (class, bin) = (number / Latency::POINTS, number % Latency::POINTS);
            let bin = (bin + to).saturating_sub(from).min(Latency::LAST);
            moved.add(class * Latency::POINTS + bin, mass);
        }
        Self { mass: moved, grid: PhantomData }
    }
}

impl<G> Default for Sample<G> {
    fn default() -> Self {
        Self { mass: Bins::default(), grid: PhantomData }
    }
}

impl<G> Clone for Sample<G> {
    fn clone(&self) -> Self {
        Self { mass: self.mass.clone(), grid: PhantomData }
    }
}

impl<G> PartialEq for Sample<G> {
    fn eq(&self, other: &Self) -> bool {
        self.mass == other.mass
    }
}

impl<G> Eq for Sample<G> {}

impl<G: Grid> fmt::Debug for Sample<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.points()).finish()
    }
}

/// A reward, 0 to 1, at 33 points. Splitting between two of them adds at most 1/4096 to a variance.
#[derive(Clone, Copy, Debug)]
pub struct RewardScore;

impl RewardScore {
    const STEPS: u16 = 32;
    /// The largest error of a mean, because values are rounded to steps: half of 1 / (32 x 4,096).
    pub const RESOLUTION: f64 = 0.5 / 131_072.0;
}

impl Grid for RewardScore {
    const POINTS: u16 = Self::STEPS + 1;

    fn place(value: f64) -> (u16, u64) {
        let shares = value.clamp(0.0, 1.0) * f64::from(Self::STEPS) * SHARES.to_f64();
        let shares = whole_u64(shares.round());
        // At most 32, because the value is at most 1.
        (u16::try_from(shares / SHARES).unwrap_or(Self::STEPS), shares % SHARES)
    }

    fn point(index: u16) -> f64 {
        f64::from(index) / f64::from(Self::STEPS)
    }
}

/// Whether an action succeeded: 1 or 0.
#[derive(Clone, Copy, Debug)]
pub struct Success;

impl Grid for Success {
    const POINTS: u16 = 2;

    fn place(value: f64) -> (u16, u64) {
        (u16::from(value > 0.5), 0)
    }

    fn point(index: u16) -> f64 {
        f64::from(index)
    }
}

/// A cost in US dollars: 0, and two points for each doubling from 2^-30 (a billionth).
#[derive(Clone, Copy, Debug)]
pub struct Cost;

impl Cost {
    const LOWEST: i32 = -30;
    const LAST: u16 = 101;

    /// The lowest point that is at least `cost`.
    pub fn point_from(cost: f64) -> f64 {
        let (index, share) = Self::place(cost);
        Self::point(if share > 0 { index + 1 } else { index })
    }
}

impl Grid for Cost {
    const POINTS: u16 = Self::LAST + 2;

    fn place(value: f64) -> (u16, u64) {
        let value = value.clamp(0.0, MAX_COST_USD);
        let half_exponents = ((value.log2() - f64::from(Self::LOWEST)) * 2.0).floor();
        let mut index = whole_u16(half_exponents.max(-1.0) + 1.0);
        while index > 0 && Self::point(index) > value {
            index -= 1;
        }
        while index < Self::LAST && Self::point(index + 1) <= value {
            index += 1;
        }
        let (low, high) = (Self::point(index), Self::point(index + 1));
        let share = whole_u64(((value - low) / (high - low) * SHARES.to_f64()).round());
        carry(index, share.min(SHARES), SHARES)
    }

    fn point(index: u16) -> f64 {
        match index.checked_sub(1) {
            None => 0.0,
            Some(half) => {
                QUARTERS[usize::from(half % 2) * 2] * 2_f64.powi(Self::LOWEST + i32::from(half / 2))
            }
        }
    }
}

/// A duration in milliseconds, in bins whose edges have the ratio 2^(1/8) (9%), from 2^-10 on. A bin
/// contains the values above the edge before, up to and including its own edge.
#[derive(Clone, Copy, Debug)]
pub struct Latency;

impl Latency {
    const LOWEST: f64 = -10.0;
    const LAST: u16 = 320;
    /// A bin in the middle of the range.
    pub const MIDDLE: u16 = 160;
}

impl Grid for Latency {
    const POINTS: u16 = Self::LAST + 1;

    fn place(value: f64) -> (u16, u64) {
        let value = value.clamp(0.0, MAX_DURATION_MS);
        let eighths = ((value.log2() - Self::LOWEST) * 8.0).ceil().max(0.0);
        let mut index = whole_u16(eighths).min(Self::LAST);
        while index < Self::LAST && Self::point(index) < value {
            index += 1;
        }
        while index > 0 && Self::point(index - 1) >= value {
            index -= 1;
        }
        (index, 0)
    }

    fn point(index: u16) -> f64 {
        (Self::LOWEST + f64::from(index) / 8.0).exp2()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Cells, mean_interval};
    use super::*;

    fn mean<G: Grid>(sample: &Sample<G>) -> f64 {
        let sums = sample
            .points()
            .fold((0.0, 0.0), |sums, (w, x, n)| (sums.0 + w * n, sums.1 + w * x * n));
        sums.1 / sums.0
    }

    #[test]
    fn the_grids_cover_the_ranges() {
        assert!(
            Cost::point(Cost::LAST) >= MAX_COST_USD || Cost::place(MAX_COST_USD).0 < Cost::LAST + 1
        );
        assert!(
            Latency::point(Latency::LAST) >= MAX_DURATION_MS,
            "{}",
            Latency::point(Latency::LAST)
        );
        assert!(weight_point(WEIGHTS - 1) >= 1e6);
        for points in [RewardScore::POINTS, Success::POINTS, Cost::POINTS, Latency::POINTS] {
            assert!(u32::from(points) * u32::from(WEIGHTS) < u32::from(u16::MAX));
        }
    }

    proptest! {
        #[test]
        fn a_sample_preserves_the_weight_and_the_value(rate in 1e-6..=1.0_f64, value in 0.0..=1.0_f64) {
            let weight = Weight::from_sample_rate(rate);
            let mut sample = Sample::<RewardScore>::default();
            sample.add(value, weight);
            prop_assert!((sample.n() - 1.0).abs() < 1e-9);
            let total: f64 = sample.points().map(|(w, _, n)| w * n).sum();
            prop_assert!((total / weight.as_f64() - 1.0).abs() < 3e-6, "{total} {weight:?}");
            prop_assert!((mean(&sample) - value).abs() <= RewardScore::RESOLUTION + 1e-12);
        }

        #[test]
        fn a_coarser_sample_keeps_sums_and_never_narrows_intervals(
            seen in proptest::collection::vec((0.0..=1.0_f64, 1e-6..=1.0_f64), 1..40),
        ) {
            let mut sample = Sample::<RewardScore>::default();
            seen.iter().for_each(|(x, rate)| sample.add(*x, Weight::from_sample_rate(*rate)));
            let sums = |sample: &Sample<RewardScore>| {
                sample.points().fold([0.0; 3], |[n, w, x], (weight, value, count)| {
                    [n + count, w + weight * count, x + weight * count * value]
                })
            };
            let mut before = sample;
            for points in COARSER {
                let mut coarse = before.clone();
                coarse.coarsen(points);
                // Splitting rounds to a whole unit of mass, at the highest weight at most.
                let rounding = before.points().count().to_f64() * coarse.max_weight() / WHOLE.to_f64();
                for (was, is) in sums(&before).into_iter().zip(sums(&coarse)) {
                    prop_assert!((is - was).abs() <= rounding + 1e-9 * was, "{was} {is}");
                }
                let classes = coarse.points().map(|(weight, ..)| weight.to_bits());
                let classes: std::collections::BTreeSet<_> = classes.collect();
                prop_assert!(classes.len() <= usize::from((WEIGHTS - 1) / points) + 1);
                let max_weight = coarse.max_weight();
                let of = |it: &Sample<RewardScore>| mean_interval(&Cells::of(it).within(max_weight), 0.05);
                let (fine, rough) = (of(&before), of(&coarse));
                prop_assert!(rough.low <= fine.low + 1e-6 && fine.high <= rough.high + 1e-6);
                before = coarse;
            }
        }

        #[test]
        fn costs_keep_their_mean(costs in proptest::collection::vec(0.0..2.0_f64, 1..30)) {
            let mut sample = Sample::<Cost>::default();
            costs.iter().for_each(|cost| sample.add(*cost, Weight::ONE));
            let expected = costs.iter().sum::<f64>() / costs.len().to_f64();
            prop_assert!((mean(&sample) - expected).abs() < 1e-3 * expected + 1e-9);
        }

        #[test]
        fn a_duration_is_within_its_bin(value in 0.0..1e9_f64) {
            let value = value.min(MAX_DURATION_MS);
            let (index, _) = Latency::place(value);
            prop_assert!(value <= Latency::point(index) * (1.0 + 1e-15));
            prop_assert!(index == 0 || Latency::point(index - 1) < value);
        }

        #[test]
        fn order_and_grouping_do_not_change_a_sample(
            values in proptest::collection::vec((0.0..=1.0_f64, 0.01..=1.0_f64), 0..40), cut in 0..40_usize,
        ) {
            let of = |values: &[(f64, f64)]| {
                let mut sample = Sample::<RewardScore>::default();
                values.iter().for_each(|(x, rate)| sample.add(*x, Weight::from_sample_rate(*rate)));
                sample
            };
            let cut = cut.min(values.len());
            let mut parts = of(&values[cut..]);
            parts.merge(&of(&values[..cut]));
            prop_assert_eq!(&parts, &of(&values));
            prop_assert_eq!(&parts.since(&of(&values[..cut])), &of(&values[cut..]));
            let bytes = postcard::to_allocvec(&parts).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Sample<RewardScore>>(&bytes).unwrap(), parts);
        }
    }
}
