//! Allocation by belief within the limits of a decision; see [`crate::belief`].

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::envelope::Envelope;
use super::standing::{self, ArmStanding};
use super::{Reason, TuningInput, WEIGHT_STEPS, allocate, checks, identify};
use crate::belief::{
    self, Allocation, ArmBelief, ArmInput, BeliefInput, BeliefState, Bucket, Cause, Settings, Sums,
};
use crate::estimate::Moments;
use crate::stats::{Samples, Timeline};
use crate::time::DAY_MS;

/// What weights are believed from. It is stored with the decision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Basis {
    /// By arm, the rewards by time.
    pub buckets: BTreeMap<String, Vec<Bucket>>,
    /// What was remembered from earlier passes.
    pub state: BeliefState,
    /// The range that a person approved, if any.
    pub envelope: Option<Envelope>,
    /// The approved bounds that do not hold for this decision, because belief has wanted to pass them
    /// for hours: it is a question to a person, and never published.
    pub pressed: Vec<Pressed>,
}

/// A bound of an approved range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Min,
    Max,
}

impl Side {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Min => "minimum",
            Self::Max => "maximum",
        }
    }
}

/// A bound that belief has wanted to pass since a time, in epoch milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pressed {
    pub arm: String,
    pub side: Side,
    pub since: i64,
}

/// A bound that belief wants to pass now.
#[derive(Clone, Debug, PartialEq)]
pub struct Pressing {
    pub arm: String,
    pub side: Side,
    /// The approved bound.
    pub approved: f64,
    /// The weight that the belief asks for.
    pub wish: f64,
}

/// The evidence of a [`Pressing`] that lasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    pub arm: String,
    pub side: Side,
    pub approved: f64,
    pub wish: f64,
    /// Epoch milliseconds.
    pub since: i64,
}

/// Why a version moves weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MoveCause {
    /// More is known of the arms.
    Learn,
    /// An arm changed such that another leads.
    Change,
    /// An arm may have changed, which is not certain yet.
    Suspect,
    /// Belief has wanted to pass an approved bound for hours.
    Bound,
}

impl MoveCause {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Learn => "learn",
            Self::Change => "change",
            Self::Suspect => "suspect",
            Self::Bound => "bound",
        }
    }

    /// The cause in words.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Learn => "more is known of the arms",
            Self::Change => "an arm changed, so that another leads",
            Self::Suspect => "an arm may have changed",
            Self::Bound => "an approved bound has been in the way for hours",
        }
    }
}

impl From<Cause> for MoveCause {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Learn => Self::Learn,
            Cause::Change => Self::Change,
            Cause::Suspect => Self::Suspect,
        }
    }
}

/// The part of the evidence that is belief: it moves weights and proves nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BeliefEvidence {
    /// Why weights move.
    pub cause: MoveCause,
    /// By arm.
    pub arms: BTreeMap<String, ArmBelief>,
    /// The standard deviation of what all arms gain or lose together within an hour; 0 if there is
    /// nothing of the kind.
    pub common_deviation: f64,
    /// The variance of rewards within an arm, relative to that of rewards that are 0 or 1.
    pub dispersion: f64,
    /// The number of the envelope that the weights respect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<u32>,
    /// Why a person has to approve the weights although they are within the envelope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<String>,
    /// The bounds of the envelope that keep weights from moving further.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub binding: Vec<String>,
    /// The bounds of the envelope that the weights pass, because belief has wanted that for hours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<Bound>,
}

impl Basis {
    /// `active_since` is when the active version became active, if the tuner made it.
    pub fn new(
        timelines: &BTreeMap<String, Timeline>,
        mut state: BeliefState,
        active_since: Option<i64>,
        envelope: Option<Envelope>,
    ) -> Self {
        if let Some(at) = active_since {
            state.published(&Settings::default(), at);
        }
        let buckets = |timeline: &Timeline| {
            let spans = timeline.spans().filter(|(.., samples)| !samples.reward.is_empty());
            spans.map(|(from, to, samples)| Bucket { from, to, sums: sums(samples) }).collect()
        };
        let named = |(arm, timeline): (&String, &Timeline)| (arm.clone(), buckets(timeline));
        let buckets = timelines.iter().map(named).collect();
        Self { buckets, state, envelope, pressed: Vec::new() }
    }
}

/// The rewards of a bucket as so many equally weighted ones that are as informative (Kish, "Survey
/// sampling", 1965).
fn sums(samples: &Samples) -> Sums {
    let Moments { weight, squared_weight, sum, squares } = samples.reward.moments();
    if squared_weight <= 0.0 {
        return Sums::default();
    }
    let n = weight * weight / squared_weight;
    Sums { n, sum: n * sum / weight, squares: n * squares / weight }
}

