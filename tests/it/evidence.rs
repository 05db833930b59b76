//! What the tuner and the guard must not be fooled by: weights of 0, observations that match no arm,
//! a changed `reward_config`, costs that are left out, and other units.

use f0_learning::jobs::tune::replay::replay;
use f0_learning::jobs::tune::{TuneOutcome, TuneReport};
use f0_learning::store::{OverrideParams, Store};
use f0_learning_client::{NewObservation, record_observation};
use f0_learning_core::document::Policy;
use f0_learning_core::experiment::Kind;
use f0_learning_core::intent::Intent;
use f0_learning_core::observation::Outcome;
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::time::{HOUR_MS, MINUTE_MS};
use f0_learning_core::tuning::Evidence;
use serde_json::{Value, json};

use crate::collection;
use crate::experiments::{guard, observe, only};
use crate::support::{
    START, document, draft, fields, put, put_arm, put_more, score, seeded_store, tune,
};

/// What an arm records: its component, duration and cost.
#[derive(Clone, Copy)]
struct Arm<'a> {
    component: &'a str,
    duration_ms: f64,
    cost_usd: Option<f64>,
}

impl<'a> Arm<'a> {
    fn of(component: &'a str) -> Self {
        Self { component, duration_ms: 400.0, cost_usd: Some(0.01) }
    }
}

/// Records `n` observations that name `version`; one in ten fails.
async fn act(store: &Store, arm: Arm<'_>, version: &str, n: i64, ts: i64) {
    for number in 0..n {
        let outcome = if number % 10 == 0 { Outcome::Failure } else { Outcome::Success };
        let observation = NewObservation {
            ts: Some(ts + number),
            policy_version: Some(format!("router-core@{version}")),
            cost_usd: arm.cost_usd,
            ..NewObservation::new(arm.component, outcome, arm.duration_ms)
        };
        record_observation(store.db(), observation, ts).await.unwrap();
    }
}

/// The reason or the notes of the only policy.
async fn outcome(store: &Store, now: i64) -> String {
    match tune(store, now).await {
        TuneReport::Decided(outcomes) => outcomes[0].1.to_string(),
        report @ TuneReport::SwitchedOff(_) => panic!("{report:?}"),
    }
}

async fn active(store: &Store) -> Policy {
    store.active_policies().await.unwrap().remove(0)
}

fn weight(policy: &Policy, arm: &str) -> Option<f64> {
    policy.params.model_weights().unwrap().unwrap().get(arm).copied()
}

async fn set(store: &Store, changes: &[(&str, Value)], now: i64) -> Result<(), String> {
    let set = changes.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect();
    let intent = Intent::new("ada", now).because("a test");
    let done = store.override_policy("router-core", &OverrideParams::Set(set), None, &intent).await;
    done.map(|_| ()).map_err(|error| error.to_string())
}

async fn put_config(store: &Store, id: &str, change: impl FnOnce(&mut Value)) {
    let mut config = Value::Object(document(store, collection::CONFIG, id).await.unwrap());
    change(&mut config);
    put(store, collection::CONFIG, id, fields(&config)).await;
}

#[tokio::test]
async fn an_arm_that_a_person_set_to_0_stays_at_0() {
    let store = seeded_store().await;
    // The override says no to a lower weight of `gpt-5`, too.
    put_config(&store, "tuning", |it| it["policies"]["router-core"]["vetoHours"] = json!(0)).await;
    let zero = [
        ("modelWeights.claude", json!(0)),
        ("modelWeights.gpt-5", json!(0.7)),
        ("modelWeights.gemini", json!(0.3)),
    ];
    set(&store, &zero, START).await.unwrap();
    put_arm(&store, "claude", 0.95, 900).await;
    put_arm(&store, "gemini", 0.7, 900).await;
    put_arm(&store, "gpt-5", 0.7, 900).await;
    assert!(outcome(&store, START + 1_000).await.contains("no change: nothing proven"));
    for (arm, reward) in [("gpt-5", 0.5), ("gemini", 0.7), ("claude", 0.95)] {
        put_more(&store, arm, reward, 900).await;
    }
    let drafted = outcome(&store, START + 2_000).await;
    assert!(drafted.contains("gpt-5 0.700 → 0.6"), "{drafted}");
    let policies = store.policies(Some("router-core")).await.unwrap();
    let draft = policies.iter().find(|it| it.status == PolicyStatus::Draft).unwrap();
    assert_eq!(weight(draft, "claude"), Some(0.0));
}

