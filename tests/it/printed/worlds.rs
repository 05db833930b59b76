//! What is stored when a page or a section of it begins.

use f0_learning::store::{GUARD, Store};
use f0_learning_core::Clock;
use f0_learning_core::document::FlagChanges;
use f0_learning_core::intent::Intent;
use f0_learning_core::observation::Outcome;
use f0_learning_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use serde_json::{Map, Value, json};

use super::world::World;
use crate::collection;
use crate::support::{allocate_by_proof, draft, fields, put, record, score};
use crate::trace::azure_trace;

/// The id of an observation that is in quarantine where a page requeues one.
pub const QUARANTINED: &str = "0b7c1d52-6f5e-4f7e-9a51-0d1c6f0f3e11";

/// The bundled trace, one observation a line.
pub fn trace() -> String {
    let all = azure_trace::bundled_router_trace(Clock::system().now()).unwrap();
    all.iter().step_by(TRACE_STEP).map(|it| format!("{it}\n")).collect()
}

/// A part of the trace takes a part of the time.
const TRACE_STEP: usize = 4;

/// Prepares what the commands of a page find.
pub async fn of_page(world: &mut World, page: &str) {
    match page {
        "README.md"
        | "docs/allocation.md"
        | "docs/api.md"
        | "docs/evidence.md"
        | "docs/experiments.md"
        | "docs/recovery.md"
        | "docs/terminal.md" => lived_in(world).await,
        // Its sections have damage of their own.
        "docs/runbook.md" => {}
        // Their readers begin with an empty project.
        "docs/trace.md"
        | "docs/deploy.md"
        | "docs/configuration.md"
        | "deploy/terraform/README.md" => {}
        _ => world.prepare("seed").await,
    }
    match page {
        "docs/api.md" => {
            let now = world.store.now().await.unwrap();
            let key = "router-core@1.0.1".parse().unwrap();
            world.store.activate(&key, false, &Intent::new("ada", now)).await.unwrap();
            world
                .prepare("policies override router-core --set cooldownMs=1000 --reason test")
                .await;
        }
        "docs/recovery.md" => sharded(world).await,
        _ => {}
    }
}

/// A project whose router was measured, and whose tuner proposed a draft.
async fn lived_in(world: &World) {
    world.prepare("seed").await;
    let now = world.store.now().await.unwrap();
    // As many as the weights of the seed say: other shares would stop the tuner.
    let arms = [("gpt-5", 1_080, 900, 3), ("gemini", 450, 300, 40), ("claude", 270, 450, 20)];
    let all = arms.into_iter().flat_map(|(arm, count, duration_ms, failure_every)| {
        (0..count).map(move |n: i64| {
            let outcome = if n % failure_every == 0 { "failure" } else { "success" };
            let observation = json!({
                "id": format!("{arm}-{n}"), "ts": now - 50 * MINUTE_MS + n * 2_000,
                "component": format!("router:{arm}"), "outcome": outcome, "durationMs": duration_ms + n % 7,
                "costUsd": 0.01, "policyVersion": "router-core@1.0.0",
            });
            object(observation)
        })
    });
    let all: Vec<_> = all.collect();
    for batch in all.chunks(firestore_kit::MAX_BATCH) {
        f0_learning_client::create_all_observations(world.store.db(), batch).await.unwrap();
    }
    world.prepare("score --settle-ms 0").await;
    world.prepare("tune").await;
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// The same project with a cursor for each of two shards.
async fn sharded(world: &World) {
    put(&world.store, collection::CONFIG, "scoring", fields(&json!({ "shards": 2 }))).await;
    world.prepare("score --settle-ms 0").await;
}

/// Prepares what the commands of a section find.
pub async fn of_section(world: &mut World, page: &str, section: &str) {
    world.set_ahead(0);
    match (page, section) {
        ("docs/runbook.md", _) => of_alert(world, section).await,
        ("docs/operations.md", "A time that cannot be right") => {
            world.begin_project().await;
            world.prepare("seed").await;
            world.prepare("score").await;
            world.set_ahead(400 * DAY_MS);
        }
        ("docs/operations.md", "Repair quarantined observations") => {
            world.begin_project().await;
            world.prepare("seed").await;
            for (id, rate) in [(QUARANTINED, 0.5), ("o-2", 7.0), ("o-3", 0.2)] {
                quarantined(world, id, rate).await;
            }
        }
        _ => {}
    }
}

/// An observation that was scored while its sample rate was wrong.
async fn quarantined(world: &World, id: &str, corrected: f64) {
    let now = world.store.now().await.unwrap();
    let mut observation = json!({
        "id": id, "ts": now - MINUTE_MS, "component": "router:gpt-5", "outcome": "success",
        "durationMs": 5, "sampleRate": 7,
    });
    put(&world.store, collection::OBSERVATIONS, id, fields(&observation)).await;
    score(&world.store, now).await;
    assert!(world.is_in_quarantine(id).await, "{id}");
    observation["sampleRate"] = json!(corrected);
    put(&world.store, collection::OBSERVATIONS, id, fields(&observation)).await;
}

/// The damage that a section of the runbook is about.
async fn of_alert(world: &mut World, section: &str) {
    world.begin_project().await;
    let store = &world.store;
    let now = store.now().await.unwrap();
    store.seed(now).await.unwrap();
    allocate_by_proof(store).await;
    let intent = |actor: &str| Intent::new(actor, now).because("a test");
    match section {
        "A job has stopped" => {
            observe_once(store, "c", now).await;
            put(store, collection::STATE, "cursor", fields(&json!({ "ts": "yesterday" }))).await;
        }
        "The backlog grows" => {
            for n in 0..5 {
                record(store, "c", Outcome::Success, 10.0, now - HOUR_MS + n).await;
            }
        }
        "Quarantine grows" => {
            let invalid = json!({
                "ts": now - HOUR_MS, "component": "router:gpt-5", "outcome": "ok", "durationMs": 5,
            });
            put(store, collection::OBSERVATIONS, "x1", fields(&invalid)).await;
            score(store, now).await;
        }
        "The guard rolled back a version" => {
            let key = draft(store, "1.0.1", "1.0.0").await;
            store.activate(&key, false, &intent("ada")).await.unwrap();
            store.roll_back("router-core", None, &intent(GUARD)).await.unwrap();
        }
        "Tuning is switched off" => {
            let off = FlagChanges { enabled: Some(false), ..FlagChanges::default() };
            store.set_flags(off, &intent("ada")).await.unwrap();
        }
        "A policy has several active versions or none" => {
            let second = json!({
                "id": "router-core", "version": "1.0.1", "status": "active", "params": {},
            });
            put(store, collection::POLICIES, "router-core@1.0.1", fields(&second)).await;
        }
        "A document cannot be read" => {
            observe_once(store, "router:gpt-5", now).await;
            let damaged = fields(&json!({ "format": 99 }));
            put(store, collection::STATE, "series|router:gpt-5", damaged).await;
        }
        "A component is below the acceptable reward" => {
            for n in 0..5 {
                let ts = now - HOUR_MS / 2 + n;
                record(store, "router:gpt-5", Outcome::Failure, 9_000.0, ts).await;
            }
            score(store, now).await;
        }
        "A draft waits" => {
            draft(store, "1.0.1", "1.0.0").await;
        }
        _ => {}
    }
}

async fn observe_once(store: &Store, component: &str, now: i64) {
    record(store, component, Outcome::Success, 10.0, now - HOUR_MS).await;
    score(store, now).await;
}
