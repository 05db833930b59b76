//! Drafts and the state of policies.

use f0_learning::store::{NewDraft, ProposeOutcome, Store};
use f0_learning_core::audit::{Statuses, replay};
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::{Params, PolicyKey, PolicyStatus};
use semver::Version;
use serde_json::json;

use super::START;

/// `id@version` as a key.
pub fn key(text: &str) -> PolicyKey {
    text.parse().unwrap()
}

/// A draft as the tuner would propose it.
pub fn new_draft(key: PolicyKey, parent: Version, params: Params) -> NewDraft {
    NewDraft {
        key,
        parent,
        params,
        notes: "for a test".to_owned(),
        expected_gain: 0.01,
        evidence: json!({}),
        decision: None,
        supersedes: Vec::new(),
        now: START,
    }
}

/// Valid params of `router-core`; `of` makes them differ from those of other drafts.
pub fn router_params(of: &str) -> Params {
    let params = json!({
        "modelWeights": { "gpt-5": 0.5, "gemini": 0.25, "claude": 0.25 }, "of": of,
    });
    serde_json::from_value(params).unwrap()
}

/// Stores a draft of `router-core` from `parent`.
pub async fn draft(store: &Store, version: &str, parent: &str) -> PolicyKey {
    let key = key(&format!("router-core@{version}"));
    let draft = new_draft(key.clone(), parent.parse().unwrap(), router_params(version));
    assert_eq!(store.propose(&draft).await.unwrap(), ProposeOutcome::Proposed);
    key
}

/// The intent of an admin who gives a reason.
pub fn ada() -> Intent {
    Intent::new("ada", START + 1).because("a test")
}

/// The status of every version of a policy.
pub async fn statuses(store: &Store, id: &str) -> Statuses {
    let all = store.policies(Some(id)).await.unwrap();
    all.into_iter().map(|policy| (policy.version, policy.status)).collect()
}

/// Invariants 3 and 4: one version is active, and replaying the audit trail gives the stored status
/// of every version.
pub async fn assert_sound(store: &Store, id: &str, why: &str) {
    let stored = statuses(store, id).await;
    let active = stored.values().filter(|status| **status == PolicyStatus::Active).count();
    assert_eq!(active, 1, "{why}: {stored:?}");
    let trail = store.trail(id, None).await.unwrap();
    let (replayed, contradictions) = replay(trail.iter().map(|record| &record.entry));
    assert_eq!(contradictions, [], "{why}");
    assert_eq!(replayed, stored, "{why}");
}
