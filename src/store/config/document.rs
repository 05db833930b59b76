//! The documents of `config` that people change, and why a content cannot be stored as one.

use strum::{EnumString, IntoStaticStr, VariantArray};
use thiserror::Error;

use f0_learning_core::audit::Action;

/// A document of `config`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum ConfigDocument {
    Flags,
    RewardConfig,
    Tuning,
    Scoring,
}

impl ConfigDocument {
    pub const ALL: &[Self] = <Self as VariantArray>::VARIANTS;

    /// The id of the document.
    pub const fn id(self) -> &'static str {
        self.into_str()
    }

    pub const fn path(self) -> &'static str {
        match self {
            Self::Flags => "config/flags",
            Self::RewardConfig => "config/reward_config",
            Self::Tuning => "config/tuning",
            Self::Scoring => "config/scoring",
        }
    }

    /// What audit entries record of a change: the action, and the `id`.
    pub(in crate::store) const fn recorded(self) -> (Action, &'static str) {
        match self {
            Self::Flags => (Action::Flags, self.id()),
            _ => (Action::Config, self.path()),
        }
    }
}

/// Why a content cannot be the content of a document.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("invalid {}: {detail}", document.path())]
pub struct ConfigError {
    pub document: ConfigDocument,
    pub detail: String,
}
