//! A document validates against its schema exactly if the service can read it. Where the two differ, a
//! test names the difference.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use f0_learning_core::document::{Notice, NoticeKind};
use jsonschema::Validator;
use serde_json::{Map, Value as Json, json};

use crate::generated;
use crate::probes::{self, Probe};
use crate::readers::read;

fn from_file(path: &Path) -> Json {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn of_repository(name: &str) -> Json {
    from_file(&repository(name))
}

/// The JSON of the fields of a document in `tests/fixtures`, where each value names its type.
fn stored(fields: &Json) -> Json {
    let value = |typed: &Json| {
        let (kind, content) = typed.as_object().unwrap().iter().next().unwrap();
        match kind.as_str() {
            "null" => Json::Null,
            "array" => {
                // An array of maps and scalars: each is a field of its own.
                let each = content.as_array().unwrap().iter();
                each.map(|item| stored(&json!({ "item": item }))["item"].clone()).collect()
            }
            "map" => stored(content),
            _ => content.clone(),
        }
    };
    let fields = fields.as_object().unwrap().iter();
    fields.map(|(name, typed)| (name.clone(), value(typed))).collect::<Map<_, _>>().into()
}

fn schema(name: &str) -> Json {
    generated().into_iter().find(|(it, _)| *it == name).unwrap().1
}

fn validator(name: &str) -> Validator {
    let schema = schema(name);
    assert!(jsonschema::meta::is_valid(&schema), "{name} is not a valid JSON Schema");
    jsonschema::draft202012::new(&schema).unwrap()
}

fn assert_valid(name: &str, document: &Json) {
    assert_eq!(read(name, document), Ok(()), "{name} {document}");
    let checked = validator(name).validate(document).map_err(|error| error.to_string());
    assert_eq!(checked, Ok(()), "{name} {document}");
}

/// An observation with every field.
fn observation() -> Json {
    json!({
        "id": "o-1", "ts": 1_780_000_000_000_i64, "component": "router:gpt-5",
        "outcome": "failure", "durationMs": 234.5, "tokensIn": 120, "tokensOut": 80,
        "costUsd": 0.01, "policyVersion": "router-core@1.0.2", "errorCode": "timeout",
        "sampleRate": 0.5, "propensity": 0.25, "shard": 3, "meta": { "region": "eu" },
    })
}

fn notification() -> Json {
    let notice = Notice {
        id: "n-1".to_owned(),
        kind: NoticeKind::DraftWaiting,
        at: 1_780_000_000_000,
        project: "p".to_owned(),
        text: "router-core@1.0.1 waits".to_owned(),
        policy: Some("router-core".to_owned()),
        version: Some("1.0.1".to_owned()),
        actor: None,
    };
    serde_json::to_value(notice).unwrap()
}

/// `config/tuning` with every field.
fn tuning() -> Json {
    let mut tuning = of_repository("config/tuning.json");
    let policy = &mut tuning["policies"]["router-core"];
    for (name, value) in [
        ("goal", json!("reward")),
        ("confirmedScales", json!(["gpt-5"])),
        ("vetoHours", json!(24)),
        ("minHoursBetweenSteps", json!(24)),
    ] {
        policy[name] = value;
    }
    tuning
}

fn mapping() -> Json {
    json!({
        "format": "json", "component": "router:{model}", "model": ["llm.model", "model"],
        "id": "request", "ts": "started", "end": "ended", "durationMs": "took",
        "durationSeconds": "latency", "tokensIn": "in", "tokensOut": "out", "costUsd": "cost",
        "errorCode": "error", "policyVersion": "version", "sampleRate": "rate",
        "propensity": "propensity", "only": { "kind": ["llm"] },
        "outcome": {
            "from": "status", "success": ["ok"], "failure": ["error"], "timeout": ["408"],
            "otherwise": "failure", "missing": "success",
        },
    })
}

/// A valid document of each kind.
fn valid(name: &str) -> Json {
    match name {
        "observation" => observation(),
        "policy" => of_repository("clients/vectors.json")["choices"]["policy"].clone(),
        "mapping" => mapping(),
        "notification" => notification(),
        "tuning" => tuning(),
        config => of_repository(&format!("config/{config}.json")),
    }
}

#[test]
fn what_the_repository_contains_validates() {
    for (name, _) in generated() {
        assert_valid(name, &valid(name));
    }
    assert_valid("policy", &of_repository("config/router-core@1.0.0.json"));
    assert_valid("mapping", &of_repository("tests/it/exports/mapping.json"));
    for profile in ["csv", "helicone", "langfuse", "litellm", "otlp"] {
        assert_valid("mapping", &of_repository(&format!("src/import/profiles/{profile}.json")));
    }
    for month in std::fs::read_dir(repository("tests/fixtures")).unwrap() {
        let month = month.unwrap().path();
        for (id, document) in from_file(&month.join("config.json")).as_object().unwrap() {
            assert_valid(id, &stored(document));
        }
        for (_, document) in from_file(&month.join("ops_policies.json")).as_object().unwrap() {
            assert_valid("policy", &stored(document));
        }
    }
}

/// Who takes a document that the other one refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Taker {
    Reader,
    Schema,
}

