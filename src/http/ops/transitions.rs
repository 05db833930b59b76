//! `POST /ops/policies/…`: what an admin decides.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{ChangeHeaders, Key, PolicyId, SemanticVersion};
use crate::http::Api;
use crate::http::auth::Admin;
use crate::http::extract::Body;
use crate::http::problem::{ChangeProblems, Problem};
use crate::store::{ChangeError, Changed, OverrideParams, Store};
use f0_learning_core::document::Policy;
use f0_learning_core::intent::{Intent, Watching};
use f0_learning_core::policy::{Params as PolicyParams, PolicyKey};

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeView {
    /// The id of the entry in `ops_audit`.
    audit_id: String,
    action: String,
    id: String,
    /// The version that was in force before, or that was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    from: Option<String>,
    /// The version in force now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    to: Option<String>,
    /// The experiment that it began or ended, or the watch that began with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    experiment: Option<String>,
    /// The request had been carried out before under its Idempotency-Key; nothing was done now.
    replayed: bool,
    /// The version that this is about, as it is stored now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    policy: Option<Policy>,
}

impl ChangeView {
    pub(super) async fn of(store: &Store, changed: Changed) -> Self {
        let Changed { audit_id, entry, replayed } = changed;
        let policy = about(store, &entry.id, entry.to.as_deref().or(entry.from.as_deref())).await;
        Self {
            audit_id,
            action: entry.action,
            id: entry.id,
            from: entry.from,
            to: entry.to,
            experiment: entry.experiment,
            replayed,
            policy,
        }
    }
}

/// The change is made: that it cannot be shown must not look as if it were not.
async fn about(store: &Store, id: &str, version: Option<&str>) -> Option<Policy> {
    let found = match version {
        Some(version) => match format!("{id}@{version}").parse() {
            Ok(key) => store.policy(&key).await,
            Err(_) => return None,
        },
        None => store.standing_policies(id).await.map(|all| {
            all.into_iter().rfind(|it| it.status == f0_learning_core::policy::PolicyStatus::Active)
        }),
    };
    found.unwrap_or_else(|error| {
        tracing::warn!(%error, id, "a change was made and could not be read again");
        None
    })
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivateRequest {
    #[schema(value_type = PolicyId)]
    id: String,
    #[schema(value_type = SemanticVersion)]
    version: Version,
    /// Why, for the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
    /// Take the draft although its parent is no longer the active version.
    #[serde(default)]
    force: bool,
    /// Whether it is watched, and taken back should it prove to be worse.
    #[serde(default)]
    guard: Watching,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectRequest {
    #[schema(value_type = PolicyId)]
    id: String,
    #[schema(value_type = SemanticVersion)]
    version: Version,
    /// Why, for the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    #[schema(value_type = PolicyId)]
    id: String,
    /// The version to go back to; the one that was active before where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<SemanticVersion>)]
    version: Option<Version>,
    /// Why, for the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct OverrideRequest {
    #[schema(value_type = PolicyId)]
    id: String,
    /// Values by path, put over the active version's params. Either this or `params`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({"modelWeights.gpt-5": 0.5, "modelWeights.gemini": 0.35}))]
    set: Option<Map<String, Value>>,
    /// The new version's params as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    params: Option<Map<String, Value>>,
    /// The version that must be active for this to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<SemanticVersion>)]
    parent_version: Option<Version>,
    /// Whether it is watched, and taken back should it prove to be worse.
    #[serde(default)]
    guard: Watching,
    /// Why, for the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PinRequest {
    #[schema(value_type = PolicyId)]
    id: String,
    /// Why; it is shown wherever the policy is.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Names a policy.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyRequest {
    #[schema(value_type = PolicyId)]
    id: String,
    /// Why, for the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

pub(super) type Answer = Result<Json<ChangeView>, Problem>;

pub(super) async fn answer(store: &Store, outcome: Result<Changed, ChangeError>) -> Answer {
    Ok(Json(ChangeView::of(store, outcome?).await))
}

pub(super) fn key(id: &str, version: &Version) -> Result<PolicyKey, Problem> {
    PolicyKey::new(id, version.clone())
        .map_err(|error| Problem::unprocessable(format!("{id:?}: {error}")))
}

/// What every change takes from the request beside its body.
macro_rules! change {
    (
        $(#[$documentation:meta])*
        $name:ident, $path:literal, $request:ty, |$store:ident, $asked:ident, $intent:ident| $run:expr
    ) => {
        $(#[$documentation])*
        #[utoipa::path(
            post, path = $path, tag = "policies", request_body = $request,
            params(ChangeHeaders),
            responses(
                (status = 200, description = "Done, in one commit with its audit entry", body = ChangeView),
        ChangeProblems,
            ),
        )]
        pub async fn $name(
            Admin(caller): Admin,
            State(api): State<Arc<Api>>,
            $store: Store,
            idempotency: Key,
            Body($asked): Body<$request>,
        ) -> super::transitions::Answer {
            let reason = $asked.reason.clone().into();
            let $intent: Intent =
                idempotency.intent(caller, $path, &$asked, reason, api.clock.now());
            answer(&$store, $run.await).await
        }
    };
}

pub(super) use change;

change! {
    /// Makes a draft the active version.
    activate, "/ops/policies/activate", ActivateRequest,
    |store, asked, intent| {
        let key = key(&asked.id, &asked.version)?;
        let (store, intent) = (store.clone(), intent.watched(asked.guard));
        async move { store.activate(&key, asked.force, &intent).await }
    }
}

change! {
    /// Says no to a draft.
    reject, "/ops/policies/reject", RejectRequest,
    |store, asked, intent| store.reject(&key(&asked.id, &asked.version)?, &intent)
}

change! {
    /// Makes an earlier version active again.
    rollback, "/ops/policies/rollback", RollbackRequest,
    |store, asked, intent| store.roll_back(&asked.id, asked.version.as_ref(), &intent)
}

change! {
    /// Writes a version by hand, and makes it active.
    override_policy, "/ops/policies/override", OverrideRequest,
    |store, asked, intent| {
        let params = override_params(&asked)?;
        let (store, intent) = (store.clone(), intent.watched(asked.guard));
        async move {
            store.override_policy(&asked.id, &params, asked.parent_version.as_ref(), &intent).await
        }
    }
}

change! {
    /// Keeps the tuner off a policy.
    pin, "/ops/policies/pin", PinRequest,
    |store, asked, intent| store.pin(&asked.id, &intent)
}

change! {
    /// Lets the tuner at a policy again.
    unpin, "/ops/policies/unpin", PolicyRequest,
    |store, asked, intent| store.unpin(&asked.id, &intent)
}

change! {
    /// Restores exactly one active version where there are several or none.
    repair, "/ops/policies/repair", PolicyRequest,
    |store, asked, intent| store.repair(&asked.id, &intent)
}

fn override_params(asked: &OverrideRequest) -> Result<OverrideParams, Problem> {
    match (&asked.set, &asked.params) {
        (Some(set), None) => Ok(OverrideParams::Set(
            set.iter().map(|(path, value)| (path.clone(), value.clone())).collect(),
        )),
        (None, Some(params)) => Ok(OverrideParams::Whole(PolicyParams(params.clone()))),
        _ => Err(Problem::unprocessable("an override takes either `set` or `params`")),
    }
}
