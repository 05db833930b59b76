//! The standing of the arms: what is known of each, and which arms are proven to be better.

use super::blocks::{Claims, Compared};
use super::{ArmInput, TuningInput, budget, checks};
use crate::estimate::{Belief, Cells, Side, best, is_greater};
use crate::number::Lossy;

/// The facts about an arm that a decision depends on.
#[derive(Clone, Debug)]
pub(super) struct ArmStanding {
    pub arm: String,
    pub weight: f64,
    /// The observations since the last restart.
    pub n: u64,
    pub restarts: u32,
    pub cells: Cells,
    /// Documents that could not be scored since the last restart.
    pub rejected: u64,
    /// Whether more than `maxRejectedShare` of the documents were rejected. The arm is then not
    /// compared in its favour: the documents that are missing may be its failures.
    pub is_incomplete: bool,
    /// Whether the arm has enough observations.
    pub judged: bool,
    /// Whether it is proven to earn less than `thresholds.retrain`.
    pub failing: bool,
    /// The indexes of the judged arms that are proven to earn more.
    pub beaten_by: Vec<usize>,
    /// Whether it may gain weight: an arm at 0 stays at 0, and an arm whose rewards may look better
    /// than they are gains nothing by them.
    pub gains: bool,
    pub p_best: f64,
    pub expected_loss: f64,
    /// The assumed mean reward: the observed mean if the arm is judged, otherwise the average of the
    /// judged arms, but at least `thresholds.minAcceptable`.
    pub reward: f64,
}

impl ArmStanding {
    pub fn is_loser(&self) -> bool {
        self.failing || !self.beaten_by.is_empty()
    }
}

/// Each arm that is proven to earn more than another, with that other.
pub fn proofs(input: &TuningInput) -> Vec<[String; 2]> {
    let all = known(input);
    let beaten = all_beaten(input, &all).into_iter().enumerate();
    let named = |(worse, by): (usize, Vec<usize>)| {
        by.into_iter()
            .map(|better| [better, worse].map(|it| all[it].arm.clone()))
            .collect::<Vec<_>>()
    };
    beaten.flat_map(named).collect()
}

/// What is known of each arm by itself.
fn known(input: &TuningInput) -> Vec<ArmStanding> {
    let arms = input.weights.len();
    input
        .weights
        .iter()
        .map(|(arm, weight)| {
            let known = input.arms.get(arm);
            let cells = known.map(|it| Cells::of(&it.samples.reward).within(input.max_weight));
            let cells = cells.unwrap_or_else(|| Cells::from_points([]));
            let n = known.map_or(0, ArmInput::n);
            let judged = n >= input.config.min_samples && !cells.is_empty();
            let restarts = known.map_or(0, |it| it.memory.restarts);
            let alpha = budget::of_interval(interval_alpha(input), arms, restarts);
            let retrain = input.rewards.thresholds.retrain;
            let failing =
                *weight > 0.0 && judged && cells.refutes(Side::Below, retrain, alpha / 2.0);
            ArmStanding {
                arm: arm.clone(),
                weight: *weight,
                n,
                restarts,
                judged,
                failing,
                beaten_by: Vec::new(),
                gains: *weight > 0.0,
                p_best: 0.0,
                expected_loss: 0.0,
                reward: if judged { cells.mean() } else { 0.0 },
                cells,
                rejected: known.map_or(0, |it| it.samples.rejected),
                is_incomplete: known.is_some_and(|it| {
                    it.samples.rejected_share() > input.config.max_rejected_share
                }),
            }
        })
        .collect()
}

/// The budget of the intervals of a decision.
pub(super) fn interval_alpha(input: &TuningInput) -> f64 {
    let claims = input.blocks.as_ref().map_or(Claims::Pairs, |it| it.claims);
    budget::of_intervals(input.config.alpha, claims)
}

/// For each arm, the arms that are proven to earn more.
fn all_beaten(input: &TuningInput, all: &[ArmStanding]) -> Vec<Vec<usize>> {
    let compared = Compared::of(input);
    match &compared {
        Some(compared) if compared.claims() == Claims::Arms => ruled_out(input, compared, all),
        _ => (0..all.len()).map(|arm| better_than(input, compared.as_ref(), all, arm)).collect(),
    }
}