/// What is believed, and the weights that follow; `None` if the decision is made by proof. The state
/// remembers nothing of versions: whether one is published is decided elsewhere.
pub(super) fn allocation(input: &TuningInput, standings: &[ArmStanding]) -> Option<Allocation> {
    let basis = input.belief.as_ref()?;
    let range = |arm: &str| {
        let (min, max) = basis.envelope.as_ref().and_then(|it| it.range(arm)).unwrap_or(ANY);
        let holds = |side| !basis.pressed.iter().any(|it| it.arm == arm && it.side == side);
        (if holds(Side::Min) { min } else { ANY.0 }, if holds(Side::Max) { max } else { ANY.1 })
    };
    let found = allocate_within(input, basis, standings, range, step(input, standings));
    let BeliefState { recent_versions, last_version, .. } = basis.state;
    let state = BeliefState { recent_versions, last_version, ..found.state };
    Some(Allocation { state, ..found })
}

/// The range of an arm that no person limited.
const ANY: (f64, f64) = (0.0, 1.0);

fn allocate_within(
    input: &TuningInput,
    basis: &Basis,
    standings: &[ArmStanding],
    range: impl Fn(&str) -> (f64, f64),
    step: f64,
) -> Allocation {
    let holds = checks::holds(input);
    let lowest = floor(input);
    let arm = |it: &ArmStanding| {
        let may_rise = !it.is_incomplete && holds.iter().all(|hold| hold.arm != it.arm);
        let (min, max) = range(&it.arm);
        let max = match (it.weight > 0.0, may_rise) {
            (false, _) => 0.0,
            (true, false) => max.min(it.weight.max(lowest)),
            (true, true) => max,
        };
        let buckets = basis.buckets.get(&it.arm).cloned().unwrap_or_default();
        (it.arm.clone(), ArmInput { buckets, held: it.weight, min: min.min(max), max })
    };
    let arms = standings.iter().map(arm).collect();
    let asked = BeliefInput { arms, floor: lowest, step, now: input.as_of };
    let found = belief::allocate(&asked, &basis.state);
    identify::redirected(input, standings, &asked, found)
}

/// The approved bounds that belief wants to pass by `minChange` or more, if it could move as far as it
/// wants at once.
pub(super) fn pressing(
    input: &TuningInput,
    standings: &[ArmStanding],
    allocation: &Allocation,
) -> Vec<Pressing> {
    let Some(basis) = &input.belief else { return Vec::new() };
    let Some(envelope) = &basis.envelope else { return Vec::new() };
    let (touched, pressed) = (!touched(envelope, &allocation.want).is_empty(), &basis.pressed);
    if !touched && pressed.is_empty() {
        return Vec::new();
    }
    let free = allocate_within(input, basis, standings, |_| ANY, 1.0).want;
    let least = input.config.min_change.max(STEP);
    let of = |(arm, wish): (&String, &f64)| {
        let (min, max) = envelope.range(arm)?;
        let (side, approved) = match (*wish >= max + least, *wish <= min - least) {
            (true, _) => (Side::Max, max),
            (_, true) if min > envelope.floor => (Side::Min, min),
            _ => return None,
        };
        Some(Pressing { arm: arm.clone(), side, approved, wish: *wish })
    };
    free.iter().filter_map(of).collect()
}

/// The reward that the actions of the last seven days lost against the arm that is believed to be the
/// best now.
fn lost_in_a_week(input: &TuningInput, basis: &Basis, allocation: &Allocation) -> f64 {
    let since = input.as_of - 7 * DAY_MS;
    let means = allocation.arms.values().map(|it| it.mean);
    let best = means.fold(0.0, f64::max);
    let lost = |(arm, buckets): (&String, &Vec<Bucket>)| {
        let mean = allocation.arms.get(arm).map_or(best, |it| it.mean);
        let recent = buckets.iter().filter(|it| it.from >= since);
        recent.map(|it| it.sums.n).sum::<f64>() * (best - mean)
    };
    basis.buckets.iter().map(lost).sum()
}

/// Why weights by belief are only drafted, although the envelope is open: the budget is spent.
pub(super) fn spent(input: &TuningInput, allocation: &Allocation) -> Option<String> {
    let basis = input.belief.as_ref()?;
    let envelope = basis.envelope.as_ref()?;
    let budget = envelope.regret_budget?;
    let lost = lost_in_a_week(input, basis, allocation);
    (lost > budget).then(|| {
        let Envelope { policy, number, .. } = envelope;
        format!(
            "the regret budget of envelope {policy}@{number} is spent: {lost:.1} of {budget} in the \
             last 7 days"
        )
    })
}

/// A step of a weight.
const STEP: f64 = 1.0 / WEIGHT_STEPS as f64;

/// The approved bounds that these weights touch or pass.
fn touched<'a>(
    envelope: &Envelope,
    weights: &'a BTreeMap<String, f64>,
) -> Vec<(&'a str, Side, f64)> {
    let bound = |(arm, to): (&'a String, &f64)| {
        let (min, max) = envelope.range(arm)?;
        match (max < 1.0 && *to > max - STEP, min > envelope.floor && *to < min + STEP) {
            (true, _) => Some((arm.as_str(), Side::Max, max)),
            (_, true) => Some((arm.as_str(), Side::Min, min)),
            _ => None,
        }
    };
    weights.iter().filter_map(bound).collect()
}