/// What a reader takes although the schema refuses it, and the reverse, for probes of each field.
fn known_difference(name: &str, probe: &Probe, taker: Taker) -> Option<&'static str> {
    let value = probe.value.as_ref().unwrap_or(&Json::Null);
    let field = probe.path.rsplit('.').next().unwrap_or_default();
    let difference = match (name, field, taker) {
        // The service has no use for them, so that it takes any value; components need the right one.
        ("policy", "candidate" | "holdback", Taker::Reader) => "a share that components cannot use",
        ("policy", _, Taker::Reader) if probe.path.starts_with("candidate.") => {
            "a share that components cannot use"
        }
        ("policy", _, Taker::Reader) if probe.path.starts_with("holdback.") => {
            "a share that components cannot use"
        }
        // A number cannot be compared with the sum of others.
        ("policy", "active" | "modelWeights" | "unknown", Taker::Schema) if is_weight(value) => {
            "weights that do not add up to 1"
        }
        ("observation", "sampleRate" | "propensity", Taker::Schema) if value.is_number() => {
            "a product of sampleRate and propensity that is too small"
        }
        // Serde reads the values of a structure from a list, too.
        ("tuning" | "mapping", _, Taker::Reader) if value.is_array() => "a list for an object",
        ("policy", "params", Taker::Reader) if value.is_null() => "null for no params",
        ("observation", "id", Taker::Schema) if value.is_string() => "an id of another document",
        ("tuning", "stepBound" | "retrainStepBound", Taker::Schema) if value.is_number() => {
            "retrainStepBound below stepBound"
        }
        ("reward_config", "minAcceptable" | "retrain", Taker::Schema) if value.is_number() => {
            "retrain above minAcceptable"
        }
        _ => return None,
    };
    Some(difference)
}

fn is_weight(value: &Json) -> bool {
    value.is_number() || value.is_null() || value.is_object()
}

