//! Allocation by belief: how much traffic each arm should get, from what its observations suggest now.
//!
//! A *claim* that one arm is better needs proof, which is the business of `tuning`. Where to
//! send the next hour's traffic needs the best belief, within limits that a person has approved. The
//! rule here is Thompson's (Biometrika 25, 1933) without random draws: the weight of an arm is the
//! probability that it is the best, sharpened, from the data of each arm since its last change.
//!
//! [`allocate`] is a pure function: the same input gives the same weights to the last bit on every
//! machine. Logarithms and exponentials come from `libm` for this reason.

mod best;
mod bounds;
mod changes;
mod common;
mod history;
mod model;
mod publish;
mod settings;
mod special;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use bounds::round_to_steps;
pub use bounds::{Limits, Ranges};
pub use history::{Bucket, Sums};
pub use settings::Settings;
pub use state::{ArmState, BeliefState, StateError};

use best::Mixture;
use changes::{Ranking, Segment};
use history::History;
use model::{Cumulative, Model, Prior};

/// The input of one pass.
#[derive(Clone, Debug, PartialEq)]
pub struct BeliefInput {
    /// By name.
    pub arms: BTreeMap<String, ArmInput>,
    /// The smallest weight of each arm that is not pinned at 0.
    pub floor: f64,
    /// How far a weight may move in one version; 1 is no limit.
    pub step: f64,
    /// The time of the pass in epoch milliseconds.
    pub now: i64,
}

/// An arm and its observations.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmInput {
    /// The oldest first, without overlaps; widths may differ and hours may be missing. Arms that have
    /// data in the same hour should have buckets with the same start.
    pub buckets: Vec<Bucket>,
    /// The current weight. An arm at 0 that this rule did not lower stays at 0.
    pub held: f64,
    /// The approved range of the weight. A maximum of 0 pins the arm at 0.
    pub min: f64,
    pub max: f64,
}

/// Why weights move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// More is known of the arms.
    Learn,
    /// An arm changed such that another leads.
    Change,
    /// An arm may have changed, which is not certain yet.
    Suspect,
}

/// The result of a pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Allocation {
    /// The weights that the belief asks for, within the limits.
    pub want: BTreeMap<String, f64>,
    /// The weights to publish; the held weights if there is nothing to publish.
    pub weights: BTreeMap<String, f64>,
    pub publish: bool,
    pub cause: Cause,
    /// The rise of the mean reward that is expected of `want` compared with the held weights.
    pub expected_gain: f64,
    pub arms: BTreeMap<String, ArmBelief>,
    /// The standard deviation of the common hourly effect; 0 if there is none.
    pub common_deviation: f64,
    /// The dispersion of rewards, 1 for rewards of 0 and 1.
    pub dispersion: f64,
    pub state: BeliefState,
}

/// What is believed of an arm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArmBelief {
    /// The mean reward now.
    pub mean: f64,
    /// The central 95% of the belief. This is not a proof: it is not valid at every look.
    pub low: f64,
    pub high: f64,
    /// The probability that the arm is the best.
    pub probability_best: f64,
    /// The start of the segment that the belief is based on; 0 is the beginning.
    pub since: i64,
    /// Effective observations in the segment.
    pub n: f64,
    /// The probability of a change that is not certain, and its time.
    pub suspected: Option<(f64, i64)>,
    /// The expected trend, reward a day; 0 if a constant mean explains the data better.
    pub trend_per_day: f64,
}

/// Computes the weights of a policy with the usual settings.
pub fn allocate(input: &BeliefInput, state: &BeliefState) -> Allocation {
    allocate_with(&Settings::default(), input, state)
}

