//! The flags in the document `config/flags`.

use serde::{Deserialize, Serialize};

/// The content of `config/flags`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Flags {
    pub learning: LearningFlags,
}

/// The flags that control tuning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LearningFlags {
    /// The kill switch: `false` stops all tuning; scoring continues.
    pub enabled: bool,
    /// Whether the tune job may activate its own drafts.
    pub auto_activate_policies: bool,
}

/// The flags, or why they are unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlagsState {
    Set(Flags),
    Missing,
    Malformed(String),
}

impl FlagsState {
    /// Whether tuning is allowed. Missing or malformed flags disable it, because they
    /// may have been meant to disable it.
    pub fn tuning_enabled(&self) -> bool {
        matches!(self, Self::Set(flags) if flags.learning.enabled)
    }

    /// Whether the job may activate its own drafts.
    pub fn auto_activation_enabled(&self) -> bool {
        matches!(self, Self::Set(flags) if flags.learning.enabled && flags.learning.auto_activate_policies)
    }
}

impl std::fmt::Display for FlagsState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Set(Flags { learning }) => write!(
                f,
                "learning.enabled={} learning.autoActivatePolicies={}",
                learning.enabled, learning.auto_activate_policies
            ),
            Self::Missing => write!(f, "config/flags is missing; run `f0-learning seed`"),
            Self::Malformed(detail) => write!(
                f,
                "config/flags is malformed ({detail}); set it with `f0-learning flags set`"
            ),
        }
    }
}

/// The flags to change; `None` leaves a flag unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlagChanges {
    pub enabled: Option<bool>,
    pub auto_activate_policies: Option<bool>,
}

impl FlagChanges {
    /// A change of one flag, by its name in Firestore.
    ///
    /// # Errors
    /// An unknown name.
    pub fn named(name: &str, value: bool) -> Result<Self, String> {
        match name {
            "learning.enabled" => Ok(Self { enabled: Some(value), ..Self::default() }),
            "learning.autoActivatePolicies" => {
                Ok(Self { auto_activate_policies: Some(value), ..Self::default() })
            }
            other => Err(format!(
                "invalid flag {other:?}: expected learning.enabled or \
                 learning.autoActivatePolicies"
            )),
        }
    }

    /// The flags after these changes. Missing and malformed flags count as `false`.
    pub fn over(self, before: &FlagsState) -> Flags {
        let off = LearningFlags { enabled: false, auto_activate_policies: false };
        let LearningFlags { enabled, auto_activate_policies } = match before {
            FlagsState::Set(flags) => flags.learning,
            FlagsState::Missing | FlagsState::Malformed(_) => off,
        };
        Flags {
            learning: LearningFlags {
                enabled: self.enabled.unwrap_or(enabled),
                auto_activate_policies: self
                    .auto_activate_policies
                    .unwrap_or(auto_activate_policies),
            },
        }
    }
}
