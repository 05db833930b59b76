//! What a pass would decide under another configuration. Nothing here writes to the store.

use std::collections::BTreeMap;

use serde::Serialize;

use super::load::Configs;
use super::{TuneJob, served};
use crate::store::{DOCUMENT_BYTES, Result, Store};
use f0_learning_core::document::Policy;
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::tuning::{Decision, PolicyTuning, TuningConfig, assess};

/// The policies that a preview decides on: each reads what a pass reads.
const MAX_POLICIES: usize = 10;

/// The decisions on policies whose settings differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TuningPreview {
    pub policies: Vec<PolicyPreview>,
    /// Policies with other settings that were left out.
    pub left_out: usize,
}

/// What would be proposed for a policy now, without regard to its open drafts and to what was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyPreview {
    pub policy: String,
    pub version: String,
    /// The weights of the active version.
    pub weights: BTreeMap<String, f64>,
    pub before: Outcome,
    pub after: Outcome,
}

/// The weights that would be proposed, or why there are none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Outcome {
    Weights(BTreeMap<String, f64>),
    None(String),
}

/// The decisions of a pass at `now` under both configurations.
///
/// # Errors
/// What Firestore refused.
pub async fn preview(
    store: &Store,
    rewards: &RewardConfig,
    (before, after): (&TuningConfig, &TuningConfig),
    now: i64,
) -> Result<TuningPreview> {
    let differs =
        |policy: &&Policy| before.policies.get(&policy.id) != after.policies.get(&policy.id);
    let active = store.active_versions().await?.readable;
    let changed: Vec<&Policy> = served(&active).filter(differs).collect();
    let left_out = changed.len().saturating_sub(MAX_POLICIES);
    let mut policies = Vec::new();
    for policy in changed.into_iter().take(MAX_POLICIES) {
        policies.push(PolicyPreview {
            policy: policy.id.clone(),
            version: policy.version.to_string(),
            weights: policy.params.model_weights().ok().flatten().unwrap_or_default(),
            before: outcome(store, policy, rewards, before, now).await?,
            after: outcome(store, policy, rewards, after, now).await?,
        });
    }
    Ok(TuningPreview { policies, left_out })
}

async fn outcome(
    store: &Store,
    policy: &Policy,
    rewards: &RewardConfig,
    tuning: &TuningConfig,
    now: i64,
) -> Result<Outcome> {
    let Some(bounds) = tuning.policies.get(&policy.id) else {
        return Ok(Outcome::None("it is not tuned".to_owned()));
    };
    if let Some(why) = policy.pin_reason_text() {
        return Ok(Outcome::None(format!("it is pinned: {why}")));
    }
    let configs = Configs { rewards: rewards.clone(), tuning: tuning.clone() };
    match decision(store, policy, bounds, &configs, now).await {
        Ok(outcome) => Ok(outcome),
        Err(error) if error.concerns_one_document() => Ok(Outcome::None(error.to_string())),
        Err(error) => Err(error),
    }
}

async fn decision(
    store: &Store,
    policy: &Policy,
    bounds: &PolicyTuning,
    configs: &Configs,
    now: i64,
) -> Result<Outcome> {
    let weights = match policy.params.model_weights() {
        Ok(Some(weights)) => weights,
        Ok(None) => return Ok(Outcome::None("it has no weights".to_owned())),
        Err(error) => return Ok(Outcome::None(error.to_string())),
    };
    // The job keeps what it read by version, and the settings say which components it reads.
    let mut job = TuneJob::new(store.clone());
    let loaded = job.load(policy, weights, bounds, configs, now).await?;
    Ok(match assess(loaded.input).fit(DOCUMENT_BYTES).decide(None) {
        Decision::Propose(proposal) => Outcome::Weights(proposal.weights),
        Decision::None(reason) => Outcome::None(reason.to_string()),
    })
}
