//! Components that prefer some arms for some actions, and say how probable each was.

use crate::collection;
use f0_learning::store::Store;
use f0_learning_client::{NewObservation, record_observation};
use f0_learning_core::observation::Outcome;
use serde_json::{Value, json};

use crate::support::{START, document, fields, put, score, seeded_store, tune};

/// Of 1,000 easy actions `claude` gets four in five, and of as many hard ones `gemini`: arm,
/// propensity, successes, failures.
const TAKES: [(&str, f64, u32, u32); 4] = [
    ("gemini", 0.2, 190, 10),
    ("gemini", 0.8, 400, 400),
    ("claude", 0.8, 680, 120),
    ("claude", 0.2, 40, 160),
];

/// A router over two arms with equal weights, in a project where propensities are told of.
async fn router() -> Store {
    let store = seeded_store().await;
    let mut policy = document(&store, collection::POLICIES, "router-core@1.0.0").await.unwrap();
    policy["params"]["modelWeights"] = json!({ "claude": 0.5, "gemini": 0.5 });
    put(&store, collection::POLICIES, "router-core@1.0.0", fields(&json!(policy))).await;
    let mut tuning = store.tuning_config().await.unwrap();
    tuning.policies.get_mut("router-core").unwrap().min_propensity = 0.2;
    put(&store, collection::CONFIG, "tuning", fields(&json!(tuning))).await;
    store
}

async fn act(store: &Store, says_so: bool) {
    let mut ts = START;
    for (arm, propensity, successes, failures) in TAKES {
        for n in 0..successes + failures {
            let outcome = if n < successes { Outcome::Success } else { Outcome::Failure };
            ts += 1;
            let observation = NewObservation {
                ts: Some(ts),
                policy_version: Some("router-core@1.0.0".to_owned()),
                propensity: says_so.then_some(propensity),
                ..NewObservation::new(format!("router:{arm}"), outcome, 100.0)
            };
            record_observation(store.db(), observation, ts).await.unwrap();
        }
    }
    score(store, START + 10_000).await;
}

/// The evidence of what is proposed.
async fn evidence(store: &Store) -> Value {
    tune(store, START + 11_000).await;
    let draft = document(store, collection::POLICIES, "router-core@1.0.1").await;
    draft.unwrap()["evidence"].clone()
}

/// `gemini` does better at easy actions as well as at hard ones, and has the harder ones.
#[tokio::test]
async fn with_propensities_an_arm_that_gets_harder_actions_is_not_judged_worse() {
    let store = router().await;
    act(&store, true).await;
    let evidence = evidence(&store).await;
    let [claude, gemini] = [&evidence["arms"][0], &evidence["arms"][1]];
    assert_eq!(claude["beatenBy"], json!(["gemini"]), "{evidence}");
    assert!(gemini["proposed"].as_f64().unwrap() > 0.5, "{gemini}");
    assert!((gemini["successRate"]["estimate"].as_f64().unwrap() - 0.725).abs() < 1e-3);
    assert!((claude["successRate"]["estimate"].as_f64().unwrap() - 0.525).abs() < 1e-3);
    assert!(claude["expectedLoss"].as_f64() > gemini["expectedLoss"].as_f64());
    let checks: Vec<_> = evidence["checks"].as_array().unwrap().iter().collect();
    assert!(checks.iter().all(|it| it["passed"] == true), "{checks:?}");
    // What the log says agrees with what the arms earn, of easy and hard actions alike.
    let earned = |name: &str| evidence["offPolicy"][name].as_f64().unwrap();
    let mean = |arm: &Value| {
        arm["proposed"].as_f64().unwrap() * arm["reward"]["estimate"].as_f64().unwrap()
    };
    let proposed = mean(claude) + mean(gemini);
    for name in ["ips", "snips", "dr"] {
        assert!((earned(name) - proposed).abs() < 1e-3, "{name}: {} {proposed}", earned(name));
    }
}

/// The same actions without a word about it: nobody can tell, and the worse arm looks better.
#[tokio::test]
async fn without_propensities_arms_are_compared_by_their_own_means() {
    let store = router().await;
    act(&store, false).await;
    let evidence = evidence(&store).await;
    assert_eq!(evidence["arms"][1]["beatenBy"], json!(["claude"]), "{evidence}");
}
