//! The envelope of a policy: the range of weights within which the tuner may publish versions by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::transitions::{answer, change};
use super::{ChangeHeaders, Key, PolicyId, check_id};
use crate::http::Api;
use crate::http::auth::{Admin, Reader};
use crate::http::extract::{Body, Segments};
use crate::http::problem::{ChangeProblems, Problem, ReadProblems};
use crate::http::views::records::ChangeView;
use crate::http::views::same_fields;
use crate::store::{EnvelopeTerms, Store};
use f0_learning_core::intent::Intent;
use f0_learning_core::tuning::envelope::{self, Envelope};

/// The smallest and the largest weight of an arm.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightRange {
    #[schema(minimum = 0, maximum = 1)]
    min: f64,
    #[schema(minimum = 0, maximum = 1)]
    max: f64,
}

/// How much worse a version that the tuner activates may be than the one that it replaces; a
/// guardrail that is absent is that of `config/tuning`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ApprovedGuardrails {
    /// The largest fall of the success rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1, nullable = false)]
    success_rate: Option<f64>,
    /// The largest ratio of the mean costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000, nullable = false)]
    cost_usd: Option<f64>,
    /// The largest ratio of the 95th percentiles of durations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000, nullable = false)]
    p95_latency: Option<f64>,
}

impl ApprovedGuardrails {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

same_fields!(envelope::ApprovedGuardrails => ApprovedGuardrails {
    success_rate, cost_usd, p95_latency,
});

impl From<ApprovedGuardrails> for envelope::ApprovedGuardrails {
    fn from(it: ApprovedGuardrails) -> Self {
        let ApprovedGuardrails { success_rate, cost_usd, p95_latency } = it;
        Self { success_rate, cost_usd, p95_latency }
    }
}

/// What an admin approved.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvelopeView {
    #[schema(example = "router-core")]
    policy: String,
    number: u32,
    arms: BTreeMap<String, WeightRange>,
    floor: f64,
    step_bound: f64,
    versions_an_hour: u32,
    versions_a_day: u32,
    /// The share of the units that stay on `parent`; 0 is none.
    holdback: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    regret_budget: Option<f64>,
    /// The probability of any wrong claim in the watch of a version that the tuner activates; absent
    /// means that of `config/tuning`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    alpha: Option<f64>,
    /// The guardrails of that watch.
    #[serde(skip_serializing_if = "ApprovedGuardrails::is_empty")]
    #[schema(required = false)]
    guardrails: ApprovedGuardrails,
    /// Epoch milliseconds, like `approvedAt`.
    expires_at: i64,
    approved_by: String,
    approved_at: i64,
    /// The version that was active at the approval.
    parent: String,
    /// Why versions are only drafted; absent while the envelope is in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    frozen: Option<String>,
}

impl From<Envelope> for EnvelopeView {
    fn from(it: Envelope) -> Self {
        let range = |it: envelope::WeightRange| WeightRange { min: it.min, max: it.max };
        Self {
            policy: it.policy,
            number: it.number,
            arms: it.arms.into_iter().map(|(arm, it)| (arm, range(it))).collect(),
            floor: it.floor,
            step_bound: it.step_bound,
            versions_an_hour: it.versions_an_hour,
            versions_a_day: it.versions_a_day,
            holdback: it.holdback,
            regret_budget: it.regret_budget,
            alpha: it.alpha,
            guardrails: it.guardrails.into(),
            expires_at: it.expires_at,
            approved_by: it.approved_by,
            approved_at: it.approved_at,
            parent: it.parent,
            frozen: it.frozen,
        }
    }
}

