//! `GET /ops/stats`, `/ops/observations`, `/ops/audit`: what was counted, observed and done.
#![expect(unused_qualifications, reason = "the code that utoipa generates has them")]

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::{List, page};
use crate::http::auth::{Admin, Reader};
use crate::http::extract::Params;
use crate::http::problem::{Problem, ReadProblems};
use crate::store::{AuditFilter, AuditRecord, ComponentStats, Store};
use f0_learning_core::audit::AuditEntry;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ComponentParams {
    /// Only this component.
    component: Option<String>,
    /// At most so many items; 50 where it is left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// The windows of components, in the order of their names.
#[utoipa::path(
    get, path = "/ops/stats", tag = "records", params(ComponentParams),
    responses(
        (status = 200, description = "A page of windows", body = List<ComponentStats>),
        ReadProblems,
    ),
)]
pub async fn stats(
    _: Reader,
    store: Store,
    Params(params): Params<ComponentParams>,
) -> Result<Json<List<ComponentStats>>, Problem> {
    let page = page(params.limit, params.cursor.as_deref())?;
    let found = store.stats_page(params.component.as_deref(), &page).await?;
    Ok(Json(List::of(found, |stats| stats)))
}

/// An observation as its component wrote it, whatever it wrote.
#[derive(Debug, Serialize, ToSchema)]
#[schema(value_type = Object)]
pub struct ObservationView(Map<String, Value>);

/// Observations, newest first.
#[utoipa::path(
    get, path = "/ops/observations", tag = "records", params(ComponentParams),
    responses(
        (status = 200, description = "A page of observations", body = List<ObservationView>),
        ReadProblems,
    ),
)]
pub async fn observations(
    _: Reader,
    store: Store,
    Params(params): Params<ComponentParams>,
) -> Result<Json<List<ObservationView>>, Problem> {
    let page = page(params.limit, params.cursor.as_deref())?;
    let found = store.observations_page(params.component.as_deref(), &page).await?;
    Ok(Json(List::of(found, ObservationView)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditParams {
    /// Only entries about this policy, or `flags`.
    id: Option<String>,
    /// Only this action, such as `activate`.
    action: Option<String>,
    /// Only what this actor did.
    actor: Option<String>,
    /// Only entries from here on, in epoch milliseconds.
    since: Option<i64>,
    /// Only entries up to here, in epoch milliseconds.
    until: Option<i64>,
    /// At most so many items; 50 where it is left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// An entry of the audit trail.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditView {
    /// The id of the document.
    audit_id: String,
    #[serde(flatten)]
    entry: AuditEntry,
}

impl From<AuditRecord> for AuditView {
    fn from(AuditRecord { audit_id, entry, .. }: AuditRecord) -> Self {
        Self { audit_id, entry }
    }
}

/// Who did what, newest first. For admins alone, as in `firestore.rules`.
#[utoipa::path(
    get, path = "/ops/audit", tag = "records", params(AuditParams),
    responses(
        (status = 200, description = "A page of entries", body = List<AuditView>),
        ReadProblems,
    ),
)]
pub async fn audit(
    _: Admin,
    store: Store,
    Params(params): Params<AuditParams>,
) -> Result<Json<List<AuditView>>, Problem> {
    let page = page(params.limit, params.cursor.as_deref())?;
    let filter = AuditFilter {
        id: params.id,
        action: params.action,
        actor: params.actor,
        since: params.since,
        until: params.until,
    };
    Ok(Json(List::of(store.audit_page(&filter, &page).await?, AuditView::from)))
}
