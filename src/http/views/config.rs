//! What `/ops/config` shows.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::policies::ParamChange;
use crate::jobs::preview::Preview;
use crate::jobs::score::preview::{self as score, RewardsPreview};
use crate::jobs::tune::preview::{self as tune, Outcome, TuningPreview};
use crate::store::{Changed, StoredConfig};

/// A document of `config` as it is stored.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigView {
    /// The path of the document.
    #[schema(example = "config/tuning")]
    document: String,
    /// Absent if there is no such document: then the defaults apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    content: Option<Map<String, Value>>,
    /// Names this state of the document; a change takes it.
    seen: String,
    /// Why the service cannot read the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    problem: Option<String>,
}

impl From<StoredConfig> for ConfigView {
    fn from(it: StoredConfig) -> Self {
        let StoredConfig { document, content, seen, problem } = it;
        Self { document: document.path().to_owned(), content, seen, problem }
    }
}

/// A change of a document, or what a change would do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigChangeView {
    /// The id of the entry in `ops_audit`; absent in a preview, which changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    audit_id: Option<String>,
    /// The Idempotency-Key was used before for this request: nothing was changed this time.
    replayed: bool,
    /// The document as it is stored now.
    config: ConfigView,
    /// What the change would do; only in a preview.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    preview: Option<PreviewView>,
}

impl ConfigChangeView {
    pub fn made(changed: Changed, config: StoredConfig) -> Self {
        let Changed { audit_id, replayed, .. } = changed;
        Self { audit_id: Some(audit_id), replayed, config: config.into(), preview: None }
    }
}

/// What a change would do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviewView {
    /// Every value that the change replaces, adds or removes.
    changes: Vec<ParamChange>,
    /// What follows from the change, in sentences.
    notes: Vec<String>,
    /// For `config/reward_config`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rewards: Option<RewardsView>,
    /// For `config/tuning`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    tuning: Option<TuningView>,
}

/// A sample of the observations of the last week, scored under both configurations.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RewardsView {
    /// The observations of the sample, at most 2,000.
    n: u64,
    /// When the sample begins, in epoch milliseconds.
    since: i64,
    /// At most 50 components, those with the most observations first.
    components: Vec<ComponentRewards>,
    /// Components of the sample that are not listed.
    left_out: u64,
}

/// The mean rewards of one component.
#[derive(Debug, Serialize, ToSchema)]
pub struct ComponentRewards {
    component: String,
    n: u64,
    before: f64,
    after: f64,
}

/// What a pass would propose now for the policies whose settings differ.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TuningView {
    /// At most 10 policies.
    policies: Vec<PolicyPreview>,
    /// Policies with other settings that are not listed.
    left_out: u64,
}

/// The proposals for one policy, without regard to its open drafts and to what was refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct PolicyPreview {
    policy: String,
    /// The active version.
    version: String,
    weights: BTreeMap<String, f64>,
    before: ProposalView,
    after: ProposalView,
}

/// The weights that would be proposed, or the reason why none would be.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProposalView {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    weights: Option<BTreeMap<String, f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
}

impl From<Preview> for ConfigChangeView {
    fn from(it: Preview) -> Self {
        let Preview { stored, changes, notes, rewards, tuning } = it;
        let preview = PreviewView {
            changes: changes.into_iter().map(Into::into).collect(),
            notes,
            rewards: rewards.map(Into::into),
            tuning: tuning.map(Into::into),
        };
        Self { audit_id: None, replayed: false, config: stored.into(), preview: Some(preview) }
    }
}

impl From<RewardsPreview> for RewardsView {
    fn from(it: RewardsPreview) -> Self {
        let RewardsPreview { n, since, components, left_out } = it;
        let components = components.into_iter().map(Into::into).collect();
        Self { n: n as u64, since, components, left_out: left_out as u64 }
    }
}

impl From<score::ComponentRewards> for ComponentRewards {
    fn from(it: score::ComponentRewards) -> Self {
        let score::ComponentRewards { component, n, before, after } = it;
        Self { component, n: n as u64, before, after }
    }
}

impl From<TuningPreview> for TuningView {
    fn from(it: TuningPreview) -> Self {
        let TuningPreview { policies, left_out } = it;
        let policies = policies.into_iter().map(Into::into).collect();
        Self { policies, left_out: left_out as u64 }
    }
}

impl From<tune::PolicyPreview> for PolicyPreview {
    fn from(it: tune::PolicyPreview) -> Self {
        let tune::PolicyPreview { policy, version, weights, before, after } = it;
        Self { policy, version, weights, before: before.into(), after: after.into() }
    }
}

impl From<Outcome> for ProposalView {
    fn from(it: Outcome) -> Self {
        match it {
            Outcome::Weights(weights) => Self { weights: Some(weights), reason: None },
            Outcome::None(reason) => Self { weights: None, reason: Some(reason) },
        }
    }
}
