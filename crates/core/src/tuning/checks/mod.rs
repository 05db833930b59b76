//! Checks of the data before arms are compared.

mod components;
mod costs;
mod scales;
mod signals;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::standing::ArmStanding;
use super::{PolicyTuning, TuningInput};
use crate::estimate::{ArmLog, Cells, Side};
use crate::number::Lossy;

pub use components::{Unmatched, UnmatchedComponent};
pub use costs::COST_SHARE_MARGIN;
pub use scales::{Quantity, SCALE_FACTOR, Shift};
pub use signals::{RewardRestart, Signals};

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    pub name: String,
    /// Absent if there was nothing to check.
    pub passed: Option<bool>,
    pub detail: String,
}

/// An arm that cannot gain weight, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    pub arm: String,
    pub why: String,
}

/// The arms whose rewards may look better than they are.
pub(super) fn holds(input: &TuningInput) -> Vec<Hold> {
    let mut holds = costs::holds(input);
    holds.extend(scales::holds(input));
    holds
}

/// The checks of the observations, independent of any proposal.
pub fn of_observations(input: &TuningInput) -> Vec<Check> {
    vec![
        components::matched(input),
        components::observed(input),
        costs::stated(input),
        scales::consistent(input),
    ]
}

/// What the observations leave out or make incomparable, for a reason not to propose.
pub(super) fn notes(input: &TuningInput, with_unobserved: bool) -> Vec<String> {
    let restart = input.signals.reward_restart.as_ref().map(RewardRestart::note);
    let [unmatched, unobserved] = components::notes(input);
    let unobserved = unobserved.filter(|_| with_unobserved);
    let holds = holds(input).into_iter().map(|it| it.why);
    restart.into_iter().chain(unmatched).chain(unobserved).chain(holds).collect()
}

/// Whether no arm is to get almost all of the traffic. A failure does not prevent a proposal: it may be
/// right, but a counter that broke looks the same.
pub(super) fn concentration(proposed: &[(&str, f64)]) -> Check {
    /// The largest weight that needs no second look.
    const MOST: f64 = 0.9;
    let largest = proposed.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    let (arm, weight) = largest.unwrap_or(("", 0.0));
    let detail = match weight > MOST {
        true => format!(
            "{arm} is to get {:.0}% of the traffic: check that the others really do worse, and that \
             {arm} can carry it",
            weight * 100.0
        ),
        false => format!("no arm is to get more than {:.0}% of the traffic", weight * 100.0),
    };
    Check { name: "concentration".to_owned(), passed: Some(weight <= MOST), detail }
}

/// The probability, over all looks, that the check fails although each action was routed by the
/// weights.
const ALPHA: f64 = 0.001;

/// Whether no observation weighs more than `minSampleRate` and `minPropensity` allow. A failure does
/// not prevent a proposal: the larger weight is taken into account once it was observed.
pub(super) fn sample_rates(input: &TuningInput) -> Check {
    /// The ratio between neighbouring points at which weights are kept.
    const STEP: f64 = 1.19;
    let PolicyTuning { min_sample_rate: rate, min_propensity: propensity, .. } = input.config;
    let declared = input.config.least_probability();
    let passed = input.max_weight <= STEP / declared;
    let least = 1.0 / input.max_weight;
    let logs = || input.routed.iter().flat_map(BTreeMap::values);
    let is_stated = propensity < 1.0 || logs().any(ArmLog::is_stated);
    let detail = match (passed, is_stated) {
        (true, false) => format!("no sample rate is below {rate}"),
        (true, true) => format!("no sample rate times propensity is below {declared}"),
        (false, false) => {
            format!("sample rates down to about {least:.2} are in use, and minSampleRate is {rate}")
        }
        (false, true) => format!(
            "sample rates times propensities down to about {least:.3} are in use, and minSampleRate \
             times minPropensity is {declared}"
        ),
    };
    Check { name: "minSampleRate".to_owned(), passed: Some(passed), detail }
}

