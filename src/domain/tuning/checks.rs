//! What must hold of the data before arms are compared.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::TuningInput;
use crate::domain::estimate::{Cells, Side};

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

/// Whether no observation weighs more than `minSampleRate` lets expect. It holds nothing up: what
/// has been seen is reckoned with, and only what came before it was not.
pub(super) fn sample_rates(input: &TuningInput) -> Check {
    /// Weights are kept at points, each so many times the one before.
    const STEP: f64 = 1.19;
    let declared = input.config.min_sample_rate;
    let passed = input.heaviest <= STEP / declared;
    let detail = match passed {
        true => format!("no sample rate is below {declared}"),
        false => format!(
            "sample rates of down to about {:.2} are in use, and minSampleRate is {declared}",
            1.0 / input.heaviest
        ),
    };
    Check { name: "minSampleRate".to_owned(), passed: Some(passed), detail }
}

/// Whether each arm has its weight's share of the actions that name the active version, at every
/// look: the sample-ratio test, arm by arm, each with an equal part of [`ALPHA`].
pub(super) fn sample_ratio(input: &TuningInput) -> Check {
    let name = "sampleRatio".to_owned();
    let Some(routed) = input.routed.as_ref().filter(|it| it.values().any(|it| !it.is_empty()))
    else {
        let detail = "no observation names the active version in policyVersion";
        return Check { name, passed: None, detail: detail.to_owned() };
    };
    let alpha = ALPHA / (2.0 * input.weights.len() as f64);
    let actions: BTreeMap<&String, f64> = routed
        .iter()
        .map(|(arm, rewards)| (arm, rewards.points().map(|(weight, _, n)| weight * n).sum()))
        .collect();
    let total: f64 = actions.values().sum();
    let off = input.weights.iter().find_map(|(arm, weight)| {
        let points = routed.iter().flat_map(|(other, rewards)| {
            let value = f64::from(u8::from(other == arm));
            rewards.points().map(move |(weight, _, n)| (weight, value, n))
        });
        let cells = Cells::from_points(points).within(input.heaviest);
        let refuted = cells.refutes(Side::Above, *weight, alpha)
            || cells.refutes(Side::Below, *weight, alpha);
        let share = actions.get(arm).copied().unwrap_or_default() / total;
        refuted
            .then(|| format!("{arm} has {share:.3} of the actions where its weight is {weight:.3}"))
    });
    match off {
        None => Check {
            name,
            passed: Some(true),
            detail: format!("{total:.0} actions follow the weights"),
        },
        Some(detail) => Check { name, passed: Some(false), detail },
    }
}
