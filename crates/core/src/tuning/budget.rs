//! How the error that a policy may make, `alpha`, is spent.
//!
//! A budget lasts for a period of 30 days ([`PERIOD_MS`]). Half of it goes to what proposals claim:
//! each ordered pair of arms gets an equal part. Half goes to the intervals that are shown: each
//! of the five metrics of each arm gets an equal part. Looks cost nothing, because every estimate
//! holds at all of them at once.
//!
//! Whenever an arm begins anew ([`super::memory`]), what compares it begins anew as well and needs
//! a part of its own: the first has 4/5, and the r-th restart within the period 1/5 x 1 / (r (r + 1)),
//! which never adds up to more than the whole. As buckets of the timeline grow wider a restart is
//! moved twice, to the next full six hours and to the next full day, so that a third of its part
//! goes to each of its three beginnings.

/// 30 days, in milliseconds.
pub const PERIOD_MS: i64 = 30 * 24 * 3_600_000;

/// Metrics of an arm that are shown with an interval: reward, success, cost, and two quantiles of
/// latency.
const METRICS: f64 = 5.0;

const FIRST: f64 = 0.8;
const BEGINNINGS: f64 = 3.0;

/// The period that a time lies in.
pub const fn period_of(now: i64) -> i64 {
    now.div_euclid(PERIOD_MS)
}

/// The probability of error for the claim that one arm is better than another, which have begun
/// anew so many times in this period.
pub fn of_pair(alpha: f64, arms: usize, restarts: [u32; 2]) -> f64 {
    let pairs = (arms * arms.saturating_sub(1)).max(1);
    let anew = restarts.iter().filter(|it| **it > 0).count();
    let part = part(restarts[0] + restarts[1]) / BEGINNINGS.powi(anew as i32);
    alpha / 2.0 / pairs as f64 * part
}

/// The probability of error for an interval around one metric of one arm.
pub fn of_interval(alpha: f64, arms: usize, restarts: u32) -> f64 {
    let beginnings = if restarts > 0 { BEGINNINGS } else { 1.0 };
    alpha / 2.0 / (METRICS * arms.max(1) as f64) * part(restarts) / beginnings
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
        let intervals: f64 = (0..1_000)
            .map(|r| of_interval(0.05, 3, r) * if r > 0 { BEGINNINGS } else { 1.0 })
            .sum();
        assert!(intervals * METRICS * 3.0 <= 0.025, "{intervals}");
        // One of a pair begins anew again and again, or both in turn: each sum is met once.
        let pairs: f64 = (0..1_000)
            .map(|r| {
                let restarts = [r / 2, r - r / 2];
                let anew = restarts.iter().filter(|it| **it > 0).count();
                of_pair(0.05, 3, restarts) * BEGINNINGS.powi(anew as i32)
            })
            .sum();
        assert!(pairs * 6.0 <= 0.025, "{pairs}");
    }
}
