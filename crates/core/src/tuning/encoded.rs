//! The encoding of settings in a stored input.

/// [`PolicyTuning`](super::PolicyTuning) with exactly the fields of format 3. A new field of the
/// settings is appended to the input instead; see `crate::appended`.
pub(super) mod config {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::tuning::{Allocation, PolicyTuning};

    #[derive(Serialize, Deserialize)]
    struct Encoded {
        component: String,
        alpha: f64,
        min_samples: u64,
        min_sample_rate: f64,
        min_propensity: f64,
        step_bound: f64,
        retrain_step_bound: f64,
        exploration_floor: f64,
        min_change: f64,
        min_gain: f64,
        sample_ratio_check: bool,
        max_auto_activations_per_day: u32,
    }

    pub fn serialize<S: Serializer>(config: &PolicyTuning, to: S) -> Result<S::Ok, S::Error> {
        let it = config.clone();
        let encoded = Encoded {
            component: it.component,
            alpha: it.alpha,
            min_samples: it.min_samples,
            min_sample_rate: it.min_sample_rate,
            min_propensity: it.min_propensity,
            step_bound: it.step_bound,
            retrain_step_bound: it.retrain_step_bound,
            exploration_floor: it.exploration_floor,
            min_change: it.min_change,
            min_gain: it.min_gain,
            sample_ratio_check: it.sample_ratio_check,
            max_auto_activations_per_day: it.max_auto_activations_per_day,
        };
        encoded.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PolicyTuning, D::Error> {
        let it = Encoded::deserialize(from)?;
        Ok(PolicyTuning {
            component: it.component,
            // A decision by belief says so in a part after the input.
            allocation: Allocation::Proof,
            alpha: it.alpha,
            min_samples: it.min_samples,
            min_sample_rate: it.min_sample_rate,
            min_propensity: it.min_propensity,
            step_bound: it.step_bound,
            retrain_step_bound: it.retrain_step_bound,
            exploration_floor: it.exploration_floor,
            min_change: it.min_change,
            min_gain: it.min_gain,
            sample_ratio_check: it.sample_ratio_check,
            max_auto_activations_per_day: it.max_auto_activations_per_day,
            ..PolicyTuning::default()
        })
    }
}
