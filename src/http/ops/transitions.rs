//! `POST /ops/policies/…`: decisions of admins.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{ChangeHeaders, Key, PolicyId, SemanticVersion, Watching};
use crate::http::Api;
use crate::http::auth::Admin;
use crate::http::extract::Body;
use crate::http::problem::{ChangeProblems, Problem};
use crate::http::views::records::ChangeView;
use crate::store::{ChangeError, Changed, OverrideParams, Store};
use f0_learning_core::audit::AuditEntry;
use f0_learning_core::document::Policy;
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::{Params as PolicyParams, PolicyKey, PolicyStatus};

/// The version that was changed. If it cannot be read, the answer still has to say that the change
/// was made.
async fn changed(store: &Store, id: &str, version: Option<&str>) -> Option<Policy> {
    let found = match version {
        Some(version) => match format!("{id}@{version}").parse() {
            Ok(key) => store.policy(&key).await,
            Err(_) => return None,
        },
        None => store
            .standing_policies(id)
            .await
            .map(|all| all.into_iter().rfind(|it| it.status == PolicyStatus::Active)),
    };
    found.unwrap_or_else(|error| {
        tracing::warn!(%error, id, "cannot read the version that was changed");
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
    /// The reason, for the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    reason: Option<String>,
    /// Activate the draft even if its parent is no longer the active version.
    #[serde(default)]
    force: bool,
    /// Whether the version is watched, and rolled back if it proves to be worse.
    #[serde(default)]
    guard: Watching,
    /// `evidence.digest` of the draft as it was shown: the activation is refused if the draft was
    /// renewed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100)]
    seen: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectRequest {
    #[schema(value_type = PolicyId)]
    id: String,
    #[schema(value_type = SemanticVersion)]
    version: Version,
    /// The reason, for the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    reason: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    #[schema(value_type = PolicyId)]
    id: String,
    /// The version to activate again; by default the one that was active before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<SemanticVersion>)]
    version: Option<Version>,
    /// The reason, for the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    reason: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct OverrideRequest {
    #[schema(value_type = PolicyId)]
    id: String,
    /// Values by path, which replace those of the active version. Either this or `params`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({"modelWeights.gpt-5": 0.5, "modelWeights.gemini": 0.35}))]
    set: Option<Map<String, Value>>,
    /// All params of the new version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    params: Option<Map<String, Value>>,
    /// The version that must be active; otherwise the override is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<SemanticVersion>)]
    parent_version: Option<Version>,
    /// Whether the version is watched, and rolled back if it proves to be worse.
    #[serde(default)]
    guard: Watching,
    /// The reason, for the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    reason: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PinRequest {
    #[schema(value_type = PolicyId)]
    id: String,
    /// Why; shown with the policy.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    reason: String,
}

/// Names a policy.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyRequest {
    #[schema(value_type = PolicyId)]
    id: String,
    /// The reason, for the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    reason: Option<String>,
}

pub(super) type Answer = Result<Json<ChangeView>, Problem>;

pub(super) async fn answer(store: &Store, outcome: Result<Changed, ChangeError>) -> Answer {
    let Changed { audit_id, entry, replayed } = outcome?;
    let note = store.veto_note(&entry).await;
    let AuditEntry { action, id, from, to, experiment, .. } = entry;
    let policy = changed(store, &id, to.as_deref().or(from.as_deref())).await.map(Into::into);
    Ok(Json(ChangeView { audit_id, action, id, from, to, experiment, replayed, note, policy }))
}

pub(super) fn key(id: &str, version: &Version) -> Result<PolicyKey, Problem> {
    PolicyKey::new(id, version.clone())
        .map_err(|error| Problem::unprocessable(format!("invalid id {id:?}: {error}")))
}

/// A handler for a change: the parts that all of them share.
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
                idempotency.intent(caller, $path, &$asked, reason, api.now().await?)?;
            answer(&$store, $run.await).await
        }
    };
}

pub(super) use change;

change! {
    /// Activates a draft.
    activate, "/ops/policies/activate", ActivateRequest,
    |store, asked, intent| {
        let key = key(&asked.id, &asked.version)?;
        let intent = intent.watched(asked.guard.into()).having_seen(asked.seen.clone());
        let store = store.clone();
        async move { store.activate(&key, asked.force, &intent).await }
    }
}

change! {
    /// Rejects a draft.
    reject, "/ops/policies/reject", RejectRequest,
    |store, asked, intent| store.reject(&key(&asked.id, &asked.version)?, &intent)
}

change! {
    /// Activates an earlier version again.
    rollback, "/ops/policies/rollback", RollbackRequest,
    |store, asked, intent| store.roll_back(&asked.id, asked.version.as_ref(), &intent)
}

change! {
    /// Writes a version by hand and activates it.
    override_policy, "/ops/policies/override", OverrideRequest,
    |store, asked, intent| {
        let params = override_params(&asked)?;
        let (store, intent) = (store.clone(), intent.watched(asked.guard.into()));
        async move {
            store.override_policy(&asked.id, &params, asked.parent_version.as_ref(), &intent).await
        }
    }
}

change! {
    /// Pins a policy: the tuner stops proposing versions of it.
    pin, "/ops/policies/pin", PinRequest,
    |store, asked, intent| store.pin(&asked.id, &intent)
}

change! {
    /// Unpins a policy: the tuner may propose versions of it again.
    unpin, "/ops/policies/unpin", PolicyRequest,
    |store, asked, intent| store.unpin(&asked.id, &intent)
}

change! {
    /// Restores exactly one active version if there are several or none.
    repair, "/ops/policies/repair", PolicyRequest,
    |store, asked, intent| store.repair(&asked.id, &intent)
}

fn override_params(asked: &OverrideRequest) -> Result<OverrideParams, Problem> {
    match (&asked.set, &asked.params) {
        (Some(set), None) => Ok(OverrideParams::Set(
            set.iter().map(|(path, value)| (path.clone(), value.clone())).collect(),
        )),
        (None, Some(params)) => Ok(OverrideParams::Whole(PolicyParams(params.clone()))),
        _ => Err(Problem::unprocessable("invalid override: expected either `set` or `params`")),
    }
}