/// Computes the weights of a policy.
pub fn allocate_with(settings: &Settings, input: &BeliefInput, before: &BeliefState) -> Allocation {
    let names: Vec<&String> = input.arms.keys().collect();
    let arms: Vec<&ArmInput> = input.arms.values().collect();
    let mut state = before.clone();
    state.arms = names.iter().map(|it| ((*it).clone(), before.of(it))).collect();
    let eligible: Vec<bool> = names
        .iter()
        .zip(&arms)
        .map(|(name, arm)| arm.max > 0.0 && (arm.held > 0.0 || state.of(name).lowered))
        .collect();
    let mut history = History::new(&arms);
    let mut segments: Vec<Segment> = names
        .iter()
        .enumerate()
        .map(|(arm, name)| open(&mut history, arm, &state.of(name)))
        .collect();
    state.observe(&history, arms.len());

    let firsts = |segments: &[Segment]| segments.iter().map(|it| it.first).collect::<Vec<_>>();
    let end = history.cells.len();
    let sums_of = |rows: &[Vec<Sums>], firsts: &[usize]| -> Vec<Sums> {
        let sum = |(row, first): (&Vec<Sums>, &usize)| {
            row[*first..].iter().fold(Sums::default(), |sum, it| sum + *it)
        };
        rows.iter().zip(firsts).map(sum).collect()
    };
    let first = firsts(&segments);
    let prior = Prior::of(&sums_of(&history.arms, &first), settings.prior_size);
    let (rows, common) = common::removed(settings, &history, &first, &prior);
    let sums: Vec<Cumulative> = rows.iter().map(|row| Cumulative::new(&history, row)).collect();
    let prior_of =
        |segments: &[Segment]| Prior::of(&sums_of(&rows, &firsts(segments)), settings.prior_size);
    let mut model = Model { settings, history: &history, prior: prior_of(&segments), arms: sums };
    let mut has_changed = false;
    if let Some(ranking) = Ranking::of(&model, &segments, &eligible) {
        has_changed = changes::end_segments(&model, &mut state, &mut segments, &ranking, &eligible);
        model.prior = prior_of(&segments);
        has_changed |= changes::settle(&model, &mut state, &mut segments);
        model.prior = prior_of(&segments);
        if let Some(ranking) = Ranking::of(&model, &segments, &eligible) {
            changes::find_risers(&model, &mut segments, &ranking, &eligible);
        }
    }
    let mixtures = changes::mixtures(&model, &segments);
    for (arm, name) in names.iter().enumerate() {
        state.remember(name, &history, arm, &segments[arm]);
    }
    let chances = chances(&mixtures, &eligible);
    let target = sharpened(&chances, settings.sharpness);
    let means: Vec<f64> = mixtures.iter().map(best::mean).collect();
    let is_suspected = segments.iter().any(|it| it.doubt.is_some());
    let cause = match (has_changed, is_suspected) {
        (true, _) => Cause::Change,
        (false, true) => Cause::Suspect,
        (false, false) => Cause::Learn,
    };
    let held: Vec<f64> = arms.iter().map(|it| it.held).collect();
    let limits: Vec<Limits> = arms
        .iter()
        .zip(&eligible)
        .map(|(arm, eligible)| Limits {
            held: arm.held,
            min: arm.min,
            max: if *eligible { arm.max } else { 0.0 },
        })
        .collect();
    let has_data = history.arms.iter().flatten().any(|it| it.n > 0.0);
    let ranges = Ranges::new(&limits, input.floor, input.step).filter(|_| has_data);
    let want = ranges.map_or_else(|| held.clone(), |it| it.project(&target));
    let risers: Vec<bool> =
        segments.iter().map(|it| it.doubt.is_some() && it.suspect.is_none()).collect();
    let moved = publish::Move {
        risers: &risers,
        held: &held,
        next: &want,
        means: &means,
        recent: publish::recent(settings, &state, input.now),
    };
    let expected_gain = moved.gain();
    let is_published = want != held && moved.is_worth_a_version(settings);
    if is_published {
        state.recent_versions = moved.recent + 1.0;
        state.last_version = input.now;
        for (name, (next, arm)) in names.iter().zip(want.iter().zip(&eligible)) {
            if let Some(known) = state.arms.get_mut(*name) {
                known.lowered = *arm && *next <= 0.0;
            }
        }
    }
    let named = |weights: &[f64]| -> BTreeMap<String, f64> {
        names.iter().map(|it| (*it).clone()).zip(weights.iter().copied()).collect()
    };
    let beliefs = names.iter().enumerate().map(|(arm, name)| {
        let segment = &segments[arm];
        let known = belief(&mixtures[arm]);
        let trend = model.trend(arm, segment.first, end).filter(|it| it.ln_factor > 0.0);
        let suspected = segment.doubt.map(|(chance, at)| (chance, history.cells[at].from));
        let belief = ArmBelief {
            probability_best: chances[arm],
            since: state.of(name).since,
            n: model.arms[arm].between(segment.first, end).n,
            suspected,
            trend_per_day: trend.map_or(0.0, |it| it.slope * 24.0),
            ..known
        };
        ((*name).clone(), belief)
    });
    Allocation {
        arms: beliefs.collect(),
        weights: named(if is_published { &want } else { &held }),
        want: named(&want),
        publish: is_published,
        cause,
        expected_gain,
        common_deviation: common.sqrt(),
        dispersion: model.prior.dispersion,
        state,
    }
}

