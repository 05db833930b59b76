//! The document `config/tuning`: which policies are tuned, and within which bounds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::WEIGHT_STEPS;
use crate::experiment::{GuardConfig, GuardConfigError};
use crate::observation::{MIN_PROPENSITY, MIN_SAMPLE_RATE};
use crate::policy::{PolicyKey, PolicyKeyError};

/// The placeholder for the arm's name in [`PolicyTuning::component`].
pub const ARM_PLACEHOLDER: &str = "{arm}";

/// The content of `config/tuning`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct TuningConfig {
    pub version: String,
    /// By policy id, which must not have the form `__x__`. A policy that is not listed is never tuned.
    #[cfg_attr(feature = "schema", schemars(extend("propertyNames" = crate::policy::schema::id_rule())))]
    pub policies: BTreeMap<String, PolicyTuning>,
    /// The limits of watches and A/B tests of all policies.
    pub guard: GuardConfig,
    /// By policy id, why an entry cannot be read. These policies are not tuned; the others are.
    #[serde(skip)]
    pub refused: BTreeMap<String, String>,
}

impl Default for TuningConfig {
    fn default() -> Self {
        let component = format!("router:{ARM_PLACEHOLDER}");
        let router = PolicyTuning { component, ..PolicyTuning::default() };
        Self {
            version: "1.0.0".to_owned(),
            policies: BTreeMap::from([("router-core".to_owned(), router)]),
            guard: GuardConfig::default(),
            refused: BTreeMap::new(),
        }
    }
}

/// How weights are decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Allocation {
    /// By the probability of each arm to be the best; claims still need proof.
    #[default]
    Belief,
    /// Weights move only when an arm is proven to be worse than another.
    Proof,
}

/// What observations are collected for, if weights are decided by belief.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    /// To earn the most while learning.
    #[default]
    Reward,
    /// To prove which arm is the best with few observations: half of the actions go to the likely best
    /// arm, the others to its likely rivals, until a single arm is left.
    Identify,
}

/// How one policy is tuned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields, extend("required" = ["component"], "not" = rules::identify_by_proof())))]
pub struct PolicyTuning {
    /// The component that records the observations of an arm, with `{arm}`, exactly once, for the arm's
    /// name.
    #[cfg_attr(feature = "schema", schemars(pattern(rules::CONTAINS_ARM), extend("not" = rules::contains_two_arms())))]
    pub component: String,
    pub allocation: Allocation,
    pub goal: Goal,
    /// The probability of any error within 30 days: a proposal that claims a gain that does not exist,
    /// or an interval that does not contain the true value.
    // See `super::budget`.
    #[cfg_attr(feature = "schema", schemars(range(min = 1e-6, max = 0.5)))]
    pub alpha: f64,
    /// An arm with fewer observations is not judged.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub min_samples: u64,
    /// The smallest `sampleRate` of the arms' components. Until an observation with a smaller rate is
    /// seen, intervals are valid only if there is none.
    #[cfg_attr(feature = "schema", schemars(range(min = MIN_SAMPLE_RATE, max = 1.0)))]
    pub min_sample_rate: f64,
    /// The smallest `propensity` that components state, in the same sense; 1 if they state none.
    #[cfg_attr(feature = "schema", schemars(range(min = MIN_PROPENSITY, max = 1.0)))]
    pub min_propensity: f64,
    /// How far a weight may move in one version.
    #[cfg_attr(feature = "schema", schemars(range(min = min_step(), max = 1.0)))]
    pub step_bound: f64,
    /// How far a weight may move if an arm is proven to be below `thresholds.retrain`. At least
    /// `stepBound`.
    #[cfg_attr(feature = "schema", schemars(range(min = min_step(), max = 1.0)))]
    pub retrain_step_bound: f64,
    /// The smallest weight of an arm, so that every arm gets observations.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 0.5)))]
    pub exploration_floor: f64,
    /// The smallest change: a version that changes no weight by this much is not proposed.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub min_change: f64,
    /// The smallest gain in mean reward, after all steps that would follow, that is proposed.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub min_gain: f64,
    /// Whether a failed sample-ratio check prevents comparisons. A component that does not follow its
    /// policy may send easy actions to one arm, which makes the comparison meaningless.
    pub sample_ratio_check: bool,
    /// The largest share of an arm's documents that may be rejected. An arm above it is not compared in
    /// its favour, because what is rejected is often what failed.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub max_rejected_share: f64,
    /// The arms whose scale of durations and costs is right although it differs from that of the
    /// other arms, or from before.
    // See `super::Signals`.
    pub confirmed_scales: Vec<String>,
    /// The most versions that the job may activate in 24 hours, if the flag `autoActivatePolicies` is
    /// on.
    #[cfg_attr(feature = "schema", schemars(range(max = u32::MAX)))]
    pub max_auto_activations_per_day: u32,
    /// How long a refusal holds: a rollback, an override or a rejection. 0 turns it off.
    #[serde(with = "outside_decisions")]
    #[cfg_attr(feature = "schema", schemars(with = "u32", range(max = MAX_HOURS)))]
    pub veto_hours: u32,
    /// How long the next step waits if no observation names the active version.
    #[serde(with = "outside_decisions")]
    #[cfg_attr(feature = "schema", schemars(with = "u32", range(max = MAX_HOURS)))]
    pub min_hours_between_steps: u32,
}

/// The smallest step between two weights that can be written.
fn min_step() -> f64 {
    1.0 / f64::from(WEIGHT_STEPS)
}

/// The default of `vetoHours` and `minHoursBetweenSteps`.
const HOURS: u32 = 24;

