//! `GET /ops/policies…`: versions, their differences and their effects.
#![expect(unused_qualifications, reason = "the code that utoipa generates has them")]

use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

use axum::extract::State;

use super::{List, check_id, page};
use crate::http::Api;
use crate::http::auth::Reader;
use crate::http::extract::{Params, Segments};
use crate::http::problem::{Problem, ReadProblems};
use crate::http::views::policies::{DiffView, Policy, PolicyStatus, PolicyView, VersionView};
use crate::store::{DEFAULT_EFFECT_DAYS, MAX_EFFECT_DAYS, PolicyFilter, Store};
use f0_learning_core::policy::{PolicyKey, diff};
use f0_learning_core::{document, policy};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// Only versions of this policy.
    id: Option<String>,
    /// Only versions with this status.
    status: Option<PolicyStatus>,
    /// The largest number of items, by default 50.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u64>,
    /// `nextCursor` of the previous page.
    cursor: Option<String>,
}

/// The versions of all policies, or of one, in the order of their names.
#[utoipa::path(
    get, path = "/ops/policies", tag = "policies", params(ListParams),
    responses(
        (status = 200, description = "A page of versions", body = List<Policy>),
        ReadProblems,
    ),
)]
pub async fn list(
    _: Reader,
    store: Store,
    Params(params): Params<ListParams>,
) -> Result<Json<List<Policy>>, Problem> {
    let page = page(params.limit, params.cursor.as_deref())?;
    let filter = PolicyFilter { id: params.id, status: params.status.map(Into::into) };
    Ok(Json(List::of(store.policies_page(&filter, &page).await?, Policy::from)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ShowParams {
    /// The number of days that the effects of proposals are shown for, by default 30.
    #[param(minimum = 1, maximum = 365)]
    days: Option<u32>,
}

/// The active version, the drafts that await a decision, and the effects of earlier proposals.
#[utoipa::path(
    get, path = "/ops/policies/{id}", tag = "policies", params(
        ("id" = String, Path, description = "The policy's id", example = "router-core"),
        ShowParams,
    ),
    responses(
        (status = 200, description = "The policy", body = PolicyView),
        ReadProblems,
    ),
)]
pub async fn show(
    _: Reader,
    State(api): State<Arc<Api>>,
    store: Store,
    Segments(id): Segments<String>,
    Params(params): Params<ShowParams>,
) -> Result<Json<PolicyView>, Problem> {
    let days = params.days.unwrap_or(DEFAULT_EFFECT_DAYS);
    if !(1..=MAX_EFFECT_DAYS).contains(&days) {
        let detail = format!("invalid days: expected 1 to {MAX_EFFECT_DAYS}, got {days}");
        return Err(Problem::bad_request(detail));
    }
    check_id(&id)?;
    let unreadable = store.unreadable_versions(Some(&id)).await?;
    let policies = store.standing_policies(&id).await?;
    if unreadable.is_empty() && policies.is_empty() && store.recent_versions(&id).await?.is_empty()
    {
        return Err(unknown(&id));
    }
    let effectiveness = store.effectiveness(&id, days, api.now().await?).await?;
    let (active, drafts): (Vec<_>, Vec<_>) =
        policies.into_iter().partition(|policy| policy.status == policy::PolicyStatus::Active);
    let mut also_active: Vec<_> = active.iter().map(|policy| policy.version.to_string()).collect();
    also_active.pop();
    let pin = active.iter().find(|policy| policy.pinned);
    Ok(Json(PolicyView {
        pinned: pin.is_some(),
        pin_reason: pin.and_then(document::Policy::pin_reason_text).map(str::to_owned),
        active: active.into_iter().next_back().map(Into::into),
        also_active,
        drafts: drafts.into_iter().map(Into::into).collect(),
        unreadable: unreadable.iter().map(ToString::to_string).collect(),
        effectiveness: effectiveness.into(),
        id,
    }))
}

/// One version.
#[utoipa::path(
    get, path = "/ops/policies/{id}/versions/{version}", tag = "policies", params(
        ("id" = String, Path, description = "The policy's id", example = "router-core"),
        ("version" = String, Path, description = "A semantic version", example = "1.0.0"),
    ),
    responses(
        (status = 200, description = "The version", body = VersionView),
        ReadProblems,
    ),
)]
pub async fn show_version(
    _: Reader,
    store: Store,
    Segments((id, version)): Segments<(String, String)>,
) -> Result<Json<VersionView>, Problem> {
    let key = key(&id, &version)?;
    let policy = require(&store, &key).await?;
    let mut earned = store.earned(&key.id, [&key.version]).await?;
    let earned = earned.remove(&key.version).map(Into::into);
    Ok(Json(VersionView { policy: policy.into(), earned }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiffParams {
    /// The version to compare from, by default the active one.
    from: Option<String>,
    /// The version to compare to.
    to: String,
}

/// The params that a version changes.
#[utoipa::path(
    get, path = "/ops/policies/{id}/diff", tag = "policies", params(
        ("id" = String, Path, description = "The policy's id", example = "router-core"),
        DiffParams,
    ),
    responses(
        (status = 200, description = "The leaves that differ", body = DiffView),
        ReadProblems,
    ),
)]
pub async fn show_diff(
    _: Reader,
    store: Store,
    Segments(id): Segments<String>,
    Params(params): Params<DiffParams>,
) -> Result<Json<DiffView>, Problem> {
    let to = require(&store, &key(&id, &params.to)?).await?;
    let from = match &params.from {
        Some(from) => require(&store, &key(&id, from)?).await?,
        None => {
            let standing = store.standing_policies(&id).await?;
            let active = standing.into_iter().rfind(|it| it.status == policy::PolicyStatus::Active);
            active.ok_or_else(|| {
                let detail = format!(
                    "{id} has no active version: pass the version to compare from as `from`"
                );
                Problem::new(StatusCode::CONFLICT, detail)
            })?
        }
    };
    let changes = diff(&from.params, &to.params).into_iter().map(Into::into).collect();
    let (from, to) = (from.version.to_string(), to.version.to_string());
    Ok(Json(DiffView { from, to, changes }))
}

fn key(id: &str, version: &str) -> Result<PolicyKey, Problem> {
    format!("{id}@{version}").parse().map_err(|error: f0_learning_core::policy::PolicyKeyError| {
        Problem::bad_request(format!("invalid version {version:?} of {id:?}: {error}"))
    })
}

async fn require(store: &Store, key: &PolicyKey) -> Result<document::Policy, Problem> {
    store.policy(key).await?.ok_or_else(|| unknown(&key.to_string()))
}

fn unknown(name: &str) -> Problem {
    let detail = format!("unknown policy {name}: GET /ops/policies lists all policies");
    Problem::new(StatusCode::NOT_FOUND, detail)
}
