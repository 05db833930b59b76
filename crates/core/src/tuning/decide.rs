//! The decision.
//!
//! [`assess`] computes what a decision needs, once. [`Assessment::decide`] then takes the last draft
//! and decides, as often as needed. [`decide`] does both with the last draft of the input, which is
//! how a stored decision is replayed.

use std::collections::BTreeMap;

use super::checks::{self, Check};
use super::evidence::{self, Evidence};
use super::standing::{ArmStanding, standings};
use super::{
    ArmChange, ArmCount, Decision, LastDraft, MAX_ARMS, Past, Pressed, Pressing, Proposal, Reason,
    TuningInput,
};
use super::{allocate, believe, budget, notes};
use crate::belief::{Allocation, BeliefState};
use crate::policy::check_weights;

/// Whether the evidence supports a change of weights, and which.
///
/// Deterministic, and idempotent: given its own proposal as the last draft, it returns
/// [`Reason::AlreadyProposed`].
pub fn decide(input: &TuningInput) -> Decision {
    let (_, outcome) = Assessed::of(input);
    let proposed = outcome.and_then(|it| it.propose(input, input.last_draft.as_ref()));
    Decision::from(proposed)
}

/// Assesses the evidence without the last draft, which matters only if there is something to
/// propose. The last draft of the input is removed; [`Assessment::decide`] takes it.
pub fn assess(mut input: TuningInput) -> Assessment {
    input.last_draft = None;
    let (believed, outcome) = Assessed::of(&input);
    Assessment { input, believed, outcome }
}

/// What follows from the evidence, before it is compared with the last draft.
#[derive(Clone, Debug)]
pub struct Assessment {
    input: TuningInput,
    /// What is believed, whether or not that is worth a version.
    believed: Option<Believed>,
    outcome: Result<Assessed, Reason>,
}

/// What a pass has believed.
#[derive(Clone, Debug)]
struct Believed {
    /// What allocation by belief remembers after this pass.
    state: BeliefState,
    pressing: Vec<Pressing>,
    spent: Option<String>,
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

    /// What allocation by belief remembers after this pass; `None` if weights are decided by proof, or
    /// the input is invalid.
    pub fn belief(&self) -> Option<&BeliefState> {
        self.believed.as_ref().map(|it| &it.state)
    }

    /// The approved bounds that belief wants to pass now.
    pub fn pressing(&self) -> &[Pressing] {
        self.believed.as_ref().map_or(&[], |it| &it.pressing)
    }

    /// Why weights are only drafted now, although the envelope is open: its regret budget is spent.
    pub fn spent(&self) -> Option<&str> {
        self.believed.as_ref()?.spent.as_deref()
    }

