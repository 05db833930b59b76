//! The reward of each valid item of a chunk: computed once, then written and counted.

use crate::store::{Invalid, Item};
use f0_learning_core::observation::Observation;
use f0_learning_core::reward::{self, Reward, RewardConfig};

/// An item with its reward, if it is valid.
#[derive(Debug)]
pub(in crate::jobs) enum Scored<'a> {
    Valid {
        observation: &'a Observation,
        /// The number that the reward is recorded under.
        shard: i64,
        reward: Reward,
    },
    Invalid(&'a Invalid),
}

impl<'a> Scored<'a> {
    pub fn all(items: &'a [Item], config: &RewardConfig) -> Vec<Self> {
        items.iter().map(|item| Self::of(item, config)).collect()
    }

    fn of(item: &'a Item, config: &RewardConfig) -> Self {
        match item {
            Item::Valid { observation, shard } => {
                let reward = reward::score(config, observation);
                Self::Valid { observation, shard: *shard, reward }
            }
            Item::Invalid(invalid) => Self::Invalid(invalid),
        }
    }

    pub fn id(&self) -> &str {
        match self {
            Self::Valid { observation, .. } => &observation.id,
            Self::Invalid(invalid) => &invalid.id,
        }
    }

    /// The component that sent it, if that can be read.
    pub fn component(&self) -> Option<&str> {
        match self {
            Self::Valid { observation, .. } => Some(&observation.component),
            Self::Invalid(invalid) => invalid.origin.component.as_deref(),
        }
    }

    /// The policy version that it names, if that can be read.
    pub fn policy_version(&self) -> Option<&str> {
        match self {
            Self::Valid { observation, .. } => observation.policy_version.as_deref(),
            Self::Invalid(invalid) => invalid.origin.policy_version.as_deref(),
        }
    }

    /// Whether it is a valid observation with an earlier `ts`.
    pub fn is_older_than(&self, oldest: i64) -> bool {
        matches!(self, Self::Valid { observation, .. } if observation.ts < oldest)
    }

    pub fn invalid(&self) -> Option<&'a Invalid> {
        match self {
            Self::Valid { .. } => None,
            Self::Invalid(invalid) => Some(*invalid),
        }
    }
}
