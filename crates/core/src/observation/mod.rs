//! Observations: what a component recorded about one action.
//!
//! [`Observation::parse`] is the only way to make one from a document, and it checks everything:
//! numbers are finite and within their bounds, the outcome is known, the component is named. Code
//! that takes an [`Observation`] need not check again. A document that fails is a [`Rejection`]. An
//! invalid optional field costs only itself ([`Malformed`]).

mod fields;
mod malformed;
mod parse;
mod rejection;
#[cfg(feature = "schema")]
mod schema;
#[cfg(test)]
mod tests;
mod weight;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantNames};

pub use fields::{Fields, Scalar};
pub use malformed::Malformed;
pub use parse::{
    MAX_AHEAD_OF_WRITING_MS, MAX_COMPONENT_BYTES, MAX_COST_USD, MAX_DURATION_MS,
    MAX_ERROR_CODE_BYTES, MAX_TOKENS, MAX_TS, MIN_PROPENSITY, MIN_SAMPLE_RATE, MIN_TS, Origin,
};
pub use rejection::{Rejection, RejectionReason};
#[cfg(feature = "schema")]
pub use schema::ObservationDocument;
pub use weight::Weight;
pub(crate) use weight::units_to_f64;

use crate::variants::UnknownVariant;

/// How the action ended.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantNames,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[strum(
    serialize_all = "lowercase",
    const_into_str,
    parse_err_ty = UnknownVariant,
    parse_err_fn = unknown_outcome
)]
pub enum Outcome {
    Success,
    Failure,
    Timeout,
}

impl Outcome {
    pub const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Timeout];

    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

fn unknown_outcome(text: &str) -> UnknownVariant {
    UnknownVariant::new::<Outcome>("outcome", text)
}

/// What a component recorded about one action.
///
/// It serializes to the document that a component would have written: camelCase, without absent
/// fields. It does not deserialize, so that every document passes [`Observation::parse`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    pub id: String,
    /// Epoch milliseconds.
    pub ts: i64,
    pub component: String,
    pub outcome: Outcome,
    /// `None` if it is missing or invalid; it is then in `malformed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// The policy version that the action used, as `{id}@{version}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// The share of such observations that the component keeps; this one represents `1 / rate`.
    pub sample_rate: f64,
    /// The probability that the component would choose this arm for this action, if it did not draw the
    /// arm by the weights of the policy alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propensity: Option<f64>,
    /// The fields that were invalid.
    #[serde(skip)]
    pub malformed: Malformed,
}

impl Observation {
    /// How many actions this observation represents.
    pub fn weight(&self) -> Weight {
        Weight::from_sample_rate(self.sample_rate)
    }

    /// How many actions this observation represents in an estimate of what its arm would earn if it were
    /// used for every action. If a component prefers some arms for some actions, a rare choice counts
    /// for more. An arm that is drawn by the policy's weights is drawn independently of the action.
    pub fn weight_of_arm(&self) -> Weight {
        Weight::from_sample_rate(self.sample_rate * self.propensity.unwrap_or(1.0))
    }

    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("strings, numbers and text keys always become JSON")
    }
}

#[cfg(test)]
impl Observation {
    /// An observation without optional fields.
    pub(crate) fn at(ts: i64, outcome: Outcome) -> Self {
        Self {
            id: "o".to_owned(),
            ts,
            component: "c".to_owned(),
            outcome,
            duration_ms: Some(100.0),
            tokens_in: None,
            tokens_out: None,
            cost_usd: None,
            policy_version: None,
            error_code: None,
            sample_rate: 1.0,
            propensity: None,
            malformed: Malformed::default(),
        }
    }
}
