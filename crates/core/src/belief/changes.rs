//! Changes of the arms: segments that end, suspicions, and arms that may have risen.
//!
//! The evidence is a Bayes factor summed over the edges of buckets (Adams and MacKay, "Bayesian online
//! changepoint detection", arXiv 0710.3742). Only changes that alter who leads end a segment (Suk and
//! Kpotufe, "Tracking most significant arm switches in bandits", arXiv 2112.13838): any other change
//! would cost evidence and gain nothing.

use super::best::Mixture;
use super::model::Model;
use super::settings::Settings;
use super::special::{ln_add, logistic};
use super::state::BeliefState;

/// The current segment of an arm, by cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Segment {
    pub first: usize,
    /// The first cell after a supposed change.
    pub suspect: Option<usize>,
    /// The probability of a change that is not proven, and its first cell.
    pub doubt: Option<(f64, usize)>,
    pub has_changed: bool,
}

/// The leader and the levels that a change must cross.
#[derive(Clone, Debug)]
pub(super) struct Ranking {
    pub leader: usize,
    highest: f64,
    second: f64,
    /// The level below which a leader that fell may be worse than an arm with few observations.
    reached: f64,
}

impl Ranking {
    pub fn of(model: &Model<'_>, segments: &[Segment], eligible: &[bool]) -> Option<Self> {
        let end = model.history.cells.len();
        let levels: Vec<f64> = (0..segments.len())
            .map(|arm| match eligible[arm] {
                true => model.level(arm, segments[arm].first, end),
                false => f64::NEG_INFINITY,
            })
            .collect();
        let leader = (0..levels.len()).rev().max_by(|a, b| levels[*a].total_cmp(&levels[*b]))?;
        let others = || (0..levels.len()).filter(|arm| *arm != leader && eligible[*arm]);
        let second = others().map(|arm| levels[arm]).fold(f64::NEG_INFINITY, f64::max);
        let reached = |arm: usize| {
            let known = model.posterior(arm, segments[arm].first, end, 1.0);
            levels[arm] + model.settings.reach * super::best::deviation(&known)
        };
        let reached = others().map(reached).fold(f64::NEG_INFINITY, f64::max);
        Some(Self { leader, highest: levels[leader], second, reached })
    }

    fn is_altered(&self, arm: usize, before: f64, after: f64) -> bool {
        match arm == self.leader {
            true => after < self.second || (after < self.reached && after < before),
            false => after > self.highest,
        }
    }
}

/// The logarithm of the summed Bayes factors, and the likeliest cut.
type Evidence = Option<(f64, usize)>;

/// The evidence for a change of an arm at one of `cuts`.
fn evidence(
    model: &Model<'_>,
    ranking: &Ranking,
    (arm, first): (usize, usize),
    cuts: std::ops::Range<usize>,
    least_after: f64,
) -> Evidence {
    let (sums, end) = (&model.arms[arm], model.history.cells.len());
    let mut found: Option<(f64, usize, f64)> = None;
    let mut whole = None;
    for cut in cuts {
        let (before, after) = (sums.between(first, cut), sums.between(cut, end));
        let is_allowed = before.n >= model.settings.cut_min
            && after.n >= least_after
            && ranking.is_altered(arm, model.prior.mean(before), model.prior.mean(after));
        if !is_allowed {
            continue;
        }
        let whole = *whole.get_or_insert_with(|| model.ln_marginal(arm, first, end));
        let factor = model.ln_marginal(arm, first, cut) + model.prior.ln_marginal(after) - whole;
        found = match found {
            Some((sum, at, most)) if factor <= most => Some((ln_add(sum, factor), at, most)),
            Some((sum, ..)) => Some((ln_add(sum, factor), cut, factor)),
            None => Some((factor, cut, factor)),
        };
    }
    found.map(|(sum, at, _)| (sum, at))
}

