//! `GET /ops/policies…`: versions, what they changed, and what came of it.
#![expect(unused_qualifications, reason = "the code that utoipa generates has them")]

use axum::Json;
use axum::http::StatusCode;
use semver::Version;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

use axum::extract::State;

use super::{List, page};
use crate::http::Api;
use crate::http::auth::Reader;
use crate::http::extract::{Params, Segments};
use crate::http::problem::{Problem, ReadProblems};
use crate::store::{DEFAULT_EFFECT_DAYS, MAX_EFFECT_DAYS, PolicyFilter, Store};
use f0_learning_core::document::Policy;
use f0_learning_core::effectiveness::{Earned, Effectiveness};
use f0_learning_core::policy::{ParamChange, PolicyKey, PolicyStatus, diff};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// Only versions of this policy.
    id: Option<String>,
    /// Only versions in this state.
    status: Option<PolicyStatus>,
    /// At most so many items; 50 where it is left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u64>,
    /// `nextCursor` of the page before.
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
    let filter = PolicyFilter { id: params.id, status: params.status };
    Ok(Json(List::of(store.policies_page(&filter, &page).await?, |policy| policy)))
}

/// A policy as it stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyView {
    id: String,
    /// The version in force; absent where none is active.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    active: Option<Policy>,
    /// More active versions than one, which `POST /ops/policies/repair` mends.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    also_active: Vec<Version>,
    pinned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pin_reason: Option<String>,
    /// What awaits a decision.
    drafts: Vec<Policy>,
    effectiveness: Effectiveness,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ShowParams {
    /// Over how many days to tell what came of proposals; 30 where it is left out.
    #[param(minimum = 1, maximum = 365)]
    days: Option<u32>,
}

/// The version in force, what awaits a decision, and what came of earlier ones.
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
        let detail = format!("days is {days}, must be 1 to {MAX_EFFECT_DAYS}");
        return Err(Problem::bad_request(detail));
    }
    check_id(&id)?;
    let policies = store.standing_policies(&id).await?;
    if policies.is_empty() && store.recent_versions(&id).await?.is_empty() {
        return Err(unknown(&id));
    }
    let effectiveness = store.effectiveness(&id, days, api.clock.now()).await?;
    let (active, drafts): (Vec<_>, Vec<_>) =
        policies.into_iter().partition(|policy| policy.status == PolicyStatus::Active);
    let mut also_active: Vec<_> = active.iter().map(|policy| policy.version.clone()).collect();
    also_active.pop();
    let pin = active.iter().find(|policy| policy.pinned);
    Ok(Json(PolicyView {
        pinned: pin.is_some(),
        pin_reason: pin.and_then(Policy::pin_reason_text).map(str::to_owned),
        active: active.into_iter().next_back(),
        also_active,
        drafts,
        effectiveness,
        id,
    }))
}

/// A version, and what it has earned.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionView {
    #[serde(flatten)]
    policy: Policy,
    /// Over all observations that name it; absent where none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    earned: Option<Earned>,
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
    Ok(Json(VersionView { policy, earned: earned.remove(&key.version) }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiffParams {
    /// The version to compare from; the active one where it is left out.
    from: Option<String>,
    /// The version to compare to.
    to: String,
}

/// What differs between the params of two versions.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiffView {
    #[schema(value_type = String)]
    from: Version,
    #[schema(value_type = String)]
    to: Version,
    changes: Vec<ParamChange>,
}

/// What a version changes.
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
            let active = standing.into_iter().rfind(|it| it.status == PolicyStatus::Active);
            active.ok_or_else(|| {
                let detail = format!("{id} has no active version; name the one to compare from");
                Problem::new(StatusCode::CONFLICT, detail)
            })?
        }
    };
    let changes = diff(&from.params, &to.params);
    Ok(Json(DiffView { from: from.version, to: to.version, changes }))
}

fn check_id(id: &str) -> Result<(), Problem> {
    PolicyKey::check_id(id).map_err(|error| Problem::bad_request(format!("{id:?}: {error}")))
}

fn key(id: &str, version: &str) -> Result<PolicyKey, Problem> {
    format!("{id}@{version}").parse().map_err(|error: f0_learning_core::policy::PolicyKeyError| {
        Problem::bad_request(format!("{id:?} {version:?}: {error}"))
    })
}

async fn require(store: &Store, key: &PolicyKey) -> Result<Policy, Problem> {
    store.policy(key).await?.ok_or_else(|| unknown(&key.to_string()))
}

fn unknown(name: &str) -> Problem {
    let detail = format!("there is no policy {name}; GET /ops/policies lists those that there are");
    Problem::new(StatusCode::NOT_FOUND, detail)
}
