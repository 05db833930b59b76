//! `GET /ops/stats`, `/ops/observations`, `/ops/audit`: statistics, observations and the audit trail.
#![expect(unused_qualifications, reason = "the code that utoipa generates has them")]

use axum::Json;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{List, page};
use crate::http::auth::{Admin, Reader};
use crate::http::extract::Params;
use crate::http::problem::{Problem, ReadProblems};
use crate::http::views::records::{AuditView, ComponentStats, ObservationView};
use crate::store::{AuditFilter, Store};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ComponentParams {
    /// Only this component.
    component: Option<String>,
    /// The largest number of items, by default 50.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u64>,
    /// `nextCursor` of the previous page.
    cursor: Option<String>,
}

/// The statistics of components, in the order of their names.
#[utoipa::path(
    get, path = "/ops/stats", tag = "records", params(ComponentParams),
    responses(
        (status = 200, description = "A page of statistics", body = List<ComponentStats>),
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
    Ok(Json(List::of(found, ComponentStats::from)))
}

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
    /// Only entries about this policy, `flags`, or a path such as `config/tuning`.
    id: Option<String>,
    /// Only this action, such as `activate`.
    action: Option<String>,
    /// Only entries of this actor.
    actor: Option<String>,
    /// Only entries from this time on, in epoch milliseconds.
    since: Option<i64>,
    /// Only entries up to this time, in epoch milliseconds.
    until: Option<i64>,
    /// The largest number of items, by default 50.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u64>,
    /// `nextCursor` of the previous page.
    cursor: Option<String>,
}

/// The audit trail, newest first. Only for admins, as in `firestore.rules`.
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