/// Whether no arm has more rejected documents than `maxRejectedShare` allows. A failure keeps the arm
/// from gaining weight.
pub(super) fn rejected_share(input: &TuningInput, arms: &[ArmStanding]) -> Check {
    /// The most arms that are named.
    const NAMED: usize = 5;
    let most = input.config.max_rejected_share;
    let incomplete: Vec<_> = arms.iter().filter(|it| it.is_incomplete).collect();
    let detail = if incomplete.is_empty() {
        let documents: u64 = arms.iter().map(|it| it.n + it.rejected).sum();
        let rejected: u64 = arms.iter().map(|it| it.rejected).sum();
        format!("{rejected} of {documents} documents were rejected, no arm has more than {most}")
    } else {
        let named = incomplete.iter().take(NAMED).map(|it| {
            let documents = it.n + it.rejected;
            let share = it.rejected.to_f64() / documents.to_f64() * 100.0;
            format!(
                "{} has {} of {documents} documents rejected ({share:.1}%)",
                it.arm, it.rejected
            )
        });
        let named: Vec<_> = named.collect();
        let more = incomplete.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more arms") } else { String::new() };
        format!("{}{more}, and maxRejectedShare is {most}", named.join(", "))
    };
    Check { name: "rejectedShare".to_owned(), passed: Some(incomplete.is_empty()), detail }
}

/// The sample-ratio test: whether each arm gets its share of the actions that name the active version.
/// It holds at every look; each arm gets an equal part of [`ALPHA`].
///
/// The share of an arm is its weight. If propensities are stated, each action of the arm counts
/// 1 / propensity, and the sum must equal the number of all actions.
pub(super) fn sample_ratio(input: &TuningInput) -> Check {
    let name = "sampleRatio".to_owned();
    let Some(routed) = input.routed.as_ref().filter(|it| it.values().any(|it| !it.is_empty()))
    else {
        let detail = "no observation names the active version in policyVersion";
        return Check { name, passed: None, detail: detail.to_owned() };
    };
    let alpha = ALPHA / (2.0 * input.weights.len().to_f64());
    let expected = input.expected_of_log();
    let off = input.weights.iter().find_map(|(arm, weight)| {
        let least = least_propensity(routed.get(arm), *weight, expected.least_propensity);
        let cells = Cells::from_points(counted(routed, input, arm, least));
        let cells = cells.within(expected.max_weight);
        let refuted =
            cells.refutes(Side::Above, least, alpha) || cells.refutes(Side::Below, least, alpha);
        let is_stated = routed.get(arm).is_some_and(ArmLog::is_stated);
        refuted.then(|| match is_stated {
            false => format!(
                "{arm} has {:.3} of the actions, but its weight is {weight:.3}",
                cells.mean()
            ),
            true => format!(
                "the actions of {arm}, each divided by its propensity, add up to {:.3} of all \
                 actions instead of 1",
                cells.mean() / least
            ),
        })
    });
    let (passed, detail) = match off {
        None => {
            let total: f64 = actions(routed, input).map(|(.., weight, n)| weight * n).sum();
            (true, format!("{total:.0} actions follow the weights"))
        }
        Some(detail) => (false, detail),
    };
    Check { name, passed: Some(passed), detail }
}

/// The smallest propensity with which an arm was chosen, or must be expected to be chosen.
fn least_propensity(log: Option<&ArmLog>, weight: f64, expected: f64) -> f64 {
    let chosen = log.into_iter().flat_map(|it| it.chosen(weight)).map(|it| it.propensity);
    let least = chosen.fold(f64::INFINITY, f64::min);
    // An arm that is drawn by the weights is drawn with its weight.
    match log.is_some_and(ArmLog::is_stated) {
        true => least.min(expected),
        false => least.min(weight),
    }
}

/// The actions of all arms: arm, propensity, weight and count.
fn actions<'a>(
    routed: &'a BTreeMap<String, ArmLog>,
    input: &'a TuningInput,
) -> impl Iterator<Item = (&'a String, f64, f64, f64)> {
    routed.iter().flat_map(|(arm, log)| {
        let weight = input.weights.get(arm).copied().unwrap_or_default();
        log.chosen(weight).flat_map(move |chosen| {
            let points = chosen.rewards.points();
            points.map(move |(weight, _, n)| (arm, chosen.propensity, weight, n))
        })
    })
}

/// All actions. Those of `arm` have the value `least` / propensity, the others 0, so that the mean must
/// be `least`.
fn counted<'a>(
    routed: &'a BTreeMap<String, ArmLog>,
    input: &'a TuningInput,
    arm: &'a str,
    least: f64,
) -> impl Iterator<Item = (f64, f64, f64)> {
    actions(routed, input).map(move |(of, propensity, weight, n)| {
        let value = match of == arm {
            true if propensity > 0.0 => least / propensity,
            // The arm was used although its weight is 0.
            true => 1.0,
            false => 0.0,
        };
        (weight, value, n)
    })
}
