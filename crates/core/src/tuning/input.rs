//! The input of a decision, which can be stored to replay the decision.

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::blocks::{Blocks, Claims};
use super::memory::{ArmMemory, Memory};
use super::{Allocation, Basis, Goal, PolicyTuning, Signals};
use super::{encoded, stored_basis};
use crate::appended::{self, Part, Parts};
use crate::estimate::{ArmLog, COARSER, Expected};
use crate::policy::PolicyStatus;
use crate::reward::RewardConfig;
use crate::stats::{DecodeError, Samples, Timeline};

/// The format that is written. A changed layout gets the next number, and the change keeps a reader
/// for each number before, and adds fixtures of it to `tests/formats.rs`.
const FORMAT: u8 = 3;

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
    #[serde(with = "encoded::config")]
    pub config: PolicyTuning,
    /// The version of `config/tuning`.
    pub tuning_version: String,
    /// The last version that the tuner drafted from the same parent, whatever its status is now.
    pub last_draft: Option<LastDraft>,
    /// The time of the decision in epoch milliseconds.
    pub as_of: i64,
    /// What else is known of the observations; stored after the input.
    #[serde(skip)]
    pub signals: Signals,
    /// What was counted of each version, which arms are compared by; `None` for a decision that was
    /// stored by an earlier rule, which compared them by `arms`. Stored after the input.
    #[serde(skip)]
    pub blocks: Option<Blocks>,
    /// What weights are believed from; `None` if the decision is made by proof. Stored after the input.
    #[serde(skip)]
    pub belief: Option<Basis>,
}

/// What is stored after the input.
#[derive(Serialize, Deserialize)]
struct Added {
    max_rejected_share: f64,
    /// By arm, if there are any.
    rejected: BTreeMap<String, u64>,
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
        self.samples.n()
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
        if self.encode().len() > most
            && let Some(blocks) = &mut self.blocks
        {
            *blocks = Blocks { claims: blocks.claims, ..Blocks::default() };
        }
        true
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend(
            postcard::to_allocvec(self).expect("numbers, texts and maps of them always encode"),
        );
        let rejected = self.arms.iter().map(|(arm, it)| (arm.clone(), it.samples.rejected));
        let added = Added {
            max_rejected_share: self.config.max_rejected_share,
            rejected: rejected.filter(|(_, rejected)| *rejected > 0).collect(),
        };
        let signals = (&self.signals, &self.config.confirmed_scales);
        let parts = Parts::default().with(Part::Rejected, &added).with(Part::Signals, &signals);
        let parts = match &self.blocks {
            Some(blocks) => {
                let parts = parts.with(Part::Blocks, blocks);
                // Without it, the decision was made by the rule before.
                let is_new = blocks.claims != Claims::Pairs;
                let claims = (blocks.claims, self.config.goal);
                if is_new { parts.with(Part::Claims, &claims) } else { parts }
            }
            None => parts,
        };
        let parts = match &self.belief {
            Some(basis) => stored_basis::append(parts, basis),
            None => parts,
        };
        parts.append_to(&mut bytes);
        bytes
    }

    /// Reads the bytes that [`TuningInput::encode`] wrote.
    ///
    /// # Errors
    /// Any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.split_first() {
            Some((3, rest)) => {
                let (mut input, parts): (Self, Parts) =
                    appended::read_parts(rest).map_err(DecodeError::Encoding)?;
                // Without it, the input was stored by a version that did not count rejected documents.
                if let Some(added) =
                    parts.get::<Added>(Part::Rejected).map_err(DecodeError::Encoding)?
                {
                    input.config.max_rejected_share = added.max_rejected_share;
                    for (arm, rejected) in added.rejected {
                        let known = input.arms.get_mut(&arm);
                        let known = known.ok_or(DecodeError::Inconsistent("an arm is unknown"))?;
                        known.samples.rejected = rejected;
                    }
                }
                if let Some(found) = parts.get(Part::Signals).map_err(DecodeError::Encoding)? {
                    (input.signals, input.config.confirmed_scales) = found;
                }
                input.blocks = parts.get(Part::Blocks).map_err(DecodeError::Encoding)?;
                let claims = parts.get(Part::Claims).map_err(DecodeError::Encoding)?;
                let (claims, goal) = claims.unwrap_or((Claims::Pairs, Goal::Reward));
                input.blocks.iter_mut().for_each(|it| it.claims = claims);
                input.config.goal = goal;
                input.belief = stored_basis::read(&parts).map_err(DecodeError::Encoding)?;
                if input.belief.is_some() {
                    input.config.allocation = Allocation::Belief;
                }
                Ok(input)
            }
            Some((&found, _)) => Err(DecodeError::Format { found }),
            None => Err(DecodeError::Inconsistent("they are empty")),
        }
    }
}