#[tokio::test]
async fn null_removes_an_arm() {
    let store = seeded_store().await;
    let error = set(&store, &[("modelWeights.claude", json!(null))], START).await.unwrap_err();
    assert!(
        error.contains(
            "without claude, modelWeights add up to 0.850000, must be 1: set the remaining weights \
             as well, for example in proportion: modelWeights.gemini=0.294, modelWeights.gpt-5=0.706"
        ),
        "{error}"
    );
    let changes = [
        ("modelWeights.claude", json!(null)),
        ("modelWeights.gemini", json!(0.294)),
        ("modelWeights.gpt-5", json!(0.706)),
    ];
    set(&store, &changes, START).await.unwrap();
    let found = active(&store).await;
    assert_eq!((weight(&found, "claude"), weight(&found, "gpt-5")), (None, Some(0.706)));
}

#[tokio::test]
async fn observations_that_match_no_arm_are_named_with_the_nearest_arm() {
    for component in ["router:gpt-5-2025-08-07", "router:gpt-5 "] {
        let store = seeded_store().await;
        act(&store, Arm::of(component), "1.0.0", 120, START).await;
        act(&store, Arm::of("router:gemini"), "1.0.0", 110, START).await;
        score(&store, START + MINUTE_MS).await;
        let text = outcome(&store, START + MINUTE_MS).await;
        for part in [
            "no change: ".to_owned(),
            "120 observations that name 1.0.0 match no arm".to_owned(),
            format!("{component:?} (120, nearest arm \"router:gpt-5\")"),
            "gpt-5 (weight 0.600".to_owned(),
        ] {
            assert!(text.contains(&part), "{part} in {text}");
        }
    }
}

/// The arms are equal; one leaves out its costs.
#[tokio::test]
async fn an_arm_does_not_win_by_leaving_out_its_costs() {
    let store = seeded_store().await;
    // The missing penalty would be proven quickly.
    put_config(&store, "reward_config", |it| it["weights"]["cost"] = json!(0.4)).await;
    let costly = |component| Arm { cost_usd: Some(0.1), ..Arm::of(component) };
    act(&store, Arm { cost_usd: None, ..Arm::of("router:claude") }, "1.0.0", 150, START).await;
    act(&store, costly("router:gpt-5"), "1.0.0", 600, START).await;
    act(&store, costly("router:gemini"), "1.0.0", 250, START).await;
    score(&store, START + MINUTE_MS).await;
    let text = outcome(&store, START + MINUTE_MS).await;
    assert!(text.contains("no change"), "{text}");
    assert!(text.contains("claude states a cost for 0% of its observations"), "{text}");
}

#[tokio::test]
async fn an_arm_in_other_units_gains_nothing_until_its_scale_is_confirmed() {
    let store = seeded_store().await;
    let slow = |component| Arm { duration_ms: 3_600.0, ..Arm::of(component) };
    act(&store, Arm { duration_ms: 3.6, ..Arm::of("router:claude") }, "1.0.0", 150, START).await;
    act(&store, slow("router:gpt-5"), "1.0.0", 600, START).await;
    act(&store, slow("router:gemini"), "1.0.0", 250, START).await;
    score(&store, START + MINUTE_MS).await;
    let text = outcome(&store, START + MINUTE_MS).await;
    assert!(text.contains("no change"), "{text}");
    assert!(text.contains("for claude and") && text.contains("confirmedScales"), "{text}");
    put_config(&store, "tuning", |it| {
        it["policies"]["router-core"]["confirmedScales"] = json!(["claude"]);
    })
    .await;
    let text = outcome(&store, START + 2 * MINUTE_MS).await;
    assert!(text.contains("drafted"), "{text}");
}

fn heavier_latency(weight: f64) -> impl FnOnce(&mut Value) {
    move |config| {
        config["version"] = json!("1.1.0");
        config["weights"]["latency"] = json!(weight);
    }
}

