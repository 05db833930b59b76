//! What the API shows of policies: versions, their differences and their effects.

use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::experiments::Verdict;
use super::{same_fields, same_variants};
use crate::jobs::guard::history;
use f0_learning_core::policy::lifecycle;
use f0_learning_core::{document, effectiveness, policy, tuning};

fn text(version: Option<Version>) -> Option<String> {
    version.map(|it| it.to_string())
}

/// A version of a policy.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    #[schema(example = "router-core")]
    id: String,
    #[schema(example = "1.0.2")]
    version: String,
    status: PolicyStatus,
    /// Epoch milliseconds, like all times.
    #[schema(required = false)]
    created_at: i64,
    #[schema(required = false)]
    created_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    notes: Option<String>,
    /// Written once, when the version is created.
    #[schema(value_type = Object)]
    params: Map<String, Value>,
    /// The version that was active when this one was proposed or written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    parent_version: Option<String>,
    /// The version that this one replaced when it last became active.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    previous_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    superseded_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    activated_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    activated_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    archived_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rejected_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rejected_by: Option<String>,
    /// The tuner does not propose versions of this policy. Set on the active version, and moves to
    /// the next one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pinned: bool,
    #[serde(flatten)]
    pin: Pin,
    /// Expected change of the mean reward of a request, in units of reward (0 to 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expected_gain: Option<f64>,
    /// The evidence that the tuner's decision is based on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    evidence: Option<Value>,
    /// Of an active version: the draft that a share of the units uses instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    candidate: Option<Candidate>,
    /// The version that a share of the units stays on, while jobs publish versions by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    holdback: Option<Holdback>,
    /// Its measured effect since it became active, once that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    verdict: Option<Verdict>,
    /// When it was rolled back because it was proven to be worse.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rolled_back_at: Option<i64>,
    /// Fields that other writers added.
    #[serde(flatten)]
    #[schema(ignore)]
    other: Map<String, Value>,
}

impl From<document::Policy> for Policy {
    fn from(policy: document::Policy) -> Self {
        let document::Policy {
            id,
            version,
            status,
            created_at,
            created_by,
            notes,
            params,
            parent_version,
            previous_version,
            superseded_by,
            activated_at,
            activated_by,
            archived_at,
            rejected_at,
            rejected_by,
            pinned,
            pin,
            expected_gain,
            evidence,
            candidate,
            holdback,
            verdict,
            rolled_back_at,
            other,
        } = policy;
        Self {
            id,
            version: version.to_string(),
            status: status.into(),
            created_at,
            created_by,
            notes,
            params: params.0,
            parent_version: text(parent_version),
            previous_version: text(previous_version),
            superseded_by: text(superseded_by),
            activated_at,
            activated_by,
            archived_at,
            rejected_at,
            rejected_by,
            pinned,
            pin: pin.into(),
            expected_gain,
            evidence,
            candidate: candidate.map(Into::into),
            holdback: holdback.map(Into::into),
            verdict: verdict.map(Into::into),
            rolled_back_at,
            other,
        }
    }
}

/// A draft that a share of the units uses instead of the active version. It holds all that a
/// component needs, so that one document is enough.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The experiment's id, which decides which units use the draft.
    experiment: String,
    #[schema(example = "1.0.3")]
    version: String,
    /// The share of units that use it, 0 to 1.
    share: f64,
    #[schema(value_type = Object)]
    params: Map<String, Value>,
}

impl From<document::Candidate> for Candidate {
    fn from(candidate: document::Candidate) -> Self {
        let document::Candidate { experiment, version, share, params } = candidate;
        Self { experiment, version: version.to_string(), share, params: params.0 }
    }
}

/// A version that a fixed share of the units uses, with all that a component needs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Holdback {
    /// It decides which units use the version, as an experiment's id does.
    id: String,
    #[schema(example = "1.0.0")]
    version: String,
    /// The share of units that use it, 0 to 1.
    share: f64,
    #[schema(value_type = Object)]
    params: Map<String, Value>,
}

impl From<document::Holdback> for Holdback {
    fn from(it: document::Holdback) -> Self {
        let document::Holdback { id, version, share, params } = it;
        Self { id, version: version.to_string(), share, params: params.0 }
    }
}

/// Why and by whom a policy is pinned, if that was recorded.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pin {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pin_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pinned_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pinned_at: Option<i64>,
}

same_fields!(document::Pin => Pin { pin_reason, pinned_by, pinned_at });

/// The status of a version. At most one version of a policy is active.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PolicyStatus {
    /// Proposed; components do not use it.
    Draft,
    /// The version that components use.
    Active,
    /// Was active, and can be activated again.
    Archived,
    /// A draft that an admin rejected, or that a later draft replaced.
    Rejected,
}

same_variants!(policy::PolicyStatus => PolicyStatus { Draft, Active, Archived, Rejected });
same_variants!(PolicyStatus => policy::PolicyStatus { Draft, Active, Archived, Rejected });

/// A version that changes from one status to another.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusChange {
    version: String,
    /// Absent if the version is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    from: Option<PolicyStatus>,
    to: PolicyStatus,
}

impl From<lifecycle::StatusChange> for StatusChange {
    fn from(lifecycle::StatusChange { version, from, to }: lifecycle::StatusChange) -> Self {
        Self { version: version.to_string(), from: from.map(Into::into), to: to.into() }
    }
}

