//! The decision.

use std::collections::BTreeMap;

use super::evidence::{self, Evidence};
use super::standing::{ArmStanding, standings};
use super::{ArmChange, Decision, MAX_ARMS, Proposal, Reason, TuningInput, allocate, notes};
use crate::policy::check_weights;

/// Whether the evidence carries a change of weights, and which.
///
/// Deterministic, and idempotent: given its own proposal as the last draft, it answers
/// [`Reason::AlreadyProposed`].
pub fn decide(input: &TuningInput) -> Decision {
    match propose(input) {
        Ok(proposal) => Decision::Propose(Box::new(proposal)),
        Err(reason) => Decision::None(reason),
    }
}

fn propose(input: &TuningInput) -> Result<Proposal, Reason> {
    check(input)?;
    let standings = standings(input);
    require_judged_arm(input, &standings)?;
    let target = allocate::weights(input, &standings)?;
    require_proof(input, &standings)?;
    let check = evidence::check(input);
    let fails = standings.iter().any(|it| it.failing);
    if check.passed == Some(false) && input.config.sample_ratio_check && !fails {
        return Err(Reason::SampleRatio(check.detail));
    }
    let changes = changes(&standings, &target);
    require_worthwhile(input, &standings, &changes)?;
    require_new(input, &changes)?;
    let evidence = Evidence::gather(input, &standings, &target, check);
    let names = standings.iter().map(|it| it.arm.clone());
    let weights: BTreeMap<String, f64> = names.zip(target).collect();
    Ok(Proposal {
        weights,
        expected_gain: evidence.gain.expected,
        notes: notes::write(input, &evidence, &changes),
        changes,
        evidence,
    })
}

/// Stored documents are edited by people: what cannot be worked with is a reason, not a panic.
fn check(input: &TuningInput) -> Result<(), Reason> {
    input.config.validate().map_err(Reason::InvalidConfig)?;
    input.rewards.thresholds.validate().map_err(Reason::InvalidThresholds)?;
    check_weights(&input.weights).map_err(Reason::InvalidWeights)?;
    match input.weights.len() {
        arms if arms > MAX_ARMS => Err(Reason::TooManyArms { arms }),
        1 => Err(Reason::SingleArm { arm: input.weights.keys().cloned().collect() }),
        _ => Ok(()),
    }
}

fn require_judged_arm(input: &TuningInput, arms: &[ArmStanding]) -> Result<(), Reason> {
    if arms.iter().any(|it| it.judged) {
        return Ok(());
    }
    Err(Reason::TooFewSamples {
        min_samples: input.config.min_samples,
        samples: arms.iter().map(|it| (it.arm.clone(), it.n)).collect(),
    })
}

/// An arm below the floor is moved up to it without any proof, so that something is learnt of it.
fn require_proof(input: &TuningInput, arms: &[ArmStanding]) -> Result<(), Reason> {
    if arms.iter().any(ArmStanding::is_loser) || is_below_floor(input, arms) {
        return Ok(());
    }
    let leader = arms.iter().max_by(|a, b| a.p_best.total_cmp(&b.p_best));
    Err(Reason::NothingProven {
        leader: leader.map_or_else(String::new, |it| it.arm.clone()),
        p_best: leader.map_or(0.0, |it| it.p_best),
        observations: arms.iter().map(|it| it.n).sum(),
    })
}

/// By a step or more: less cannot be written.
fn is_below_floor(input: &TuningInput, arms: &[ArmStanding]) -> bool {
    let step = 1.0 / f64::from(super::WEIGHT_STEPS);
    arms.iter().any(|it| it.weight + step <= input.config.exploration_floor)
}

/// Whether weights keep the bounds as they are now: what was drafted under others, or changed by
/// hand since, may not.
pub fn within_bounds(input: &TuningInput, weights: &BTreeMap<String, f64>) -> bool {
    let standings = standings(input);
    let step = allocate::step(input, &standings);
    let keeps = |it: &ArmStanding| {
        weights.get(&it.arm).is_some_and(|to| {
            // An arm that begins below the floor may still be on its way up to it.
            let floor = input.config.exploration_floor.min(it.weight);
            *to >= floor && (to - it.weight).abs() <= step
        })
    };
    check_weights(weights).is_ok()
        && weights.len() == standings.len()
        && standings.iter().all(keeps)
}

fn changes(arms: &[ArmStanding], target: &[f64]) -> Vec<ArmChange> {
    let pairs = arms.iter().zip(target).filter(|(it, to)| it.weight != **to);
    pairs.map(|(it, to)| ArmChange { arm: it.arm.clone(), from: it.weight, to: *to }).collect()
}

fn require_worthwhile(
    input: &TuningInput,
    arms: &[ArmStanding],
    changes: &[ArmChange],
) -> Result<(), Reason> {
    let (min_change, min_gain) = (input.config.min_change, input.config.min_gain);
    let largest_change = changes.iter().map(|it| (it.to - it.from).abs()).fold(0.0, f64::max);
    if largest_change < min_change || changes.is_empty() {
        return Err(Reason::AlreadyBest { largest_change, min_change });
    }
    // A step is bounded, and so what it gains; whether the way is worth going is seen at its end.
    let destination = allocate::destination(input, arms)?;
    let gain = evidence::expected_gain(arms, &destination);
    if gain < min_gain && !is_below_floor(input, arms) {
        return Err(Reason::GainTooSmall { gain, min_gain });
    }
    Ok(())
}

/// An admin is not asked the same thing twice: a draft that moves the same arms the same way says
/// the same, whatever the last digits are by now.
fn require_new(input: &TuningInput, changes: &[ArmChange]) -> Result<(), Reason> {
    let Some(last) = &input.last_draft else {
        return Ok(());
    };
    let min_change = input.config.min_change;
    let direction = |from: f64, to: f64| match to - from {
        change if change == 0.0 || change.abs() < min_change => 0,
        change if change < 0.0 => -1,
        _ => 1,
    };
    let now = |arm: &String, from: f64| {
        changes.iter().find(|it| it.arm == *arm).map_or(0, |it| direction(from, it.to))
    };
    let same = last.weights.len() == input.weights.len()
        && input.weights.iter().all(|(arm, from)| {
            last.weights.get(arm).is_some_and(|to| direction(*from, *to) == now(arm, *from))
        });
    if same {
        let (version, status) = (last.version.clone(), last.status);
        return Err(Reason::AlreadyProposed { version, status });
    }
    Ok(())
}
