//! Policies: what components act by, in immutable versions.

mod key;
mod params;
mod version;

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// Was active, or was a draft that a later one took the place of.
    Archived,
    /// An admin has said no to it.
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

impl fmt::Display for PolicyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
