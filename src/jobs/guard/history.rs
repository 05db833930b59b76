//! What each activation of a policy promised, and the effect that it had.

use semver::Version;
use serde::Serialize;

use crate::store::{Result, Store};
use f0_learning_core::document::Policy;
use f0_learning_core::experiment::{GuardConfig, Kind, Verdict, compare};
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::tuning::{Evidence, Gain};

/// A version that is or was active.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivationRecord {
    pub version: Version,
    pub status: PolicyStatus,
    pub activated_at: i64,
    pub activated_by: String,
    /// The proposal's expected gain in mean reward; absent without a proposal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promised: Option<Gain>,
    /// Its effect; absent until it and the version that it replaced have been observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Whether the verdict is recorded and final.
    pub settled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolled_back_at: Option<i64>,
}

/// The latest activations of a policy, newest first. Without a recorded verdict, the verdict is what
/// is known now.
pub async fn history(store: &Store, id: &str, now: i64) -> Result<Vec<ActivationRecord>> {
    let mut versions = store.recent_versions(id).await?;
    versions.extend(
        // An old version that became active again is not among the recent ones.
        store.standing_policies(id).await?.into_iter().filter(|it| it.activated_at.is_some()),
    );
    versions.retain(|it| it.activated_at.is_some());
    versions.sort_by_key(|it| (std::cmp::Reverse(it.activated_at), it.version.clone()));
    versions.dedup_by(|a, b| a.version == b.version);
    let rewards = store.reward_config().await?;
    let guard = store.tuning_config().await?.guard;
    let mut outcomes = Vec::new();
    for policy in versions {
        let so_far = match &policy.verdict {
            Some(_) => None,
            None => so_far(store, &policy, guard, rewards.bounds.max_cost_usd, now).await?,
        };
        outcomes.push(outcome(policy, so_far));
    }
    Ok(outcomes)
}

fn outcome(policy: Policy, so_far: Option<Verdict>) -> ActivationRecord {
    let evidence = policy.evidence.map(serde_json::from_value::<Evidence>);
    let promised = match evidence {
        Some(Ok(evidence)) => Some(evidence.gain),
        _ => policy.expected_gain.map(|expected| Gain { expected, low: None, high: None }),
    };
    ActivationRecord {
        version: policy.version,
        status: policy.status,
        activated_at: policy.activated_at.unwrap_or_default(),
        activated_by: policy.activated_by.unwrap_or_default(),
        promised,
        settled: policy.verdict.is_some(),
        verdict: policy.verdict.or(so_far),
        rolled_back_at: policy.rolled_back_at,
    }
}

async fn so_far(
    store: &Store,
    policy: &Policy,
    guard: GuardConfig,
    max_cost_usd: f64,
    now: i64,
) -> Result<Option<Verdict>> {
    let Some(previous) = &policy.previous_version else { return Ok(None) };
    let counted = store.counted_of(&policy.id, previous, &policy.version).await?;
    let samples = counted.comparable();
    let tail = guard.tail(Kind::Watch);
    let rate = guard.min_sample_rate;
    let comparison = compare(&samples.control, &samples.candidate, max_cost_usd, rate, tail);
    let expected = policy.expected_gain;
    Ok(Verdict::of(previous.to_string(), Kind::Watch, comparison, expected, now))
}
