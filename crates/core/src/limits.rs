//! How many actions one observation may represent.
//!
//! An observation with `sampleRate` r counts for 1/r actions. With the smallest rate that parsing
//! accepts, a single document outweighs a million others: one mistake, or one hostile neighbour, would
//! decide every figure of its component. [`Limits`] are what a deployment declares in `config/scoring`,
//! and by policy in `config/tuning`.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::observation::{
    MAX_COMPONENT_BYTES, MIN_PROPENSITY, MIN_SAMPLE_RATE, Observation, Rejection, RejectionReason,
};
use crate::tuning::{ARM_PLACEHOLDER, TuningConfig};

/// The most policies that may lower a limit: they are stored with each range that scoring announces.
pub const MAX_DECLARED: usize = 200;

/// A longer pattern matches no component.
const MAX_PATTERN_BYTES: usize = MAX_COMPONENT_BYTES + ARM_PLACEHOLDER.len();

/// The smallest `sampleRate` and `propensity` that are counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// From 10^-6 to 1. Also the smallest product of `sampleRate` and `propensity`, so that an
    /// observation counts for at most 1 / `minSampleRate` actions in every figure.
    pub min_sample_rate: f64,
    /// From 0.001 to 1.
    pub min_propensity: f64,
    /// The components for which a policy declares smaller ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declared: Vec<Declared>,
}

/// What a policy declares for the components of its arms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Declared {
    /// With `{arm}` for the name of an arm.
    pub component: String,
    pub min_sample_rate: f64,
    pub min_propensity: f64,
}

/// A limit that is not one.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{field} is {value}, must be between {min} and 1")]
pub struct LimitError {
    pub field: &'static str,
    pub value: f64,
    pub min: f64,
}

impl Default for Limits {
    /// An observation counts for at most a thousand actions.
    fn default() -> Self {
        Self { min_sample_rate: 0.001, min_propensity: MIN_PROPENSITY, declared: Vec::new() }
    }
}

impl Limits {
    /// # Errors
    /// The first number that is out of its range.
    pub fn validate(&self) -> Result<(), LimitError> {
        let within = |field, value, min| match (min..=1.0).contains(&value) {
            true => Ok(()),
            false => Err(LimitError { field, value, min }),
        };
        within("minSampleRate", self.min_sample_rate, MIN_SAMPLE_RATE)?;
        within("minPropensity", self.min_propensity, MIN_PROPENSITY)
    }

    /// The same with what policies declare. A policy can lower a limit, not raise it: its default of 1
    /// says that its components do not sample, which the intervals rely on, and is no limit. Of more
    /// than [`MAX_DECLARED`] policies the others lower none.
    #[must_use]
    pub fn with_policies(mut self, config: &TuningConfig) -> Self {
        let lowers = |it: &Declared| {
            let is_lower = it.min_sample_rate < self.min_sample_rate
                || it.min_propensity < self.min_propensity
                || it.min_sample_rate * it.min_propensity < self.min_sample_rate;
            is_lower && it.component.len() <= MAX_PATTERN_BYTES
        };
        let declared = config.policies.values().map(|policy| Declared {
            component: policy.component.clone(),
            min_sample_rate: policy.min_sample_rate,
            min_propensity: policy.min_propensity,
        });
        self.declared = declared.filter(lowers).take(MAX_DECLARED).collect();
        self
    }

    /// The smallest `sampleRate`, `propensity`, and product of both for a component.
    fn of(&self, component: &str) -> [f64; 3] {
        let found = self.declared.iter().filter(|it| it.is_of(component));
        let own = [self.min_sample_rate, self.min_propensity, self.min_sample_rate];
        found.fold(own, |[rate, propensity, product], it| {
            let both = it.min_sample_rate * it.min_propensity;
            [rate.min(it.min_sample_rate), propensity.min(it.min_propensity), product.min(both)]
        })
    }
}

impl Declared {
    fn is_of(&self, component: &str) -> bool {
        let Some((before, after)) = self.component.split_once(ARM_PLACEHOLDER) else {
            return false;
        };
        component.len() > before.len() + after.len()
            && component.starts_with(before)
            && component.ends_with(after)
    }
}

/// A product of two rates is not exact: a rate at its limit must not fall below by rounding.
const ROUNDING: f64 = 1.0 - 1e-9;

