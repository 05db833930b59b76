//! An observation: what a component saw of one thing it did.
//!
//! Whatever leaves [`Observation::parse`] is sound: finite numbers within sense, a known outcome,
//! a named component. Code that takes an [`Observation`] need not check again.

mod fields;
mod parse;
mod rejection;
#[cfg(test)]
mod tests;
mod weight;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use fields::{Fields, Scalar};
pub use parse::{
    MAX_AHEAD_OF_WRITING_MS, MAX_COMPONENT_BYTES, MAX_COST_USD, MAX_DURATION_MS,
    MAX_ERROR_CODE_BYTES, MAX_TOKENS, MAX_TS, MIN_PROPENSITY, MIN_SAMPLE_RATE, MIN_TS, Origin,
};
pub use rejection::{Problem, Rejection};
pub use weight::Weight;
pub(crate) use weight::units_to_f64;

/// How the action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Success,
    Failure,
    Timeout,
}

impl Outcome {
    pub const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Timeout];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Timeout => "timeout",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| UnknownOutcome(text.to_owned()))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("outcome is {0:?}, must be success, failure or timeout")]
pub struct UnknownOutcome(pub String);

/// Serializes to the document that a component would have written: camelCase, absent fields
/// left out. It does not deserialize: [`Observation::parse`] is the only way in from outside.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    pub id: String,
    /// Epoch milliseconds.
    pub ts: i64,
    pub component: String,
    pub outcome: Outcome,
    pub duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// The policy in force at the time, as `{id}@{version}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// The share of such observations that the component keeps; this one stands for `1 / rate`.
    pub sample_rate: f64,
    /// How probable it was that the component would take this arm for this action, where it did not
    /// draw by the weights of the policy alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propensity: Option<f64>,
}

impl Observation {
    /// How many observations this one stands for.
    pub fn weight(&self) -> Weight {
        Weight::from_sample_rate(self.sample_rate)
    }

    /// How many actions it stands for if the question is what its arm would have earned had it been
    /// taken each time: where some arms are preferred for some actions, those that are rarely taken
    /// count for more. An arm that was drawn by the policy's weights was drawn whatever the action.
    pub fn weight_of_arm(&self) -> Weight {
        Weight::from_sample_rate(self.sample_rate * self.propensity.unwrap_or(1.0))
    }

    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("strings, numbers and text keys always become JSON")
    }
}

#[cfg(test)]
impl Observation {
    /// One with nothing else in it.
    pub(crate) fn at(ts: i64, outcome: Outcome) -> Self {
        Self {
            id: "o".to_owned(),
            ts,
            component: "c".to_owned(),
            outcome,
            duration_ms: 100.0,
            tokens_in: None,
            tokens_out: None,
            cost_usd: None,
            policy_version: None,
            error_code: None,
            sample_rate: 1.0,
            propensity: None,
        }
    }
}
