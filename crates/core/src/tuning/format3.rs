//! Stored inputs of format 3, which releases before 0.2 wrote.

use std::collections::BTreeMap;

use semver::Version;
use serde::Deserialize;

use super::{ArmInput, LastDraft, PolicyTuning, Signals, TuningInput};
use crate::estimate::ArmLog;
use crate::reward::RewardConfig;

pub(super) const FORMAT: u8 = 3;

#[derive(Deserialize)]
struct Input {
    policy_id: String,
    parent: Version,
    weights: BTreeMap<String, f64>,
    arms: BTreeMap<String, ArmInput>,
    max_weight: f64,
    routed: Option<BTreeMap<String, ArmLog>>,
    rewards: RewardConfig,
    config: Config,
    tuning_version: String,
    last_draft: Option<LastDraft>,
    as_of: i64,
}

#[derive(Deserialize)]
struct Config {
    component: String,
    alpha: f64,
    min_samples: u64,
    min_sample_rate: f64,
    min_propensity: f64,
    step_bound: f64,
    retrain_step_bound: f64,
    exploration_floor: f64,
    min_change: f64,
    min_gain: f64,
    sample_ratio_check: bool,
    max_auto_activations_per_day: u32,
}

pub(super) fn decode(bytes: &[u8]) -> Result<TuningInput, postcard::Error> {
    let it: Input = postcard::from_bytes(bytes)?;
    let config = it.config;
    Ok(TuningInput {
        policy_id: it.policy_id,
        parent: it.parent,
        weights: it.weights,
        arms: it.arms,
        max_weight: it.max_weight,
        routed: it.routed,
        rewards: it.rewards,
        config: PolicyTuning {
            component: config.component,
            alpha: config.alpha,
            min_samples: config.min_samples,
            min_sample_rate: config.min_sample_rate,
            min_propensity: config.min_propensity,
            step_bound: config.step_bound,
            retrain_step_bound: config.retrain_step_bound,
            exploration_floor: config.exploration_floor,
            min_change: config.min_change,
            min_gain: config.min_gain,
            sample_ratio_check: config.sample_ratio_check,
            max_auto_activations_per_day: config.max_auto_activations_per_day,
            ..PolicyTuning::default()
        },
        tuning_version: it.tuning_version,
        last_draft: it.last_draft,
        as_of: it.as_of,
        signals: Signals::default(),
    })
}
