//! The parameters of a policy. Components define them; this crate reads only the weights of arms.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::names::MAX_NAME_BYTES;

/// The parameter that makes a policy tunable: the share of traffic of each arm.
pub const MODEL_WEIGHTS: &str = "modelWeights";
/// The most bytes that the name of an arm may have: it is a field name in Firestore.
pub const MAX_ARM_BYTES: usize = MAX_NAME_BYTES;
/// How far the sum of the weights may be from 1, since people and other languages round.
const SUM_TOLERANCE: f64 = 1e-6;

/// Weights that the tuner writes are whole multiples of 1/1024. A binary floating-point number holds
/// such a fraction, and every sum of them up to 1, without rounding. The weights therefore add up to
/// exactly 1, in every order and every language.
pub const WEIGHT_STEPS: u16 = 1024;

/// The parameters of a version. Unknown fields are kept: a tuned version differs from its parent
/// only in the weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Params(pub Map<String, Value>);

/// Why the weights of a policy cannot route traffic.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ParamsError {
    #[error("params.modelWeights is not a map from arm to weight")]
    NotAMap,
    #[error("params.modelWeights is empty, must name at least one arm")]
    NoArms,
    #[error(
        "params.modelWeights has an arm whose name is {bytes} bytes long, must be 1 to {MAX_ARM_BYTES}"
    )]
    ArmName { bytes: usize },
    #[error("params.modelWeights.{arm} is {value}, must be a number between 0 and 1")]
    Weight { arm: String, value: String },
    #[error("params.modelWeights add up to {sum}, must be 1 (within {SUM_TOLERANCE})")]
    Sum { sum: f64 },
}

impl Params {
    /// The arms and their weights; `None` if this policy does not route over arms.
    ///
    /// # Errors
    /// Weights that cannot route traffic.
    pub fn model_weights(&self) -> Result<Option<BTreeMap<String, f64>>, ParamsError> {
        let weights = match self.0.get(MODEL_WEIGHTS) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(weights)) => weights,
            Some(_) => return Err(ParamsError::NotAMap),
        };
        let mut arms = BTreeMap::new();
        for (arm, value) in weights {
            let refused = || ParamsError::Weight { arm: arm.clone(), value: value.to_string() };
            arms.insert(arm.clone(), value.as_f64().ok_or_else(refused)?);
        }
        check_weights(&arms)?;
        Ok(Some(arms))
    }

    /// The same parameters with these weights.
    #[must_use]
    pub fn with_model_weights(&self, weights: &BTreeMap<String, f64>) -> Self {
        let arms = weights.iter().map(|(arm, weight)| (arm.clone(), Value::from(*weight)));
        let mut params = self.0.clone();
        params.insert(MODEL_WEIGHTS.to_owned(), Value::Object(arms.collect()));
        Self(params)
    }
}

/// Whether the weights can route traffic: named arms, weights from 0 to 1, a sum of 1.
///
/// # Errors
/// The first rule that the weights break.
pub fn check_weights(weights: &BTreeMap<String, f64>) -> Result<(), ParamsError> {
    if weights.is_empty() {
        return Err(ParamsError::NoArms);
    }
    for (arm, weight) in weights {
        if !(1..=MAX_ARM_BYTES).contains(&arm.len()) {
            return Err(ParamsError::ArmName { bytes: arm.len() });
        }
        if !(0.0..=1.0).contains(weight) {
            return Err(ParamsError::Weight { arm: arm.clone(), value: weight.to_string() });
        }
    }
    let sum: f64 = weights.values().sum();
    if (sum - 1.0).abs() <= SUM_TOLERANCE { Ok(()) } else { Err(ParamsError::Sum { sum }) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn params(value: Value) -> Params {
        serde_json::from_value(value).unwrap()
    }

    fn weights(arms: &[(&str, f64)]) -> BTreeMap<String, f64> {
        arms.iter().map(|(arm, weight)| ((*arm).to_owned(), *weight)).collect()
    }

    #[test]
    fn weights_may_be_integers_or_doubles() {
        let found = params(json!({"modelWeights": {"a": 1, "b": 0.0}})).model_weights();
        assert_eq!(found, Ok(Some(weights(&[("a", 1.0), ("b", 0.0)]))));
    }

    #[test]
    fn a_policy_without_weights_is_not_tunable() {
        assert_eq!(params(json!({"cooldownMs": 30000})).model_weights(), Ok(None));
        assert_eq!(params(json!({"modelWeights": null})).model_weights(), Ok(None));
    }

    #[test]
    fn invalid_weights_name_their_mistake() {
        let error = |value| params(json!({"modelWeights": value})).model_weights().unwrap_err();
        assert_eq!(error(json!([0.5, 0.5])), ParamsError::NotAMap);
        assert_eq!(error(json!({})), ParamsError::NoArms);
        assert_eq!(error(json!({"": 1.0})), ParamsError::ArmName { bytes: 0 });
        assert_eq!(error(json!({"a": 0.5, "b": 0.4})), ParamsError::Sum { sum: 0.9 });
        assert_eq!(
            error(json!({"a": 1.5, "b": -0.5})).to_string(),
            "params.modelWeights.a is 1.5, must be a number between 0 and 1"
        );
        assert_eq!(
            error(json!({"a": "1"})).to_string(),
            "params.modelWeights.a is \"1\", must be a number between 0 and 1"
        );
    }

    #[test]
    fn setting_weights_keeps_all_other_params() {
        let before = params(json!({
            "modelWeights": {"a": 1.0}, "fallbackOn": ["timeout"], "nested": {"x": null}
        }));
        let after = before.with_model_weights(&weights(&[("a", 0.75), ("b", 0.25)]));
        let expected = params(json!({
            "modelWeights": {"a": 0.75, "b": 0.25}, "fallbackOn": ["timeout"], "nested": {"x": null}
        }));
        assert_eq!(after, expected);
    }
}
