//! Allocating weights by which arms are proven to be worse.
//!
//! Losers, arms that are beaten or that fail, lose weight. Unbeaten arms gain it, in proportion to
//! the probability of each to be the best (Thompson's rule). Without a loser nothing changes, so
//! that there are few versions, and each is based on a proof.
//!
//! This is successive elimination in batches. With arms whose rewards do not change, an arm that is
//! worse by d is used until about log(1/alpha) / d^2 observations have proven it. Apart from the
//! cost of floor and steps, the regret is therefore of the order of the sum over arms of
//! log(1/alpha) / d (Even-Dar, Mannor, Mansour, JMLR 7, 2006; in batches: Gao, Han, Ren, Zhou,
//! "Batched multi-armed bandits problem", NeurIPS 2019).

use super::standing::ArmStanding;
use super::weight_ranges::{Current, WeightRanges, sum, to_weight};
use super::{Reason, TuningInput, WEIGHT_STEPS, projection};
use crate::number::whole_u16;

/// The weights after the next step, in the order of the arms. They are the current weights if nothing
/// is proven and no arm is below the floor.
pub(super) fn weights(input: &TuningInput, arms: &[ArmStanding]) -> Result<Vec<f64>, Reason> {
    within(input, arms, step(input, arms))
}

/// The weights after all steps, if the evidence did not change.
pub(super) fn destination(input: &TuningInput, arms: &[ArmStanding]) -> Result<Vec<f64>, Reason> {
    within(input, arms, 1.0)
}

fn within(input: &TuningInput, arms: &[ArmStanding], step: f64) -> Result<Vec<f64>, Reason> {
    let floor = input.config.exploration_floor;
    let ranges = |may_rise: fn(&ArmStanding) -> bool| {
        let current = |it: &ArmStanding| Current { weight: it.weight, capped: !may_rise(it) };
        let currents: Vec<Current> = arms.iter().map(current).collect();
        WeightRanges::new(&currents, floor, step)
    };
    // Weights that were written by hand may leave only losers to rise, or no arm at all.
    let ranges = ranges(|it| !it.is_loser() && !it.is_incomplete && it.gains)
        .or_else(|| ranges(|it| !it.is_incomplete && it.gains))
        .or_else(|| ranges(|_| true))
        .ok_or(Reason::Infeasible { arms: arms.len(), floor, step })?;
    let target = target(arms, &ranges);
    let ranges = hold_others(arms, ranges);
    Ok(projection::project(&target, &ranges).into_iter().map(to_weight).collect())
}

/// How far a weight may move in one step: further if an arm is proven to fail.
pub(super) fn step(input: &TuningInput, arms: &[ArmStanding]) -> f64 {
    match arms.iter().any(|it| it.failing) {
        true => input.config.retrain_step_bound,
        false => input.config.step_bound,
    }
}

/// The weights after the losers, the worst first, have given what they can to their heirs, as far as
/// those may rise.
fn target(arms: &[ArmStanding], ranges: &WeightRanges) -> Vec<f64> {
    let mut target: Vec<f64> = arms.iter().map(|it| it.weight).collect();
    let mut losers: Vec<usize> = (0..arms.len()).filter(|arm| arms[*arm].is_loser()).collect();
    losers.sort_by(|a, b| arms[*a].reward.total_cmp(&arms[*b].reward));
    for loser in losers {
        let heirs = heirs(arms, &arms[loser]);
        let given = (target[loser] - to_weight(ranges.low[loser])).max(0.0);
        let taken = hand_over(given, &heirs, arms, ranges, &mut target);
        target[loser] -= taken;
    }
    let least = 1.0 / f64::from(WEIGHT_STEPS);
    target.into_iter().map(|it| it.max(least)).collect()
}

/// Distributes `given` among the heirs in proportion to the probability of each to be the best. What
/// exceeds the range of one heir goes to the others. Returns how much was distributed.
fn hand_over(
    given: f64,
    heirs: &[usize],
    arms: &[ArmStanding],
    ranges: &WeightRanges,
    target: &mut [f64],
) -> f64 {
    /// Smaller amounts are rounding errors.
    const NOTHING: f64 = 1e-12;
    let mut left = given;
    let mut open: Vec<usize> = heirs.to_vec();
    while left > NOTHING && !open.is_empty() {
        // An heir that is very unlikely to be the best still gets weight if no other heir has room.
        let chance = |heir: &usize| arms[*heir].p_best.max(1e-9);
        let chances: f64 = open.iter().map(chance).sum();
        let before = left;
        for heir in &open {
            let room = to_weight(ranges.high[*heir]) - target[*heir];
            let share = (before * chance(heir) / chances).min(room.max(0.0));
            target[*heir] += share;
            left -= share;
        }
        open.retain(|heir| to_weight(ranges.high[*heir]) - target[*heir] > NOTHING);
    }
    given - left
}

/// The arms that gain the weight of a loser: the unbeaten arms that are proven to be better, or all
/// unbeaten arms if there is none (the loser fails). An incomplete arm and one that must not gain
/// weight are not among them.
fn heirs(arms: &[ArmStanding], loser: &ArmStanding) -> Vec<usize> {
    let unbeaten =
        |arm: &usize| !arms[*arm].is_loser() && !arms[*arm].is_incomplete && arms[*arm].gains;
    let proven: Vec<usize> = loser.beaten_by.iter().copied().filter(unbeaten).collect();
    if proven.is_empty() { (0..arms.len()).filter(unbeaten).collect() } else { proven }
}

/// Narrows the ranges so that arms that neither lose nor inherit keep their weight, if possible:
/// nothing changes without a proof. An arm below the floor still moves up to it.
fn hold_others(arms: &[ArmStanding], ranges: WeightRanges) -> WeightRanges {
    let mut inherits = vec![false; arms.len()];
    for loser in arms.iter().filter(|it| it.is_loser()) {
        heirs(arms, loser).into_iter().for_each(|heir| inherits[heir] = true);
    }
    let mut held = ranges.clone();
    for (arm, standing) in arms.iter().enumerate() {
        let now = whole_u16((standing.weight * f64::from(WEIGHT_STEPS)).round());
        let now = now.clamp(ranges.low[arm], ranges.high[arm]);
        if standing.is_loser() {
            continue;
        }
        held.low[arm] = now;
        if !inherits[arm] {
            held.high[arm] = now;
        }
    }
    let one = u32::from(WEIGHT_STEPS);
    if sum(&held.low) <= one && sum(&held.high) >= one { held } else { ranges }
}
