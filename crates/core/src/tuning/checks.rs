//! What must hold of the data before arms are compared.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{PolicyTuning, TuningInput};
use crate::estimate::{ArmLog, Cells, Side};

/// A check, and whether it passed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    pub name: String,
    /// Absent where there was nothing to check.
    pub passed: Option<bool>,
    pub detail: String,
}

/// How probable it is that shares are said to contradict the weights although each action was
/// routed by them, at any look.
const ALPHA: f64 = 0.001;

/// Whether no observation weighs more than `minSampleRate` and `minPropensity` let expect. It holds
/// nothing up: what has been seen is reckoned with, and only what came before it was not.
pub(super) fn sample_rates(input: &TuningInput) -> Check {
    /// Weights are kept at points, each so many times the one before.
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
        (false, false) => format!(
            "sample rates of down to about {least:.2} are in use, and minSampleRate is {rate}"
        ),
        (false, true) => format!(
            "sample rates times propensities go down to about {least:.3}, and minSampleRate times \
             minPropensity is {declared}"
        ),
    };
    Check { name: "minSampleRate".to_owned(), passed: Some(passed), detail }
}

/// Whether each arm has its share of the actions that name the active version, at every look: the
/// sample-ratio test, arm by arm, each with an equal part of [`ALPHA`].
///
/// The share of an arm is its weight. Where propensities are stated, each action of the arm counts
/// 1 / propensity, and their sum is to be that of all actions.
pub(super) fn sample_ratio(input: &TuningInput) -> Check {
    let name = "sampleRatio".to_owned();
    let Some(routed) = input.routed.as_ref().filter(|it| it.values().any(|it| !it.is_empty()))
    else {
        let detail = "no observation names the active version in policyVersion";
        return Check { name, passed: None, detail: detail.to_owned() };
    };
    let alpha = ALPHA / (2.0 * input.weights.len() as f64);
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
                "{arm} has {:.3} of the actions where its weight is {weight:.3}",
                cells.mean()
            ),
            true => format!(
                "actions of {arm}, each divided by its propensity, come to {:.3} of all actions \
                 where they must come to 1",
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

/// With which an arm was chosen, or is reckoned to be.
fn least_propensity(log: Option<&ArmLog>, weight: f64, expected: f64) -> f64 {
    let chosen = log.into_iter().flat_map(|it| it.chosen(weight)).map(|it| it.propensity);
    let least = chosen.fold(f64::INFINITY, f64::min);
    // What was drawn by the weights was not drawn with less.
    match log.is_some_and(ArmLog::is_stated) {
        true => least.min(expected),
        false => least.min(weight),
    }
}

/// The actions of all arms: arm, propensity, weight and number.
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

/// All actions; those of `arm` count `least` / propensity, the others nothing, so that their mean
/// is to be `least`.
fn counted<'a>(
    routed: &'a BTreeMap<String, ArmLog>,
    input: &'a TuningInput,
    arm: &'a str,
    least: f64,
) -> impl Iterator<Item = (f64, f64, f64)> {
    actions(routed, input).map(move |(of, propensity, weight, n)| {
        let value = match of == arm {
            true if propensity > 0.0 => least / propensity,
            // An arm without weight was taken all the same.
            true => 1.0,
            false => 0.0,
        };
        (weight, value, n)
    })
}
