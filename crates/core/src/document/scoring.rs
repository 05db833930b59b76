//! The document `config/scoring`.

use serde::{Deserialize, Serialize};

use crate::limits::Limits;
#[cfg(feature = "schema")]
use crate::{
    observation::{MIN_PROPENSITY, MIN_SAMPLE_RATE},
    sharding::MAX_SHARDS,
};

/// The content of `config/scoring`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct ScoringConfig {
    /// Into how many shards observations are divided; 0 if they are not.
    #[cfg_attr(feature = "schema", schemars(range(max = MAX_SHARDS)))]
    pub shards: u32,
    /// The smallest `sampleRate` that counts. Also the smallest product of `sampleRate` and
    /// `propensity`.
    #[cfg_attr(feature = "schema", schemars(range(min = MIN_SAMPLE_RATE, max = 1.0)))]
    pub min_sample_rate: f64,
    /// The smallest `propensity` that counts.
    #[cfg_attr(feature = "schema", schemars(range(min = MIN_PROPENSITY, max = 1.0)))]
    pub min_propensity: f64,
}

impl Default for ScoringConfig {
    fn default() -> Self {
        let Limits { min_sample_rate, min_propensity, .. } = Limits::default();
        Self { shards: 0, min_sample_rate, min_propensity }
    }
}

impl ScoringConfig {
    pub fn limits(&self) -> Limits {
        let Self { min_sample_rate, min_propensity, .. } = *self;
        Limits { min_sample_rate, min_propensity, declared: Vec::new() }
    }
}
