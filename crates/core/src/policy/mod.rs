//! Policies: the parameters that components use, in immutable versions.
//!
//! A policy is a named set of [`Params`]. Each change makes a new version, named by a [`PolicyKey`].
//! [`lifecycle`] defines how a version becomes active and how it is replaced; [`diff()`] compares
//! two versions, and [`draw_arm`] selects an arm by the weights of a version.

mod diff;
mod draw;
mod edit;
mod key;
pub mod lifecycle;
mod params;
#[cfg(feature = "schema")]
pub(crate) mod schema;
mod version;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantNames};

pub use diff::{ParamChange, diff};
pub use draw::{Arm, draw_arm, draw_arm_of_unit, draw_index};
pub use edit::{EditError, MAX_PARAMS_BYTES, parse_assignment};
pub use key::{MAX_ID_BYTES, MAX_VERSION_BYTES, PolicyKey, PolicyKeyError};
pub use params::{MAX_ARM_BYTES, MODEL_WEIGHTS, Params, ParamsError, WEIGHT_STEPS, check_weights};
pub use version::{bump_patch, next_free_patch, next_patch};

use crate::variants::UnknownVariant;

/// The status of a version. At most one version of a policy is active.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantNames,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[strum(
    serialize_all = "lowercase",
    const_into_str,
    parse_err_ty = UnknownVariant,
    parse_err_fn = unknown_status
)]
pub enum PolicyStatus {
    /// Proposed; components do not use it.
    Draft,
    /// The version that components use.
    Active,
    /// Was active, and can become active again.
    Archived,
    /// A draft that an admin rejected, or that a later draft superseded.
    Rejected,
}

impl PolicyStatus {
    pub const ALL: [Self; 4] = [Self::Draft, Self::Active, Self::Archived, Self::Rejected];

    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

fn unknown_status(text: &str) -> UnknownVariant {
    UnknownVariant::new::<PolicyStatus>("status", text)
}