/// The probability of each arm to have the highest mean, if no arm changes: Thompson's rule without
/// random draws.
pub fn probability_best(arms: &[Sums]) -> Vec<f64> {
    let prior = Prior::of(arms, 2.0);
    let of = |it: &Sums| {
        let (a, b) = prior.posterior(*it);
        vec![best::Component { weight: 1.0, a, b }]
    };
    best::best(&arms.iter().map(of).collect::<Vec<_>>())
}

fn belief(mixture: &Mixture) -> ArmBelief {
    let (mean, far) = (best::mean(mixture), 1.96 * best::deviation(mixture));
    ArmBelief {
        mean,
        low: (mean - far).max(0.0),
        high: (mean + far).min(1.0),
        probability_best: 0.0,
        since: 0,
        n: 0.0,
        suspected: None,
        trend_per_day: 0.0,
    }
}

/// The probability of each eligible arm to be the best; 0 for the others.
fn chances(mixtures: &[Mixture], eligible: &[bool]) -> Vec<f64> {
    let among: Vec<usize> = (0..mixtures.len()).filter(|arm| eligible[*arm]).collect();
    let compared: Vec<Mixture> = among.iter().map(|arm| mixtures[*arm].clone()).collect();
    let mut chances = vec![0.0; mixtures.len()];
    for (arm, chance) in among.into_iter().zip(best::best(&compared)) {
        chances[arm] = chance;
    }
    chances
}

fn sharpened(chances: &[f64], sharpness: f64) -> Vec<f64> {
    let power = |it: &f64| if *it > 0.0 { libm::pow(it.max(1e-12), sharpness) } else { 0.0 };
    let powers: Vec<f64> = chances.iter().map(power).collect();
    let sum: f64 = powers.iter().sum();
    match sum > 0.0 {
        true => powers.into_iter().map(|it| it / sum).collect(),
        false => bounds::equal(chances.len()),
    }
}

/// The segment of an arm that the state remembers. If a bucket contains its start, what was discarded
/// before is subtracted.
fn open(history: &mut History, arm: usize, known: &ArmState) -> Segment {
    let mut first = history.first_from(known.since);
    if let Some(at) = first.checked_sub(1) {
        let cell = history.cells[at];
        if known.since > cell.from && known.since < cell.to {
            let data = &mut history.arms[arm][at];
            *data = match known.discarded.get(&cell.from) {
                Some(sums) => *data - *sums,
                None => {
                    let kept = history::hours(known.since, cell.to);
                    data.scaled(kept / history::hours(cell.from, cell.to))
                }
            };
            first = at;
        }
    }
    let suspect = known.suspect.map(|it| history.first_from(it)).filter(|it| *it > first);
    let suspect = suspect.filter(|it| *it < history.cells.len());
    Segment { first, suspect, doubt: None, has_changed: false }
}

/// The widths of the larger buckets that a timeline may merge hours into, in hours.
const MERGED: [i64; 3] = [1, 6, 24];

impl BeliefState {
    fn of(&self, arm: &str) -> ArmState {
        self.arms.get(arm).cloned().unwrap_or_default()
    }

    /// Counts the hours that were observed since the last pass.
    fn observe(&mut self, history: &History, arms: usize) {
        use crate::number::Lossy;
        let new = history.cells.iter().filter(|it| it.to > self.seen_until);
        let seen = self.seen_until;
        let hours: f64 = new.map(|it| history::hours(it.from.max(seen), it.to)).sum();
        self.arm_hours += hours * arms.to_f64();
        self.seen_until = history.cells.last().map_or(seen, |it| it.to.max(seen));
    }

    /// Stores the segment of an arm.
    fn remember(&mut self, name: &str, history: &History, arm: usize, segment: &Segment) {
        let Some(known) = self.arms.get_mut(name) else { return };
        let time = |at: usize| history.cells.get(at).map(|it| it.from);
        known.suspect = segment.suspect.and_then(time);
        let Some(since) = time(segment.first).filter(|_| segment.has_changed) else { return };
        known.since = since;
        let within = |width: i64| {
            let from = since.div_euclid(width) * width;
            let first = history.first_from(from);
            let before = &history.arms[arm][first..segment.first];
            let sums = before.iter().fold(Sums::default(), |sum, it| sum + *it);
            (from < since).then_some((from, sums))
        };
        known.discarded =
            MERGED.iter().filter_map(|hours| within(hours * crate::time::HOUR_MS)).collect();
    }
}