/// The envelope of a policy.
#[utoipa::path(
    get, path = "/ops/policies/{id}/envelope", tag = "policies", params(
        ("id" = String, Path, description = "The policy's id", example = "router-core"),
    ),
    responses(
        (status = 200, description = "The envelope", body = EnvelopeView),
        ReadProblems,
    ),
)]
pub async fn show(
    _: Reader,
    store: Store,
    Segments(id): Segments<String>,
) -> Result<Json<EnvelopeView>, Problem> {
    check_id(&id)?;
    match store.envelope(&id).await? {
        Some(envelope) => Ok(Json(envelope.into())),
        None => {
            let detail = format!("{id} has no envelope");
            Err(Problem::new(StatusCode::NOT_FOUND, detail))
        }
    }
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct EnvelopeRequest {
    #[schema(value_type = PolicyId)]
    id: String,
    /// The range of each arm; the others may have any weight from the floor to 1.
    #[serde(default)]
    arms: BTreeMap<String, WeightRange>,
    /// The smallest weight of every arm.
    #[serde(default = "floor")]
    #[schema(minimum = 0, maximum = 0.5)]
    floor: f64,
    /// How far a weight may move in one version.
    #[serde(default = "step_bound")]
    #[schema(minimum = 0.001, maximum = 1)]
    step_bound: f64,
    #[serde(default = "versions_an_hour")]
    #[schema(minimum = 1, maximum = 60)]
    versions_an_hour: u32,
    #[serde(default = "versions_a_day")]
    #[schema(minimum = 1, maximum = 1440)]
    versions_a_day: u32,
    /// The share of the units that stay on the version that is active now.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 0.5)]
    holdback: f64,
    /// The reward that may be lost within a week by exploring, summed over actions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    regret_budget: Option<f64>,
    /// The probability of any wrong claim in the watch of a version that the tuner activates, by default
    /// that of `config/tuning`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.000_001, maximum = 0.5)]
    alpha: Option<f64>,
    /// The guardrails of that watch.
    #[serde(default, skip_serializing_if = "ApprovedGuardrails::is_empty")]
    #[schema(required = false)]
    guardrails: ApprovedGuardrails,
    /// For how many hours it is valid, by default 720.
    #[serde(default = "hours")]
    #[schema(minimum = 1, maximum = 8760)]
    hours: u32,
    /// The reason, for the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    reason: Option<String>,
}

fn floor() -> f64 {
    EnvelopeTerms::default().floor
}

fn step_bound() -> f64 {
    EnvelopeTerms::default().step_bound
}

fn versions_an_hour() -> u32 {
    EnvelopeTerms::default().versions_an_hour
}

fn versions_a_day() -> u32 {
    EnvelopeTerms::default().versions_a_day
}

fn hours() -> u32 {
    EnvelopeTerms::default().hours
}

impl EnvelopeRequest {
    fn terms(&self) -> EnvelopeTerms {
        let range = |it: &WeightRange| envelope::WeightRange { min: it.min, max: it.max };
        EnvelopeTerms {
            arms: self.arms.iter().map(|(arm, it)| (arm.clone(), range(it))).collect(),
            floor: self.floor,
            step_bound: self.step_bound,
            versions_an_hour: self.versions_an_hour,
            versions_a_day: self.versions_a_day,
            holdback: self.holdback,
            regret_budget: self.regret_budget,
            alpha: self.alpha,
            guardrails: self.guardrails.into(),
            hours: self.hours,
        }
    }
}

change! {
    /// Approves a range of weights.
    approve, "/ops/policies/envelope", EnvelopeRequest,
    |store, asked, intent| {
        let (store, terms, id) = (store.clone(), asked.terms(), asked.id.clone());
        async move { store.approve_envelope(&id, &terms, &intent).await }
    }
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FreezeRequest {
    #[schema(value_type = PolicyId)]
    id: String,
    /// Why; shown with the envelope.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    reason: String,
}

change! {
    /// Stops the tuner from publishing versions of a policy; it drafts them instead.
    freeze, "/ops/policies/envelope/freeze", FreezeRequest,
    |store, asked, intent| store.freeze_envelope(&asked.id, &intent)
}
