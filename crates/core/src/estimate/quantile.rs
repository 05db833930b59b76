//! The interval of a quantile of durations.

use super::capital::{Cells, Side};
use super::interval::Interval;
use super::sample::{Grid, Latency, Sample};

/// The interval of the `share` quantile (0.5 for the median) in milliseconds; `None` without
/// observations. The probability that it is wrong at any look is at most `alpha`. `max_weight` is the
/// largest weight of an observation.
///
/// As in Howard and Ramdas ("Sequential estimation of quantiles with applications to A/B testing and
/// best-arm identification", arXiv 1906.09712), each duration is tested: can the share of actions that
/// took at most this long be `share`? The test is a bet. Only the edges of bins are tested, so that an
/// interval may be one bin (9%) too wide at either end. Without an upper bound it ends at the highest
/// edge.
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
    // The share of actions up to an edge rises with the edge, so that both ends can be searched.
    let edges = Latency::POINTS;
    let too_low = |edge| up_to(edge).refutes(Side::Below, share, alpha / 2.0);
    let high_enough = |edge| up_to(edge).refutes(Side::Above, share, alpha / 2.0);
    let above = partition(edges, too_low);
    let below = partition(edges, |edge| !high_enough(edge));
    let low = above.checked_sub(1).map_or(0.0, Latency::point);
    Some(Interval { low, high: Latency::point(below.min(edges - 1)) })
}

/// The first number of `0..end` for which `holds` is false, or `end`.
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
