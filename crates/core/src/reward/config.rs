//! The document `config/reward_config`.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The most bytes of the version of a reward configuration: every reward and cursor holds it.
pub const MAX_REWARD_VERSION_BYTES: usize = 200;

/// How observations are scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct RewardConfig {
    /// Recorded with every reward, so that scores of different configs are not mixed unnoticed.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_REWARD_VERSION_BYTES), pattern(r"\S")))]
    pub version: String,
    pub weights: RewardWeights,
    pub bounds: RewardBounds,
    pub thresholds: Thresholds,
    /// The start value of a score. Without it, even a perfect router would only just reach
    /// `minAcceptable`.
    #[serde(default = "default_baseline")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub baseline: f64,
}

/// How much each part of a score counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct RewardWeights {
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = RewardConfig::MAX_WEIGHT)))]
    pub latency: f64,
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = RewardConfig::MAX_WEIGHT)))]
    pub cost: f64,
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = RewardConfig::MAX_WEIGHT)))]
    pub success: f64,
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = RewardConfig::MAX_WEIGHT)))]
    pub error: f64,
}

/// The latency and the cost at which the penalty is largest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct RewardBounds {
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub max_latency_ms: f64,
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub max_cost_usd: f64,
}

/// How a mean reward is judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct Thresholds {
    /// From this mean reward on, an arm does well enough.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub min_acceptable: f64,
    /// Below this mean reward, an arm fails and is corrected in larger steps. At most `minAcceptable`.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub retrain: f64,
}

fn default_baseline() -> f64 {
    0.25
}

impl Default for RewardConfig {
    fn default() -> Self {
        Self {
            version: "1.0.0".to_owned(),
            weights: RewardWeights { latency: 0.25, cost: 0.2, success: 0.6, error: 0.6 },
            bounds: RewardBounds { max_latency_ms: 4000.0, max_cost_usd: 0.10 },
            thresholds: Thresholds { min_acceptable: 0.55, retrain: 0.40 },
            baseline: default_baseline(),
        }
    }
}

/// A field of [`RewardConfig`] that is invalid.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum RewardConfigError {
    #[error("config/reward_config has an empty version: set one, because every reward records it")]
    NoVersion,
    #[error("config/reward_config {field} is {value}, must be between {min} and {max}")]
    OutOfRange { field: &'static str, value: f64, min: f64, max: f64 },
    #[error("config/reward_config {field} is {value}, must be positive and finite")]
    NotPositive { field: &'static str, value: f64 },
    #[error(
        "config/reward_config thresholds.retrain is {retrain}, above thresholds.minAcceptable \
         {min_acceptable}: must be at most that"
    )]
    RetrainAboveAcceptable { retrain: f64, min_acceptable: f64 },
}

impl RewardConfig {
    /// The largest weight. Scores are between 0 and 1, so that useful weights are far smaller; without a
    /// limit a sum could overflow to infinity, and a difference of sums become NaN.
    pub const MAX_WEIGHT: f64 = 1_000.0;

    /// A valid config gives every valid observation a score from 0 to 1.
    ///
    /// # Errors
    /// The first field that is invalid.
    pub fn validate(&self) -> Result<(), RewardConfigError> {
        let Self { version, weights, bounds, thresholds, baseline } = self;
        if version.trim().is_empty() {
            return Err(RewardConfigError::NoVersion);
        }
        within("weights.latency", weights.latency, Self::MAX_WEIGHT)?;
        within("weights.cost", weights.cost, Self::MAX_WEIGHT)?;
        within("weights.success", weights.success, Self::MAX_WEIGHT)?;
        within("weights.error", weights.error, Self::MAX_WEIGHT)?;
        positive("bounds.maxLatencyMs", bounds.max_latency_ms)?;
        positive("bounds.maxCostUsd", bounds.max_cost_usd)?;
        within("baseline", *baseline, 1.0)?;
        thresholds.validate()
    }
}

impl Thresholds {
    /// # Errors
    /// The first field that is invalid.
    pub fn validate(&self) -> Result<(), RewardConfigError> {
        let Self { min_acceptable, retrain } = *self;
        within("thresholds.minAcceptable", min_acceptable, 1.0)?;
        within("thresholds.retrain", retrain, 1.0)?;
        if retrain > min_acceptable {
            return Err(RewardConfigError::RetrainAboveAcceptable { retrain, min_acceptable });
        }
        Ok(())
    }
}

/// A range contains no NaN.
fn within(field: &'static str, value: f64, max: f64) -> Result<(), RewardConfigError> {
    let min = 0.0;
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(RewardConfigError::OutOfRange { field, value, min, max })
}

fn positive(field: &'static str, value: f64) -> Result<(), RewardConfigError> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(RewardConfigError::NotPositive { field, value })
}
