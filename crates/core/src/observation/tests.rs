//! Parsing valid and invalid documents.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

const ID: &str = "1f0e";

fn document(change: Value) -> Map<String, Value> {
    let mut fields = json!({
        "id": ID,
        "ts": 1_734_000_000_000_i64,
        "component": "router:gpt-5",
        "outcome": "success",
        "durationMs": 234,
        "tokensIn": 150,
        "tokensOut": 500,
        "costUsd": 0.023,
        "policyVersion": "router-core@1.0.0"
    });
    let (Value::Object(fields), Value::Object(change)) = (&mut fields, change) else {
        panic!("a document is a map")
    };
    fields.extend(change);
    fields.clone()
}

fn parse(change: Value) -> Result<Observation, Rejection> {
    Observation::parse(ID, &document(change))
}

fn parse_strictly(change: Value) -> Result<Observation, Rejection> {
    Observation::parse_strictly(ID, &document(change))
}

fn rejection(change: Value) -> String {
    parse_strictly(change).unwrap_err().to_string()
}

#[test]
fn the_documented_example_is_an_observation() {
    let observation = parse(json!({})).unwrap();
    let expected = Observation {
        id: ID.to_owned(),
        ts: 1_734_000_000_000,
        component: "router:gpt-5".to_owned(),
        outcome: Outcome::Success,
        duration_ms: Some(234.0),
        tokens_in: Some(150),
        tokens_out: Some(500),
        cost_usd: Some(0.023),
        policy_version: Some("router-core@1.0.0".to_owned()),
        error_code: None,
        sample_rate: 1.0,
        propensity: None,
        malformed: Malformed::default(),
    };
    assert_eq!(observation, expected);
}

#[test]
fn integers_and_whole_doubles_are_equal() {
    let doubles = json!({"ts": 1.734e12, "tokensIn": 150.0, "durationMs": 234.0});
    assert_eq!(parse(doubles), parse(json!({})));
}

#[test]
fn null_counts_as_absent() {
    let nulls = json!({"id": null, "tokensIn": null, "tokensOut": null, "costUsd": null,
        "policyVersion": null, "errorCode": null, "sampleRate": null, "propensity": null});
    let observation = parse(nulls).unwrap();
    assert_eq!(observation.propensity, None);
    assert_eq!((observation.tokens_in, observation.cost_usd), (None, None));
    assert_eq!(observation.sample_rate, 1.0);
    assert_eq!(rejection(json!({"component": null})), "component is missing");
}

#[test]
fn an_observation_is_weighted_by_sample_rate_and_propensity() {
    let observation = parse(json!({"sampleRate": 0.5, "propensity": 0.25})).unwrap();
    assert_eq!(observation.propensity, Some(0.25));
    assert_eq!(observation.weight().as_f64(), 2.0);
    assert_eq!(observation.weight_of_arm().as_f64(), 8.0);
    let drawn = parse(json!({"sampleRate": 0.5})).unwrap();
    assert_eq!(drawn.weight_of_arm(), drawn.weight());
}

#[test]
fn unknown_fields_are_ignored() {
    assert!(parse(json!({"meta": {"from": 1}, "extra": [1, 2]})).is_ok());
}

#[test]
fn an_error_code_may_be_a_number() {
    let codes = [(json!(429), "429"), (json!("rate_limit"), "rate_limit")];
    for (code, text) in codes {
        let observation = parse(json!({"errorCode": code})).unwrap();
        assert_eq!(observation.error_code.as_deref(), Some(text));
    }
}