#[test]
fn a_schema_takes_what_the_reader_takes_of_every_field_and_nothing_else() {
    let (mut unknown, mut found) = (Vec::new(), BTreeSet::new());
    for (name, _) in generated() {
        let schema = validator(name);
        for probe in probes::of(&valid(name)) {
            let taken = read(name, &probe.document);
            let taker = match (taken.is_ok(), schema.is_valid(&probe.document)) {
                (true, false) => Taker::Reader,
                (false, true) => Taker::Schema,
                _ => continue,
            };
            match known_difference(name, &probe, taker) {
                Some(difference) => drop(found.insert((name, taker, difference))),
                None => unknown.push(format!(
                    "{name} {} = {:?}: only the {taker:?} takes it ({taken:?})",
                    probe.path, probe.value
                )),
            }
        }
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
    let expected = BTreeSet::from([
        ("mapping", Taker::Reader, "a list for an object"),
        ("observation", Taker::Schema, "a product of sampleRate and propensity that is too small"),
        ("observation", Taker::Schema, "an id of another document"),
        ("policy", Taker::Reader, "null for no params"),
        ("policy", Taker::Reader, "a share that components cannot use"),
        ("policy", Taker::Schema, "weights that do not add up to 1"),
        ("reward_config", Taker::Schema, "retrain above minAcceptable"),
        ("tuning", Taker::Reader, "a list for an object"),
        ("tuning", Taker::Schema, "retrainStepBound below stepBound"),
    ]);
    assert_eq!(found, expected);
}

fn with(name: &str, changes: Json) -> Json {
    let Json::Object(changes) = changes else { panic!("an object") };
    let mut document: Map<String, Json> = valid(name).as_object().unwrap().clone();
    document.extend(changes);
    Json::Object(document)
}

#[test]
fn a_rule_that_no_schema_can_express_is_described_in_it() {
    let weights = |of: Json| json!({ "params": { "modelWeights": of } });
    for (name, document, described) in [
        ("policy", weights(json!({ "a": 0.5, "b": 0.4 })), "add up to 1"),
        ("policy", json!({ "id": "__a__" }), "must not have the form `__x__`"),
        ("policy", json!({ "version": "1.0.99999999999999999999" }), "numbers of 64 bits"),
        ("observation", json!({ "id": "o-2" }), "If present, the id of the document"),
        ("observation", json!({ "component": "ü".repeat(201) }), "400 bytes in UTF-8"),
        ("observation", json!({ "component": "\u{3000}" }), "not only blanks"),
        ("observation", json!({ "errorCode": "ü".repeat(751) }), "1,500 bytes in UTF-8"),
        (
            "observation",
            json!({ "policyVersion": format!("a@1.0.0-{}", "a".repeat(200)) }),
            "at most 200 bytes each",
        ),
        (
            "observation",
            json!({ "policyVersion": "__a__@1.0.0" }),
            "must not have the form `__x__`",
        ),
        (
            "observation",
            json!({ "sampleRate": 1e-4, "propensity": 0.002 }),
            "product with `sampleRate`",
        ),
        (
            "reward_config",
            json!({ "thresholds": { "minAcceptable": 0.4, "retrain": 0.5 } }),
            "At most `minAcceptable`",
        ),
        (
            "tuning",
            json!({ "policies": { "a": {
                "component": "a:{arm}", "stepBound": 0.3, "retrainStepBound": 0.2,
            } } }),
            "At least `stepBound`",
        ),
        (
            "tuning",
            json!({ "policies": { "__a__": { "component": "a:{arm}" } } }),
            "must not have the form `__x__`",
        ),
    ] {
        let document = with(name, document);
        assert!(read(name, &document).is_err(), "the reader takes {name} {document}");
        assert!(validator(name).is_valid(&document), "the schema refuses {name} {document}");
        assert!(schema(name).to_string().contains(described), "{name} does not say {described:?}");
    }
}

#[test]
fn what_a_reader_forgives_is_no_part_of_a_schema() {
    for (name, changes) in [
        // SDKs write times as timestamps, people as texts.
        ("policy", json!({ "createdAt": "2026-05-28T20:26:40Z" })),
        // Components check their own params.
        ("policy", json!({ "params": { "fallbackOn": "timeout" } })),
        ("policy", json!({ "params": { "cooldownMs": -1 } })),
        ("policy", json!({ "params": { "cooldownAfter": 0.5 } })),
    ] {
        let document = with(name, changes);
        assert_eq!(read(name, &document), Ok(()));
        assert!(!validator(name).is_valid(&document), "{name} {document}");
    }
}