/// A neutral version is watched while the weight of latency in `reward_config` rises.
#[tokio::test]
async fn a_neutral_version_is_not_rolled_back_because_reward_config_changed() {
    let store = seeded_store().await;
    let key = draft(&store, "1.0.1", "1.0.0").await;
    observe(&store, "1.0.0", 300, 10, START).await;
    store.activate(&key, false, &Intent::new("ada", START + 2 * HOUR_MS)).await.unwrap();
    observe(&store, "1.0.1", 30, 10, START + 3 * HOUR_MS).await;
    put_config(&store, "reward_config", heavier_latency(1.0)).await;
    observe(&store, "1.0.1", 300, 10, START + 4 * HOUR_MS).await;
    let steps = guard(&store, START + 5 * HOUR_MS).await;
    assert_eq!(format!("{steps:?}"), "[NoChange]");
    assert_eq!(active(&store).await.version.to_string(), "1.0.1");
    // Success is still compared, and a regression is still rolled back.
    observe(&store, "1.0.1", 400, 2, START + 6 * HOUR_MS).await;
    let steps = guard(&store, START + 7 * HOUR_MS).await;
    assert!(format!("{steps:?}").contains("SuccessRate"), "{steps:?}");
    let watch = only(&store, Kind::Watch).await;
    assert_eq!(watch.comparison.unwrap().reward, None);
}

/// The rewards of both configs are never compared with each other: after the change, evidence on
/// reward starts again, and the reason says so.
#[tokio::test]
async fn the_tuner_does_not_pool_rewards_of_two_reward_configs() {
    let store = seeded_store().await;
    let arm = |component| Arm { duration_ms: 2_000.0, ..Arm::of(component) };
    // `gemini` is observed before the change and `gpt-5` after it; both are equal.
    act(&store, arm("router:gemini"), "1.0.0", 200, START).await;
    act(&store, arm("router:gpt-5"), "1.0.0", 20, START).await;
    score(&store, START + MINUTE_MS).await;
    outcome(&store, START + MINUTE_MS).await;
    put_config(&store, "reward_config", heavier_latency(0.5)).await;
    act(&store, arm("router:gpt-5"), "1.0.0", 200, START + HOUR_MS).await;
    score(&store, START + 2 * HOUR_MS).await;
    let text = outcome(&store, START + 2 * HOUR_MS).await;
    for part in [
        "no change: ",
        "reward evidence restarted at 2026-05-28 22:26 UTC because reward_config changed from \
         1.0.0 to 1.1.0; no rewards under 1.1.0 yet: claude, gemini",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let memory = store.tuner_memory("router-core").await.unwrap().memory;
    assert_eq!((memory.of("gpt-5").restarts, memory.of("gemini").restarts), (1, 0));
    // With rewards of the new config, arms are compared again, and a replay decides the same.
    act(&store, arm("router:gemini"), "1.0.0", 250, START + 3 * HOUR_MS).await;
    act(&store, arm("router:gpt-5"), "1.0.0", 400, START + 3 * HOUR_MS).await;
    let fast = Arm { duration_ms: 100.0, ..Arm::of("router:claude") };
    act(&store, fast, "1.0.0", 150, START + 3 * HOUR_MS).await;
    score(&store, START + 4 * HOUR_MS).await;
    let text = outcome(&store, START + 4 * HOUR_MS).await;
    assert!(text.contains("drafted"), "{text}");
    let policies = store.policies(Some("router-core")).await.unwrap();
    let found = policies.iter().find(|it| it.status == PolicyStatus::Draft).unwrap();
    let evidence: Evidence = serde_json::from_value(found.evidence.clone().unwrap()).unwrap();
    let n: Vec<u64> = evidence.arms.iter().map(|it| it.n).collect();
    assert_eq!(n, [150, 250, 600], "only rewards of 1.1.0 count");
    let success = evidence.arms[2].success_rate.unwrap();
    assert!((success.estimate - 0.9).abs() < 0.01, "{success:?}");
    let key = PolicyKey::new(&found.id, found.version.clone()).unwrap();
    let input = store.decision(&key).await.unwrap().unwrap();
    assert_eq!(input.rewards, store.reward_config().await.unwrap());
    assert_ne!(input.rewards, RewardConfig::default());
    assert_eq!(replay(found, &input), Vec::<String>::new());
    assert!(matches!(tune(&store, START + 4 * HOUR_MS).await, TuneReport::Decided(it)
        if matches!(it[0].1, TuneOutcome::NoChange(_))));
}
