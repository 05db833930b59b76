//! The decision.

use std::collections::BTreeMap;

use super::bounds::{Bounds, Current, to_weight};
use super::evidence::{ArmEvidence, Evidence};
use super::{ArmChange, Decision, MAX_ARMS, Proposal, Reason, TuningInput, notes, projection};
use crate::domain::policy::check_weights;

/// Whether the evidence carries a change of weights, and which.
///
/// Deterministic, and idempotent: given its own proposal as the last draft, it answers
/// [`Reason::AlreadyProposed`].
pub fn decide(input: &TuningInput<'_>) -> Decision {
    match propose(input) {
        Ok(proposal) => Decision::Propose(Box::new(proposal)),
        Err(reason) => Decision::None(reason),
    }
}

fn propose(input: &TuningInput<'_>) -> Result<Proposal, Reason> {
    check(input)?;
    let evidence = Evidence::gather(input);
    require_judged_arm(input, &evidence.arms)?;
    let target = best_weights(input, &evidence)?;
    let changes = changes(&evidence.arms, &target);
    let expected_gain =
        evidence.arms.iter().zip(&target).map(|(it, to)| (to - it.weight) * it.reward);
    let expected_gain = expected_gain.sum();
    require_worthwhile(input, &changes, expected_gain)?;
    let names = evidence.arms.iter().map(|it| it.arm.clone());
    let weights: BTreeMap<String, f64> = names.zip(target).collect();
    require_new(input, &weights)?;
    Ok(Proposal {
        weights,
        expected_gain,
        notes: notes::write(input, &evidence.arms, &changes, expected_gain),
        changes,
        evidence,
    })
}

/// Stored documents are edited by people: what cannot be worked with is a reason, not a panic.
fn check(input: &TuningInput<'_>) -> Result<(), Reason> {
    input.config.validate().map_err(Reason::InvalidConfig)?;
    input.thresholds.validate().map_err(Reason::InvalidThresholds)?;
    check_weights(input.weights).map_err(Reason::InvalidWeights)?;
    match input.weights.len() {
        arms if arms > MAX_ARMS => Err(Reason::TooManyArms { arms }),
        1 => Err(Reason::SingleArm { arm: input.weights.keys().cloned().collect() }),
        _ => Ok(()),
    }
}

fn require_judged_arm(input: &TuningInput<'_>, arms: &[ArmEvidence]) -> Result<(), Reason> {
    if arms.iter().any(|it| it.judged) {
        return Ok(());
    }
    Err(Reason::TooFewSamples {
        window: input.config.window,
        min_samples: input.config.min_samples,
        samples: arms.iter().map(|it| (it.arm.clone(), it.n)).collect(),
    })
}

fn best_weights(input: &TuningInput<'_>, evidence: &Evidence) -> Result<Vec<f64>, Reason> {
    let config = input.config;
    let weights = evidence.weights();
    let bounds = bounds(input, evidence)?;
    let target = projection::exponentiated(&weights, &evidence.rewards(), config.learning_rate);
    let steps = projection::project(&target, &bounds);
    Ok(steps.into_iter().map(to_weight).collect())
}

/// Whether weights keep the bounds as they are now: what was drafted under others, or changed by
/// hand since, may not.
pub fn within_bounds(input: &TuningInput<'_>, weights: &BTreeMap<String, f64>) -> bool {
    let evidence = Evidence::gather(input);
    let arms = &evidence.arms;
    let step = step(input, &evidence);
    let keeps = |it: &ArmEvidence| {
        weights.get(&it.arm).is_some_and(|to| {
            // An arm that begins below the floor may still be on its way up to it.
            let floor = input.config.exploration_floor.min(it.weight);
            *to >= floor && (to - it.weight).abs() <= step
        })
    };
    check_weights(weights).is_ok() && weights.len() == arms.len() && arms.iter().all(keeps)
}

fn step(input: &TuningInput<'_>, evidence: &Evidence) -> f64 {
    let failing = |it: &ArmEvidence| it.needs_retraining(input.thresholds.retrain);
    match evidence.arms.iter().any(failing) {
        true => input.config.retrain_step_bound,
        false => input.config.step_bound,
    }
}

/// An arm below `thresholds.retrain` must not gain, unless everything is as bad and something has to.
fn bounds(input: &TuningInput<'_>, evidence: &Evidence) -> Result<Bounds, Reason> {
    let retrain = input.thresholds.retrain;
    let failing = |it: &ArmEvidence| it.needs_retraining(retrain);
    let (floor, step) = (input.config.exploration_floor, step(input, evidence));
    let currents = |cap: bool| -> Vec<Current> {
        let current = |it: &ArmEvidence| Current { weight: it.weight, capped: cap && failing(it) };
        evidence.arms.iter().map(current).collect()
    };
    Bounds::new(&currents(true), floor, step)
        .or_else(|| Bounds::new(&currents(false), floor, step))
        .ok_or(Reason::Infeasible { arms: evidence.arms.len(), floor, step })
}

fn changes(arms: &[ArmEvidence], target: &[f64]) -> Vec<ArmChange> {
    let pairs = arms.iter().zip(target).filter(|(it, to)| it.weight != **to);
    pairs.map(|(it, to)| ArmChange { arm: it.arm.clone(), from: it.weight, to: *to }).collect()
}

fn require_worthwhile(
    input: &TuningInput<'_>,
    changes: &[ArmChange],
    gain: f64,
) -> Result<(), Reason> {
    let (min_change, min_gain) = (input.config.min_change, input.config.min_gain);
    let largest_change = changes.iter().map(|it| (it.to - it.from).abs()).fold(0.0, f64::max);
    if largest_change < min_change || changes.is_empty() {
        return Err(Reason::AlreadyBest { largest_change, min_change });
    }
    if gain < min_gain {
        return Err(Reason::GainTooSmall { gain, min_gain });
    }
    Ok(())
}

/// An admin is not asked the same thing twice.
fn require_new(input: &TuningInput<'_>, weights: &BTreeMap<String, f64>) -> Result<(), Reason> {
    let Some(last) = input.last_draft else {
        return Ok(());
    };
    let min_change = input.config.min_change;
    let same = last.weights.len() == weights.len()
        && weights.iter().all(|(arm, weight)| {
            last.weights.get(arm).is_some_and(|before| (before - weight).abs() <= min_change)
        });
    if same {
        let (version, status) = (last.version.clone(), last.status);
        return Err(Reason::AlreadyProposed { version, status });
    }
    Ok(())
}
