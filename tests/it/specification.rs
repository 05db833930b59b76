//! The test cases of the original specification under their original names, through the protocol.

use f0_learning::store::Store;
use f0_learning_core::observation::Outcome;
use f0_learning_core::policy::{PolicyStatus, bump_patch};
use f0_learning_core::stats::Window;

use crate::support::{START, record, score, seeded_store, tune};

/// The mean reward of a component in the window `1h`.
async fn average_reward(store: &Store, component: &str) -> f64 {
    let stats = store.stats_of(&[component.to_owned()], Window::OneHour).await.unwrap();
    stats[0].stats.avg_reward
}

#[tokio::test]
async fn should_clamp_scores_to_0_and_1() {
    let store = seeded_store().await;
    record(&store, "best", Outcome::Success, 0.0, START).await;
    record(&store, "worst", Outcome::Failure, 600_000.0, START).await;
    score(&store, START).await;
    let (best, worst) =
        (average_reward(&store, "best").await, average_reward(&store, "worst").await);
    assert!((best - 0.85).abs() < 1e-6, "{best}");
    assert_eq!(worst, 0.0);
}

#[tokio::test]
async fn should_penalize_high_latency_and_boost_success() {
    let store = seeded_store().await;
    record(&store, "fast", Outcome::Success, 100.0, START).await;
    record(&store, "slow", Outcome::Success, 3_900.0, START).await;
    record(&store, "failed", Outcome::Failure, 100.0, START).await;
    score(&store, START).await;
    let fast = average_reward(&store, "fast").await;
    assert!(fast > average_reward(&store, "slow").await);
    assert!(fast > average_reward(&store, "failed").await + 0.6 - 1e-6);
}

#[test]
fn should_bump_patch_version_correctly() {
    assert_eq!(bump_patch("1.0.0").unwrap(), "1.0.1");
    assert_eq!(bump_patch("2.5.9").unwrap(), "2.5.10");
}

#[tokio::test]
async fn should_process_observation_to_reward_to_stats() {
    let store = seeded_store().await;
    record(&store, "test-component", Outcome::Success, 200.0, START).await;
    let report = score(&store, START).await;
    assert_eq!((report.scored, report.quarantined), (1, 0));
    let stats = store.all_stats(Some("test-component")).await.unwrap();
    let windows: Vec<_> = stats.iter().map(|stats| (stats.window, stats.stats.n)).collect();
    let expected = [Window::OneHour, Window::OneDay, Window::SevenDays].map(|window| (window, 1));
    assert_eq!(windows, expected);
}

#[tokio::test]
async fn should_propose_policy_when_performance_degrades() {
    let store = seeded_store().await;
    for n in 0..100 {
        record(&store, "router:gpt-5", Outcome::Failure, 5_000.0, START + n).await;
    }
    score(&store, START + 1_000).await;
    tune(&store, START + 2_000).await;
    let mut policies = store.policies(Some("router-core")).await.unwrap();
    policies.retain(|policy| policy.status == PolicyStatus::Draft);
    assert_eq!(policies.len(), 1);
    let weights = policies[0].params.model_weights().unwrap().unwrap();
    assert!(weights["gpt-5"] < 0.45, "{weights:?}");
    assert_eq!(weights.values().sum::<f64>(), 1.0);
    assert_eq!(policies[0].params.0["fallbackOn"], serde_json::json!(["timeout", "rate_limit"]));

    tune(&store, START + 3_000).await;
    let again = store.policies(Some("router-core")).await.unwrap();
    assert_eq!(again.len(), 2, "without new evidence there is no second draft");
}
