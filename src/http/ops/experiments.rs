//! `/ops/experiments…`: drafts that are tested against the active version, and activations that
//! are watched.
#![expect(unused_qualifications, reason = "the code that utoipa generates has them")]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use semver::Version;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::transitions::{ChangeView, answer, change, key};
use super::{ChangeHeaders, Key, List, PolicyId, SemanticVersion};
use crate::http::Api;
use crate::http::auth::{Admin, Reader};
use crate::http::extract::{Body, Params, Segments};
use crate::http::problem::{ChangeProblems, Problem, ReadProblems};
use crate::jobs::guard::evaluate;
use crate::jobs::guard::history::{ActivationRecord, history};
use crate::store::{ExperimentRequest, Store};
use f0_learning_core::document::Experiment;
use f0_learning_core::experiment::{Comparison, Metric};
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::PolicyKey;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExperimentParams {
    /// Only this policy's.
    #[param(value_type = Option<PolicyId>, nullable = false)]
    policy: Option<String>,
}

/// The latest 200, newest first.
#[utoipa::path(
    get, path = "/ops/experiments", tag = "experiments", params(ExperimentParams),
    responses(
        (status = 200, description = "The latest experiments", body = List<Experiment>),
        ReadProblems,
    ),
)]
pub async fn list(
    _: Reader,
    store: Store,
    Params(params): Params<ExperimentParams>,
) -> Result<Json<List<Experiment>>, Problem> {
    if let Some(policy) = &params.policy {
        check_id(policy)?;
    }
    let items = store.experiments(params.policy.as_deref()).await?;
    Ok(Json(List { items, next_cursor: None }))
}

/// An experiment, and what is known by now.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExperimentView {
    experiment: Experiment,
    /// Of one that goes on, as of now; of one that ended, what it ended on, where that is on record.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    comparison: Option<Comparison>,
}

/// One experiment.
#[utoipa::path(
    get, path = "/ops/experiments/{id}", tag = "experiments",
    params(("id" = String, Path, description = "The experiment's id")),
    responses(
        (status = 200, description = "The experiment", body = ExperimentView),
        ReadProblems,
    ),
)]
pub async fn show(
    _: Reader,
    State(api): State<Arc<Api>>,
    store: Store,
    Segments(id): Segments<String>,
) -> Result<Json<ExperimentView>, Problem> {
    let Some(experiment) = store.experiment(&id).await? else {
        let shown: String = id.chars().take(100).collect();
        let detail = format!("there is no experiment {shown:?}; GET /ops/experiments lists them");
        return Err(Problem::new(axum::http::StatusCode::NOT_FOUND, detail));
    };
    let comparison = match experiment.open {
        true => {
            let rewards = store.reward_config().await?;
            Some(evaluate(&store, &experiment, &rewards, api.clock.now()).await?.comparison)
        }
        false => experiment.comparison.clone(),
    };
    Ok(Json(ExperimentView { experiment, comparison }))
}

/// What each activation promised, and what came of it; the latest 20, newest first.
#[utoipa::path(
    get, path = "/ops/policies/{id}/history", tag = "policies",
    params(("id" = String, Path, description = "The policy's id", example = "router-core")),
    responses(
        (status = 200, description = "The latest activations", body = List<ActivationRecord>),
        ReadProblems,
    ),
)]
pub async fn policy_history(
    _: Reader,
    State(api): State<Arc<Api>>,
    store: Store,
    Segments(id): Segments<String>,
) -> Result<Json<List<ActivationRecord>>, Problem> {
    check_id(&id)?;
    let items = history(&store, &id, api.clock.now()).await?;
    Ok(Json(List { items, next_cursor: None }))
}

fn check_id(id: &str) -> Result<(), Problem> {
    PolicyKey::check_id(id).map_err(|error| Problem::bad_request(format!("{id:?}: {error}")))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StartRequest {
    #[schema(value_type = PolicyId)]
    id: String,
    /// The draft that is to be tested.
    #[schema(value_type = SemanticVersion)]
    version: Version,
    /// What it is to do better at; the reward where it is left out.
    #[serde(default)]
    metric: Metric,
    /// The smallest gain that is worth having, in units of the metric. This and the following are
    /// as `config/tuning` has them where they are left out; on `costUsd` it must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    min_effect: Option<f64>,
    /// Observations of the candidate that a stage needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000_000_000u64)]
    min_samples: Option<u64>,
    /// How long a stage lasts at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 4_294_967_295u32)]
    stage_minutes: Option<u32>,
    /// How long it lasts at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 365)]
    max_days: Option<u32>,
    /// Why, for the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

impl StartRequest {
    fn asked(&self) -> ExperimentRequest {
        ExperimentRequest {
            metric: self.metric,
            min_effect: self.min_effect,
            min_samples: self.min_samples,
            stage_minutes: self.stage_minutes,
            max_days: self.max_days,
        }
    }
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopRequest {
    /// The experiment's id.
    #[schema(min_length = 1, max_length = 100)]
    experiment: String,
    /// Why, for the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

change! {
    /// Gives a draft a share of the units.
    start, "/ops/experiments/start", StartRequest,
    |store, asked, intent| {
        let candidate = key(&asked.id, &asked.version)?;
        let (store, asked) = (store.clone(), asked.asked());
        async move { store.start_experiment(&candidate, &asked, &intent).await }
    }
}

change! {
    /// Ends an experiment: the candidate of a test stays a draft, an activation that was watched
    /// stays.
    stop, "/ops/experiments/stop", StopRequest,
    |store, asked, intent| store.stop_experiment(&asked.experiment, &intent)
}
