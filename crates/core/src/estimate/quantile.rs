//! Where a quantile of durations lies.

use super::capital::{Cells, Side};
use super::interval::Interval;
use super::sample::{Grid, Latency, Sample};

/// Where the `share` quantile (0.5 for the median) lies, in milliseconds, at every look with a
/// probability of at most `alpha` to be wrong; `None` of nothing.
///
/// As Howard and Ramdas ("Sequential estimation of quantiles with applications to A/B testing and
/// best-arm identification", arXiv 1906.09712) this asks of each duration whether the share of
/// actions that took no longer can be `share`, here by betting. Only edges of bins are asked, so
/// that an interval is up to a bin (9%) wider at either end than it need be. With no upper bound
/// it ends at the highest edge. Observations may weigh as much as `max_weight`.
pub fn quantile_interval(
    sample: &Sample<Latency>,
    max_weight: f64,
    share: f64,
    alpha: f64,
) -> Option<Interval> {
    if sample.is_empty() {
        return None;
    }
    let up_to = |edge: u16| {
        let edge = Latency::point(edge);
        Cells::mapped(sample, |duration| f64::from(u8::from(duration <= edge))).within(max_weight)
    };
    // Of edges from below, those where fewer than `share` took no longer come first.
    let edges = Latency::POINTS;
    let too_low = |edge| up_to(edge).refutes(Side::Below, share, alpha / 2.0);
    let high_enough = |edge| up_to(edge).refutes(Side::Above, share, alpha / 2.0);
    let above = partition(edges, too_low);
    let below = partition(edges, |edge| !high_enough(edge));
    let low = above.checked_sub(1).map_or(0.0, Latency::point);
    Some(Interval { low, high: Latency::point(below.min(edges - 1)) })
}

/// The first of `0..end` for which `holds` no longer does.
fn partition(end: u16, holds: impl Fn(u16) -> bool) -> u16 {
    let (mut low, mut high) = (0, end);
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
