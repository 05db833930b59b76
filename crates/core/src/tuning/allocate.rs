//! From who beats whom to weights.
//!
//! Arms that are beaten, or that fail, give way; what they give goes to arms that none beats, in
//! proportion to how probable each of these is to be the best (Thompson's rule). As long as nobody
//! is beaten nothing moves, so that there are few versions, and each rests on a proof. This is
//! successive elimination in batches: with K arms whose rewards do not change, an arm that is
//! worse by d is shown until some log(1/alpha) / d^2 observations have proven it, so that the
//! regret beyond what floor and steps cost is of the order of the sum over arms of
//! log(1/alpha) / d (Even-Dar, Mannor, Mansour, JMLR 7, 2006; in batches Gao, Han, Ren, Zhou,
//! "Batched multi-armed bandits problem", NeurIPS 2019).

use super::bounds::{Bounds, Current, sum, to_weight};
use super::standing::ArmStanding;
use super::{Reason, TuningInput, WEIGHT_STEPS, projection};

/// The weights that the standings call for, in the order of the arms; those in force where nothing
/// is proven and no arm lies below the floor.
pub(super) fn weights(input: &TuningInput, arms: &[ArmStanding]) -> Result<Vec<f64>, Reason> {
    within(input, arms, step(input, arms))
}

/// Where step after step would lead to if nothing more were learnt.
pub(super) fn destination(input: &TuningInput, arms: &[ArmStanding]) -> Result<Vec<f64>, Reason> {
    within(input, arms, 1.0)
}

fn within(input: &TuningInput, arms: &[ArmStanding], step: f64) -> Result<Vec<f64>, Reason> {
    let floor = input.config.exploration_floor;
    let currents: Vec<Current> =
        arms.iter().map(|it| Current { weight: it.weight, capped: it.is_loser() }).collect();
    let bounds = Bounds::new(&currents, floor, step)
        .or_else(|| {
            let free = |it: &Current| Current { capped: false, ..*it };
            Bounds::new(&currents.iter().map(free).collect::<Vec<_>>(), floor, step)
        })
        .ok_or(Reason::Infeasible { arms: arms.len(), floor, step })?;
    let target = target(arms, &bounds);
    let bounds = holding(arms, bounds);
    Ok(projection::project(&target, &bounds).into_iter().map(to_weight).collect())
}

/// How far a weight may move: further once an arm is proven to fail.
pub(super) fn step(input: &TuningInput, arms: &[ArmStanding]) -> f64 {
    match arms.iter().any(|it| it.failing) {
        true => input.config.retrain_step_bound,
        false => input.config.step_bound,
    }
}

/// What losers can give, the worst first, with those that may have it, as far as they may rise.
fn target(arms: &[ArmStanding], bounds: &Bounds) -> Vec<f64> {
    let mut target: Vec<f64> = arms.iter().map(|it| it.weight).collect();
    let mut losers: Vec<usize> = (0..arms.len()).filter(|arm| arms[*arm].is_loser()).collect();
    losers.sort_by(|a, b| arms[*a].reward.total_cmp(&arms[*b].reward));
    for loser in losers {
        let heirs = heirs(arms, &arms[loser]);
        let given = (target[loser] - to_weight(bounds.low[loser])).max(0.0);
        let taken = hand_over(given, &heirs, arms, bounds, &mut target);
        target[loser] -= taken;
    }
    let least = 1.0 / f64::from(WEIGHT_STEPS);
    target.into_iter().map(|it| it.max(least)).collect()
}

/// Shares `given` among the heirs in proportion to how probable each is to be the best; what one
/// has no room for goes to the others. Says how much was taken.
fn hand_over(
    given: f64,
    heirs: &[usize],
    arms: &[ArmStanding],
    bounds: &Bounds,
    target: &mut [f64],
) -> f64 {
    /// Less than this is rounding.
    const NOTHING: f64 = 1e-12;
    let mut left = given;
    let mut open: Vec<usize> = heirs.to_vec();
    while left > NOTHING && !open.is_empty() {
        // One that can hardly be the best still gets something where nobody else has room.
        let chance = |heir: &usize| arms[*heir].p_best.max(1e-9);
        let chances: f64 = open.iter().map(chance).sum();
        let before = left;
        for heir in &open {
            let room = to_weight(bounds.high[*heir]) - target[*heir];
            let share = (before * chance(heir) / chances).min(room.max(0.0));
            target[*heir] += share;
            left -= share;
        }
        open.retain(|heir| to_weight(bounds.high[*heir]) - target[*heir] > NOTHING);
    }
    given - left
}

/// Who gets what a loser gives: those proven to be better that are beaten by none; else, of one
/// that fails, all that are not known to lose.
fn heirs(arms: &[ArmStanding], loser: &ArmStanding) -> Vec<usize> {
    let unbeaten = |arm: &usize| !arms[*arm].is_loser();
    let proven: Vec<usize> = loser.beaten_by.iter().copied().filter(unbeaten).collect();
    if proven.is_empty() { (0..arms.len()).filter(unbeaten).collect() } else { proven }
}

/// Arms that neither lose nor inherit stay as they are, if that can be: without a proof nothing
/// moves. An arm below the floor still moves up to it.
fn holding(arms: &[ArmStanding], bounds: Bounds) -> Bounds {
    let mut inherits = vec![false; arms.len()];
    for loser in arms.iter().filter(|it| it.is_loser()) {
        heirs(arms, loser).into_iter().for_each(|heir| inherits[heir] = true);
    }
    let mut held = bounds.clone();
    for (arm, standing) in arms.iter().enumerate() {
        let now = (standing.weight * f64::from(WEIGHT_STEPS)).round() as u16;
        let now = now.clamp(bounds.low[arm], bounds.high[arm]);
        if standing.is_loser() {
            continue;
        }
        held.low[arm] = now;
        if !inherits[arm] {
            held.high[arm] = now;
        }
    }
    let one = u32::from(WEIGHT_STEPS);
    if sum(&held.low) <= one && sum(&held.high) >= one { held } else { bounds }
}
