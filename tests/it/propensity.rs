//! Components that prefer some arms for some actions, and record the propensity of each choice.

use crate::collection;
use f0_learning::store::Store;
use f0_learning_client::{NewObservation, record_observation};
use f0_learning_core::observation::Outcome;
use serde_json::{Value, json};

use crate::support::{START, document, fields, put, score, seeded_store, tune};

/// `claude` gets four of five of 1,000 easy actions, and `gemini` four of five of 1,000 hard ones:
/// arm, propensity, successes, failures.
const ACTIONS: [(&str, f64, u32, u32); 4] = [
    ("gemini", 0.2, 190, 10),
    ("gemini", 0.8, 400, 400),
    ("claude", 0.8, 680, 120),
    ("claude", 0.2, 40, 160),
];

/// A store with two arms of equal weight, whose tuning accepts propensities.
async fn router_store() -> Store {
    let store = seeded_store().await;
    let mut policy = document(&store, collection::POLICIES, "router-core@1.0.0").await.unwrap();
    policy["params"]["modelWeights"] = json!({ "claude": 0.5, "gemini": 0.5 });
    put(&store, collection::POLICIES, "router-core@1.0.0", fields(&json!(policy))).await;
    let mut tuning = store.tuning_config().await.unwrap();
    tuning.policies.get_mut("router-core").unwrap().min_propensity = 0.2;
    put(&store, collection::CONFIG, "tuning", fields(&json!(tuning))).await;
    store
}

async fn act(store: &Store, with_propensity: bool) {
    let mut ts = START;
    for (arm, propensity, successes, failures) in ACTIONS {
        for n in 0..successes + failures {
            let outcome = if n < successes { Outcome::Success } else { Outcome::Failure };
            ts += 1;
            let observation = NewObservation {
                ts: Some(ts),
                policy_version: Some("router-core@1.0.0".to_owned()),
                propensity: with_propensity.then_some(propensity),
                ..NewObservation::new(format!("router:{arm}"), outcome, 100.0)
            };
            record_observation(store.db(), observation, ts).await.unwrap();
        }
    }
    score(store, START + 10_000).await;
}

/// The evidence of the draft that the tuner proposes.
async fn evidence(store: &Store) -> Value {
    tune(store, START + 11_000).await;
    let draft = document(store, collection::POLICIES, "router-core@1.0.1").await;
    draft.unwrap()["evidence"].clone()
}

/// `gemini` does better at easy actions and at hard ones, but gets more of the hard ones.
#[tokio::test]
async fn with_propensities_an_arm_that_gets_harder_actions_is_not_judged_worse() {
    let store = router_store().await;
    act(&store, true).await;
    let evidence = evidence(&store).await;
    let [claude, gemini] = [&evidence["arms"][0], &evidence["arms"][1]];
    assert_eq!(claude["beatenBy"], json!(["gemini"]), "{evidence}");
    assert!(gemini["proposed"].as_f64().unwrap() > 0.5, "{gemini}");
    assert!((gemini["successRate"]["estimate"].as_f64().unwrap() - 0.725).abs() < 1e-3);
    assert!((claude["successRate"]["estimate"].as_f64().unwrap() - 0.525).abs() < 1e-3);
    assert!(claude["expectedLoss"].as_f64() > gemini["expectedLoss"].as_f64());
    let checks: Vec<_> = evidence["checks"].as_array().unwrap().iter().collect();
    assert!(checks.iter().all(|it| it["passed"] != false), "{checks:?}");
    // The off-policy estimates agree with the mean rewards of the arms over all actions.
    let estimate = |name: &str| evidence["offPolicy"][name].as_f64().unwrap();
    let mean = |arm: &Value| {
        arm["proposed"].as_f64().unwrap() * arm["reward"]["estimate"].as_f64().unwrap()
    };
    let proposed = mean(claude) + mean(gemini);
    for name in ["ips", "snips", "dr"] {
        assert!((estimate(name) - proposed).abs() < 1e-3, "{name}: {} {proposed}", estimate(name));
    }
}

/// The same actions without propensities: the worse arm looks better.
#[tokio::test]
async fn without_propensities_arms_are_compared_by_their_own_means() {
    let store = router_store().await;
    act(&store, false).await;
    let evidence = evidence(&store).await;
    assert_eq!(evidence["arms"][1]["beatenBy"], json!(["claude"]), "{evidence}");
}
