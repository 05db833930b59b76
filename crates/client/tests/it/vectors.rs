//! `clients/vectors.json`: the examples that the packages of all languages pass.
//!
//! `F0_WRITE_VECTORS=1 cargo test -p f0-learning-client --test it vectors` writes the file again.

use std::collections::BTreeMap;

use f0_learning_client::{Cooldowns, DrawBy, Outcome, Policy, SamplingPolicy, choose};
use f0_learning_core::experiment::takes_candidate;
use f0_learning_core::policy::{draw_arm, draw_arm_of_unit};
use f0_learning_core::sharding::shard_of;
use serde_json::{Value as Json, json};

type Weights = BTreeMap<String, f64>;

const UNITS: [&str; 7] = ["user-1", "user-2", "user-3", "ünit", "", "a:b", "0123456789"];
const DRAWS: [f64; 7] = [0.0, 0.1499, 0.15, 0.25, 0.4, 0.75, 0.999_999];

fn weights(of: &[(&str, f64)]) -> Weights {
    of.iter().map(|(arm, weight)| ((*arm).to_owned(), *weight)).collect()
}

fn several_weights() -> Vec<Weights> {
    vec![
        weights(&[("claude", 0.15), ("gemini", 0.25), ("gpt-5", 0.6)]),
        weights(&[("claude", 0.25), ("gemini", 0.35), ("gpt-5", 0.4)]),
        weights(&[("a", 1.0), ("b", 0.0)]),
        weights(&[("ärm", 0.5), ("b", 0.5)]),
        // In UTF-16 the second name comes first, in UTF-8 the first.
        weights(&[("\u{ff5e}", 0.5), ("\u{1f600}", 0.5)]),
    ]
}

fn units() -> Vec<Json> {
    let of = |weights: Weights| {
        UNITS.map(|unit| {
            let arm = draw_arm_of_unit(&weights, unit).map(|arm| arm.name);
            json!({"weights": weights, "unit": unit, "arm": arm})
        })
    };
    several_weights().into_iter().flat_map(of).collect()
}

fn draws() -> Vec<Json> {
    let of = |weights: Weights| {
        DRAWS.map(|u| {
            json!({"weights": weights, "u": u, "arm": draw_arm(&weights, u).map(|arm| arm.name)})
        })
    };
    several_weights().into_iter().flat_map(of).collect()
}

fn shares() -> Vec<Json> {
    let cases = ["e1", "b2e8"].into_iter().flat_map(|id| UNITS.map(|unit| (id, unit)));
    let each = cases.flat_map(|(id, unit)| [0.0, 0.1, 0.5, 1.0].map(|share| (id, unit, share)));
    each.map(|(id, unit, share)| {
        let taken = takes_candidate(id, unit, share);
        json!({"experiment": id, "unit": unit, "share": share, "taken": taken})
    })
    .collect()
}

/// A policy with a candidate and a holdback, and what its units use.
fn choices() -> Json {
    let params = |name: &str| json!({"modelWeights": {name: 1.0}});
    let policy = json!({
        "id": "router-core", "version": "1.0.3", "status": "active", "params": params("active"),
        "candidate": {
            "experiment": "e1", "version": "1.0.4", "share": 0.4, "params": params("candidate"),
        },
        "holdback": {"id": "h1", "version": "1.0.0", "share": 0.3, "params": params("holdback")},
    });
    let read: Policy = serde_json::from_value(policy.clone()).unwrap();
    let cases: Vec<Json> = (0..20)
        .map(|number| {
            let unit = format!("user-{number}");
            let choice = choose(&read, &unit);
            json!({
                "unit": unit,
                "policyVersion": choice.policy_version,
                "isCandidate": choice.is_candidate,
            })
        })
        .collect();
    json!({"policy": policy, "cases": cases})
}

