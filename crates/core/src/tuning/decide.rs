//! The decision.
//!
//! [`assess`] computes what a decision needs, once. [`Assessment::decide`] then takes the last draft
//! and decides, as often as needed. [`decide`] does both with the last draft of the input, which is
//! how a stored decision is replayed.

use std::collections::BTreeMap;

use super::checks::{self, Check};
use super::evidence::{self, Evidence};
use super::standing::{ArmStanding, standings};
use super::{ArmChange, Decision, LastDraft, MAX_ARMS, Proposal, Reason, TuningInput};
use super::{allocate, notes};
use crate::policy::check_weights;

/// Whether the evidence supports a change of weights, and which.
///
/// Deterministic, and idempotent: given its own proposal as the last draft, it returns
/// [`Reason::AlreadyProposed`].
pub fn decide(input: &TuningInput) -> Decision {
    let proposed =
        Assessed::of(input).and_then(|assessed| assessed.propose(input, input.last_draft.as_ref()));
    Decision::from(proposed)
}

/// Assesses the evidence without the last draft, which matters only if there is something to
/// propose. The last draft of the input is removed; [`Assessment::decide`] takes it.
pub fn assess(mut input: TuningInput) -> Assessment {
    input.last_draft = None;
    let outcome = Assessed::of(&input);
    Assessment { input, outcome }
}

/// What follows from the evidence, before it is compared with the last draft.
#[derive(Clone, Debug)]
pub struct Assessment {
    input: TuningInput,
    outcome: Result<Assessed, Reason>,
}

impl Assessment {
    /// Why there is nothing to propose, whatever the last draft is.
    pub fn reason(&self) -> Option<&Reason> {
        self.outcome.as_ref().err()
    }

    /// The input that the decision is made from, to be stored with it: after [`Self::decide`] it
    /// includes the last draft.
    pub fn input(&self) -> &TuningInput {
        &self.input
    }

    /// Reduces the input to at most `most` bytes, see [`TuningInput::fit`]. If that changes the input,
    /// it is assessed again, because a decision must be made from the input that is stored with it.
    #[must_use]
    pub fn fit(mut self, most: usize) -> Self {
        if self.input.fit(most) { assess(self.input) } else { self }
    }

    /// The same decision as [`decide`] with this last draft.
    pub fn decide(&mut self, last_draft: Option<LastDraft>) -> Decision {
        self.input.last_draft = last_draft;
        let last_draft = self.input.last_draft.as_ref();
        let assessed = self.outcome.as_ref().map_err(Clone::clone);
        Decision::from(assessed.and_then(|it| it.propose(&self.input, last_draft)))
    }

    /// Whether these weights respect the current bounds, see [`within_bounds`]. `false` if nothing
    /// can be proposed.
    pub fn within_bounds(&self, weights: &BTreeMap<String, f64>) -> bool {
        let assessed = self.outcome.as_ref();
        assessed.is_ok_and(|it| are_within_bounds(&self.input, &it.standings, weights))
    }
}

/// What a proposal is made from.
#[derive(Clone, Debug)]
struct Assessed {
    standings: Vec<ArmStanding>,
    /// The proposed weights, in the order of the arms.
    target: Vec<f64>,
    changes: Vec<ArmChange>,
    sample_ratio: Check,
}

impl Assessed {
    fn of(input: &TuningInput) -> Result<Self, Reason> {
        check(input)?;
        let standings = standings(input);
        require_judged_arm(input, &standings)?;
        let target = allocate::weights(input, &standings)?;
        require_proof(input, &standings)?;
        let sample_ratio = checks::sample_ratio(input);
        let fails = standings.iter().any(|it| it.failing);
        if sample_ratio.passed == Some(false) && input.config.sample_ratio_check && !fails {
            return Err(Reason::SampleRatio(sample_ratio.detail));
        }
        let changes = changes(&standings, &target);
        require_worthwhile(input, &standings, &changes)?;
        Ok(Self { standings, target, changes, sample_ratio })
    }

