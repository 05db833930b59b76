//! Invariants 3 and 4 when the whole process is killed during transitions: every change that was
//! answered is stored, and no change is stored in part.

use std::time::Duration;

use f0_learning::store::Store;
use firestore_kit::Connection;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Client;
use serde_json::{Value, json};

use crate::support::assert_sound;
use crate::support::http::TOKEN;
use crate::support::process::{Running, free_port, wait_until};

const ROUNDS: u64 = 5;

fn dev(data: &str, port: u16) -> Running {
    let arguments =
        ["dev", "--data", data, "--firestore-addr", "127.0.0.1:0", "--port", &port.to_string()];
    Running::start(&arguments, &[("ADMIN_TOKEN", TOKEN)])
}

/// Makes random changes until the service is gone; gives the audit ids of the answers that arrived.
async fn make_changes(url: String, seed: u64) -> Vec<String> {
    let client = Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut answered = Vec::new();
    loop {
        let (path, body) = match rng.random_range(0..3) {
            0 => ("rollback", json!({ "id": "router-core" })),
            _ => {
                let cooldown = rng.random_range(0..1_000_000);
                ("override", json!({ "id": "router-core", "set": { "cooldownMs": cooldown } }))
            }
        };
        let request = client.post(format!("{url}/ops/policies/{path}")).bearer_auth(TOKEN);
        let Ok(answer) = request.body(body.to_string()).send().await else { return answered };
        let Ok(answer) = answer.json::<Value>().await else { return answered };
        answered.extend(answer["auditId"].as_str().map(str::to_owned));
    }
}

/// Waits until the API answers from Firestore.
async fn until_ready(url: &str) {
    let client = Client::new();
    wait_until("the API", async || {
        let answer = client.get(format!("{url}/ops/flags")).bearer_auth(TOKEN).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_leaves_no_partial_transition_and_keeps_every_answered_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let mut answered_ids = Vec::new();
    for round in 0..ROUNDS {
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        let running = dev(data, port);
        until_ready(&url).await;
        let rivals: Vec<_> =
            (0..4).map(|n| tokio::spawn(make_changes(url.clone(), round * 10 + n))).collect();
        let millis = StdRng::seed_from_u64(round).random_range(100..1_200);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        running.kill();
        for rival in rivals {
            answered_ids.extend(rival.await.unwrap());
        }
        let running = dev(data, 0);
        let connection = Connection::local("demo-f0", running.address());
        let store = Store::connect(&connection).await.unwrap();
        assert_sound(&store, "router-core", &format!("killed in round {round}")).await;
        let trail = store.trail("router-core", None).await.unwrap();
        for audit_id in &answered_ids {
            let found = trail.iter().any(|record| record.audit_id == *audit_id);
            assert!(found, "round {round}: {audit_id} was answered but is not stored");
        }
        running.kill();
    }
    assert!(answered_ids.len() > 10, "only {} transitions were answered", answered_ids.len());
}