/// The arms whose approved maximum keeps them from more traffic, or whose minimum from less.
fn binding(basis: &Basis, proposed: &BTreeMap<String, f64>) -> Vec<String> {
    let Some(envelope) = &basis.envelope else { return Vec::new() };
    let holds = |(arm, side, _): &(&str, Side, f64)| {
        !basis.pressed.iter().any(|it| it.arm == *arm && it.side == *side)
    };
    let found = touched(envelope, proposed).into_iter().filter(holds);
    let in_words = |(arm, side, at): (&str, Side, f64)| {
        format!("{arm} is at its approved {} {at:.3}", side.name())
    };
    found.map(in_words).collect()
}

/// How far a weight may move in one version: as the envelope allows, or `config/tuning`.
pub(super) fn step(input: &TuningInput, standings: &[ArmStanding]) -> f64 {
    let envelope = input.belief.as_ref().and_then(|it| it.envelope.as_ref());
    envelope.map_or_else(|| allocate::step(input, standings), |it| it.step_bound)
}

/// An arm above 0 keeps at least one step, so that only people take an arm out.
pub(super) fn floor(input: &TuningInput) -> f64 {
    let Some(belief) = &input.belief else { return input.config.exploration_floor };
    let of_envelope = belief.envelope.as_ref().map(|it| it.floor);
    let floor = of_envelope.unwrap_or(input.config.exploration_floor);
    floor.max(1.0 / f64::from(WEIGHT_STEPS))
}

/// Requires a change of weights that is worth a version.
pub(super) fn require_move(
    input: &TuningInput,
    standings: &[ArmStanding],
    allocation: &Allocation,
) -> Result<(), Reason> {
    let observed: u64 = standings.iter().map(|it| it.n).sum();
    if allocation.publish && observed >= input.config.min_samples {
        return Ok(());
    }
    let by_chance = allocation.arms.iter();
    let leader = by_chance.max_by(|a, b| a.1.probability_best.total_cmp(&b.1.probability_best));
    Err(Reason::BelievedBest {
        leader: leader.map_or_else(String::new, |it| it.0.clone()),
        p_best: leader.map_or(0.0, |it| it.1.probability_best),
        gain: allocation.expected_gain,
        observations: observed,
        min_samples: input.config.min_samples,
    })
}

impl BeliefEvidence {
    pub(super) fn of(input: &TuningInput, allocation: &Allocation) -> Self {
        let basis = input.belief.as_ref();
        let envelope = basis.and_then(|it| it.envelope.as_ref());
        let is_pressed = basis.is_some_and(|it| !it.pressed.is_empty());
        Self {
            cause: if is_pressed { MoveCause::Bound } else { allocation.cause.into() },
            arms: allocation.arms.clone(),
            common_deviation: allocation.common_deviation,
            dispersion: allocation.dispersion,
            envelope: envelope.map(|it| it.number),
            spent: spent(input, allocation),
            binding: basis.map(|it| binding(it, &allocation.weights)).unwrap_or_default(),
            bounds: bounds(input, allocation),
        }
    }
}

/// The bounds that a decision passes, with what belief asks for.
fn bounds(input: &TuningInput, allocation: &Allocation) -> Vec<Bound> {
    let Some(basis) = input.belief.as_ref().filter(|it| !it.pressed.is_empty()) else {
        return Vec::new();
    };
    let standings = standing::standings(input);
    let of = |it: Pressing| {
        let known = basis.pressed.iter().find(|known| known.arm == it.arm && known.side == it.side);
        let Pressing { arm, side, approved, wish } = it;
        Some(Bound { arm, side, approved, wish, since: known?.since })
    };
    pressing(input, &standings, allocation).into_iter().filter_map(of).collect()
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { arm, side, approved, wish, since } = self;
        write!(
            f,
            "belief has wanted {arm} at {wish:.3} since {}, beyond its approved {} {approved:.3}",
            crate::time::Utc(*since),
            side.name()
        )
    }
}

/// What is believed of an arm, in words.
pub(super) struct Believed<'a>(pub &'a ArmBelief);

impl fmt::Display for Believed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ArmBelief { mean, low, high, probability_best, since, n, suspected, .. } = self.0;
        write!(f, "believed to earn {mean:.3} ({low:.3}–{high:.3}) from {n:.0} observations")?;
        if *since > 0 {
            write!(f, " since it changed at {}", crate::time::Utc(*since))?;
        }
        write!(f, ", the best with probability {probability_best:.2}")?;
        match suspected {
            Some((chance, at)) => {
                write!(f, ", with probability {chance:.2} changed at {}", crate::time::Utc(*at))
            }
            None => Ok(()),
        }
    }
}
