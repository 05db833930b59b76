//! The difference of two means.

use std::ops::RangeInclusive;

use super::capital::{BETS, Cells, LogCapitals, Side, log_mean_exp};
use super::interval::{Interval, last_refuted};
use crate::number::whole_i32;

/// The precision of bounds, as a share of the error of a mean. Bounds are rounded outwards.
const PRECISION: f64 = 1.0 / 100.0;

/// The interval of the mean of `a` minus the mean of `b`. The probability that it is wrong at any look is
/// at most `alpha`. `a` and `b` must contain different observations.
pub fn difference(a: &Cells, b: &Cells, alpha: f64) -> Interval {
    let (Some(mean_a), Some(mean_b)) = (mean(a), mean(b)) else {
        return Interval { low: -1.0, high: 1.0 };
    };
    let between = mean_a - mean_b;
    let precision = precision(a, b);
    let low = last_refuted(-1.0, between, precision, |d| is_greater(a, b, d, alpha / 2.0));
    let high = -last_refuted(-1.0, -between, precision, |d| is_greater(b, a, d, alpha / 2.0));
    Interval { low, high }
}

fn mean(cells: &Cells) -> Option<f64> {
    (!cells.is_empty()).then(|| cells.mean())
}

fn precision(a: &Cells, b: &Cells) -> f64 {
    PRECISION / a.effective_n().min(b.effective_n()).sqrt().max(1.0)
}

/// Whether the mean of `a` is proven to be greater than that of `b` by more than `by`. The probability
/// that this is wrong at any look is at most `alpha`.
///
/// If it is wrong, there is an m such that the mean of `a` is at most m and the mean of `b` at least
/// m - `by`. Two gamblers bet against that, one on each mean. The product of their capitals is fair as
/// well, because no observation is used by both. It must exceed 1 / alpha for every m.
pub fn is_greater(a: &Cells, b: &Cells, by: f64, alpha: f64) -> bool {
    if a.is_empty() || b.is_empty() {
        return false;
    }
    let enough = -alpha.ln();
    // A narrower range is not searched: if the claim is unclear there, it is not made.
    let narrowest = precision(a, b) / 4.0;
    let at = |m: f64| Pair::of(a, b, by, m);
    let (low, high) = (by.max(0.0), (1.0 + by).min(1.0));
    let (n, other) = (a.effective_n(), b.effective_n());
    let likely = (a.mean() * n + (b.mean() + by) * other) / (n + other);
    let likely = at(likely.clamp(low, high));
    if likely.log_capital() < enough {
        return false;
    }
    let mut open = vec![(at(low), likely), (likely, at(high))];
    while let Some((low, high)) = open.pop() {
        if between(&low, &high) >= enough || low.m >= high.m {
            continue;
        }
        let middle = at(f64::midpoint(low.m, high.m));
        if middle.log_capital() < enough || high.m - low.m < narrowest {
            return false;
        }
        open.push((low, middle));
        open.push((middle, high));
    }
    true
}

/// The capitals of the two gamblers against one `m`, as logarithms.
#[derive(Clone, Copy)]
struct Pair {
    m: f64,
    above: LogCapitals,
    below: LogCapitals,
    offset: i32,
}

impl Pair {
    /// The gamblers bet that the mean of `a` is above `m`, and that of `b` below `m - by`.
    fn of(a: &Cells, b: &Cells, by: f64, m: f64) -> Self {
        Self {
            m,
            above: a.log_capitals(Side::Above, m),
            below: b.log_capitals(Side::Below, m - by),
            offset: offset(m, by),
        }
    }

    fn log_capital(&self) -> f64 {
        log_capital(&self.above, &self.below, self.offset..=self.offset)
    }
}

/// By how many steps the bets of the second gambler are smaller than those of the first, if both stake
/// the same on the same deviation: the first stakes a share of `m`, the second of 1 - (m - by).
fn offset(m: f64, by: f64) -> i32 {
    let steps = (m / (1.0 - m + by)).log2().round();
    // NaN, where rounding makes the quotient negative, becomes 0.
    whole_i32(steps.clamp(-LAST_OFFSET, LAST_OFFSET))
}

