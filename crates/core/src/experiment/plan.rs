//! The configuration of experiments: stages, metric, guardrails and limits.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantNames};
use thiserror::Error;

use super::{Comparison, Kind};
use crate::estimate::Measured;
use crate::number::Lossy;
use crate::observation::MIN_SAMPLE_RATE;
use crate::time::DAY_MS;
use crate::variants::UnknownVariant;

/// The share of units that the candidate of an A/B test gets, stage by stage. After the last stage
/// the candidate becomes the active version, which all units use.
pub const STAGES: [f64; 3] = [0.10, 0.25, 0.50];

/// The metric that the candidate of an A/B test must improve.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantNames,
)]
#[serde(rename_all = "camelCase")]
#[strum(
    serialize_all = "camelCase",
    const_into_str,
    parse_err_ty = UnknownVariant,
    parse_err_fn = unknown_metric
)]
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
        self.into_str()
    }

    /// How much better the candidate is, in units of the metric; unknown in reward and cost where it
    /// leaves out costs that the control states.
    pub fn gain(self, comparison: &Comparison) -> Option<Measured> {
        if self != Self::SuccessRate && comparison.lacks_costs() {
            return None;
        }
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

fn unknown_metric(text: &str) -> UnknownVariant {
    UnknownVariant::new::<Metric>("metric", text)
}

/// How much worse a candidate may be. A candidate that is proven to be worse is rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct Guardrails {
    /// How far the mean reward may fall, 0 to 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub reward: f64,
    /// How far the success rate may fall, 0 to 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub success_rate: f64,
    /// The largest ratio of the 95th percentile of durations to the control's.
    #[cfg_attr(feature = "schema", schemars(range(min = 1.0, max = 1e6)))]
    pub p95_latency: f64,
    /// The largest ratio of the mean cost to the control's.
    #[cfg_attr(feature = "schema", schemars(range(min = 1.0, max = 1e6)))]
    pub cost_usd: f64,
    /// The largest share of documents that may be rejected, 0 to 1, if it is more than the control's.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub rejected_share: f64,
}

impl Default for Guardrails {
    fn default() -> Self {
        Self {
            reward: 0.02,
            success_rate: 0.02,
            p95_latency: 1.25,
            cost_usd: 1.25,
            rejected_share: 0.01,
        }
    }
}

/// `guard` of the document `config/tuning`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct GuardConfig {
    /// The probability that an experiment makes any wrong claim.
    #[cfg_attr(feature = "schema", schemars(range(min = 1e-6, max = 0.5)))]
    pub alpha: f64,
    pub guardrails: Guardrails,
    /// The smallest gain that matters, in units of the metric. An A/B test ends when the gain is
    /// proven to be smaller; a watch may end once the gain in mean reward is known to within this.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub min_effect: f64,
    /// The smallest `sampleRate` of components: intervals are valid only if no rate is smaller.
    #[cfg_attr(feature = "schema", schemars(range(min = MIN_SAMPLE_RATE, max = 1.0)))]
    pub min_sample_rate: f64,
    /// A stage lasts at least until the candidate has this many observations.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1_000_000_000_000_u64)))]
    pub min_samples: u64,
    /// A stage lasts at least this long.
    #[cfg_attr(feature = "schema", schemars(range(max = u32::MAX)))]
    pub stage_minutes: u32,
    /// A watch lasts at least this long.
    #[cfg_attr(feature = "schema", schemars(range(max = u32::MAX)))]
    pub watch_hours: u32,
    /// An A/B test or a watch ends after this many days at the latest.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 365)))]
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

/// A field of [`GuardConfig`] that is out of range.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{field} is {value}, must be between {min} and {max}")]
pub struct GuardConfigError {
    pub field: &'static str,
    pub value: f64,
    pub min: f64,
    pub max: f64,
}

impl GuardConfig {
    /// The most interval ends that the claims of one look are based on. A guardrail of reward or
    /// success uses one end; a guardrail of latency or cost uses two, the control's and the
    /// candidate's; the guardrail of rejected documents uses two, the candidate's and that of the
    /// change. The claims "there is a gain" and "the gain is too small" use one each, and a verdict on
    /// the reward uses two. Some of these eleven are the same end, whatever the metric is.
    const ENDS: f64 = 11.0;

    /// The probability of error of each end of each interval. A stage ignores what was observed
    /// before it, so that each stage makes its own claims and needs its own part of `alpha`.
    pub fn tail(&self, kind: Kind) -> f64 {
        let stages = match kind {
            Kind::Ab => STAGES.len(),
            Kind::Watch => 1,
        };
        self.alpha / (Self::ENDS * stages.to_f64())
    }

    /// Whether an experiment that began at `started_at` has reached its time limit.
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
            ("guardrails.rejectedShare", rails.rejected_share, 0.0, 1.0),
            ("minEffect", self.min_effect, 0.0, 1.0),
            ("minSampleRate", self.min_sample_rate, MIN_SAMPLE_RATE, 1.0),
            ("minSamples", self.min_samples.to_f64(), 1.0, 1e12),
            ("maxDays", f64::from(self.max_days), 1.0, 365.0),
        ];
        for (field, value, min, max) in ranges {
            // A range contains no NaN.
            if !(min..=max).contains(&value) {
                return Err(GuardConfigError { field, value, min, max });
            }
        }
        Ok(())
    }
}
