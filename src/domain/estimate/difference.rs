//! How far two means are apart.

use super::capital::{Cells, Side};
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
    let above = |m: f64| a.log_capital(Side::Above, m);
    let below = |m: f64| b.log_capital(Side::Below, m - by);
    let (low, high) = (by.max(0.0), (1.0 + by).min(1.0));
    let (n, other) = (a.effective_n(), b.effective_n());
    let likely = (a.mean() * n + (b.mean() + by) * other) / (n + other);
    let likely = likely.clamp(low, high);
    if above(likely) + below(likely) < enough {
        return false;
    }
    // The first falls with m and the second rises, so that their ends bound a stretch.
    let mut open = vec![
        Stretch { low, high: likely, above: above(likely), below: below(low) },
        Stretch { low: likely, high, above: above(high), below: below(likely) },
    ];
    while let Some(stretch) = open.pop() {
        if stretch.above + stretch.below >= enough || stretch.low >= stretch.high {
            continue;
        }
        let middle = f64::midpoint(stretch.low, stretch.high);
        let (at_above, at_below) = (above(middle), below(middle));
        if at_above + at_below < enough || stretch.high - stretch.low < narrowest {
            return false;
        }
        open.push(Stretch { high: middle, above: at_above, ..stretch });
        open.push(Stretch { low: middle, below: at_below, ..stretch });
    }
    true
}

/// Means from `low` to `high`, with what the first gambler owns at least (against `high`) and what
/// the second does (against `low`), in logarithms.
#[derive(Clone, Copy)]
struct Stretch {
    low: f64,
    high: f64,
    above: f64,
    below: f64,
}