/// From this offset on, no two bets of the mixture are paired.
const LAST_OFFSET: f64 = 12.0;
const _: () = assert!(BETS == 12);

/// A lower bound of the capital against every m from `low` to `high`: as m grows, the first gambler
/// loses and the second wins.
fn between(low: &Pair, high: &Pair) -> f64 {
    log_capital(&high.above, &low.below, low.offset..=high.offset)
}

/// Half of the stake is divided among all pairs of bets. The other half is divided only among the pairs
/// that stake the same on the same deviation, which are the best if both have equally many
/// observations. With several offsets, the result is the smallest capital of any of them.
fn log_capital(above: &LogCapitals, below: &LogCapitals, offsets: RangeInclusive<i32>) -> f64 {
    let all = log_mean_exp(above) + log_mean_exp(below);
    let matched = offsets.map(|offset| matched(above, below, offset)).fold(f64::INFINITY, f64::min);
    log_mean_exp(&[all, matched])
}

/// The mean over the pairs of bets with this offset; bets without a counterpart are not staked.
fn matched(above: &LogCapitals, below: &LogCapitals, offset: i32) -> f64 {
    let skipped = usize::try_from(offset.unsigned_abs()).unwrap_or(BETS);
    let (skip_above, skip_below) = if offset < 0 { (skipped, 0) } else { (0, skipped) };
    let pairs = above.iter().skip(skip_above).zip(below.iter().skip(skip_below));
    let logs: Vec<f64> = pairs.map(|(above, below)| above + below).collect();
    if logs.is_empty() { 0.0 } else { log_mean_exp(&logs) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coins(successes: i32, failures: i32) -> Cells {
        let points = [(1.0, 1.0, f64::from(successes)), (1.0, 0.0, f64::from(failures))];
        Cells::from_points(points.into_iter().filter(|it| it.2 > 0.0))
    }

    /// The probability of each number of successes.
    fn binomial(n: i32, p: f64) -> Vec<f64> {
        let mut ways = 1.0;
        let of = |k: i32| {
            let probability = ways * p.powi(k) * (1.0 - p).powi(n - k);
            ways *= f64::from(n - k) / f64::from(k + 1);
            probability
        };
        (0..=n).map(of).collect()
    }

    /// If the claim is wrong, there is an `m` against which both gamblers together win nothing on
    /// average. Their capital then rarely gets large, so that a large capital is a proof.
    #[test]
    fn two_gamblers_win_nothing_on_average_if_the_claim_is_wrong() {
        for (m, by, n, other) in [(0.5, 0.0, 12, 12), (0.93, 0.0, 9, 20), (0.2, 0.1, 15, 6)] {
            let (of_a, of_b) = (binomial(n, m), binomial(other, m - by));
            let mut average = 0.0;
            for (ones, a) in (0..).zip(&of_a) {
                for (others, b) in (0..).zip(&of_b) {
                    let (seen, compared) = (coins(ones, n - ones), coins(others, other - others));
                    average += a * b * Pair::of(&seen, &compared, by, m).log_capital().exp();
                }
            }
            assert!((average - 1.0).abs() < 1e-9, "{m} {by}: {average}");
        }
    }

    #[test]
    fn the_bound_of_a_range_is_at_most_the_capital_at_each_point_of_it() {
        let (a, b) = (coins(90, 10), coins(60, 40));
        for by in [0.0, 0.1] {
            let at = |m: f64| Pair::of(&a, &b, by, m);
            for (low, high) in [(0.2, 0.9), (0.7, 0.75), (0.6, 0.601)] {
                let least = between(&at(low), &at(high));
                for step in 0..=20 {
                    let m = low + (high - low) * f64::from(step) / 20.0;
                    assert!(least <= at(m).log_capital() + 1e-9, "{low} {high} {m}");
                }
            }
        }
    }
}
