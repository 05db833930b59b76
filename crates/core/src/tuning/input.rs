//! What a decision is made from, in a form that can be kept, so that it can be made again.

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::PolicyTuning;
use super::memory::{ArmMemory, Memory};
use crate::estimate::{ArmLog, COARSER, Expected};
use crate::policy::PolicyStatus;
use crate::reward::RewardConfig;
use crate::stats::{DecodeError, Samples, Timeline};

/// Raised whenever the layout of anything within changes.
const FORMAT: u8 = 3;

/// Everything that a decision rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TuningInput {
    pub policy_id: String,
    /// The active version.
    pub parent: Version,
    /// The active version's weights.
    pub weights: BTreeMap<String, f64>,
    /// Of each arm that has any, what was observed since it began.
    pub arms: BTreeMap<String, ArmInput>,
    /// What an observation may weigh for its arm, at most: of `minSampleRate` and `minPropensity`,
    /// or more where more was seen of any arm, also before it began.
    pub max_weight: f64,
    /// By arm, the rewards of observations that name the active version; none where they cannot be
    /// told apart.
    pub routed: Option<BTreeMap<String, ArmLog>>,
    pub rewards: RewardConfig,
    pub config: PolicyTuning,
    /// The version of `config/tuning`.
    pub tuning_version: String,
    /// The last version that the tuner drafted from the same parent, whatever became of it.
    pub last_draft: Option<LastDraft>,
    /// When this was read, in epoch milliseconds.
    pub as_of: i64,
}

/// What an observation of these arms may weigh at most, where no product of sample rate and
/// propensity is to be below `least`.
pub fn max_weight(timelines: &BTreeMap<String, Timeline>, least: f64) -> f64 {
    timelines.values().map(Timeline::max_weight).fold(1.0 / least, f64::max)
}

/// What is known of an arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmInput {
    pub memory: ArmMemory,
    pub samples: Samples,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastDraft {
    pub version: Version,
    pub weights: BTreeMap<String, f64>,
    pub status: PolicyStatus,
}

impl ArmInput {
    /// How many observations there are.
    pub fn n(&self) -> u64 {
        self.samples.reward.n().round() as u64
    }

    /// What the arms' timelines hold since each began.
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
    /// What the log of the active version is to be read with.
    pub(super) fn expected_of_log(&self) -> Expected {
        let logs = self.routed.iter().flat_map(BTreeMap::values);
        Expected {
            max_weight: logs
                .map(ArmLog::max_weight)
                .fold(1.0 / self.config.min_sample_rate, f64::max),
            least_propensity: self.config.min_propensity,
        }
    }

    /// Makes it take no more than `most` bytes, if that can be: the fewer the weights at which
    /// observations are kept, the less there is to be sure of, and the same decision follows from
    /// what is kept as from what was decided from. At last the log is left out.
    pub fn fit(&mut self, most: usize) {
        for points in COARSER {
            if self.encode().len() <= most {
                return;
            }
            self.arms.values_mut().for_each(|it| it.samples.coarsen(points));
            let logs = self.routed.iter_mut().flat_map(BTreeMap::values_mut);
            logs.for_each(|it| it.coarsen(points));
        }
        if self.encode().len() > most {
            self.routed = None;
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend(
            postcard::to_allocvec(self).expect("numbers, texts and maps of them always encode"),
        );
        bytes
    }

    /// Reads what [`TuningInput::encode`] wrote, and refuses anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.split_first() {
            Some((&FORMAT, rest)) => postcard::from_bytes(rest).map_err(DecodeError::Encoding),
            Some((&found, _)) => Err(DecodeError::Format { found }),
            None => Err(DecodeError::Inconsistent("it is empty")),
        }
    }
}
