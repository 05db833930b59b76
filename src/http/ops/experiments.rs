//! `/ops/experiments…`: A/B tests of drafts against the active version, and watches of activations.
#![expect(unused_qualifications, reason = "the code that utoipa generates has them")]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use semver::Version;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::transitions::{answer, change, key};
use super::{ChangeHeaders, Key, List, PolicyId, SemanticVersion, check_id};
use crate::http::Api;
use crate::http::auth::{Admin, Reader};
use crate::http::extract::{Body, Params, Segments};
use crate::http::problem::{ChangeProblems, Problem, ReadProblems};
use crate::http::views::experiments::{Experiment, ExperimentView, Metric};
use crate::http::views::policies::ActivationRecord;
use crate::http::views::records::ChangeView;
use crate::jobs::guard::evaluate;
use crate::jobs::guard::history::history;
use crate::store::{ExperimentRequest, Store};
use f0_learning_core::intent::Intent;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExperimentParams {
    /// Only experiments of this policy.
    #[param(value_type = Option<PolicyId>, nullable = false)]
    policy: Option<String>,
}

/// The latest 200 experiments, newest first.
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
    let found = store.experiments_list(params.policy.as_deref()).await?;
    Ok(Json(List::of(found, Experiment::from)))
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
        let detail = format!("unknown experiment {shown:?}: GET /ops/experiments lists the latest");
        return Err(Problem::new(axum::http::StatusCode::NOT_FOUND, detail));
    };
    let (comparison, note) = match experiment.open {
        true => {
            let rewards = store.reward_config().await?;
            let found = evaluate(&store, &experiment, &rewards, api.now().await?).await?;
            (Some(found.comparison), found.unserved)
        }
        false => (experiment.comparison.clone(), None),
    };
    let comparison = comparison.map(Into::into);
    Ok(Json(ExperimentView { experiment: experiment.into(), comparison, note }))
}

/// The latest 20 activations, newest first: the promised gain and the measured effect of each.
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
    let items = history(&store, &id, api.now().await?).await?;
    Ok(Json(List::whole(items)))
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StartRequest {
    #[schema(value_type = PolicyId)]
    id: String,
    /// The draft to test.
    #[schema(value_type = SemanticVersion)]
    version: Version,
    /// The metric that the draft is to improve, by default the reward.
    #[serde(default)]
    metric: Metric,
    /// The smallest gain that matters, in units of the metric; required for `costUsd`. The default
    /// of this and of the following fields is in `config/tuning`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    min_effect: Option<f64>,
    /// Observations of the candidate that a stage needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000_000_000u64)]
    min_samples: Option<u64>,
    /// The shortest duration of a stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 4_294_967_295u32)]
    stage_minutes: Option<u32>,
    /// The longest duration of the experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 365)]
    max_days: Option<u32>,
    /// The reason, for the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    reason: Option<String>,
}

impl StartRequest {
    fn asked(&self) -> ExperimentRequest {
        ExperimentRequest {
            metric: self.metric.into(),
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
    /// The reason, for the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    reason: Option<String>,
}

change! {
    /// Starts an A/B test: the draft gets a share of the units.
    start, "/ops/experiments/start", StartRequest,
    |store, asked, intent| {
        let candidate = key(&asked.id, &asked.version)?;
        let (store, asked) = (store.clone(), asked.asked());
        async move { store.start_experiment(&candidate, &asked, &intent).await }
    }
}

change! {
    /// Stops an experiment. The candidate of an A/B test stays a draft; a watched version stays
    /// active.
    stop, "/ops/experiments/stop", StopRequest,
    |store, asked, intent| store.stop_experiment(&asked.experiment, &intent)
}
