//! `doctor`: what it finds in a sound project, what each failure is called, and its exit codes.

use f0_learning::store::Store;
use f0_learning_core::sharding::Layout;
use firestore_kit::Connection;
use firestore_local::Server;
use firestore_local::indexes::Indexes;
use serde_json::{Value, json};

use crate::collection;
use crate::support::process::{run, run_on, text};
use crate::support::{document, fields, put, seeded_store};

#[tokio::test]
async fn doctor_finds_nothing_wrong_in_a_seeded_project_and_leaves_nothing_behind() {
    let store = seeded_store().await;
    let output = run_on(&store, &["doctor"], &[]).await;
    let found = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{found}");
    for name in ["credentials", "reachable", "write", "transaction", "indexes", "config", "clock"] {
        assert!(
            found.lines().any(|it| it.starts_with("ok ") && it.contains(name)),
            "{name}: {found}"
        );
    }
    assert_eq!(document(&store, collection::STATE, "doctor").await, None);
}

#[tokio::test]
async fn doctor_exits_with_2_where_something_fails_and_says_what_to_do() {
    let store = seeded_store().await;
    put(&store, collection::CONFIG, "reward_config", fields(&json!({ "weights": 1 }))).await;
    let output = run_on(&store, &["doctor", "--output", "json", "--read-only"], &[]).await;
    assert_eq!(output.status.code(), Some(2));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["verdict"], "fail");
    let all = found["findings"].as_array().unwrap();
    let of = |name: &str| all.iter().find(|it| it["name"] == name).unwrap();
    assert_eq!(of("config")["verdict"], "fail");
    assert_eq!(of("config")["action"], "f0-learning seed --only config/reward_config");
    assert_eq!(of("write")["verdict"], "notChecked");
    assert_eq!(of("rules")["verdict"], "notChecked");
    let output = run(&["doctor"], &[("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1")]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
    assert_eq!(run(&["doctor"], &[]).status.code(), Some(2), "nothing is configured");
}

#[tokio::test]
async fn doctor_warns_with_1_of_a_lease_that_was_left_behind() {
    let store = seeded_store().await;
    let now = store.now().await.unwrap();
    store.take_lease("tune", None, "gone", now - 1, 60_000).await.unwrap();
    let output = run_on(&store, &["doctor"], &[]).await;
    let found = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{found}");
    assert!(found.contains("the lease of tune expired"), "{found}");
}

/// The declared indexes without one.
fn without(file: &str, index: usize) -> Indexes {
    let mut declared: Value = serde_json::from_str(file).unwrap();
    declared["indexes"].as_array_mut().unwrap().remove(index);
    Indexes::parse(&declared.to_string()).unwrap()
}

async fn missing(file: &str, index: usize, shards: u32) -> Vec<String> {
    let server = Server::builder().definitions(vec![without(file, index)]).start().await.unwrap();
    let store = Store::connect(&Connection::local("demo-probe", server.addr())).await.unwrap();
    let mut missing = Vec::new();
    for probe in store.probes_of_indexes(Layout { shards }) {
        if store.run_probe(&probe).await.is_err() {
            missing.push(probe.label);
        }
    }
    server.shutdown().await;
    missing
}

#[tokio::test]
async fn doctor_notices_each_index_that_is_not_deployed() {
    let files = [
        (include_str!("../../../firestore.indexes.json"), 0),
        (include_str!("../../../deploy/firestore.indexes.sharded.json"), 8),
    ];
    for (file, shards) in files {
        let declared: Value = serde_json::from_str(file).unwrap();
        for (index, it) in declared["indexes"].as_array().unwrap().iter().enumerate() {
            let paths: Vec<_> = it["fields"].as_array().unwrap().iter().collect();
            let paths: Vec<_> = paths.iter().map(|it| it["fieldPath"].as_str().unwrap()).collect();
            // Firestore answers equalities alone from the indexes of single fields.
            if paths == ["id", "status"] {
                continue;
            }
            let label =
                format!("{} by {}", it["collectionGroup"].as_str().unwrap(), paths.join(", "));
            let found = missing(file, index, shards).await;
            assert!(found.contains(&label), "{label}: {found:?}");
        }
    }
}