/// The current state of a policy.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyView {
    pub id: String,
    /// The active version; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub active: Option<Policy>,
    /// Further active versions, which `POST /ops/policies/repair` archives.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also_active: Vec<String>,
    pub pinned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pin_reason: Option<String>,
    /// Versions that await a decision.
    pub drafts: Vec<Policy>,
    /// Versions that cannot be read, and why. One that is active is still used by components.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
    pub effectiveness: Effectiveness,
}

/// A version and its figures.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionView {
    #[serde(flatten)]
    pub policy: Policy,
    /// Over all observations with this `policyVersion`; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub earned: Option<Earned>,
}

/// The differences between the params of two versions.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiffView {
    pub from: String,
    pub to: String,
    pub changes: Vec<ParamChange>,
}

/// A leaf that was added, removed or changed. The path is dotted, as `--set` takes it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParamChange {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Value>,
}

same_fields!(policy::ParamChange => ParamChange { path, from, to });

/// Figures over a period, and the effect of each activation in it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Effectiveness {
    /// Epoch milliseconds: the requested start, or the policy's first entry if that is later.
    since: i64,
    until: i64,
    proposed: u64,
    /// Per day of 24 hours; a shorter period counts as one day.
    proposed_per_day: f64,
    /// Drafts that became active.
    activated: u64,
    /// Those that were activated automatically.
    auto_activated: u64,
    /// `autoActivated` divided by `activated`, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    auto_activation_rate: Option<f64>,
    rejected: u64,
    superseded: u64,
    /// Versions written by hand.
    overrides: u64,
    rollbacks: u64,
    /// The median time from a proposal to its activation or rejection.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    median_decision_ms: Option<i64>,
    /// Newest first.
    activations: Vec<Activation>,
}

impl From<effectiveness::Effectiveness> for Effectiveness {
    fn from(found: effectiveness::Effectiveness) -> Self {
        let effectiveness::Effectiveness {
            since,
            until,
            proposed,
            proposed_per_day,
            activated,
            auto_activated,
            auto_activation_rate,
            rejected,
            superseded,
            overrides,
            rollbacks,
            median_decision_ms,
            activations,
        } = found;
        Self {
            since,
            until,
            proposed,
            proposed_per_day,
            activated,
            auto_activated,
            auto_activation_rate,
            rejected,
            superseded,
            overrides,
            rollbacks,
            median_decision_ms,
            activations: activations.into_iter().map(Into::into).collect(),
        }
    }
}

/// A version that became active, with the figures of the version before and its own.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Activation {
    ts: i64,
    /// `activate`, `rollback`, `override` or `repair`.
    action: String,
    actor: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    replaced: Option<String>,
    /// The figures of the replaced version, over all observations with its `policyVersion`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    before: Option<Earned>,
    /// The figures of the version that became active.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    after: Option<Earned>,
    /// `after` minus `before`, in mean reward.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    change: Option<f64>,
}

impl From<effectiveness::Activation> for Activation {
    fn from(activation: effectiveness::Activation) -> Self {
        let effectiveness::Activation {
            ts,
            action,
            actor,
            version,
            replaced,
            before,
            after,
            change,
        } = activation;
        Self {
            ts,
            action,
            actor,
            version: version.to_string(),
            replaced: text(replaced),
            before: before.map(Into::into),
            after: after.map(Into::into),
            change,
        }
    }
}

/// The figures of the observations with a given `policyVersion`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Earned {
    /// Observations.
    n: u64,
    /// The number of actions that they represent, weighed by their sample rates, like every figure
    /// below.
    population: f64,
    avg_reward: f64,
    success_rate: f64,
    p95_latency: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    avg_cost_usd: Option<f64>,
}

same_fields!(effectiveness::Earned => Earned {
    n, population, avg_reward, success_rate, p95_latency, avg_cost_usd,
});

/// A version that is or was active.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActivationRecord {
    version: String,
    status: PolicyStatus,
    activated_at: i64,
    activated_by: String,
    /// Why the tuner moved the weights; absent if it did not, or decided by proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cause: Option<MoveCause>,
    /// What the tuner moved and what it believed, in a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    why: Option<String>,
    /// The gain in mean reward that the proposal promised; absent if the tuner did not propose it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    promised: Option<Gain>,
    /// Its measured effect; absent until it and the version that it replaced have been observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    verdict: Option<Verdict>,
    /// Whether the verdict is final, or only what is known so far.
    settled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rolled_back_at: Option<i64>,
}

impl From<history::ActivationRecord> for ActivationRecord {
    fn from(record: history::ActivationRecord) -> Self {
        let history::ActivationRecord {
            version,
            status,
            activated_at,
            activated_by,
            cause,
            why,
            promised,
            verdict,
            settled,
            rolled_back_at,
        } = record;
        Self {
            version: version.to_string(),
            status: status.into(),
            activated_at,
            activated_by,
            cause: cause.map(Into::into),
            why,
            promised: promised.map(Into::into),
            verdict: verdict.map(Into::into),
            settled,
            rolled_back_at,
        }
    }
}

/// Why the tuner moved weights.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum MoveCause {
    /// More is known of the arms.
    Learn,
    /// An arm changed, so that another leads.
    Change,
    /// An arm may have changed.
    Suspect,
    /// An approved bound was in the way for hours.
    Bound,
}

same_variants!(tuning::MoveCause => MoveCause { Learn, Change, Suspect, Bound });

#[derive(Debug, Serialize, ToSchema)]
pub struct Gain {
    expected: f64,
    /// Absent if too little is known of an arm that gains or loses traffic.
    low: Option<f64>,
    high: Option<f64>,
}

same_fields!(tuning::Gain => Gain { expected, low, high });
