//! The program `firestore-local`: acknowledged commits survive a kill.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tonic::Code;

use crate::support::Client;
use crate::support::program::Program;
use crate::support::queries::*;
use crate::support::values::*;
use crate::support::writes::{patch, put, remove};

/// Commits until the server is gone. Each commit sets the same number in two documents. Returns the
/// last acknowledged number.
async fn write_until_gone(client: Client, writer: usize, progress: Arc<AtomicI64>) -> i64 {
    let (a, b) = pair_of(&client, writer);
    for n in 1.. {
        let pair = [a.clone(), b.clone()].map(|name| put(name, fields([("n", int(n))])));
        let extra = put(
            client.name(&format!("log/{writer}-{n}")),
            fields([("writer", int(i64::try_from(writer).unwrap())), ("n", int(n))]),
        );
        if client.commit(pair.into_iter().chain([extra])).await.is_err() {
            return n - 1;
        }
        progress.fetch_add(1, Ordering::Relaxed);
    }
    unreachable!("numbers do not run out")
}

fn pair_of(client: &Client, writer: usize) -> (String, String) {
    (client.name(&format!("pairs/{writer}-a")), client.name(&format!("pairs/{writer}-b")))
}

const WRITERS: usize = 8;

#[tokio::test]
async fn every_acknowledged_commit_survives_a_kill_during_writes() {
    let data = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let program = Program::start(Some(data.path()));
        let client = program.client().await;
        let progress = Arc::new(AtomicI64::new(0));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(write_until_gone(client.clone(), writer, progress.clone())))
            .collect();
        // Each round kills the server at a different point.
        while progress.load(Ordering::Relaxed) < 100 + round * 77 {
            tokio::task::yield_now().await;
        }
        program.kill();
        let mut acknowledged = Vec::new();
        for writer in writers {
            acknowledged.push(writer.await.unwrap());
        }
        assert!(acknowledged.iter().sum::<i64>() >= 100);

        let program = Program::start(Some(data.path()));
        let client = program.client().await;
        for (writer, acknowledged) in acknowledged.into_iter().enumerate() {
            check(&client, writer, acknowledged).await;
        }
        // The next round starts with an empty store.
        for collection in ["log", "pairs"] {
            let found = client.query(from(collection)).await.unwrap();
            for chunk in found.chunks(500) {
                let names = chunk.iter().map(|document| remove(document.name.clone()));
                client.commit(names).await.unwrap();
            }
        }
        program.kill();
    }
}

async fn check(client: &Client, writer: usize, acknowledged: i64) {
    let (a, b) = pair_of(client, writer);
    let number = async |name: &str| client.fields(client.path(name)).await.map(|f| f["n"].clone());
    let (a, b) = (number(&a).await, number(&b).await);
    assert_eq!(a, b, "a commit is applied completely or not at all");
    let possible = [acknowledged, acknowledged + 1].map(|n| (n > 0).then(|| int(n)));
    assert!(possible.contains(&a), "writer {writer}: {a:?}, acknowledged {acknowledged}");
    let filter = equal("writer", int(i64::try_from(writer).unwrap()));
    let logged = client.aggregate(from("log").filtered(filter), [count("n")]).await.unwrap();
    let kept = a.unwrap_or_else(|| int(0));
    assert_eq!(logged["n"], kept, "every commit up to the last, and none after it");
}

