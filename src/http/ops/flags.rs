//! `/ops/flags`: the kill switch, and automatic activation.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ChangeHeaders, Key};
use crate::http::Api;
use crate::http::auth::{Admin, Reader};
use crate::http::extract::Body;
use crate::http::problem::{ChangeProblems, Problem, ReadProblems};
use crate::store::Store;
use f0_learning_core::document::{FlagChanges, FlagsState, LearningFlags};

/// `config/flags`, and whether it can be understood.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlagsView {
    /// Absent where the document is missing or malformed; then nothing is tuned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    learning: Option<LearningFlags>,
    /// What is wrong with the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    problem: Option<String>,
}

impl FlagsView {
    fn of(state: &FlagsState) -> Self {
        match state {
            FlagsState::Set(flags) => Self { learning: Some(flags.learning), problem: None },
            other => Self { learning: None, problem: Some(other.to_string()) },
        }
    }
}

/// The flags.
#[utoipa::path(
    get, path = "/ops/flags", tag = "flags",
    responses(
        (status = 200, description = "The flags as they are stored", body = FlagsView),
        ReadProblems,
    ),
)]
pub async fn read(_: Reader, store: Store) -> Result<Json<FlagsView>, Problem> {
    Ok(Json(FlagsView::of(&store.flags().await?)))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlagsRequest {
    learning: LearningChanges,
    /// Why, for the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// At least one of the two.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(min_properties = 1)]
pub struct LearningChanges {
    /// The kill switch: `false` stops all tuning and leaves scoring on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auto_activate_policies: Option<bool>,
}

/// The flags after a change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlagsChangeView {
    /// The id of the entry in `ops_audit`.
    audit_id: String,
    /// The request had been carried out before under its Idempotency-Key; nothing was done now.
    replayed: bool,
    /// As they are stored now.
    flags: FlagsView,
}

/// Changes flags; what is left out stays as it is.
#[utoipa::path(
    post, path = "/ops/flags", tag = "flags", request_body = FlagsRequest,
    params(ChangeHeaders),
    responses(
        (status = 200, description = "Done, in one commit with its audit entry", body = FlagsChangeView),
        ChangeProblems,
    ),
)]
pub async fn change(
    Admin(caller): Admin,
    State(api): State<Arc<Api>>,
    store: Store,
    idempotency: Key,
    Body(asked): Body<FlagsRequest>,
) -> Result<Json<FlagsChangeView>, Problem> {
    let changes = FlagChanges {
        enabled: asked.learning.enabled,
        auto_activate_policies: asked.learning.auto_activate_policies,
    };
    let reason = asked.reason.clone();
    let intent = idempotency.intent(caller, "/ops/flags", &asked, reason, api.clock.now());
    let changed = store.set_flags(changes, &intent).await?;
    let flags = FlagsView::of(&store.flags().await?);
    Ok(Json(FlagsChangeView { audit_id: changed.audit_id, replayed: changed.replayed, flags }))
}
