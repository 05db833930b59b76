//! Off-policy evaluation: what other weights would have earned, from the log of the used weights.

use serde::{Deserialize, Serialize};

use super::capital::Cells;
use super::interval::{Interval, mean_interval};
use super::log::Chosen;

/// One arm of the log: its observations by propensity, and its proposed weight.
#[derive(Clone, Debug)]
pub struct Logged<'a> {
    pub chosen: Vec<Chosen<'a>>,
    pub proposed: f64,
}

/// The extremes to expect before they are observed.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The largest weight of an observation.
    pub max_weight: f64,
    /// The smallest propensity with which an arm is chosen.
    pub least_propensity: f64,
}

impl Default for Expected {
    fn default() -> Self {
        Self { max_weight: 1.0, least_propensity: 1.0 }
    }
}

/// Estimates of the mean reward with the proposed weights. They are between 0 and 1, except for `ips`,
/// which may exceed 1 by chance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OffPolicy {
    /// Inverse propensity scores: each reward counts proposed / propensity (Horvitz, Thompson,
    /// JASA 47, 1952).
    pub ips: f64,
    /// Self-normalized: `ips` divided by the mean of proposed / propensity (Swaminathan, Joachims,
    /// NeurIPS 2015).
    pub snips: f64,
    /// Doubly robust: the mean of each arm times its proposed weight, corrected by the part that the means
    /// do not explain (Dudik, Langford, Li, ICML 2011). The correction is zero if arms were chosen
    /// independently of the action.
    pub dr: f64,
    /// The interval of `ips`; holds at every look.
    pub interval: Interval,
    /// The number of observations with the proposed weights that would have the same certainty (Kish).
    pub effective_n: f64,
    pub n: f64,
}

/// Estimates what the proposed weights would have earned. `None` if the log is empty, or if an arm with
/// a proposed weight could not be chosen before: the log says nothing about it.
pub fn off_policy(log: &[Logged<'_>], expected: Expected, alpha: f64) -> Option<OffPolicy> {
    let unseen = |arm: &Logged<'_>| arm.proposed > 0.0 && arm.least_propensity(1.0) <= 0.0;
    if log.iter().any(unseen) || log.iter().all(Logged::is_empty) {
        return None;
    }
    let largest = log.iter().map(|arm| arm.ratio(arm.least_propensity(expected.least_propensity)));
    let largest = largest.fold(0.0, f64::max);
    let mut sums = Sums::default();
    let mut cells = Vec::new();
    for arm in log {
        let mean = arm.mean();
        sums.direct += arm.proposed * mean;
        for chosen in &arm.chosen {
            let ratio = arm.ratio(chosen.propensity);
            for (weight, reward, count) in chosen.rewards.points() {
                sums.add(ratio, weight * count, reward, mean);
                sums.squares += weight * weight * ratio * ratio * count;
                sums.n += count;
                cells.push((weight, ratio * reward / largest, count));
            }
        }
    }
    if sums.weights <= 0.0 {
        return None;
    }
    let cells = Cells::from_points(cells).within(expected.max_weight);
    let interval = mean_interval(&cells, alpha).scaled(largest);
    Some(OffPolicy {
        ips: sums.earned / sums.actions,
        snips: sums.earned / sums.weights,
        dr: sums.direct + sums.unexplained / sums.actions,
        interval: Interval { low: interval.low.min(1.0), high: interval.high.min(1.0) },
        effective_n: sums.weights * sums.weights / sums.squares,
        n: sums.n,
    })
}

impl Logged<'_> {
    fn is_empty(&self) -> bool {
        self.chosen.iter().all(|it| it.rewards.is_empty())
    }

    /// The smallest propensity, or `expected` if that is smaller.
    fn least_propensity(&self, expected: f64) -> f64 {
        self.chosen.iter().map(|it| it.propensity).fold(expected, f64::min)
    }

    fn ratio(&self, propensity: f64) -> f64 {
        if propensity > 0.0 { self.proposed / propensity } else { 0.0 }
    }

    /// 0 without observations.
    fn mean(&self) -> f64 {
        let points = self.chosen.iter().flat_map(|it| it.rewards.points());
        let (total, earned) = points.fold((0.0, 0.0), |(total, earned), (weight, reward, n)| {
            (total + weight * n, earned + weight * n * reward)
        });
        if total > 0.0 { earned / total } else { 0.0 }
    }
}

/// Sums over all actions that the observations represent.
#[derive(Default)]
struct Sums {
    actions: f64,
    /// Of ratios.
    weights: f64,
    /// Of the squares of ratios.
    squares: f64,
    earned: f64,
    n: f64,
    direct: f64,
    unexplained: f64,
}

