//! How far two means are apart.

use std::ops::RangeInclusive;

use super::capital::{BETS, Cells, LogCapitals, Side, log_mean_exp};
use super::interval::{Interval, last_refuted};

/// Bounds are found to within this share of the error of a mean, outwards.
const PRECISION: f64 = 1.0 / 100.0;

/// Where the mean of `a` less that of `b` lies, at every look, with a probability of at most
/// `alpha` to be wrong. `a` and `b` must hold different observations.
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

/// Whether the mean of `a` is greater than that of `b` by more than `by`: said in error, by
/// whoever looks however often, with a probability of at most `alpha`.
///
/// If it is not, then there is an m such that `a` has no more than m and `b` no less than m - `by`.
/// Two gamblers bet against that, one on each; what they own multiplied is fair as well, since no
/// observation is bet on by both. It must exceed 1 / alpha for every m there is.
pub fn is_greater(a: &Cells, b: &Cells, by: f64, alpha: f64) -> bool {
    if a.is_empty() || b.is_empty() {
        return false;
    }
    let enough = -alpha.ln();
    // A stretch as narrow as this is not searched any further: what is unclear there is not said.
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

/// What the two gamblers own against one `m`, in logarithms.
#[derive(Clone, Copy)]
struct Pair {
    m: f64,
    above: LogCapitals,
    below: LogCapitals,
    offset: i32,
}

impl Pair {
    /// Of those who bet that the mean of `a` lies above `m`, and that of `b` below `m - by`.
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

/// By how many steps the bets of the second are smaller than those of the first where both stake
/// the same on the same deviation: the first stakes a share of `m`, the second of 1 - (m - by).
fn offset(m: f64, by: f64) -> i32 {
    let steps = (m / (1.0 - m + by)).log2().round();
    steps.clamp(-FURTHEST, FURTHEST) as i32
}

/// Beyond this no two bets of the mixture are so far apart.
const FURTHEST: f64 = BETS as f64;

/// What they own at least against every m from `low` to `high`: the first loses as m grows, and
/// the second wins.
fn between(low: &Pair, high: &Pair) -> f64 {
    log_capital(&high.above, &low.below, low.offset..=high.offset)
}

/// Half of the stake is divided among all pairs of bets, half only among those that stake the same
/// on the same deviation, which are the best where there are as many observations of both. Of
/// several offsets, the least that any of them leads to.
fn log_capital(above: &LogCapitals, below: &LogCapitals, offsets: RangeInclusive<i32>) -> f64 {
    let all = log_mean_exp(above) + log_mean_exp(below);
    let matched = offsets.map(|offset| matched(above, below, offset)).fold(f64::INFINITY, f64::min);
    log_mean_exp(&[all, matched])
}

/// The mean over the pairs that are so far apart; what has no counterpart is not staked.
fn matched(above: &LogCapitals, below: &LogCapitals, offset: i32) -> f64 {
    let skipped = offset.unsigned_abs() as usize;
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

    /// How probable each number of successes is.
    fn binomial(n: i32, p: f64) -> Vec<f64> {
        let mut ways = 1.0;
        let of = |k: i32| {
            let probability = ways * p.powi(k) * (1.0 - p).powi(n - k);
            ways *= f64::from(n - k) / f64::from(k + 1);
            probability
        };
        (0..=n).map(of).collect()
    }

    /// If `b` is worse by no more than `by`, some `m` is neither below the mean of `a` nor above
    /// that of `b` and `by`. Against it both gamblers together win nothing on average, so that
    /// they seldom grow rich, and their proof is one.
    #[test]
    fn two_gamblers_win_nothing_on_average_where_there_is_nothing_to_prove() {
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
    fn what_is_owned_between_two_means_is_no_more_than_at_either_or_within() {
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
