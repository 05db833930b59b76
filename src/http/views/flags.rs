//! What `/ops/flags` shows.

use serde::Serialize;
use utoipa::ToSchema;

use super::same_fields;
use f0_learning_core::document::{self, FlagsState};

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LearningFlags {
    /// The kill switch: `false` stops all tuning; scoring continues.
    enabled: bool,
    auto_activate_policies: bool,
}

same_fields!(document::LearningFlags => LearningFlags { enabled, auto_activate_policies });

/// `config/flags`, and whether it is valid.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlagsView {
    /// Absent if the document is missing or malformed; tuning is disabled then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    learning: Option<LearningFlags>,
    /// What is wrong with the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    problem: Option<String>,
}

impl From<FlagsState> for FlagsView {
    fn from(state: FlagsState) -> Self {
        match state {
            FlagsState::Set(flags) => Self { learning: Some(flags.learning.into()), problem: None },
            FlagsState::Missing | FlagsState::Malformed(_) => {
                Self { learning: None, problem: Some(state.to_string()) }
            }
        }
    }
}

/// The flags after a change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlagsChangeView {
    /// The id of the entry in `ops_audit`; absent if the flags had these values already.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub audit_id: Option<String>,
    /// The Idempotency-Key was used before for this request: nothing was changed this time.
    pub replayed: bool,
    /// The flags as they are stored now.
    pub flags: FlagsView,
}