    fn propose(
        &self,
        input: &TuningInput,
        last_draft: Option<&LastDraft>,
    ) -> Result<Proposal, Reason> {
        let Self { standings, target, changes, sample_ratio } = self;
        require_new(input, last_draft, changes)?;
        let evidence = Evidence::gather(input, standings, target, sample_ratio.clone());
        let names = standings.iter().map(|it| it.arm.clone());
        let weights: BTreeMap<String, f64> = names.zip(target.iter().copied()).collect();
        Ok(Proposal {
            weights,
            expected_gain: evidence.gain.expected,
            notes: notes::write(input, &evidence, changes),
            changes: changes.clone(),
            evidence,
        })
    }
}

impl From<Result<Proposal, Reason>> for Decision {
    fn from(proposed: Result<Proposal, Reason>) -> Self {
        match proposed {
            Ok(proposal) => Self::Propose(Box::new(proposal)),
            Err(reason) => Self::None(reason),
        }
    }
}

/// Stored documents are edited by people: an invalid one is a reason, not a panic.
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

/// An arm below the floor is moved up to it without a proof, so that it gets observations.
fn require_proof(input: &TuningInput, arms: &[ArmStanding]) -> Result<(), Reason> {
    if arms.iter().any(ArmStanding::is_loser) || is_below_floor(input, arms) {
        return Ok(());
    }
    let leader = arms.iter().max_by(|a, b| a.p_best.total_cmp(&b.p_best));
    Err(Reason::NothingProven {
        leader: leader.map_or_else(String::new, |it| it.arm.clone()),
        p_best: leader.map_or(0.0, |it| it.p_best),
        observations: arms.iter().map(|it| it.n).sum(),
        unnamed: unnamed(input, arms),
    })
}

/// The observations that cannot be compared; 0 if there are only a few, for example those from the
/// hour in which an arm restarted.
fn unnamed(input: &TuningInput, arms: &[ArmStanding]) -> u64 {
    /// The share of observations that is worth a mention.
    const MANY: u64 = 20;
    evidence::within_versions(input, arms)
        .map_or(0, |it| if it.unnamed * MANY > it.named + it.unnamed { it.unnamed } else { 0 })
}

/// Whether an arm is below the floor by a step or more: a smaller change cannot be written.
fn is_below_floor(input: &TuningInput, arms: &[ArmStanding]) -> bool {
    let step = 1.0 / f64::from(super::WEIGHT_STEPS);
    arms.iter().any(|it| it.weight + step <= input.config.exploration_floor)
}

/// Whether weights respect the bounds as they are now. Weights that were drafted under other bounds,
/// or for other weights of the active version, may not.
pub fn within_bounds(input: &TuningInput, weights: &BTreeMap<String, f64>) -> bool {
    are_within_bounds(input, &standings(input), weights)
}

fn are_within_bounds(
    input: &TuningInput,
    standings: &[ArmStanding],
    weights: &BTreeMap<String, f64>,
) -> bool {
    let step = allocate::step(input, standings);
    let keeps = |it: &ArmStanding| {
        weights.get(&it.arm).is_some_and(|to| {
            // An arm that starts below the floor may need several steps to reach it.
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
    // The bound on a step also bounds its gain, so the gain after all steps is compared.
    let destination = allocate::destination(input, arms)?;
    let gain = evidence::expected_gain(input, arms, &destination);
    if gain < min_gain && !is_below_floor(input, arms) {
        return Err(Reason::GainTooSmall { gain, min_gain });
    }
    Ok(())
}

/// An admin is not asked the same question twice: a draft that moves the same arms in the same
/// directions is the same proposal, even if the last digits differ.
fn require_new(
    input: &TuningInput,
    last_draft: Option<&LastDraft>,
    changes: &[ArmChange],
) -> Result<(), Reason> {
    let Some(last) = last_draft else {
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
