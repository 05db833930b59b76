//! The error budget: how the allowed probability of error of a policy, `alpha`, is divided.
//!
//! A budget covers a period of 30 days ([`PERIOD_MS`]). Half of it goes to the claims of proposals:
//! each ordered pair of arms gets an equal part. The other half goes to the reported intervals: each
//! of the five metrics of each arm gets an equal part. The number of looks does not matter, because
//! every estimate holds at all looks at once.
//!
//! When an arm restarts ([`super::memory`]), its comparisons restart, too, and need a part of their
//! own. The first start gets 4/5; the r-th restart within the period gets 1/5 x 1 / (r (r + 1)). The
//! parts never add up to more than the whole. As the buckets of the timeline get wider, a restart is
//! moved twice: to the next full six hours, and to the next full day. Each of its three starts gets
//! a third of its part.

use crate::number::Lossy;
use crate::time::DAY_MS;

/// The period of a budget: 30 days.
pub const PERIOD_MS: i64 = 30 * DAY_MS;

/// The metrics of an arm with a reported interval: reward, success, cost, and two quantiles of
/// latency.
const METRICS: f64 = 5.0;

/// The part of the first start.
const FIRST: f64 = 0.8;
/// The starts of one restart.
const STARTS: f64 = 3.0;

/// The number of the period that contains a time.
pub const fn period_of(now: i64) -> i64 {
    now.div_euclid(PERIOD_MS)
}

/// Whether a time is the start of a period, as for arms that did not restart in it.
pub const fn is_start_of_period(ms: i64) -> bool {
    ms.rem_euclid(PERIOD_MS) == 0
}

/// The probability of error for the claim that one arm is better than another. `restarts` are those
/// of both arms in this period.
pub fn of_pair(alpha: f64, arms: usize, restarts: [u32; 2]) -> f64 {
    let pairs = (arms * arms.saturating_sub(1)).max(1);
    let part = part(restarts[0] + restarts[1]) / STARTS.powi(restarted(restarts));
    alpha / 2.0 / pairs.to_f64() * part
}

/// How many of two arms have restarted.
fn restarted(restarts: [u32; 2]) -> i32 {
    restarts.iter().map(|it| i32::from(*it > 0)).sum()
}

/// The probability of error for an interval around one metric of one arm.
pub fn of_interval(alpha: f64, arms: usize, restarts: u32) -> f64 {
    let starts = if restarts > 0 { STARTS } else { 1.0 };
    alpha / 2.0 / (METRICS * arms.max(1).to_f64()) * part(restarts) / starts
}

fn part(restarts: u32) -> f64 {
    match f64::from(restarts) {
        0.0 => FIRST,
        r => (1.0 - FIRST) / (r * (r + 1.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_never_add_up_to_more_than_the_whole() {
        let intervals: f64 =
            (0..1_000).map(|r| of_interval(0.05, 3, r) * if r > 0 { STARTS } else { 1.0 }).sum();
        assert!(intervals * METRICS * 3.0 <= 0.025, "{intervals}");
        // Each total number of restarts of a pair occurs once.
        let pairs: f64 = (0..1_000)
            .map(|r| {
                let restarts = [r / 2, r - r / 2];
                of_pair(0.05, 3, restarts) * STARTS.powi(restarted(restarts))
            })
            .sum();
        assert!(pairs * 6.0 <= 0.025, "{pairs}");
    }
}
