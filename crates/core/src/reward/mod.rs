//! The reward of an observation, from 0 to 1.
//!
//! [`score`] computes it from the outcome, the duration and the cost:
//!
//! `score = clamp01(baseline + successBoost - latencyPenalty - costPenalty - errorPenalty)`

mod config;
mod scored_under;

use serde::{Deserialize, Serialize};

pub use config::{
    MAX_REWARD_VERSION_BYTES, RewardBounds, RewardConfig, RewardConfigError, RewardWeights,
    Thresholds,
};
pub use scored_under::{LeftOut, ScoredUnder};

use crate::observation::{Observation, Outcome};

/// The reward of an observation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reward {
    /// Between 0 and 1.
    pub score: f64,
    pub details: RewardDetails,
}

/// The parts of a score, each zero or positive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RewardDetails {
    pub success_boost: f64,
    pub latency_penalty: f64,
    pub cost_penalty: f64,
    pub error_penalty: f64,
}

/// Scores an observation with a config that [`RewardConfig::validate`] accepts.
///
/// An observation without a cost has no penalty for cost: a component without costs need not record
/// them. If a cost was recorded but is invalid, the penalty for cost is the full one, and without a
/// usable duration the penalty for latency is: nothing is gained by leaving a field unusable.
pub fn score(config: &RewardConfig, observation: &Observation) -> Reward {
    let RewardConfig { weights, bounds, baseline, .. } = config;
    let (success_boost, error_penalty) = match observation.outcome {
        Outcome::Success => (weights.success, 0.0),
        Outcome::Failure | Outcome::Timeout => (0.0, weights.error),
    };
    let latency = observation.duration_ms.map_or(1.0, |it| share(it, bounds.max_latency_ms));
    let cost = match observation.cost_usd {
        Some(cost) => share(cost, bounds.max_cost_usd),
        None if observation.malformed.contains("costUsd") => 1.0,
        None => 0.0,
    };
    let (latency_penalty, cost_penalty) = (weights.latency * latency, weights.cost * cost);
    let score = baseline + success_boost - latency_penalty - cost_penalty - error_penalty;
    Reward {
        score: score.clamp(0.0, 1.0),
        details: RewardDetails { success_boost, latency_penalty, cost_penalty, error_penalty },
    }
}

/// The share of the bound that was used, at most 1.
fn share(value: f64, bound: f64) -> f64 {
    (value / bound).min(1.0)
}

#[cfg(test)]
mod tests;