#[tokio::test]
async fn indexes_agree_with_the_documents_after_a_kill_during_writes() {
    let data = tempfile::tempdir().unwrap();
    let program = Program::start(Some(data.path()));
    let client = program.client().await;
    // More documents than the index threshold.
    for start in (0..1_000).step_by(500) {
        let writes = (start..start + 500).map(|n| {
            put(client.name(&format!("c/{n:04}")), fields([("k", int(n % 3)), ("n", int(n))]))
        });
        client.commit(writes).await.unwrap();
    }
    let query = |k| from("c").filtered(equal("k", int(k))).descending("n");
    assert_eq!(client.paths(query(0)).await.unwrap().len(), 334);
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let client = client.clone();
            tokio::spawn(async move {
                for n in 0.. {
                    let name = client.name(&format!("c/{:04}", (n * 4 + writer) % 1_000));
                    let write = patch(name, fields([("k", int(n % 3)), ("n", int(n))]), ["k", "n"]);
                    if client.commit([write]).await.is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    while client.fields("c/0400").await.unwrap()["n"] == int(400) {
        tokio::task::yield_now().await;
    }
    program.kill();
    for writer in writers {
        writer.await.unwrap();
    }

    let program = Program::start(Some(data.path()));
    let client = program.client().await;
    let documents = client.query(from("c")).await.unwrap();
    assert_eq!(documents.len(), 1_000);
    for k in 0..3 {
        let mut expected: Vec<_> = documents.iter().filter(|d| d.fields["k"] == int(k)).collect();
        expected.sort_by_key(|document| (integer(&document.fields["n"]), document.name.clone()));
        let expected: Vec<_> =
            expected.iter().rev().map(|document| client.path(&document.name).to_owned()).collect();
        assert_eq!(client.paths(query(k)).await.unwrap(), expected);
    }
    program.kill();
}

#[tokio::test]
async fn a_terminated_server_prints_its_bill() {
    let program = Program::start(None);
    let client = program.client().await;
    client.set("c/d", [("n", int(1))]).await;
    client.fields("c/d").await.unwrap();
    client.fields("c/missing").await;
    client.commit([remove(client.name("c/d"))]).await.unwrap();
    drop(client);
    let output = program.terminate();
    assert!(output.contains("2 reads, 1 writes, 1 deletes"), "{output}");
}

#[tokio::test]
async fn documents_survive_termination_and_commit_times_still_rise() {
    let data = tempfile::tempdir().unwrap();
    let program = Program::start(Some(data.path()));
    let client = program.client().await;
    let before = client.set("c/d", [("n", int(1))]).await;
    program.terminate();
    let program = Program::start(Some(data.path()));
    let client = program.client().await;
    let stored = client.get("c/d").await.unwrap();
    assert_eq!((stored.fields, stored.update_time), (fields([("n", int(1))]), Some(before)));
    let after = client.set("c/d", [("n", int(2))]).await;
    assert!((after.seconds, after.nanos) > (before.seconds, before.nanos));
}

#[test]
fn a_data_folder_in_use_is_reported() {
    let data = tempfile::tempdir().unwrap();
    let _first = Program::start(Some(data.path()));
    let error = Program::try_start(["--data".as_ref(), data.path().as_os_str()]).unwrap_err();
    assert!(error.contains("in use") && error.lines().count() == 1, "{error}");
}

#[test]
fn an_address_in_use_is_reported() {
    let first = Program::start(None);
    let second = Command::new(env!("CARGO_BIN_EXE_firestore-local"))
        .args(["--addr", &first.address])
        .output()
        .unwrap();
    assert!(!second.status.success());
    let error = String::from_utf8_lossy(&second.stderr);
    assert!(error.contains(&first.address), "{error}");
}

#[tokio::test]
async fn the_faults_argument_is_a_seed_or_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    let rule = r#"{"rpc":"Commit","fault":{"kind":"refuse","code":"ABORTED"}}"#;
    std::fs::write(&file, format!(r#"{{"rules":[{rule}]}}"#)).unwrap();
    let in_file = ["--faults".as_ref(), file.as_os_str()];
    let program = Program::try_start(in_file).unwrap();
    let client = program.client().await;
    assert_eq!(client.refused(put(client.name("c/d"), fields([]))).await, Code::Aborted);

    drop(Program::try_start(["--faults", "7"]).unwrap());

    std::fs::write(&file, "[]").unwrap();
    let error = Program::try_start(in_file).unwrap_err();
    assert!(error.contains("invalid fault plan") && error.lines().count() == 1, "{error}");
}
