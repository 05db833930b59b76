//! Allocation for `goal: identify`: to prove which arm is the best with few observations.
//!
//! Actions go to the arm that is likely the best and to its likely rivals: top-two sampling (Russo,
//! "Simple Bayesian algorithms for best-arm identification", Operations Research 68, 2020; Jourdan,
//! Degenne, Baudry, de Heide, Kaufmann, NeurIPS 2022), without random draws. Each arm l takes the role
//! of the leader with its probability to be the best. Its rivals then share what it leaves in
//! proportion to their chances, which are softened so that weights need not follow every belief. The
//! share of the leader balances what is known of it with what is known of the rivals, as the best
//! shares do for equal variances (Glynn, Juneja, WSC 2004):
//!
//! ```text
//! (weight of l)^2 = sum over rivals j of (weight of j)^2
//! ```
//!
//! That is half with a single rival, and less with many. Arms that are proven not to be the best take
//! no part. Once a single arm is left, the weights follow the belief, as for `goal: reward`.

use std::collections::BTreeMap;

use super::standing::ArmStanding;
use super::{Goal, TuningInput};
use crate::belief::{Allocation, ArmInput, BeliefInput, Limits, Ranges};

/// The name of the rule.
pub(super) const RULE: &str = "identify-3";

/// The exponent on the chances of rivals.
const SOFTNESS: f64 = 0.3;

/// A contender has at least this probability to be the best.
const LEAST_CHANCE: f64 = 1e-9;

/// A version is worth it if evidence then grows by this factor faster ...
const FASTER: f64 = 1.25;

/// ... or if arms that are ruled out give up this much weight.
const FREED: f64 = 0.04;

/// The belief's allocation with the weights of this goal, if it is the policy's.
pub(super) fn redirected(
    input: &TuningInput,
    standings: &[ArmStanding],
    limits: &BeliefInput,
    found: Allocation,
) -> Allocation {
    if input.config.goal != Goal::Identify {
        return found;
    }
    let chance = |it: &ArmStanding| {
        let is_contender = !it.is_loser() && limits.arms.get(&it.arm).is_some_and(may_be_drawn);
        let believed = found.arms.get(&it.arm).map_or(0.0, |it| it.probability_best);
        if is_contender { believed.max(LEAST_CHANCE) } else { 0.0 }
    };
    let chances: Vec<f64> = standings.iter().map(chance).collect();
    let has_data = found.arms.values().any(|it| it.n > 0.0);
    if !has_data || chances.iter().filter(|it| **it > 0.0).count() < 2 {
        return found;
    }
    let arms = standings.iter().filter_map(|it| limits.arms.get(&it.arm));
    let arms: Vec<Limits> =
        arms.map(|it| Limits { held: it.held, min: it.min, max: it.max }).collect();
    let Some(ranges) = Ranges::new(&arms, limits.floor, limits.step) else { return found };
    let want = ranges.project(&top_two(&chances));
    let held: Vec<f64> = arms.iter().map(|it| it.held).collect();
    let mean = |it: &ArmStanding| found.arms.get(&it.arm).map_or(0.0, |it| it.mean);
    let means: Vec<f64> = standings.iter().map(mean).collect();
    let moves = || want.iter().zip(&held).map(|(to, from)| to - from);
    let freed: f64 = moves().zip(&chances).filter(|(_, it)| **it <= 0.0).map(|(by, _)| -by).sum();
    let [before, after] = [&held, &want].map(|weights| pace(weights, &means, &chances));
    let publish = want != held && (freed >= FREED || after > FASTER * before);
    let expected_gain = moves().zip(&means).map(|(by, mean)| by * mean).sum();
    let named = |weights: &[f64]| -> BTreeMap<String, f64> {
        standings.iter().map(|it| it.arm.clone()).zip(weights.iter().copied()).collect()
    };
    let weights = named(if publish { &want } else { &held });
    Allocation { want: named(&want), weights, publish, expected_gain, ..found }
}

fn may_be_drawn(arm: &ArmInput) -> bool {
    arm.held > 0.0 && arm.max > 0.0
}

/// The weights for these chances to be the best. An arm without a chance gets none.
fn top_two(chances: &[f64]) -> Vec<f64> {
    let all: f64 = chances.iter().sum();
    let soft: Vec<f64> =
        chances.iter().map(|it| if *it > 0.0 { libm::pow(*it, SOFTNESS) } else { 0.0 }).collect();
    let mut weights = vec![0.0; chances.len()];
    for (leader, chance) in chances.iter().enumerate().filter(|(_, it)| **it > 0.0) {
        let rivals = || soft.iter().enumerate().filter(|(it, _)| *it != leader);
        let sum: f64 = rivals().map(|(_, it)| it).sum();
        let of_leader = rivals().map(|(_, it)| (it / sum).powi(2)).sum::<f64>().sqrt();
        let role = chance / all / (1.0 + of_leader);
        weights[leader] += role * of_leader;
        for (rival, share) in rivals() {
            weights[rival] += role * share / sum;
        }
    }
    weights
}

/// How fast evidence grows against the rival that takes longest to rule out: difference^2 / variance
/// of the difference, an action.
fn pace(weights: &[f64], means: &[f64], chances: &[f64]) -> f64 {
    /// Smaller differences and weights make no number.
    const LEAST: f64 = 1e-9;
    let contenders = || (0..weights.len()).filter(|arm| chances[*arm] > 0.0);
    let Some(leader) = contenders().max_by(|a, b| means[*a].total_cmp(&means[*b])) else {
        return 0.0;
    };
    let spread =
        |arm: usize| (means[arm] * (1.0 - means[arm])).max(LEAST) / weights[arm].max(LEAST);
    let against = |rival: usize| {
        let difference = (means[leader] - means[rival]).max(LEAST);
        difference * difference / (spread(leader) + spread(rival))
    };
    contenders().filter(|it| *it != leader).map(against).fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn are_near(weights: &[f64], expected: &[f64]) {
        let near = weights.iter().zip(expected).all(|(it, to)| (it - to).abs() < 1e-3);
        assert!(near && (weights.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{weights:?}");
    }

    #[test]
    fn a_single_rival_gets_as_much_as_the_leader() {
        are_near(&top_two(&[0.0, 0.999_999, 0.000_001]), &[0.0, 0.5, 0.5]);
    }

    #[test]
    fn several_rivals_get_more_than_the_leader_together() {
        // 1 / (1 + sqrt 4) is the best share of the leader with four equal rivals.
        let rival = 1e-6;
        let chances = [1.0 - 4.0 * rival, rival, rival, rival, rival];
        are_near(&top_two(&chances), &[1.0 / 3.0, 1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0]);
    }

    #[test]
    fn equal_chances_make_equal_weights() {
        are_near(&top_two(&[0.25; 4]), &[0.25; 4]);
    }

    #[test]
    fn the_pace_is_that_of_the_rival_that_takes_longest() {
        let (means, chances) = ([0.8, 0.7, 0.5], [0.9, 0.09, 0.01]);
        let held = pace(&[0.4, 0.3, 0.3], &means, &chances);
        assert!(pace(&[0.4, 0.4, 0.2], &means, &chances) > held);
        assert!(pace(&[0.4, 0.2, 0.4], &means, &chances) < held);
    }
}
