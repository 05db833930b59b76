//! Following the active policy, candidates and draws.

use std::collections::BTreeMap;
use std::time::Duration;

use f0_learning_client::{ActivePolicy, DEFAULT_REFRESH, choose};
use firestore_local::{Fault, FaultCode, Plan, Rule};
use serde_json::json;

use crate::support::Local;

const SOON: Duration = Duration::from_millis(20);

async fn follow(local: &Local) -> ActivePolicy {
    ActivePolicy::follow(local.db.clone(), "router-core", SOON).await.unwrap()
}

fn version(policy: &ActivePolicy) -> Option<String> {
    policy.current().map(|policy| policy.version.to_string())
}

#[tokio::test]
async fn another_active_version_is_followed() {
    let local = Local::start().await;
    let mut policy = follow(&local).await;
    assert_eq!(version(&policy), None);

    local.put_policy("1.0.0", "active", json!({})).await;
    assert_eq!(policy.changed().await.unwrap().version.to_string(), "1.0.0");
    local.put_policy("1.0.1", "active", json!({})).await;
    local.put_policy("1.0.0", "archived", json!({})).await;
    assert_eq!(policy.changed().await.unwrap().version.to_string(), "1.0.1");
    assert_eq!(version(&policy).as_deref(), Some("1.0.1"));
}

#[tokio::test]
async fn reads_without_a_change_are_not_reported_and_a_new_candidate_is() {
    let local = Local::start().await;
    local.put_policy("1.0.0", "active", json!({})).await;
    let mut policy = follow(&local).await;
    tokio::time::timeout(10 * SOON, policy.changed()).await.unwrap_err();

    let candidate = json!({
        "experiment": "x", "version": "1.0.1", "share": 0.5, "params": { "fresh": true },
    });
    local.put_policy("1.0.0", "active", json!({ "candidate": candidate })).await;
    assert_eq!(policy.changed().await.unwrap().candidate.as_ref().unwrap().share, 0.5);
}

#[tokio::test]
async fn a_failed_read_keeps_the_last_version_and_the_next_one_updates_it() {
    let local = Local::start().await;
    local.put_policy("1.0.0", "active", json!({})).await;
    let mut policy = follow(&local).await;

    let denied = Fault::Refuse { code: FaultCode::PermissionDenied };
    let rules = vec![Rule::on("RunQuery", denied).with_probability(1.0)];
    local.server.set_faults(Plan::new(1, rules));
    while local.server.injected().get("refuse").copied().unwrap_or_default() < 2 {
        tokio::time::sleep(SOON).await;
    }
    assert_eq!(version(&policy).as_deref(), Some("1.0.0"));
    let error = ActivePolicy::follow(local.db.clone(), "router-core", DEFAULT_REFRESH).await;
    assert!(error.unwrap_err().to_string().contains("cannot query ops_policies"));

    local.server.set_faults(Plan::none());
    local.put_policy("1.0.1", "active", json!({})).await;
    assert_eq!(policy.changed().await.unwrap().version.to_string(), "1.0.1");
}

#[tokio::test]
async fn of_two_active_versions_the_highest_is_used() {
    let local = Local::start().await;
    for version in ["1.0.9", "1.0.10", "1.0.2"] {
        local.put_policy(version, "active", json!({})).await;
    }
    local.put_policy("2.0.0", "draft", json!({})).await;
    assert_eq!(version(&follow(&local).await).as_deref(), Some("1.0.10"));
}

#[tokio::test]
async fn a_version_that_does_not_decode_is_skipped() {
    let local = Local::start().await;
    local.put_policy("1.0.0", "active", json!({})).await;
    local.put_policy("1.0.1", "active", json!({ "params": "none" })).await;
    local.put_policy("1.0.2", "active", json!({ "version": "1.0.3" })).await;
    assert_eq!(version(&follow(&local).await).as_deref(), Some("1.0.0"));
}

#[tokio::test]
async fn an_invalid_policy_id_is_an_error() {
    let local = Local::start().await;
    let error = ActivePolicy::follow(local.db.clone(), "a/b", SOON).await.unwrap_err();
    assert!(error.to_string().contains("a policy id"), "{error}");
}

#[tokio::test]
async fn the_candidate_gets_its_share_of_units_and_always_the_same_ones() {
    let local = Local::start().await;
    let candidate = json!({
        "experiment": "x", "version": "1.0.1", "share": 0.25, "params": { "fresh": true },
    });
    local.put_policy("1.0.0", "active", json!({ "candidate": candidate })).await;
    let active = follow(&local).await.current().unwrap();

    let mut candidates = 0;
    for unit in (0..2_000).map(|n| format!("user-{n}")) {
        let choice = choose(&active, &unit);
        assert_eq!(choice, choose(&active, &unit));
        let expected = if choice.is_candidate { "router-core@1.0.1" } else { "router-core@1.0.0" };
        assert_eq!(choice.policy_version, expected);
        assert_eq!(choice.params.0.contains_key("fresh"), choice.is_candidate);
        candidates += usize::from(choice.is_candidate);
    }
    // 500 are expected; 100 more or less are five standard deviations.
    assert!((400..600).contains(&candidates), "{candidates}");
}

#[tokio::test]
async fn draws_follow_the_weights() {
    let local = Local::start().await;
    local.put_policy("1.0.0", "active", json!({})).await;
    let active = follow(&local).await.current().unwrap();
    let choice = choose(&active, "unit");

    let mut drawn = BTreeMap::<String, u32>::new();
    for n in 0..1_000 {
        let arm = choice.draw(f64::from(n) / 1_000.0).unwrap();
        assert_eq!(arm.weight, if arm.name == "a" { 0.75 } else { 0.25 });
        *drawn.entry(arm.name).or_default() += 1;
    }
    assert_eq!((drawn["a"], drawn["b"]), (750, 250));
    assert!(choice.draw_random().is_some());

    local.put_policy("1.0.1", "active", json!({ "params": { "size": 3 } })).await;
    let without_arms = follow(&local).await.current().unwrap();
    assert_eq!(choose(&without_arms, "unit").draw(0.5), None);
}