/// Ends segments at changes of who leads that are likelier than not. The other arms become suspects
/// when the leader is lost. Returns whether any segment ended.
pub(super) fn end_segments(
    model: &Model<'_>,
    state: &mut BeliefState,
    segments: &mut [Segment],
    ranking: &Ranking,
    eligible: &[bool],
) -> bool {
    let Settings { hazard, hazard_hours, cut_min, .. } = *model.settings;
    let rate = (hazard * hazard_hours + state.changes) / (hazard_hours + state.arm_hours);
    let end = model.history.cells.len();
    let cuts: Vec<Option<usize>> = (0..segments.len())
        .map(|arm| {
            let first = segments[arm].first;
            let found = eligible[arm]
                .then(|| evidence(model, ranking, (arm, first), first + 1..end, cut_min));
            found.flatten().filter(|(sum, _)| sum + libm::log(rate) > 0.0).map(|(_, at)| at)
        })
        .collect();
    for (segment, cut) in segments.iter_mut().zip(&cuts) {
        if let Some(cut) = cut {
            *segment = Segment { first: *cut, suspect: None, doubt: None, has_changed: true };
            state.changes += 1.0;
        }
    }
    if let Some(lost) = cuts[ranking.leader] {
        for (segment, cut) in segments.iter_mut().zip(&cuts) {
            if cut.is_none() && segment.first < lost && model.settings.together > 0.0 {
                segment.suspect = Some(lost);
            }
        }
    }
    cuts.iter().any(Option::is_some)
}

/// Computes how probable each suspicion is; drops or accepts those that are plain.
pub(super) fn settle(model: &Model<'_>, state: &mut BeliefState, segments: &mut [Segment]) -> bool {
    let settings = model.settings;
    let prior = (settings.together * settings.together_size + state.accepted)
        / (settings.together_size + state.settled);
    let prior = prior.clamp(1e-3, 0.9);
    let (end, mut has_accepted) = (model.history.cells.len(), false);
    for (arm, segment) in segments.iter_mut().enumerate() {
        let Some(at) = segment.suspect else { continue };
        let factor = model.ln_marginal(arm, segment.first, at)
            + model.prior.ln_marginal(model.arms[arm].between(at, end))
            - model.ln_marginal(arm, segment.first, end);
        let probability = logistic(libm::log(prior / (1.0 - prior)) + factor);
        if probability > settings.accept_above {
            *segment = Segment { first: at, suspect: None, doubt: None, has_changed: true };
            state.accepted += 1.0;
            state.settled += 1.0;
            has_accepted = true;
        } else if probability < settings.drop_below.min(prior / 5.0) {
            segment.suspect = None;
            state.settled += 1.0;
        } else {
            segment.doubt = Some((probability, at));
        }
    }
    has_accepted
}

/// Finds trailing arms that may have risen above the leader without proof yet.
pub(super) fn find_risers(
    model: &Model<'_>,
    segments: &mut [Segment],
    ranking: &Ranking,
    eligible: &[bool],
) {
    let settings = model.settings;
    if settings.rise_odds <= 0.0 {
        return;
    }
    let cells = &model.history.cells;
    let oldest = cells.last().map_or(0.0, |it| it.at) - settings.rise_hours;
    let recent = cells.partition_point(|it| it.at < oldest);
    for (arm, segment) in segments.iter_mut().enumerate() {
        if arm == ranking.leader || !eligible[arm] || segment.doubt.is_some() {
            continue;
        }
        let cuts = (segment.first + 1).max(recent)..cells.len();
        let of = (arm, segment.first);
        if let Some((sum, at)) = evidence(model, ranking, of, cuts, settings.rise_after) {
            let probability = logistic(sum + libm::log(settings.rise_odds));
            if probability >= settings.rise_min {
                segment.doubt = Some((probability, at));
            }
        }
    }
}

/// What is believed of the mean of each arm now.
pub(super) fn mixtures(model: &Model<'_>, segments: &[Segment]) -> Vec<Mixture> {
    let end = model.history.cells.len();
    let of = |(arm, segment): (usize, &Segment)| {
        let doubt = segment.doubt.map_or(0.0, |it| it.0);
        let mut mixture = model.posterior(arm, segment.first, end, 1.0 - doubt);
        if let Some((probability, at)) = segment.doubt {
            let (a, b) = model.prior.posterior(model.arms[arm].between(at, end));
            mixture.push(super::best::Component { weight: probability, a, b });
        }
        mixture
    };
    segments.iter().enumerate().map(of).collect()
}
