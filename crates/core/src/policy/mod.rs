//! Policies: what components act by, in immutable versions.

mod diff;
mod draw;
mod edit;
mod key;
pub mod lifecycle;
mod params;
mod version;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use diff::{ParamChange, diff};
pub use draw::{Arm, draw_arm, draw_index};
pub use edit::{EditError, MAX_PARAMS_BYTES, parse_assignment};
pub use key::{MAX_ID_BYTES, MAX_VERSION_BYTES, PolicyKey, PolicyKeyError};
pub use params::{MAX_ARM_BYTES, MODEL_WEIGHTS, Params, ParamsError, check_weights};
pub use version::{bump_patch, next_free_patch, next_patch};

/// Where a version stands. At most one version of a policy is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyStatus {
    /// Proposed; nobody acts by it.
    Draft,
    /// What components act by.
    Active,
    /// Was active, and can be again.
    Archived,
    /// A draft that an admin has said no to, or that a later draft took the place of.
    Rejected,
}

impl PolicyStatus {
    pub const ALL: [Self; 4] = [Self::Draft, Self::Active, Self::Archived, Self::Rejected];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Archived => "archived",
            Self::Rejected => "rejected",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("status is {0:?}, must be draft, active, archived or rejected")]
pub struct UnknownStatus(pub String);

impl FromStr for PolicyStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

impl fmt::Display for PolicyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
