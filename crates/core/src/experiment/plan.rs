//! What an experiment is held to.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Comparison, Kind};
use crate::estimate::Measured;
use crate::observation::MIN_SAMPLE_RATE;

/// The shares of units that the candidate of an A/B test has, one after the other. After the last
/// it has all of them: it is the active version.
pub const STAGES: [f64; 3] = [0.10, 0.25, 0.50];

const DAY_MS: i64 = 24 * 3_600_000;

/// What the candidate of an A/B test is to do better at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Metric {
    /// The mean reward, the higher the better.
    #[default]
    Reward,
    /// The share of successes, the higher the better.
    SuccessRate,
    /// The mean cost in US dollars, the lower the better.
    CostUsd,
}

impl Metric {
    pub const ALL: [Self; 3] = [Self::Reward, Self::SuccessRate, Self::CostUsd];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reward => "reward",
            Self::SuccessRate => "successRate",
            Self::CostUsd => "costUsd",
        }
    }

    /// By how much the candidate is better, in units of the metric.
    pub fn gain(self, comparison: &Comparison) -> Option<Measured> {
        let change = match self {
            Self::Reward => comparison.reward?.change,
            Self::SuccessRate => comparison.success_rate?.change,
            Self::CostUsd => {
                let Measured { estimate, low, high } = comparison.cost_usd?.change;
                Measured { estimate: -estimate, low: -high, high: -low }
            }
        };
        Some(change)
    }
}

/// How much worse a candidate may be: more, once proven, takes it back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Guardrails {
    /// How far the mean reward may fall, 0 to 1.
    pub reward: f64,
    /// How far the success rate may fall, 0 to 1.
    pub success_rate: f64,
    /// How many times the control's the 95th percentile of durations may be.
    pub p95_latency: f64,
    /// How many times the control's the mean cost may be.
    pub cost_usd: f64,
}

impl Default for Guardrails {
    fn default() -> Self {
        Self { reward: 0.02, success_rate: 0.02, p95_latency: 1.25, cost_usd: 1.25 }
    }
}

/// `guard` of the document `config/tuning`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GuardConfig {
    /// The probability of any wrong claim in an experiment.
    pub alpha: f64,
    pub guardrails: Guardrails,
    /// The smallest gain that is worth having, in units of the metric: an A/B test ends where it is
    /// proven that there is less, and a watch once the gain in mean reward is known to within this.
    pub min_effect: f64,
    /// The smallest `sampleRate` of components, as in [`PolicyTuning`](crate::tuning::PolicyTuning).
    pub min_sample_rate: f64,
    /// A stage lasts at least until the candidate has been observed as often ...
    pub min_samples: u64,
    /// ... and as long.
    pub stage_minutes: u32,
    /// A watch lasts at least this long.
    pub watch_hours: u32,
    /// Neither lasts longer.
    pub max_days: u32,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            alpha: 0.05,
            guardrails: Guardrails::default(),
            min_effect: 0.01,
            min_samples: 100,
            min_sample_rate: 1.0,
            stage_minutes: 60,
            watch_hours: 24,
            max_days: 14,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Error)]
#[error("guard {field} is {value}, must be between {min} and {max}")]
pub struct GuardConfigError {
    pub field: &'static str,
    pub value: f64,
    pub min: f64,
    pub max: f64,
}

impl GuardConfig {
    /// Ends of intervals that the claims of one look rest on, at most. A guardrail of reward or
    /// success rests on one; of latency or cost on two, the control's and the candidate's; that
    /// there is a gain, and that there is none worth having, on one each, and what a verdict says
    /// of the reward on its two. Of these nine some are the same, whatever the metric is.
    const ENDS: f64 = 9.0;

    /// The probability of error of each end of each interval. What was observed before a stage is
    /// left out, so that each stage makes its claims anew.
    pub fn tail(&self, kind: Kind) -> f64 {
        let stages = match kind {
            Kind::Ab => STAGES.len(),
            Kind::Watch => 1,
        };
        self.alpha / (Self::ENDS * stages as f64)
    }

    /// Whether an experiment that began then has lasted as long as it may.
    pub fn is_over(&self, started_at: i64, now: i64) -> bool {
        now.saturating_sub(started_at) >= i64::from(self.max_days) * DAY_MS
    }

    pub fn validate(&self) -> Result<(), GuardConfigError> {
        let rails = &self.guardrails;
        let ranges = [
            ("alpha", self.alpha, 1e-6, 0.5),
            ("guardrails.reward", rails.reward, 0.0, 1.0),
            ("guardrails.successRate", rails.success_rate, 0.0, 1.0),
            ("guardrails.p95Latency", rails.p95_latency, 1.0, 1e6),
            ("guardrails.costUsd", rails.cost_usd, 1.0, 1e6),
            ("minEffect", self.min_effect, 0.0, 1.0),
            ("minSampleRate", self.min_sample_rate, MIN_SAMPLE_RATE, 1.0),
            ("minSamples", self.min_samples as f64, 1.0, 1e12),
            ("maxDays", f64::from(self.max_days), 1.0, 365.0),
        ];
        for (field, value, min, max) in ranges {
            // NaN lies within no range.
            if !(min..=max).contains(&value) {
                return Err(GuardConfigError { field, value, min, max });
            }
        }
        Ok(())
    }
}