/// The most hours of both: 30 days.
const MAX_HOURS: u32 = 720;

/// What [`PolicyTuning::validate`] checks beyond ranges, as JSON Schema.
#[cfg(feature = "schema")]
mod rules {
    use serde_json::{Value, json};

    pub const CONTAINS_ARM: &str = r"\{arm\}";

    pub fn contains_two_arms() -> Value {
        json!({ "pattern": r"\{arm\}[\s\S]*\{arm\}" })
    }

    pub fn identify_by_proof() -> Value {
        json!({
            "required": ["goal", "allocation"],
            "properties": { "goal": { "const": "identify" }, "allocation": { "const": "proof" } },
        })
    }
}

/// Settings of the pace of tuning. They do not belong to the stored input of a decision, whose
/// binary layout has no names of fields: they take no bytes there.
mod outside_decisions {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(hours: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.serialize_u32(*hours),
            false => serializer.serialize_unit(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        match deserializer.is_human_readable() {
            true => u32::deserialize(deserializer),
            false => <()>::deserialize(deserializer).map(|()| super::HOURS),
        }
    }
}

impl Default for PolicyTuning {
    fn default() -> Self {
        Self {
            component: ARM_PLACEHOLDER.to_owned(),
            allocation: Allocation::Belief,
            goal: Goal::Reward,
            alpha: 0.05,
            min_samples: 100,
            min_sample_rate: 1.0,
            min_propensity: 1.0,
            step_bound: 0.1,
            retrain_step_bound: 0.2,
            exploration_floor: 0.05,
            min_change: 0.01,
            min_gain: 0.005,
            sample_ratio_check: true,
            max_rejected_share: 0.01,
            confirmed_scales: Vec::new(),
            max_auto_activations_per_day: 4,
            veto_hours: HOURS,
            min_hours_between_steps: HOURS,
        }
    }
}

/// A field of [`TuningConfig`] that is invalid.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum TuningConfigError {
    #[error("component is {0:?}, must contain {ARM_PLACEHOLDER} exactly once")]
    Component(String),
    #[error("{field} is {value}, must be between {min} and {max}")]
    OutOfRange { field: &'static str, value: f64, min: f64, max: f64 },
    #[error("minSamples is 0, must be at least 1")]
    NoSamples,
    #[error("retrainStepBound is {retrain}, must be at least stepBound, {step}")]
    RetrainBelowStep { retrain: f64, step: f64 },
    #[error("goal is identify, which needs allocation belief")]
    IdentifiesByProof,
    #[error("policies contains the invalid policy id {id:?}")]
    PolicyId { id: String, source: PolicyKeyError },
    #[error("guard.{0}")]
    Guard(#[from] GuardConfigError),
    #[error("policies.{id}.{source}")]
    Policy { id: String, source: Box<TuningConfigError> },
}

impl TuningConfig {
    /// # Errors
    /// The first field that is invalid.
    pub fn validate(&self) -> Result<(), TuningConfigError> {
        self.guard.validate()?;
        for (id, policy) in &self.policies {
            let invalid_id = |source| TuningConfigError::PolicyId { id: id.clone(), source };
            PolicyKey::check_id(id).map_err(invalid_id)?;
            policy.validate().map_err(|source| {
                let source = Box::new(source);
                TuningConfigError::Policy { id: id.clone(), source }
            })?;
        }
        Ok(())
    }
}

impl PolicyTuning {
    /// The smallest product of sample rate and propensity that must be expected.
    pub fn least_probability(&self) -> f64 {
        (self.min_sample_rate * self.min_propensity).max(MIN_SAMPLE_RATE)
    }

    /// The component that records the observations of `arm`.
    pub fn component_of(&self, arm: &str) -> String {
        self.component.replacen(ARM_PLACEHOLDER, arm, 1)
    }

    pub fn validate(&self) -> Result<(), TuningConfigError> {
        if self.component.matches(ARM_PLACEHOLDER).count() != 1 {
            return Err(TuningConfigError::Component(self.component.clone()));
        }
        if self.min_samples == 0 {
            return Err(TuningConfigError::NoSamples);
        }
        if self.goal == Goal::Identify && self.allocation == Allocation::Proof {
            return Err(TuningConfigError::IdentifiesByProof);
        }
        within("stepBound", self.step_bound, min_step(), 1.0)?;
        within("retrainStepBound", self.retrain_step_bound, min_step(), 1.0)?;
        within("explorationFloor", self.exploration_floor, 0.0, 0.5)?;
        within("minChange", self.min_change, 0.0, 1.0)?;
        within("minGain", self.min_gain, 0.0, 1.0)?;
        within("minSampleRate", self.min_sample_rate, MIN_SAMPLE_RATE, 1.0)?;
        within("minPropensity", self.min_propensity, MIN_PROPENSITY, 1.0)?;
        within("alpha", self.alpha, 1e-6, 0.5)?;
        within("maxRejectedShare", self.max_rejected_share, 0.0, 1.0)?;
        within("vetoHours", f64::from(self.veto_hours), 0.0, f64::from(MAX_HOURS))?;
        let hours = f64::from(self.min_hours_between_steps);
        within("minHoursBetweenSteps", hours, 0.0, f64::from(MAX_HOURS))?;
        let (retrain, step) = (self.retrain_step_bound, self.step_bound);
        if retrain < step {
            return Err(TuningConfigError::RetrainBelowStep { retrain, step });
        }
        Ok(())
    }
}

/// A range contains no NaN.
fn within(field: &'static str, value: f64, min: f64, max: f64) -> Result<(), TuningConfigError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(TuningConfigError::OutOfRange { field, value, min, max })
}
