//! The input of a decision, which can be stored to replay the decision.

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::PolicyTuning;
use super::blocks::Blocks;
use super::memory::{ArmMemory, Memory};
use crate::estimate::{ArmLog, COARSER, Expected};
use crate::number::whole_u64;
use crate::policy::PolicyStatus;
use crate::reward::RewardConfig;
use crate::stats::{DecodeError, Samples, Timeline};

/// Must be raised whenever the stored layout changes.
const FORMAT: u8 = 4;

/// The format before, which ended before `blocks`.
const WITHOUT_BLOCKS: u8 = 3;

/// Everything that a decision depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TuningInput {
    pub policy_id: String,
    /// The active version.
    pub parent: Version,
    /// The active version's weights.
    pub weights: BTreeMap<String, f64>,
    /// The observations of each arm since its last restart; arms without observations are absent.
    pub arms: BTreeMap<String, ArmInput>,
    /// The largest weight of an observation: from `minSampleRate` and `minPropensity`, or the largest
    /// observed weight of any arm, including observations before its restart.
    pub max_weight: f64,
    /// By arm, the rewards of observations that name the active version; `None` if there were too many
    /// components to count them separately.
    pub routed: Option<BTreeMap<String, ArmLog>>,
    pub rewards: RewardConfig,
    pub config: PolicyTuning,
    /// The version of `config/tuning`.
    pub tuning_version: String,
    /// The last version that the tuner drafted from the same parent, whatever its status is now.
    pub last_draft: Option<LastDraft>,
    /// The time of the decision in epoch milliseconds.
    pub as_of: i64,
    /// What was counted of each version, which arms are compared by; `None` for a decision that was
    /// stored by an earlier rule, which compared them by `arms`.
    pub blocks: Option<Blocks>,
}

/// The largest weight of an observation of these arms, if no product of sample rate and propensity is
/// expected to be below `least`.
pub fn max_weight(timelines: &BTreeMap<String, Timeline>, least: f64) -> f64 {
    timelines.values().map(Timeline::max_weight).fold(1.0 / least, f64::max)
}

/// What is known of one arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmInput {
    pub memory: ArmMemory,
    pub samples: Samples,
}

/// The last draft of the tuner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastDraft {
    pub version: Version,
    pub weights: BTreeMap<String, f64>,
    pub status: PolicyStatus,
}

impl ArmInput {
    /// The number of observations.
    pub fn n(&self) -> u64 {
        whole_u64(self.samples.reward.n().round())
    }

    /// The observations in the timelines, of each arm since its last restart.
    pub fn of_all(
        timelines: &BTreeMap<String, Timeline>,
        memory: &Memory,
    ) -> BTreeMap<String, Self> {
        let of = |(arm, timeline): (&String, &Timeline)| {
            let memory = memory.of(arm);
            (arm.clone(), Self { memory, samples: timeline.since(memory.since) })
        };
        timelines.iter().map(of).collect()
    }
}

impl TuningInput {
    /// The limits to expect in the log of the active version.
    pub(super) fn expected_of_log(&self) -> Expected {
        let logs = self.routed.iter().flat_map(BTreeMap::values);
        Expected {
            max_weight: logs
                .map(ArmLog::max_weight)
                .fold(1.0 / self.config.min_sample_rate, f64::max),
            least_propensity: self.config.min_propensity,
        }
    }

    /// Reduces the input to at most `most` bytes, if possible: it keeps observations at fewer weights,
    /// which makes estimates less certain, and finally drops the logs. A decision must be made after
    /// this, so that the stored input leads to the same decision. Returns whether the input changed.
    pub fn fit(&mut self, most: usize) -> bool {
        for (done, points) in COARSER.into_iter().enumerate() {
            if self.encode().len() <= most {
                return done > 0;
            }
            self.arms.values_mut().for_each(|it| it.samples.coarsen(points));
            let logs = self.routed.iter_mut().flat_map(BTreeMap::values_mut);
            logs.for_each(|it| it.coarsen(points));
            self.blocks.iter_mut().for_each(|it| it.coarsen(points));
        }
        if self.encode().len() > most {
            self.routed = None;
        }
        if self.encode().len() > most && self.blocks.is_some() {
            self.blocks = Some(Blocks::default());
        }
        true
    }

    pub fn encode(&self) -> Vec<u8> {
        let format = if self.blocks.is_some() { FORMAT } else { WITHOUT_BLOCKS };
        let mut bytes = vec![format];
        bytes.extend(
            postcard::to_allocvec(self).expect("numbers, texts and maps of them always encode"),
        );
        if format == WITHOUT_BLOCKS {
            // The last byte is the absence of the last field.
            bytes.pop();
        }
        bytes
    }

    /// Reads the bytes that [`TuningInput::encode`] wrote, also those of the format before.
    ///
    /// # Errors
    /// Any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        const ABSENT: u8 = 0;
        match bytes.split_first() {
            Some((&FORMAT, rest)) => postcard::from_bytes(rest).map_err(DecodeError::Encoding),
            Some((&WITHOUT_BLOCKS, rest)) => {
                let bytes: Vec<u8> = rest.iter().copied().chain([ABSENT]).collect();
                postcard::from_bytes(&bytes).map_err(DecodeError::Encoding)
            }
            Some((&found, _)) => Err(DecodeError::Format { found }),
            None => Err(DecodeError::Inconsistent("they are empty")),
        }
    }
}
