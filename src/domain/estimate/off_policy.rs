//! What another choice of arms would have earned, from what one choice did earn.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::capital::Cells;
use super::interval::{Interval, mean_interval};
use super::sample::{Grid, Sample};

/// One arm of the log: its rewards, how probable it was to be chosen (its propensity), and how
/// probable it would be.
#[derive(Debug)]
pub struct Logged<'a, G: Grid> {
    pub rewards: &'a Sample<G>,
    pub propensity: f64,
    pub proposed: f64,
}

/// Estimates of the mean reward under the proposed probabilities. Between 0 and 1 but for `ips`,
/// which may exceed 1 by chance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OffPolicy {
    /// Inverse propensity scores: each reward counts proposed / propensity (Horvitz, Thompson,
    /// JASA 47, 1952).
    pub ips: f64,
    /// The same divided by the sum of what was counted (Swaminathan, Joachims, NeurIPS 2015).
    pub snips: f64,
    /// Doubly robust: the mean of each arm, corrected by what it leaves unexplained (Dudik,
    /// Langford, Li, ICML 2011). Where nothing but the arm is known of a choice it is the sum of
    /// the arms' means, each times its proposed probability.
    pub dr: f64,
    /// Around `ips`; holds at every look.
    pub interval: Interval,
    /// How many observations under the proposal itself would say as much (Kish).
    pub effective_n: f64,
    pub n: f64,
}

/// `None` where nothing was logged, or where an arm is proposed that was never to be chosen: of
/// that the log can say nothing. Observations may weigh as much as `heaviest`.
pub fn off_policy<G: Grid>(log: &[Logged<'_, G>], heaviest: f64, alpha: f64) -> Option<OffPolicy> {
    let unseen = |arm: &Logged<'_, G>| arm.proposed > 0.0 && arm.propensity <= 0.0;
    if log.iter().any(unseen) || log.iter().all(|arm| arm.rewards.is_empty()) {
        return None;
    }
    let ratio = |arm: &Logged<'_, G>| {
        if arm.propensity > 0.0 { arm.proposed / arm.propensity } else { 0.0 }
    };
    let largest = log.iter().map(ratio).fold(0.0, f64::max);
    let (mut actions, mut weights, mut squares, mut earned) = (0.0, 0.0, 0.0, 0.0);
    let (mut n, mut direct) = (0.0, 0.0);
    let mut cells = Vec::new();
    for arm in log {
        let ratio = ratio(arm);
        let (mut total, mut sum) = (0.0, 0.0);
        for (weight, reward, count) in arm.rewards.points() {
            total += weight * count;
            sum += weight * count * reward;
            n += count;
            squares += weight * weight * ratio * ratio * count;
            cells.push((weight, ratio * reward / largest, count));
        }
        actions += total;
        weights += ratio * total;
        earned += ratio * sum;
        direct += if total > 0.0 { arm.proposed * sum / total } else { 0.0 };
    }
    if weights <= 0.0 {
        return None;
    }
    let cells = Cells::from_points(cells).within(heaviest);
    let interval = mean_interval(&cells, alpha).scaled(largest);
    Some(OffPolicy {
        ips: earned / actions,
        snips: earned / weights,
        dr: direct,
        interval: Interval { low: interval.low.min(1.0), high: interval.high.min(1.0) },
        effective_n: weights * weights / squares,
        n,
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample::RewardScore;
    use super::*;
    use crate::domain::observation::Weight;

    fn coins(successes: u32, failures: u32) -> Sample<RewardScore> {
        let mut sample = Sample::default();
        (0..successes).for_each(|_| sample.add(1.0, Weight::ONE));
        (0..failures).for_each(|_| sample.add(0.0, Weight::ONE));
        sample
    }

    #[test]
    fn what_was_logged_is_worth_what_it_earned() {
        let (a, b) = (coins(60, 40), coins(30, 70));
        let log = [
            Logged { rewards: &a, propensity: 0.5, proposed: 0.5 },
            Logged { rewards: &b, propensity: 0.5, proposed: 0.5 },
        ];
        let found = off_policy(&log, 1.0, 0.05).unwrap();
        for value in [found.ips, found.snips, found.dr] {
            assert!((value - 0.45).abs() < 1e-12, "{found:?}");
        }
        assert!((found.effective_n - 200.0).abs() < 1e-9 && found.interval.contains(0.45));
    }

    #[test]
    fn a_proposal_is_worth_what_its_arms_earned() {
        let (a, b) = (coins(60, 40), coins(15, 35));
        let log = [
            Logged { rewards: &a, propensity: 2.0 / 3.0, proposed: 1.0 / 3.0 },
            Logged { rewards: &b, propensity: 1.0 / 3.0, proposed: 2.0 / 3.0 },
        ];
        let found = off_policy(&log, 1.0, 0.05).unwrap();
        for value in [found.ips, found.snips, found.dr] {
            assert!((value - 0.4).abs() < 1e-12, "{found:?}");
        }
        // (100/2 + 50 x 2) squared over (100/4 + 50 x 4).
        assert!((found.effective_n - 100.0).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn of_an_arm_that_was_never_to_be_chosen_the_log_says_nothing() {
        let (a, b) = (coins(60, 40), coins(0, 0));
        let log = [
            Logged { rewards: &a, propensity: 1.0, proposed: 0.5 },
            Logged { rewards: &b, propensity: 0.0, proposed: 0.5 },
        ];
        assert_eq!(off_policy(&log, 1.0, 0.05), None);
    }
}
