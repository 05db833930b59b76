//! The error budget: how the allowed probability of error of a policy, `alpha`, is divided.
//!
//! A budget covers a period of 30 days ([`PERIOD_MS`]). Half of it goes to the claims of proposals,
//! that an arm is not the best. A quarter goes to the reported intervals of differences, of which each
//! end of each pair of arms gets an equal part. The last quarter goes to the intervals of the five
//! metrics of each arm, in equal parts. The number of looks does not matter, because every estimate
//! holds at all looks at once.
//!
//! Claims about arms share their half; see [`not_best`]. The rules before divided it among the pairs
//! of arms, whose intervals were wrong only if a claim was, and gave half to the metrics.
//!
//! When an arm restarts ([`super::memory`]), its comparisons restart, too, and need a part of their
//! own. The first start gets 4/5 (claims: 9/10); the r-th restart within the period gets 1/(r (r + 1))
//! of the rest. The parts never add up to more than the whole. As the buckets of the timeline get wider, a restart is
//! moved twice: to the next full six hours, and to the next full day. Each of its three starts gets
//! a third of its part.

use super::blocks::Claims;
use crate::number::Lossy;
use crate::time::DAY_MS;

/// The period of a budget: 30 days.
pub const PERIOD_MS: i64 = 30 * DAY_MS;

/// The metrics of an arm with a reported interval: reward, success, cost, and two quantiles of
/// latency.
const METRICS: f64 = 5.0;

/// The part of the first start.
const FIRST: f64 = 0.8;
/// The part of the first start for claims, of which most are made before any restart.
const FIRST_STAKE: f64 = 0.9;
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

/// The probability of error of all claims.
pub fn of_claims(alpha: f64) -> f64 {
    alpha / 2.0
}

/// The budget of the intervals, of which [`of_pair`] and [`of_interval`] take half each.
pub fn of_intervals(alpha: f64, claims: Claims) -> f64 {
    match claims {
        Claims::Arms => alpha / 2.0,
        // A claim was an interval without 0.
        Claims::Pairs => alpha,
    }
}

/// The part of a capital that is staked on the present start of both arms. `restarts` are those of
/// both in this period.
pub fn staked(restarts: [u32; 2]) -> f64 {
    part(FIRST_STAKE, restarts[0] + restarts[1]) / STARTS.powi(restarted(restarts))
}

/// Which arms are proven not to be the best. `capitals` are those of the claims that an arm is not,
/// which started with at most 1: if no arm is better than an arm, its capital reaches `1 / alpha` at
/// any time with a probability of at most `alpha` (Ville).
///
/// Several arms may be the best, as equal arms are. The mean of their capitals reaches `1 / alpha`
/// with a probability of at most `alpha`, too. So an arm is ruled out only if its capital does so
/// together with any others: then the probability that any of the best arms is ever ruled out is at
/// most `alpha` (closed testing with e-values: Vovk, Wang, Annals of Statistics 49, 2021). The best
/// arm usually has next to no capital. With a clear best arm, the last rival is therefore ruled out
/// at `2 / alpha`, however many arms there are.
pub fn not_best(capitals: &[f64], alpha: f64) -> Vec<bool> {
    let mut ascending: Vec<usize> = (0..capitals.len()).collect();
    ascending.sort_by(|a, b| capitals[*a].total_cmp(&capitals[*b]));
    let is_out = |arm: usize| {
        let others = ascending.iter().filter(|other| **other != arm);
        let (mut sum, mut count) = (capitals[arm], 1.0);
        let mut least = sum;
        for other in others {
            sum += capitals[*other];
            count += 1.0;
            least = f64::min(least, sum / count);
        }
        least >= 1.0 / alpha
    };
    (0..capitals.len()).map(is_out).collect()
}

/// The probability of error for the claim that one arm is better than another. `restarts` are those
/// of both arms in this period.
pub fn of_pair(alpha: f64, arms: usize, restarts: [u32; 2]) -> f64 {
    let pairs = (arms * arms.saturating_sub(1)).max(1);
    let part = part(FIRST, restarts[0] + restarts[1]) / STARTS.powi(restarted(restarts));
    alpha / 2.0 / pairs.to_f64() * part
}

/// How many of two arms have restarted.
fn restarted(restarts: [u32; 2]) -> i32 {
    restarts.iter().map(|it| i32::from(*it > 0)).sum()
}

/// The probability of error for an interval around one metric of one arm.
pub fn of_interval(alpha: f64, arms: usize, restarts: u32) -> f64 {
    let starts = if restarts > 0 { STARTS } else { 1.0 };
    alpha / 2.0 / (METRICS * arms.max(1).to_f64()) * part(FIRST, restarts) / starts
}

fn part(first: f64, restarts: u32) -> f64 {
    match f64::from(restarts) {
        0.0 => first,
        r => (1.0 - first) / (r * (r + 1.0)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_single_rival_is_ruled_out_at_twice_the_usual_capital_however_many_arms_were_before() {
        let capitals = [0.0, 39.0, 1e6, 1e6, 1e6];
        assert_eq!(not_best(&capitals, 0.05), [false, false, true, true, true]);
        assert!(not_best(&[0.0, 40.0, 1e6, 1e6, 1e6], 0.05)[1]);
        // Nothing is known of four others.
        assert_eq!(not_best(&[0.0, 0.0, 0.0, 0.0, 99.0], 0.05), [false; 5]);
        assert!(not_best(&[0.0, 0.0, 0.0, 0.0, 100.0], 0.05)[4]);
    }

    proptest! {
        /// Whatever the arms that are the best are, none is ruled out unless their mean capital is
        /// large, which rarely happens.
        #[test]
        fn no_arm_of_a_set_is_ruled_out_unless_the_mean_capital_of_the_set_is_large(
            capitals in prop::collection::vec(0.0..200.0_f64, 2..7), set in 1..64_usize
        ) {
            let best: Vec<usize> = (0..capitals.len()).filter(|it| set >> it & 1 == 1).collect();
            let mean = best.iter().map(|it| capitals[*it]).sum::<f64>() / best.len().to_f64();
            let out = not_best(&capitals, 0.05);
            prop_assert!(mean >= 20.0 * (1.0 - 1e-12) || best.iter().all(|it| !out[*it]));
        }
    }

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
        let stakes: f64 = (0..1_000)
            .map(|r| {
                let restarts = [r / 2, r - r / 2];
                staked(restarts) * STARTS.powi(restarted(restarts))
            })
            .sum();
        assert!(stakes <= 1.0, "{stakes}");
    }
}