impl Observation {
    /// Whether the observation counts for no more actions than the limits allow.
    ///
    /// # Errors
    /// A `sampleRate`, a `propensity`, or a product of both below its limit.
    pub fn within_limits(&self, limits: &Limits) -> Result<(), Rejection> {
        let [least_rate, least_propensity, least_product] = limits.of(&self.component);
        let below = |value, least| RejectionReason::BelowLimit { value, least };
        if self.sample_rate < least_rate {
            return Err(below(self.sample_rate, least_rate).at("sampleRate"));
        }
        let Some(propensity) = self.propensity else { return Ok(()) };
        if propensity < least_propensity {
            return Err(below(propensity, least_propensity).at("propensity"));
        }
        if self.sample_rate * propensity < least_product * ROUNDING {
            let least = least_product / self.sample_rate;
            let reason = RejectionReason::BelowProduct { value: propensity, least };
            return Err(reason.at("propensity"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::Outcome;
    use crate::tuning::PolicyTuning;

    fn observation(component: &str, sample_rate: f64, propensity: Option<f64>) -> Observation {
        let component = component.to_owned();
        Observation { component, sample_rate, propensity, ..Observation::at(1, Outcome::Success) }
    }

    fn rejected(limits: &Limits, component: &str, rate: f64, propensity: Option<f64>) -> String {
        let checked = observation(component, rate, propensity).within_limits(limits);
        checked.map_or_else(|rejection| rejection.to_string(), |()| String::new())
    }

    #[test]
    fn a_rejection_names_both_numbers() {
        let limits = Limits { min_propensity: 0.01, ..Limits::default() };
        let small = rejected(&limits, "c", 1e-6, None);
        assert!(small.starts_with("sampleRate is 0.000001, must be at least 0.001"), "{small}");
        let small = rejected(&limits, "c", 1.0, Some(0.002));
        assert!(small.starts_with("propensity is 0.002, must be at least 0.01"), "{small}");
        let small = rejected(&limits, "c", 0.01, Some(0.02));
        assert!(small.starts_with("propensity is 0.02, must be at least 0.1"), "{small}");
        for (rate, propensity) in
            [(0.1, None), (0.001, None), (0.001, Some(1.0)), (0.1, Some(0.01))]
        {
            assert_eq!(rejected(&limits, "c", rate, propensity), "", "{rate} {propensity:?}");
        }
    }

    #[test]
    fn a_policy_lowers_the_limits_of_its_own_components_only() {
        let policy = |component: &str, min_sample_rate| PolicyTuning {
            component: component.to_owned(),
            min_sample_rate,
            ..PolicyTuning::default()
        };
        let policies = [("a", policy("rare:{arm}", 1e-5)), ("b", policy("router:{arm}", 1.0))];
        let policies = policies.map(|(id, it)| (id.to_owned(), it)).into();
        let config = TuningConfig { policies, ..TuningConfig::default() };
        let limits = Limits::default().with_policies(&config);
        assert_eq!(limits.declared.len(), 1, "a declaration of 1 raises nothing");
        assert_eq!(rejected(&limits, "rare:x", 1e-5, None), "");
        assert_ne!(rejected(&limits, "rare:x", 9e-6, None), "");
        for other in ["rare:", "rare", "router:x", "other"] {
            assert_ne!(rejected(&limits, other, 1e-4, None), "", "{other}");
        }
        assert_eq!(rejected(&limits, "router:x", 0.1, None), "");
    }

    #[test]
    fn what_policies_declare_is_bounded() {
        let one = |n: usize| {
            let component = format!("p{n}:{{arm}}");
            let policy =
                PolicyTuning { component, min_sample_rate: 1e-4, ..PolicyTuning::default() };
            (format!("p{n:04}"), policy)
        };
        let policies = (0..MAX_DECLARED + 5).map(one).collect();
        let config = TuningConfig { policies, ..TuningConfig::default() };
        assert_eq!(Limits::default().with_policies(&config).declared.len(), MAX_DECLARED);
    }

    #[test]
    fn a_limit_out_of_its_range_is_named() {
        for (rate, propensity, field) in [
            (0.0, 0.5, "minSampleRate"),
            (f64::NAN, 0.5, "minSampleRate"),
            (0.5, 2.0, "minPropensity"),
        ] {
            let limits =
                Limits { min_sample_rate: rate, min_propensity: propensity, ..Limits::default() };
            assert_eq!(limits.validate().unwrap_err().field, field);
        }
        assert_eq!(Limits::default().validate(), Ok(()));
    }
}
