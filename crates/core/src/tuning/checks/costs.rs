//! Arms that state a cost for fewer of their observations than the others.
//!
//! An observation without a cost has no penalty for cost, so that an arm earns more by not stating
//! it. Such an arm cannot gain weight until it states its costs as often as the others do.

use super::{Check, Hold};
use crate::number::Lossy;
use crate::tuning::TuningInput;

/// How much smaller the share of observations with a cost may be than the largest share of another
/// arm: 5 percentage points. The advantage in mean reward is then at most 5% of `weights.cost`.
pub const COST_SHARE_MARGIN: f64 = 0.05;

/// The fewest observations from which the share of an arm is known well enough.
const MIN_OBSERVATIONS: f64 = 20.0;

/// The share of the observations with a cost, by arm.
fn shares(input: &TuningInput) -> Vec<(&String, f64)> {
    let share = |arm: &String| {
        let samples = &input.arms.get(arm)?.samples;
        let n = samples.success.n();
        (n >= MIN_OBSERVATIONS).then(|| {
            // An empty sum is -0.
            (samples.cost.n() / n).min(1.0) + 0.0
        })
    };
    let used = input.weights.iter().filter(|(_, weight)| **weight > 0.0);
    used.filter_map(|(arm, _)| Some((arm, share(arm)?))).collect()
}

pub(super) fn holds(input: &TuningInput) -> Vec<Hold> {
    if input.rewards.weights.cost == 0.0 {
        return Vec::new();
    }
    let shares = shares(input);
    let most =
        |arm: &String| shares.iter().filter(|it| it.0 != arm).max_by(|a, b| a.1.total_cmp(&b.1));
    let held = shares.iter().filter_map(|(arm, share)| {
        let (other, highest) = most(arm)?;
        (highest - share > COST_SHARE_MARGIN).then(|| Hold {
            arm: (*arm).clone(),
            why: format!(
                "{arm} states a cost for {:.0}% of its observations and {other} for {:.0}%, and a \
                 missing cost earns more: {arm} gains no weight until its component records costUsd \
                 as often (0 if it is free)",
                share * 100.0,
                highest * 100.0
            ),
        })
    });
    held.collect()
}

/// Whether all arms state costs equally often.
pub(in crate::tuning) fn stated(input: &TuningInput) -> Check {
    let name = "costs".to_owned();
    let holds = holds(input);
    if !holds.is_empty() {
        let detail: Vec<String> = holds.into_iter().map(|it| it.why).collect();
        return Check { name, passed: Some(false), detail: detail.join("; ") };
    }
    let shares = shares(input);
    let costed = shares.iter().any(|(_, share)| *share > 0.0);
    let margin = (COST_SHARE_MARGIN * 100.0).round();
    let detail = match costed {
        true => format!("all arms state costs equally often, within {margin:.0} percentage points"),
        false => format!("none of {} arms states costs", shares.len().to_f64()),
    };
    Check { name, passed: costed.then_some(true), detail }
}