impl Sums {
    fn add(&mut self, ratio: f64, actions: f64, reward: f64, mean: f64) {
        self.actions += actions;
        self.weights += ratio * actions;
        self.earned += ratio * actions * reward;
        self.unexplained += ratio * actions * (reward - mean);
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::ArmLog;
    use super::super::sample::{RewardScore, Sample};
    use super::*;
    use crate::observation::{Observation, Outcome, Weight};

    fn logged(rewards: &Sample<RewardScore>, propensity: f64, proposed: f64) -> Logged<'_> {
        Logged { chosen: vec![Chosen { propensity, rewards }], proposed }
    }

    fn coins(successes: u32, failures: u32) -> Sample<RewardScore> {
        let mut sample = Sample::default();
        (0..successes).for_each(|_| sample.add(1.0, Weight::ONE));
        (0..failures).for_each(|_| sample.add(0.0, Weight::ONE));
        sample
    }

    #[test]
    fn the_used_weights_are_worth_what_they_earned() {
        let (a, b) = (coins(60, 40), coins(30, 70));
        let log = [logged(&a, 0.5, 0.5), logged(&b, 0.5, 0.5)];
        let found = off_policy(&log, Expected::default(), 0.05).unwrap();
        for value in [found.ips, found.snips, found.dr] {
            assert!((value - 0.45).abs() < 1e-12, "{found:?}");
        }
        assert!((found.effective_n - 200.0).abs() < 1e-9 && found.interval.contains(0.45));
    }

    #[test]
    fn a_proposal_is_worth_the_weighted_rewards_of_its_arms() {
        let (a, b) = (coins(60, 40), coins(15, 35));
        let log = [logged(&a, 2.0 / 3.0, 1.0 / 3.0), logged(&b, 1.0 / 3.0, 2.0 / 3.0)];
        let found = off_policy(&log, Expected::default(), 0.05).unwrap();
        for value in [found.ips, found.snips, found.dr] {
            assert!((value - 0.4).abs() < 1e-12, "{found:?}");
        }
        // (100/2 + 50 x 2) squared over (100/4 + 50 x 4).
        assert!((found.effective_n - 100.0).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn an_arm_that_could_not_be_chosen_cannot_be_evaluated() {
        let (a, b) = (coins(60, 40), coins(0, 0));
        let log = [logged(&a, 1.0, 0.5), logged(&b, 0.0, 0.5)];
        assert_eq!(off_policy(&log, Expected::default(), 0.05), None);
    }

    /// Of 1,000 easy and 1,000 hard actions, `a` was used for one in five of the easy actions and four in
    /// five of the hard actions, and does better at both.
    fn preferred() -> [ArmLog; 2] {
        let mut logs = [ArmLog::default(), ArmLog::default()];
        let takes = [(0, 0.2, 180, 20), (0, 0.8, 400, 400), (1, 0.8, 640, 160), (1, 0.2, 80, 120)];
        for (arm, propensity, successes, failures) in takes {
            let observation = Observation {
                propensity: Some(propensity),
                ..Observation::at(0, Outcome::Success)
            };
            (0..successes).for_each(|_| logs[arm].add(&observation, 1.0));
            (0..failures).for_each(|_| logs[arm].add(&observation, 0.0));
        }
        logs
    }

    #[test]
    fn stated_propensities_correct_for_arms_that_are_preferred_for_some_actions() {
        let [a, b] = preferred();
        // No arm was drawn by the version's weights, so that they do not matter.
        let log = [
            Logged { chosen: a.chosen(0.9).collect(), proposed: 1.0 },
            Logged { chosen: b.chosen(0.1).collect(), proposed: 0.0 },
        ];
        let found = off_policy(&log, Expected::default(), 0.05).unwrap();
        for value in [found.ips, found.snips, found.dr] {
            assert!((value - 0.7).abs() < 1e-6, "{found:?}");
        }
        assert!(found.interval.contains(0.7) && found.interval.low > 0.58, "{found:?}");
        // (200/0.2 + 800/0.8) squared over (200/0.04 + 800/0.64), slightly less because of splitting.
        assert!(found.effective_n > 630.0 && found.effective_n <= 640.0, "{found:?}");
    }

    #[test]
    fn expecting_smaller_propensities_widens_the_interval() {
        let [a, b] = preferred();
        let log = [
            Logged { chosen: a.chosen(0.5).collect(), proposed: 0.6 },
            Logged { chosen: b.chosen(0.5).collect(), proposed: 0.4 },
        ];
        let of = |least_propensity| {
            let expected = Expected { least_propensity, ..Expected::default() };
            off_policy(&log, expected, 0.05).unwrap()
        };
        let (usual, careful) = (of(1.0), of(0.01));
        assert_eq!(usual.ips, careful.ips);
        assert!(careful.interval.width() > usual.interval.width(), "{usual:?} {careful:?}");
    }
}
