//! The document `config/tuning`: which policies are tuned, and within what bounds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::WEIGHT_STEPS;
use crate::experiment::{GuardConfig, GuardConfigError};
use crate::observation::{MIN_PROPENSITY, MIN_SAMPLE_RATE};
use crate::policy::{PolicyKey, PolicyKeyError};

/// Stands for the arm's name in [`PolicyTuning::component`].
pub const ARM_PLACEHOLDER: &str = "{arm}";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TuningConfig {
    pub version: String,
    /// By policy id. A policy that is not named here is never tuned.
    pub policies: BTreeMap<String, PolicyTuning>,
    /// What activations and A/B tests are held to, of any policy.
    pub guard: GuardConfig,
}

impl Default for TuningConfig {
    fn default() -> Self {
        let component = format!("router:{ARM_PLACEHOLDER}");
        let router = PolicyTuning { component, ..PolicyTuning::default() };
        Self {
            version: "1.0.0".to_owned(),
            policies: BTreeMap::from([("router-core".to_owned(), router)]),
            guard: GuardConfig::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyTuning {
    /// The component that an arm's observations are recorded under, with `{arm}` for its name.
    pub component: String,
    /// The probability, in a period of 30 days, of any proposal that claims a gain where there is
    /// none, or of any interval that leaves out what it is about. See [`super::budget`].
    pub alpha: f64,
    /// Below this many observations an arm is not judged.
    pub min_samples: u64,
    /// The smallest `sampleRate` of the arms' components: until an observation that weighs as
    /// much has been seen, intervals hold only if none is smaller.
    pub min_sample_rate: f64,
    /// The smallest `propensity` that they state, in the same sense; 1 where none states any.
    pub min_propensity: f64,
    /// How far a weight may move in one version ...
    pub step_bound: f64,
    /// ... and how far once an arm does worse than `thresholds.retrain`.
    pub retrain_step_bound: f64,
    /// No arm gets less, or nothing more would be learnt about it.
    pub exploration_floor: f64,
    /// A version that moves no weight by this much is not worth an admin's time ...
    pub min_change: f64,
    /// ... nor is one that leads, with all the steps that would follow, to less than this in mean
    /// reward.
    pub min_gain: f64,
    /// Whether nothing is compared while the arms' shares of the observations contradict the
    /// weights: a component that does not follow its policy may choose what goes where.
    pub sample_ratio_check: bool,
    /// How many versions the job may activate by itself in 24 hours, where the flag
    /// `autoActivatePolicies` lets it.
    pub max_auto_activations_per_day: u32,
}

impl Default for PolicyTuning {
    fn default() -> Self {
        Self {
            component: ARM_PLACEHOLDER.to_owned(),
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
            max_auto_activations_per_day: 4,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Error)]
pub enum TuningConfigError {
    #[error("tuning component is {0:?}, must hold {ARM_PLACEHOLDER} exactly once")]
    Component(String),
    #[error("tuning {field} is {value}, must be between {min} and {max}")]
    OutOfRange { field: &'static str, value: f64, min: f64, max: f64 },
    #[error("tuning minSamples is 0, must be at least 1")]
    NoSamples,
    #[error("tuning retrainStepBound is {retrain}, must be at least stepBound, {step}")]
    RetrainBelowStep { retrain: f64, step: f64 },
    #[error("tuning policies holds {id:?}, which is no policy's id")]
    PolicyId { id: String, source: PolicyKeyError },
    #[error("tuning {0}")]
    Guard(#[from] GuardConfigError),
    #[error("tuning of policy {id} is invalid")]
    Policy { id: String, source: Box<TuningConfigError> },
}

impl TuningConfig {
    pub fn validate(&self) -> Result<(), TuningConfigError> {
        self.guard.validate()?;
        for (id, policy) in &self.policies {
            let no_id = |source| TuningConfigError::PolicyId { id: id.clone(), source };
            PolicyKey::check_id(id).map_err(no_id)?;
            policy.validate().map_err(|source| {
                let source = Box::new(source);
                TuningConfigError::Policy { id: id.clone(), source }
            })?;
        }
        Ok(())
    }
}

impl PolicyTuning {
    /// The smallest step that leads from any weight to another that can be written.
    const MIN_STEP: f64 = 1.0 / WEIGHT_STEPS as f64;

    /// The smallest product of sample rate and propensity that is reckoned with.
    pub fn least_probability(&self) -> f64 {
        (self.min_sample_rate * self.min_propensity).max(MIN_SAMPLE_RATE)
    }

    /// The component that records what `arm` does.
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
        within("stepBound", self.step_bound, Self::MIN_STEP, 1.0)?;
        within("retrainStepBound", self.retrain_step_bound, Self::MIN_STEP, 1.0)?;
        within("explorationFloor", self.exploration_floor, 0.0, 0.5)?;
        within("minChange", self.min_change, 0.0, 1.0)?;
        within("minGain", self.min_gain, 0.0, 1.0)?;
        within("minSampleRate", self.min_sample_rate, MIN_SAMPLE_RATE, 1.0)?;
        within("minPropensity", self.min_propensity, MIN_PROPENSITY, 1.0)?;
        within("alpha", self.alpha, 1e-6, 0.5)?;
        let (retrain, step) = (self.retrain_step_bound, self.step_bound);
        if retrain < step {
            return Err(TuningConfigError::RetrainBelowStep { retrain, step });
        }
        Ok(())
    }
}

/// NaN lies within no range.
fn within(field: &'static str, value: f64, min: f64, max: f64) -> Result<(), TuningConfigError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(TuningConfigError::OutOfRange { field, value, min, max })
}
