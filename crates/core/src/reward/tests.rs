//! Scores of typical observations, and the range of every score.

use proptest::prelude::*;

use super::*;

fn observation(outcome: Outcome, duration_ms: f64, cost_usd: Option<f64>) -> Observation {
    Observation {
        component: "router:gpt-5".to_owned(),
        duration_ms: Some(duration_ms),
        cost_usd,
        ..Observation::at(1_734_000_000_000, outcome)
    }
}

fn score_by_default(outcome: Outcome, duration_ms: f64, cost_usd: Option<f64>) -> Reward {
    score(&RewardConfig::default(), &observation(outcome, duration_ms, cost_usd))
}

#[test]
fn the_documented_example_has_the_documented_score() {
    let reward = score_by_default(Outcome::Success, 800.0, Some(0.01));
    assert!((reward.score - 0.78).abs() < 1e-12, "{}", reward.score);
    let parts = reward.details;
    assert!((parts.success_boost - 0.6).abs() < 1e-12);
    assert!((parts.latency_penalty - 0.05).abs() < 1e-12);
    assert!((parts.cost_penalty - 0.02).abs() < 1e-12);
    assert_eq!(parts.error_penalty, 0.0);
}

#[test]
fn success_raises_and_latency_lowers_the_score() {
    let fast = score_by_default(Outcome::Success, 100.0, None);
    let slow = score_by_default(Outcome::Success, 3000.0, None);
    let failed = score_by_default(Outcome::Failure, 100.0, None);
    assert!(fast.score > slow.score && slow.score > failed.score);
    assert_eq!(failed, score_by_default(Outcome::Timeout, 100.0, None));
}

#[test]
fn a_penalty_does_not_grow_beyond_its_bound() {
    let at_bound = score_by_default(Outcome::Success, 4000.0, Some(0.1));
    let beyond = score_by_default(Outcome::Success, 400_000.0, Some(10.0));
    assert_eq!(at_bound, beyond);
    assert_eq!(at_bound.details.latency_penalty, 0.25);
    assert_eq!(at_bound.details.cost_penalty, 0.2);
}

#[test]
fn a_slow_failure_scores_zero() {
    assert_eq!(score_by_default(Outcome::Failure, 5000.0, None).score, 0.0);
}

/// What a document with these fields is scored with.
fn score_of(fields: &serde_json::Value) -> Reward {
    let mut document = serde_json::json!({"ts": 1_734_000_000_000_i64, "component": "a",
        "outcome": "success", "durationMs": 100, "costUsd": 0.01});
    let fields = fields.as_object().unwrap().clone();
    document.as_object_mut().unwrap().extend(fields);
    let observation = Observation::parse("a", document.as_object().unwrap()).unwrap();
    score(&RewardConfig::default(), &observation)
}

#[test]
fn without_a_usable_duration_the_latency_penalty_is_the_full_one() {
    let slowest = score_of(&serde_json::json!({"durationMs": 4000}));
    for value in [serde_json::json!(null), "fast".into(), (-1).into(), serde_json::json!({})] {
        assert_eq!(score_of(&serde_json::json!({"durationMs": value})), slowest);
    }
}

#[test]
fn an_invalid_cost_has_the_full_penalty_and_an_absent_one_has_none() {
    let dearest = score_of(&serde_json::json!({"costUsd": 0.1}));
    for value in [serde_json::json!("0.01"), (-1).into(), serde_json::json!([1])] {
        assert_eq!(score_of(&serde_json::json!({"costUsd": value})), dearest);
    }
    let free = score_of(&serde_json::json!({"costUsd": 0}));
    assert_eq!(score_of(&serde_json::json!({"costUsd": null})), free);
}

#[test]
fn the_documented_config_is_the_default() {
    let document = serde_json::json!({
        "version": "1.0.0",
        "weights": {"latency": 0.25, "cost": 0.2, "success": 0.6, "error": 0.6},
        "bounds": {"maxLatencyMs": 4000, "maxCostUsd": 0.10},
        "thresholds": {"minAcceptable": 0.55, "retrain": 0.40}
    });
    let config: RewardConfig = serde_json::from_value(document).unwrap();
    assert_eq!(config, RewardConfig::default());
    assert_eq!(config.validate(), Ok(()));
}

#[test]
fn an_invalid_config_names_the_field() {
    let error = |change: fn(&mut RewardConfig)| {
        let mut config = RewardConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert_eq!(
        error(|it| it.weights.cost = -1.0),
        "config/reward_config weights.cost is -1, must be between 0 and 1000"
    );
    assert_eq!(
        error(|it| it.baseline = f64::NAN),
        "config/reward_config baseline is NaN, must be between 0 and 1"
    );
    assert_eq!(
        error(|it| it.bounds.max_latency_ms = 0.0),
        "config/reward_config bounds.maxLatencyMs is 0, must be positive and finite"
    );
    assert_eq!(
        error(|it| it.thresholds.retrain = 0.6),
        "config/reward_config thresholds.retrain is 0.6, above thresholds.minAcceptable 0.55: \
         must be at most that"
    );
    assert!(error(|it| it.version = " ".to_owned()).contains("empty version"));
}

prop_compose! {
    /// Some of these are invalid; the property is about the valid ones.
    fn any_config()(
        weights in prop::array::uniform4(prop_oneof![9 => 0.0..2.0, 9 => 0.0..=1000.0, 1 => any::<f64>()]),
        bounds in prop::array::uniform2(prop_oneof![9 => 0.001..1e6, 1 => any::<f64>()]),
        thresholds in prop::array::uniform2(0.0..=1.0_f64),
        baseline in prop_oneof![9 => 0.0..=1.0, 1 => any::<f64>()],
    ) -> RewardConfig {
        let [latency, cost, success, error] = weights;
        RewardConfig {
            version: "1.0.0".to_owned(),
            weights: RewardWeights { latency, cost, success, error },
            bounds: RewardBounds { max_latency_ms: bounds[0], max_cost_usd: bounds[1] },
            thresholds: Thresholds {
                min_acceptable: thresholds[0].max(thresholds[1]),
                retrain: thresholds[0].min(thresholds[1]),
            },
            baseline,
        }
    }
}

proptest! {
    #[test]
    fn a_score_lies_between_0_and_1(
        config in any_config().prop_filter("must validate", |it| it.validate().is_ok()),
        outcome in prop::sample::select(&Outcome::ALL[..]),
        duration_ms in 0.0..=crate::observation::MAX_DURATION_MS,
        cost_usd in prop::option::of(0.0..=crate::observation::MAX_COST_USD),
    ) {
        let reward = score(&config, &observation(outcome, duration_ms, cost_usd));
        prop_assert!((0.0..=1.0).contains(&reward.score), "{reward:?}");
    }
}