#[test]
fn a_rejection_names_field_value_and_bound() {
    let cases = [
        (json!({"durationMs": -3}), "durationMs is -3, must be between 0 and 604800000"),
        (
            json!({"durationMs": 604_800_001}),
            "durationMs is 604800001, must be between 0 and 604800000",
        ),
        (json!({"durationMs": "234"}), "durationMs is text, must be a number"),
        (json!({"durationMs": true}), "durationMs is a boolean, must be a number"),
        (json!({"costUsd": -0.01}), "costUsd is -0.01, must be between 0 and 1000000"),
        (json!({"tokensIn": 1.5}), "tokensIn is 1.5, must be a whole number"),
        (
            json!({"tokensOut": 1e13}),
            "tokensOut is 10000000000000, must be between 0 and 1000000000000",
        ),
        (json!({"sampleRate": 0}), "sampleRate is 0, must be between 0.000001 and 1"),
        (json!({"sampleRate": 1.1}), "sampleRate is 1.1, must be between 0.000001 and 1"),
        (json!({"propensity": 0}), "propensity is 0, must be between 0.001 and 1"),
        (json!({"propensity": "0.5"}), "propensity is text, must be a number"),
        (
            json!({"propensity": 0.25, "sampleRate": 0.000002}),
            "propensity is 0.25, must be between 0.5 and 1",
        ),
        (
            json!({"ts": 1_734_000_000}),
            "ts is 1734000000, which looks like seconds: must be epoch milliseconds",
        ),
        (
            json!({"ts": 1_734_000_000_000_000_i64}),
            "ts is 1734000000000000, which looks like microseconds: must be epoch milliseconds",
        ),
        (json!({"ts": 1_734_000_000_000.5}), "ts is 1734000000000.5, must be a whole number"),
        (json!({"ts": 12}), "ts is 12, must be between 946684800000 and 4102444800000"),
        (json!({"ts": {}}), "ts is a map, must be a number"),
        (json!({"outcome": "ok"}), "outcome is \"ok\", must be success, failure or timeout"),
        (json!({"component": ""}), "component is empty"),
        (json!({"component": " "}), "component is empty"),
        (json!({"component": "x".repeat(401)}), "component is 401 bytes long, must be at most 400"),
        (
            json!({"component": "a\nb"}),
            "component contains the control character '\\n' at byte 1, must contain none",
        ),
        (
            json!({"id": "other"}),
            "id is \"other\", must equal the document's id \"1f0e\" or be left out",
        ),
        (
            json!({"policyVersion": "router-core"}),
            "policyVersion is \"router-core\", must be {id}@{version} such as router-core@1.0.0: there is no @ between id and version",
        ),
    ];
    for (change, message) in cases {
        assert_eq!(rejection(change), message);
    }
}

#[test]
fn nan_and_infinities_are_malformed() {
    struct Costs(f64);
    impl Fields for Costs {
        fn field(&self, name: &str) -> Option<Scalar<'_>> {
            Some(match name {
                "ts" => Scalar::Int(MIN_TS),
                "component" => Scalar::Str("a"),
                "outcome" => Scalar::Str("timeout"),
                "durationMs" => Scalar::Double(-0.0),
                "costUsd" => Scalar::Double(self.0),
                _ => return None,
            })
        }
    }
    for cost in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let observation = Observation::parse("a", &Costs(cost)).unwrap();
        assert_eq!((observation.cost_usd, fields_of(&observation)), (None, vec!["costUsd"]));
        let rejection = Observation::parse_strictly("a", &Costs(cost)).unwrap_err();
        assert_eq!(rejection.field, "costUsd");
    }
    let observation = Observation::parse("a", &Costs(1.0)).unwrap();
    assert!(observation.duration_ms.unwrap().is_sign_positive());
}

#[test]
fn a_missing_required_field_is_named() {
    for field in ["ts", "component", "outcome", "durationMs"] {
        let mut fields = document(json!({}));
        fields.remove(field);
        let rejection = Observation::parse_strictly(ID, &fields).unwrap_err();
        assert_eq!(rejection, Rejection { field, reason: RejectionReason::Missing });
        assert_eq!(Observation::parse(ID, &fields).is_err(), field != "durationMs");
    }
}

fn fields_of(observation: &Observation) -> Vec<&'static str> {
    observation.malformed.fields().collect()
}

