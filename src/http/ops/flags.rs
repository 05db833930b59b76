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
use crate::http::views::flags::{FlagsChangeView, FlagsView};
use crate::store::Store;
use f0_learning_core::document::FlagChanges;

/// The flags.
#[utoipa::path(
    get, path = "/ops/flags", tag = "flags",
    responses(
        (status = 200, description = "The flags as they are stored", body = FlagsView),
        ReadProblems,
    ),
)]
pub async fn read(_: Reader, store: Store) -> Result<Json<FlagsView>, Problem> {
    Ok(Json(store.flags().await?.into()))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlagsRequest {
    learning: LearningChanges,
    /// The reason, for the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    reason: Option<String>,
}

/// The flags to change, at least one.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(min_properties = 1)]
pub struct LearningChanges {
    /// The kill switch: `false` stops all tuning; scoring continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auto_activate_policies: Option<bool>,
}

/// Changes flags. Flags that are omitted keep their values. If all have these values already, and
/// there is no Idempotency-Key, nothing is written, and the answer has no `auditId`.
#[utoipa::path(
    post, path = "/ops/flags", tag = "flags", request_body = FlagsRequest,
    params(ChangeHeaders),
    responses(
        (status = 200, description = "Done, in one commit with its audit entry; or nothing to do", body = FlagsChangeView),
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
    let intent = idempotency.intent(caller, "/ops/flags", &asked, reason, api.now().await?)?;
    let changed = store.set_flags(changes, &intent).await?;
    let flags = FlagsView::from(store.flags().await?);
    let replayed = changed.as_ref().is_some_and(|it| it.replayed);
    Ok(Json(FlagsChangeView { audit_id: changed.map(|it| it.audit_id), replayed, flags }))
}
