//! How long pages take, and what they read, in a large project: 1,000 components, 200 policies and 10,000
//! versions. `BENCHMARKS.md` has the figures.

use std::time::Instant;

use f0_learning::store::Store;
use f0_learning_core::observation::{Observation, Outcome};
use f0_learning_core::reward::{RewardConfig, score};
use f0_learning_core::stats::{Series, Window};
use f0_learning_core::time::{HOUR_MS, MINUTE_MS};
use firestore_kit::Connection;
use firestore_kit::value::{self, Fields};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::browser::Browser;
use crate::collection;
use crate::support::http::Service;
use crate::support::{START, fields, put, server};

const COMPONENTS: usize = 1_000;
const POLICIES: usize = 200;
/// Versions of a policy, of which the last is active.
const VERSIONS: usize = 50;
const ARMS: usize = 5;
/// Documents that are written at the same time.
const AT_ONCE: usize = 64;
const ROUNDS: usize = 5;

/// A week of observations, some each hour.
fn series() -> Series {
    let mut series = Series::default();
    for minutes in (0..7 * 24 * 12).map(|n| n * 5) {
        let ts = START - 7 * 24 * HOUR_MS + minutes * MINUTE_MS;
        let fields = json!({
            "ts": ts, "component": "x", "outcome": Outcome::Success.as_str(),
            "durationMs": 100 + minutes % 900, "costUsd": 0.01,
        });
        let observation = Observation::parse("o", fields.as_object().unwrap()).unwrap();
        series.record(&observation, &score(&RewardConfig::default(), &observation), ts);
    }
    series
}

fn component(policy: usize, arm: usize) -> String {
    format!("router-{policy:03}:arm-{arm}")
}

fn version(policy: usize, number: usize) -> Value {
    let is_active = number + 1 == VERSIONS;
    let at = START - 1_000 * i64::try_from(VERSIONS - number).unwrap();
    let weights: serde_json::Map<String, Value> =
        (0..ARMS).map(|arm| (format!("arm-{arm}"), json!(0.2))).collect();
    json!({
        "id": format!("policy-{policy:03}"), "version": format!("1.0.{number}"),
        "status": if is_active { "active" } else { "archived" },
        "params": { "modelWeights": weights }, "createdAt": at, "createdBy": "policy-updater",
        "activatedAt": at, "activatedBy": "policy-updater", "notes": "for a measurement",
    })
}

fn entry(policy: usize, number: usize) -> Value {
    json!({
        "ts": START - 1_000 * i64::try_from(VERSIONS - number).unwrap(), "actor": "policy-updater",
        "action": "activate", "id": format!("policy-{policy:03}"), "to": format!("1.0.{number}"),
        "changes": [{ "version": format!("1.0.{number}"), "from": "draft", "to": "active" }],
    })
}

/// Every document of the project.
fn documents() -> Vec<(&'static str, String, Fields)> {
    let series = series();
    let encoded = series.encode();
    let mut all = Vec::new();
    for policy in 0..POLICIES {
        for arm in 0..COMPONENTS / POLICIES {
            let name = component(policy, arm);
            let stored = value::fields([
                ("component", value::string(name.as_str())),
                ("format", value::int(3)),
                ("nextChange", value::int(series.next_change(START).unwrap())),
                ("windows", value::string("1h,24h,7d")),
                ("series", value::bytes(encoded.clone())),
            ]);
            all.push((collection::STATE, format!("series|{name}"), stored));
            for window in Window::ALL {
                let mut stats = serde_json::to_value(series.window(window)).unwrap();
                stats["component"] = json!(name);
                stats["window"] = json!(window.as_str());
                stats["ts"] = json!(START);
                let id = format!("{name}|{}", window.as_str());
                all.push((collection::STATS, id, fields(&stats)));
            }
        }
        for number in 0..VERSIONS {
            let id = format!("policy-{policy:03}@1.0.{number}");
            all.push((collection::POLICIES, id, fields(&version(policy, number))));
            let id = format!("a-{policy:03}-{number:03}");
            all.push((collection::AUDIT, id, fields(&entry(policy, number))));
        }
    }
    let settings = |policy: usize| {
        let settings = json!({ "component": format!("router-{policy:03}:{{arm}}") });
        (format!("policy-{policy:03}"), settings)
    };
    let policies: serde_json::Map<String, Value> = (0..POLICIES).map(settings).collect();
    let tuning = json!({ "version": "1", "policies": policies });
    all.push((collection::CONFIG, "tuning".to_owned(), fields(&tuning)));
    all
}

async fn fill(store: &Store) {
    let mut tasks = JoinSet::new();
    for (collection, id, fields) in documents() {
        if tasks.len() == AT_ONCE {
            tasks.join_next().await.unwrap().unwrap();
        }
        let store = store.clone();
        tasks.spawn(async move { put(&store, collection, &id, fields).await });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: it writes 24,000 documents"]
#[expect(clippy::disallowed_methods, reason = "it measures real time")]
async fn pages_of_a_large_project_answer_within_300_ms() {
    let server = server().start().await.unwrap();
    let store = Store::connect(&Connection::local("demo-size", server.addr())).await.unwrap();
    store.seed(START).await.unwrap();
    fill(&store).await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    let mut slow = Vec::new();
    println!("| Page | ms, median of {ROUNDS} | Reads | KiB |\n|---|---|---|---|");
    for path in [
        "/",
        "/policies",
        "/policies/policy-100",
        "/policies/policy-100/override",
        "/policies/policy-100/envelope",
        "/experiments",
        "/components",
        "/components/router-100%3Aarm-1",
        "/quarantine",
        "/audit",
        "/configuration",
        "/configuration/tuning",
    ] {
        let (mut times, mut reads, mut bytes) = (Vec::new(), 0, 0);
        for _ in 0..ROUNDS {
            // What the overview read is not kept.
            service.advance(6_000);
            server.reset_meter();
            let began = Instant::now();
            bytes = browser.ok(path).await.len();
            times.push(began.elapsed().as_millis());
            reads = server.meter().total.reads;
        }
        times.sort_unstable();
        println!("| `{path}` | {} | {reads} | {} |", times[ROUNDS / 2], bytes >> 10);
        if times[ROUNDS / 2] > 300 {
            slow.push(path);
        }
    }
    assert_eq!(slow, Vec::<&str>::new());
}