#[test]
fn an_invalid_optional_field_costs_the_field_and_not_the_observation() {
    let cases = [
        ("durationMs", json!("234")),
        ("durationMs", json!({"ms": 234})),
        ("durationMs", json!([234])),
        ("durationMs", json!(-1)),
        ("durationMs", json!(1e300)),
        ("durationMs", json!(true)),
        ("durationMs", Value::Null),
        ("costUsd", json!("0.01")),
        ("costUsd", json!(-0.01)),
        ("costUsd", json!([0.01])),
        ("tokensIn", json!("150")),
        ("tokensOut", json!(1.5)),
        ("policyVersion", json!("router-core")),
        ("policyVersion", json!({"id": "router-core"})),
        ("errorCode", json!({"code": 503})),
        ("errorCode", json!(["a"])),
        ("errorCode", json!(true)),
        ("errorCode", json!("x".repeat(1_501))),
        ("shard", json!("3")),
        ("shard", json!(-1)),
        ("shard", json!(0.5)),
        ("shard", json!(1_000)),
    ];
    for (field, value) in cases {
        let observation = parse(json!({"outcome": "failure", field: value})).unwrap();
        assert_eq!(fields_of(&observation), [field], "{value}");
        assert_eq!(observation.outcome, Outcome::Failure);
        // The observation is as if the field were absent.
        let mut expected = parse(json!({"outcome": "failure", field: null})).unwrap();
        expected.malformed = observation.malformed;
        assert_eq!(observation, expected, "{field} {value}");
        assert_eq!(parse_strictly(json!({field: value})).unwrap_err().field, field);
    }
    let both = json!({"errorCode": {"code": 503}, "durationMs": "slow"});
    assert_eq!(fields_of(&parse(both).unwrap()), ["durationMs", "errorCode"]);
    assert!(parse(json!({"meta": [[]], "shard": 999.0})).unwrap().malformed.is_empty());
}

/// Weight 1 would favour a component whose failures state an unreadable rate.
#[test]
fn an_observation_of_unknown_weight_is_rejected() {
    for field in ["sampleRate", "propensity"] {
        for value in
            [json!("0.5"), json!(0), json!(-1), json!(2), json!({}), json!([1]), json!(true)]
        {
            assert_eq!(parse(json!({field: value})).unwrap_err().field, field, "{value}");
        }
    }
}

#[test]
fn the_origin_of_a_rejected_document_is_what_can_be_read_of_it() {
    let origin = Origin::of(&document(json!({"outcome": "fine"})));
    assert_eq!(origin.component.as_deref(), Some("router:gpt-5"));
    assert_eq!(origin.policy_version.as_deref(), Some("router-core@1.0.0"));
    let origin = Origin::of(&document(json!({"component": 1, "policyVersion": 2, "ts": {}})));
    assert_eq!(origin, Origin::default());
}

#[test]
fn a_long_value_is_cut_in_the_message() {
    let message = rejection(json!({"outcome": "é".repeat(10_000)}));
    assert!(message.len() < 300, "{message}");
    assert!(message.contains("20000 bytes"), "{message}");
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,10}".prop_map(Value::from),
        Just(json!({"x": [1]})),
    ]
}

proptest! {
    #[test]
    fn every_accepted_document_round_trips(
        duration_ms in 0.0..MAX_DURATION_MS,
        cost_usd in prop::option::of(0.0..MAX_COST_USD),
        tokens_in in prop::option::of(0_u64..1_000_000_000_000),
        sample_rate in MIN_SAMPLE_RATE..=1.0,
        ts in MIN_TS..=MAX_TS,
    ) {
        let change = json!({"durationMs": duration_ms, "costUsd": cost_usd,
            "tokensIn": tokens_in, "sampleRate": sample_rate, "ts": ts});
        let observation = parse(change).unwrap();
        let Value::Object(fields) = observation.to_json() else { panic!("a document is a map") };
        prop_assert!(fields.values().all(|it| !it.is_null()));
        prop_assert_eq!(Observation::parse(ID, &fields), Ok(observation));
    }

    #[test]
    fn an_invalid_value_is_rejected_by_its_field(
        field in prop::sample::select(vec!["id", "ts", "component", "outcome", "durationMs",
            "tokensIn", "tokensOut", "costUsd", "policyVersion", "errorCode", "sampleRate"]),
        value in any_value(),
    ) {
        match parse(json!({field: value})) {
            Err(rejection) => prop_assert_eq!(rejection.field, field),
            Ok(observation) => {
                prop_assert!(fields_of(&observation).iter().all(|it| *it == field));
                let strictly = parse_strictly(json!({field: value}));
                prop_assert_eq!(strictly.is_ok(), observation.malformed.is_empty());
            }
        }
    }
}