    /// The same question beyond these approved bounds, to be answered by a person.
    #[must_use]
    pub fn beyond(&self, pressed: Vec<Pressed>) -> Self {
        let mut input = self.input.clone();
        if let Some(basis) = &mut input.belief {
            basis.pressed = pressed;
        }
        assess(input)
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

    /// Decides with all that was decided before: what was refused is not proposed again yet, the
    /// last step must have been observed, and an open draft is renewed if its evidence has moved.
    pub fn decide_after(&mut self, past: &Past) -> Decision {
        let last = past.draft.as_ref().map(|it| it.last.clone());
        self.input.last_draft = None;
        let assessed = match &self.outcome {
            Ok(assessed) => assessed,
            Err(reason) => return Decision::None(reason.clone()),
        };
        if let Some(reason) = past.forbids(&self.input, &assessed.changes) {
            self.input.last_draft = last;
            return Decision::None(reason);
        }
        match assessed.propose(&self.input, last.as_ref()) {
            // The draft that is renewed or replaced is not part of the input, so that the stored
            // input leads to the same proposal.
            Err(Reason::AlreadyProposed { version, status }) => {
                let open = past.draft.as_ref().filter(|it| it.is_open());
                let renewed = open.and_then(|draft| {
                    let mut proposal = assessed.propose(&self.input, None).ok()?;
                    // A draft follows what is believed; what is proven is another proposal.
                    let same = draft.last.weights == proposal.weights;
                    let renews = same || assessed.believed.is_some();
                    proposal.renews = renews.then(|| draft.last.version.clone());
                    draft.has_moved(&proposal).then_some(proposal)
                });
                if renewed.is_none() {
                    self.input.last_draft = last;
                }
                Decision::from(renewed.ok_or(Reason::AlreadyProposed { version, status }))
            }
            Ok(mut proposal) if assessed.believed.is_some() => {
                let open = past.draft.as_ref().filter(|it| it.is_open());
                proposal.renews = open.map(|it| it.last.version.clone());
                if proposal.renews.is_none() {
                    self.input.last_draft = last;
                }
                Decision::Propose(Box::new(proposal))
            }
            proposed => {
                self.input.last_draft = last;
                Decision::from(proposed)
            }
        }
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
    /// What is believed, if weights are decided by that.
    believed: Option<Allocation>,
}

impl Assessed {
    fn of(input: &TuningInput) -> (Option<Believed>, Result<Self, Reason>) {
        if let Err(reason) = check(input) {
            return (None, Err(reason.noted(input)));
        }
        let standings = standings(input);
        let believed = believe::allocation(input, &standings);
        let known = believed.as_ref().map(|it| Believed {
            state: it.state.clone(),
            pressing: believe::pressing(input, &standings, it),
            spent: believe::spent(input, it),
        });
        let outcome = Self::without_notes(input, standings, believed);
        (known, outcome.map_err(|reason| reason.noted(input)))
    }

    fn without_notes(
        input: &TuningInput,
        standings: Vec<ArmStanding>,
        believed: Option<Allocation>,
    ) -> Result<Self, Reason> {
        // If nothing is proposed, the reason names the arms that nothing could be said in favour of.
        let assessed = match believed {
            Some(believed) => Self::from_belief(input, &standings, believed),
            None => Self::from_standings(input, &standings),
        };
        assessed.map_err(|reason| match reason {
            Reason::TooFewSamples { .. }
            | Reason::NothingProven { .. }
            | Reason::AlreadyBest { .. }
            | Reason::GainTooSmall { .. }
            | Reason::BelievedBest { .. }
                if standings.iter().any(|it| hides_enough(input, it)) =>
            {
                Reason::RejectedShare(checks::rejected_share(input, &standings).detail)
            }
            reason => reason,
        })
    }

    fn from_standings(input: &TuningInput, standings: &[ArmStanding]) -> Result<Self, Reason> {
        let standings = standings.to_vec();
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
        Ok(Self { standings, target, changes, sample_ratio, believed: None })
    }

    fn from_belief(
        input: &TuningInput,
        standings: &[ArmStanding],
        believed: Allocation,
    ) -> Result<Self, Reason> {
        believe::require_move(input, standings, &believed)?;
        let sample_ratio = checks::sample_ratio(input);
        if sample_ratio.passed == Some(false) && input.config.sample_ratio_check {
            return Err(Reason::SampleRatio(sample_ratio.detail));
        }
        let standings = standings.to_vec();
        let weight = |it: &ArmStanding| believed.weights.get(&it.arm).copied().unwrap_or(it.weight);
        let target: Vec<f64> = standings.iter().map(weight).collect();
        let changes = changes(&standings, &target);
        require_change(input, &changes)?;
        Ok(Self { standings, target, changes, sample_ratio, believed: Some(believed) })
    }

    fn propose(
        &self,
        input: &TuningInput,
        last_draft: Option<&LastDraft>,
    ) -> Result<Proposal, Reason> {
        let Self { standings, target, changes, sample_ratio, believed } = self;
        require_new(input, last_draft, changes)?;
        let evidence =
            Evidence::gather(input, standings, target, sample_ratio.clone(), believed.as_ref());
        let names = standings.iter().map(|it| it.arm.clone());
        let weights: BTreeMap<String, f64> = names.zip(target.iter().copied()).collect();
        Ok(Proposal {
            weights,
            expected_gain: evidence.gain.expected,
            notes: notes::write(input, &evidence, changes),
            changes: changes.clone(),
            evidence,
            renews: None,
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
        _ => require_used_arms(input),
    }
}

/// Arms at 0 stay at 0, so that at least two others are needed to move weight.
fn require_used_arms(input: &TuningInput) -> Result<(), Reason> {
    let (used, unused): (Vec<_>, Vec<_>) = input.weights.iter().partition(|(_, it)| **it > 0.0);
    match used.as_slice() {
        [(arm, _)] => Err(Reason::OthersAtZero {
            arm: (*arm).clone(),
            at_zero: unused.into_iter().map(|(arm, _)| arm.clone()).collect(),
        }),
        _ => Ok(()),
    }
}

fn require_judged_arm(input: &TuningInput, arms: &[ArmStanding]) -> Result<(), Reason> {
    if arms.iter().any(|it| it.judged) {
        return Ok(());
    }
    Err(Reason::TooFewSamples {
        min_samples: input.config.min_samples,
        samples: arms.iter().map(|it| count(input, it)).collect(),
    })
}

/// Whether an arm is incomplete and would be judged if all of its documents had been scored.
fn hides_enough(input: &TuningInput, arm: &ArmStanding) -> bool {
    arm.is_incomplete && arm.n.saturating_add(arm.rejected) >= input.config.min_samples
}

fn count(input: &TuningInput, it: &ArmStanding) -> ArmCount {
    let memory = input.arms.get(&it.arm).map(|it| it.memory).unwrap_or_default();
    ArmCount { arm: it.arm.clone(), n: it.n, since: memory.since, restarts: memory.restarts }
}

/// An arm above 0 and below the floor is moved up to it without a proof, so that it gets observations.
fn require_proof(input: &TuningInput, arms: &[ArmStanding]) -> Result<(), Reason> {
    if arms.iter().any(ArmStanding::is_loser) || is_below_floor(input, arms) {
        return Ok(());
    }
    let leader = arms.iter().filter(|it| !it.is_incomplete);
    let leader = leader.max_by(|a, b| a.p_best.total_cmp(&b.p_best));
    Err(Reason::NothingProven {
        leader: leader.map_or_else(String::new, |it| it.arm.clone()),
        p_best: leader.map_or(0.0, |it| it.p_best),
        observations: arms.iter().map(|it| it.n).sum(),
        restarted: arms.iter().map(|it| count(input, it)).filter(has_changed).collect(),
        unnamed: unnamed(input, arms),
    })
}

/// Whether an arm restarted because its rewards changed, and not only with a new `reward_config`.
fn has_changed(arm: &ArmCount) -> bool {
    arm.restarts > 0 && !budget::is_start_of_period(arm.since)
}

/// The observations that cannot be compared; 0 if there are only a few, for example those from the
/// hour in which an arm restarted.
fn unnamed(input: &TuningInput, arms: &[ArmStanding]) -> u64 {
    /// The share of observations that is worth a mention.
    const MANY: u64 = 20;
    evidence::within_versions(input, arms)
        .map_or(0, |it| if it.unnamed * MANY > it.named + it.unnamed { it.unnamed } else { 0 })
}

/// Whether an arm above 0 is below the floor by a step or more: a smaller change cannot be written.
fn is_below_floor(input: &TuningInput, arms: &[ArmStanding]) -> bool {
    let step = 1.0 / f64::from(super::WEIGHT_STEPS);
    let floor = input.config.exploration_floor;
    arms.iter().any(|it| it.weight > 0.0 && it.weight + step <= floor)
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
    let (lowest, step) = (believe::floor(input), believe::step(input, standings));
    // Weights that were written by hand are rounded to steps.
    let one_step = 1.0 / f64::from(super::WEIGHT_STEPS);
    let keeps = |it: &ArmStanding| {
        weights.get(&it.arm).is_some_and(|to| {
            // An arm that starts below the floor may need several steps to reach it.
            let floor = lowest.min(it.weight);
            // An incomplete arm rises at most to the floor, where it gets observations.
            let most = match it.is_incomplete {
                true => it.weight.max(lowest) + one_step,
                false => 1.0,
            };
            let stays_unused = it.weight > 0.0 || *to == 0.0;
            stays_unused && *to >= floor && *to <= most && (to - it.weight).abs() <= step
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

fn require_change(input: &TuningInput, changes: &[ArmChange]) -> Result<(), Reason> {
    let min_change = input.config.min_change;
    let largest_change = changes.iter().map(|it| (it.to - it.from).abs()).fold(0.0, f64::max);
    match largest_change < min_change || changes.is_empty() {
        true => Err(Reason::AlreadyBest { largest_change, min_change }),
        false => Ok(()),
    }
}

fn require_worthwhile(
    input: &TuningInput,
    arms: &[ArmStanding],
    changes: &[ArmChange],
) -> Result<(), Reason> {
    require_change(input, changes)?;
    let min_gain = input.config.min_gain;
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
