//! What the API shows of statistics, observations and the audit trail.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::policies::{Policy, StatusChange};
use super::same_variants;
use crate::store;
use f0_learning_core::{audit, stats};

/// The statistics of a component in one window.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStats {
    component: String,
    window: Window,
    /// When the window was computed, which is where it ends; epoch milliseconds.
    ts: i64,
    #[serde(flatten)]
    stats: WindowStats,
}

impl From<store::ComponentStats> for ComponentStats {
    fn from(found: store::ComponentStats) -> Self {
        let store::ComponentStats { component, window, ts, stats } = found;
        Self { component, window: window.into(), ts, stats: stats.into() }
    }
}

/// The last hour, day or week.
///
/// The start of a window is aligned downwards to a step: 5 minutes for an hour, an hour for a day,
/// 6 hours for a week. Observations younger than the window's length are always included; older
/// ones may be, by less than a step.
#[derive(Debug, Serialize, ToSchema)]
pub enum Window {
    #[serde(rename = "1h")]
    OneHour,
    #[serde(rename = "24h")]
    OneDay,
    #[serde(rename = "7d")]
    SevenDays,
}

same_variants!(stats::Window => Window { OneHour, OneDay, SevenDays });

/// The figures of a window.
///
/// `n` counts documents. All other figures weigh each observation by 1 / sampleRate. Without
/// observations every figure is 0 and no cost is known.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WindowStats {
    n: u64,
    /// Documents of the component that could not be scored and are in quarantine.
    #[schema(required = false)]
    rejected: u64,
    /// Optional fields of the `n` observations that were invalid, which are scored without them.
    #[schema(required = false)]
    malformed: u64,
    /// Documents, rejected ones included, whose `policyVersion` names no version of a policy.
    unversioned: u64,
    /// The number of actions that the `n` observations represent.
    population: f64,
    success_rate: f64,
    failure_rate: f64,
    timeout_rate: f64,
    /// Within 1% of the true value.
    p50_latency: f64,
    p95_latency: f64,
    /// The mean over the observations that have a cost.
    avg_cost_usd: Option<f64>,
    avg_reward: f64,
    /// Within 0.0025 of the true value.
    p50_reward: f64,
    p95_reward: f64,
    /// Estimated totals of the population.
    tokens_in: f64,
    tokens_out: f64,
    window_start: i64,
}

impl From<stats::WindowStats> for WindowStats {
    fn from(found: stats::WindowStats) -> Self {
        let stats::WindowStats {
            n,
            rejected,
            malformed,
            unversioned,
            population,
            success_rate,
            failure_rate,
            timeout_rate,
            p50_latency,
            p95_latency,
            avg_cost_usd,
            avg_reward,
            p50_reward,
            p95_reward,
            tokens_in,
            tokens_out,
            window_start,
        } = found;
        Self {
            n,
            rejected,
            malformed,
            unversioned,
            population,
            success_rate,
            failure_rate,
            timeout_rate,
            p50_latency,
            p95_latency,
            avg_cost_usd,
            avg_reward,
            p50_reward,
            p95_reward,
            tokens_in,
            tokens_out,
            window_start,
        }
    }
}

/// An observation exactly as its component wrote it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(value_type = Object)]
pub struct ObservationView(pub Map<String, Value>);

/// An entry of the audit trail.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditView {
    /// The id of the document.
    audit_id: String,
    #[serde(flatten)]
    entry: AuditEntry,
}

impl From<store::AuditRecord> for AuditView {
    fn from(store::AuditRecord { audit_id, entry, .. }: store::AuditRecord) -> Self {
        Self { audit_id, entry: entry.into() }
    }
}

/// An entry of `ops_audit`. Entries are only ever created, each in the commit that makes the change
/// it records.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Epoch milliseconds by Firestore's clock, shortly before the commit. Entries are ordered by their
    /// commits, whose time Firestore keeps as the creation time of each document.
    ts: i64,
    /// The proven identity of the actor: the subject of a token, or the name that a command passed.
    actor: String,
    /// The name that the caller added to a credential that identifies no person.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    actor_name: Option<String>,
    /// What was done, such as `activate`.
    action: String,
    /// What it was done to: a policy's id, `flags`, or the path of a document of `config`.
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// Every version whose status changed with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<StatusChange>,
    /// A draft was activated although its parent was no longer active.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    forced: bool,
    /// The experiment that it started, moved or ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    experiment: Option<String>,
    /// `off` if the caller turned the watch of an activation off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    guard: Option<String>,
    /// The fingerprint of the request that was sent with an Idempotency-Key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request: Option<String>,
    /// The evidence that the decision is based on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    evidence: Option<Value>,
}

impl From<audit::AuditEntry> for AuditEntry {
    fn from(entry: audit::AuditEntry) -> Self {
        let audit::AuditEntry {
            ts,
            actor,
            actor_name,
            action,
            id,
            from,
            to,
            reason,
            changes,
            forced,
            experiment,
            guard,
            request,
            evidence,
        } = entry;
        Self {
            ts,
            actor,
            actor_name,
            action,
            id,
            from,
            to,
            reason,
            changes: changes.into_iter().map(Into::into).collect(),
            forced,
            experiment,
            guard,
            request,
            evidence,
        }
    }
}

/// A change that was made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeView {
    /// The id of the entry in `ops_audit`.
    pub audit_id: String,
    pub action: String,
    pub id: String,
    /// The version that was active before, or that was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub from: Option<String>,
    /// The version that is active now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub to: Option<String>,
    /// The experiment that the change started or ended, or the watch that started with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub experiment: Option<String>,
    /// The Idempotency-Key was used before for this request: nothing was changed this time.
    pub replayed: bool,
    /// What follows for the tuner, of a rollback, an override or a rejection: how long it does not
    /// propose the same direction again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub note: Option<String>,
    /// The changed version as it is stored now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub policy: Option<Policy>,
}