fn sampling() -> Vec<Json> {
    let mut cases = Vec::new();
    for outcome in Outcome::ALL {
        for success_rate in [1.0, 0.1, 1e-9, 0.0] {
            for u in [0.0, 0.05, 0.5] {
                let rate = SamplingPolicy { success_rate }.decide(outcome, u);
                cases.push(json!({
                    "outcome": outcome.as_str(), "successRate": success_rate, "u": u,
                    "sampleRate": rate,
                }));
            }
        }
    }
    cases
}

fn shards() -> Vec<Json> {
    let ids = ["", "a", "foobar", "ünit", "7b1e3d1c-0a52-4f0e-9d0b-0d2f1f0c9a55"];
    let cases = ids.into_iter().flat_map(|id| [1, 4, 40, 1000].map(|shards| (id, shards)));
    cases
        .map(|(id, shards)| json!({"id": id, "shards": shards, "shard": shard_of(id, shards)}))
        .collect()
}

/// One run of requests: errors start cooldowns, and draws see them.
fn cooldowns() -> Json {
    let weights = weights(&[("claude", 0.15), ("gemini", 0.25), ("gpt-5", 0.6), ("old", 0.0)]);
    let mut cooldowns = Cooldowns::new();
    let mut steps = Vec::new();
    let mut draw = |cooldowns: &Cooldowns, now: i64, without: &[&str]| {
        for (by, named) in [
            (DrawBy::Random(0.3), json!({"u": 0.3})),
            (DrawBy::Random(0.9), json!({"u": 0.9})),
            (DrawBy::Unit("user-1"), json!({"unit": "user-1"})),
        ] {
            let drawn = cooldowns.draw(&weights, now, by, without);
            let mut step = json!({"draw": named, "now": now, "without": without});
            step["arm"] = json!(drawn.as_ref().map(|it| &it.arm.name));
            step["byWeights"] = json!(drawn.as_ref().map(|it| it.by_weights));
            steps.push(step);
        }
    };
    draw(&cooldowns, 1_000, &[]);
    draw(&cooldowns, 1_000, &["gpt-5"]);
    let mut events = Vec::new();
    cooldowns.failed("gemini", 50_000, 2, 500);
    events.push(json!({"failed": "gemini", "cooldownMs": 50_000, "cooldownAfter": 2, "now": 500}));
    cooldowns.succeeded("gemini");
    events.push(json!({"succeeded": "gemini"}));
    for (arm, ms, after, now) in [
        ("gpt-5", 30_000, 2, 900),
        ("gpt-5", 30_000, 2, 1_000),
        ("gpt-5", 10, 1, 2_000),
        ("gemini", 50_000, 2, 2_000),
        ("claude", 0, 1, 2_000),
    ] {
        cooldowns.failed(arm, ms, after, now);
        events.push(json!({"failed": arm, "cooldownMs": ms, "cooldownAfter": after, "now": now}));
    }
    draw(&cooldowns, 2_000, &["claude"]);
    draw(&cooldowns, 2_000, &["claude", "gemini"]);
    draw(&cooldowns, 2_000, &["claude", "gemini", "gpt-5"]);
    for now in [2_000, 30_999, 31_000] {
        draw(&cooldowns, now, &[]);
    }
    // The first six draws came before the errors.
    let rest = steps.split_off(6);
    steps.extend(events);
    steps.extend(rest);
    json!({"weights": weights, "steps": steps})
}

fn vectors() -> Json {
    json!({
        "units": units(),
        "draws": draws(),
        "shares": shares(),
        "choices": choices(),
        "sampling": sampling(),
        "shards": shards(),
        "cooldowns": cooldowns(),
    })
}

#[test]
fn the_published_vectors_are_those_of_the_rules() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../clients/vectors.json");
    let mut text = serde_json::to_string_pretty(&vectors()).unwrap();
    text.push('\n');
    #[expect(clippy::disallowed_methods, reason = "the caller of the test asks to write")]
    let writes = std::env::var_os("F0_WRITE_VECTORS").is_some();
    if writes {
        std::fs::write(path, &text).unwrap();
    }
    let published = std::fs::read_to_string(path).unwrap();
    assert_eq!(published, text, "the rules changed: components would choose other arms");
}