/// For each arm that is proven not to be the best, the arms that prove it.
///
/// Under the hypothesis that no arm is better than an arm, none of the capitals of "this other arm is
/// better" grows on average, and neither does their mean.
fn ruled_out(input: &TuningInput, compared: &Compared<'_>, all: &[ArmStanding]) -> Vec<Vec<usize>> {
    let alpha = budget::of_claims(input.config.alpha);
    let rivals = all.len().saturating_sub(1).max(1).to_f64();
    let capital = |worse: &ArmStanding, better: &ArmStanding| {
        let counts = worse.judged && better.judged && better.gains && !better.is_incomplete;
        let pair = [better.arm.as_str(), &worse.arm];
        let log = compared.log_capital(pair, alpha).filter(|_| counts)?;
        let capital = log.min(MOST_LOG_CAPITAL).exp();
        Some(capital * budget::staked([better.restarts, worse.restarts]) / rivals)
    };
    let capitals: Vec<Vec<(usize, f64)>> = all
        .iter()
        .enumerate()
        .map(|(worse, standing)| {
            let others = (0..all.len()).filter(|better| *better != worse);
            others.filter_map(|it| Some((it, capital(standing, &all[it])?))).collect()
        })
        .collect();
    let sum = |of: &Vec<(usize, f64)>| of.iter().map(|(_, capital)| capital).sum::<f64>();
    let sums: Vec<f64> = capitals.iter().map(sum).collect();
    let are_out = budget::not_best(&sums, alpha);
    let proving = |((mut capitals, sum), is_out): ((Vec<(usize, f64)>, f64), bool)| {
        if !is_out {
            return Vec::new();
        }
        capitals.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut proven = 0.0;
        let named = capitals.into_iter().take_while(|(_, capital)| {
            let is_needed = proven < PROVING * sum;
            proven += capital;
            is_needed
        });
        let mut named: Vec<usize> = named.map(|(arm, _)| arm).collect();
        named.sort_unstable();
        named
    };
    capitals.into_iter().zip(sums).zip(are_out).map(proving).collect()
}

/// Larger capitals would not be numbers.
const MOST_LOG_CAPITAL: f64 = 600.0;

/// The arms that have this share of the capital together are named as better.
const PROVING: f64 = 0.95;

pub(super) fn standings(input: &TuningInput) -> Vec<ArmStanding> {
    let mut all = known(input);
    // If all arms fail, there is no better arm to move weight to.
    if all.iter().filter(|it| it.weight > 0.0).all(|it| it.failing) {
        all.iter_mut().for_each(|it| it.failing = false);
    }
    let holds = checks::holds(input);
    for standing in &mut all {
        standing.gains &= holds.iter().all(|it| it.arm != standing.arm);
    }
    let beaten = all_beaten(input, &all);
    // An incomplete arm may only look like the best: its observations do not count for that.
    let unknown = Cells::from_points([]);
    let beliefs = all.iter().map(|it| if it.is_incomplete { &unknown } else { &it.cells });
    let beliefs: Vec<Belief> = beliefs.map(Belief::of).collect();
    let average = average(input, &all);
    let believed = best(&beliefs);
    for ((standing, beaten_by), believed) in all.iter_mut().zip(beaten).zip(believed) {
        standing.beaten_by = beaten_by;
        standing.p_best = believed.probability;
        standing.expected_loss = believed.expected_loss;
        if !standing.judged {
            standing.reward = average;
        }
    }
    restrict(&mut all);
    all
}

/// An arm that cannot gain weight does not beat others, because no weight can move to it; an arm
/// at 0 has no weight to lose.
fn restrict(all: &mut [ArmStanding]) {
    let gains: Vec<bool> = all.iter().map(|it| it.gains).collect();
    for standing in all.iter_mut() {
        standing.beaten_by.retain(|arm| gains[*arm] && standing.weight > 0.0);
    }
}

fn better_than(
    input: &TuningInput,
    compared: Option<&Compared<'_>>,
    all: &[ArmStanding],
    arm: usize,
) -> Vec<usize> {
    let worse = &all[arm];
    let better = |other: &usize| {
        let better = &all[*other];
        let restarts = [better.restarts, worse.restarts];
        let alpha = budget::of_pair(input.config.alpha, all.len(), restarts);
        *other != arm
            && worse.judged
            && better.judged
            && !better.is_incomplete
            && is_better(compared, better, worse, alpha)
    };
    (0..all.len()).filter(better).collect()
}

fn is_better(
    compared: Option<&Compared<'_>>,
    better: &ArmStanding,
    worse: &ArmStanding,
    alpha: f64,
) -> bool {
    match compared {
        Some(compared) => compared.is_better([&better.arm, &worse.arm], alpha),
        // A stored decision of the rule before.
        None => {
            better.cells.mean() > worse.cells.mean()
                && is_greater(&better.cells, &worse.cells, 0.0, alpha)
        }
    }
}

/// The assumed mean reward of an arm without enough observations: the average of the judged arms, so
/// that it neither loses nor gains traffic only because it is new. If the others do badly, it is
/// assumed to be acceptable. Incomplete arms may do worse than they seem, and do not count.
fn average(input: &TuningInput, all: &[ArmStanding]) -> f64 {
    let judged = all.iter().filter(|it| it.judged && !it.is_incomplete);
    let (weight, earned) = judged.fold((0.0, 0.0), |(weight, earned), it| {
        (weight + it.weight, earned + it.weight * it.reward)
    });
    let average = if weight > 0.0 { earned / weight } else { 0.0 };
    average.max(input.rewards.thresholds.min_acceptable)
}
