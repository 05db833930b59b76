//! Transactions that contend for the same documents, against a local Firestore.

#![expect(clippy::unwrap_used, reason = "a helper that fails ends its test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use firestore_kit::value::{self, Fields};
use firestore_kit::{Connection, Db, Error, Repeat, tonic, write};
use firestore_local::{Running, Server};
use serde_json::json;
use tokio::sync::{Notify, oneshot};

const COLLECTION: &str = "counters";

async fn start() -> (Running, Db) {
    let server = Server::builder().start().await.unwrap();
    let db = Db::connect(&Connection::local("demo-kit", server.addr())).await.unwrap();
    (server, db)
}

fn fields(n: u64) -> Fields {
    value::fields_from_json(json!({ "n": n }).as_object().unwrap())
}

async fn put(db: &Db, id: &str) {
    let write = write::set(db.name(COLLECTION, id), fields(0));
    db.commit("a counter", vec![write]).await.unwrap();
}

async fn count(db: &Db, id: &str) -> serde_json::Value {
    let document = db.get(COLLECTION, id).await.unwrap().unwrap();
    value::fields_to_json(&document.fields)["n"].clone()
}

/// Adds one to two counters, which it reads in the given order.
async fn increment(db: &Db, ids: [&str; 2], attempts: &AtomicU64) -> firestore_kit::Result<()> {
    db.in_transaction("counters", Repeat::Aborted, |transaction| async move {
        attempts.fetch_add(1, Ordering::Relaxed);
        let mut writes = Vec::new();
        for id in ids {
            let found = db.get_in(COLLECTION, id, &transaction).await?.unwrap();
            let n = value::fields_to_json(&found.fields)["n"].as_u64().unwrap();
            writes.push(write::set(db.name(COLLECTION, id), fields(n + 1)));
        }
        Ok((writes, ()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contending_transactions_all_commit() {
    const TASKS: u64 = 16;
    const TIMES: u64 = 8;
    let (server, db) = start().await;
    put(&db, "a").await;
    put(&db, "b").await;
    let attempts = Arc::new(AtomicU64::new(0));
    let tasks = (0..TASKS).map(|task| {
        let (db, attempts) = (db.clone(), attempts.clone());
        tokio::spawn(async move {
            let ids = if task % 2 == 0 { ["a", "b"] } else { ["b", "a"] };
            for _ in 0..TIMES {
                increment(&db, ids, &attempts).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(count(&db, "a").await, TASKS * TIMES);
    assert_eq!(count(&db, "b").await, TASKS * TIMES);
    assert!(attempts.load(Ordering::Relaxed) > TASKS * TIMES, "nothing was contended");
    server.shutdown().await;
}

/// Two transactions that have read the same document wait for each other when they commit, and the
/// younger one is aborted. The rival begins after the first attempt and before the second: without
/// the priority of the first attempt, the second would be the younger one, and lose again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_transaction_keeps_its_priority() {
    let (server, db) = start().await;
    put(&db, "a").await;
    let (has_read, rival_has_read) = oneshot::channel();
    let (go, may_commit) = oneshot::channel();
    let rival = tokio::spawn(rival(db.clone(), has_read, may_commit));
    let (mut first, mut second) = (Some(rival_has_read), Some(go));
    let (mut attempts, database) = (0, &db);
    let outcome = db.in_transaction("a counter", Repeat::Aborted, |transaction| {
        attempts += 1;
        let rival_has_read = first.take();
        let go = if rival_has_read.is_none() { second.take() } else { None };
        async move {
            database.get_in(COLLECTION, "a", &transaction).await?;
            if let Some(rival_has_read) = rival_has_read {
                BEGUN.notify_one();
                rival_has_read.await.unwrap();
                let status = tonic::Status::aborted("the first attempt fails");
                return Err(Error::rpc("commit", "a counter", status));
            }
            if let Some(go) = go {
                go.send(()).unwrap();
            }
            Ok((vec![write::set(database.name(COLLECTION, "a"), fields(1))], ()))
        }
    });
    outcome.await.unwrap();
    assert_eq!(attempts, 2, "the rival won");
    assert_eq!(rival.await.unwrap(), 2);
    server.shutdown().await;
}

/// Lets the rival begin.
static BEGUN: Notify = Notify::const_new();

/// Reads the document, and commits once it may; gives the number of attempts.
async fn rival(db: Db, has_read: oneshot::Sender<()>, may_commit: oneshot::Receiver<()>) -> u32 {
    BEGUN.notified().await;
    let (mut signals, mut attempts, database) = (Some((has_read, may_commit)), 0, &db);
    let outcome = db.in_transaction("a counter", Repeat::Aborted, |transaction| {
        attempts += 1;
        let signals = signals.take();
        async move {
            database.get_in(COLLECTION, "a", &transaction).await?;
            if let Some((has_read, may_commit)) = signals {
                has_read.send(()).unwrap();
                may_commit.await.unwrap();
            }
            Ok((vec![write::set(database.name(COLLECTION, "a"), fields(2))], ()))
        }
    });
    outcome.await.unwrap();
    attempts
}
