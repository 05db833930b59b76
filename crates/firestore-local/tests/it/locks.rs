//! Pessimistic transactions: what they read is locked, and writes wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use firestore_local::{Clock, Server};
use tokio::task::JoinHandle;
use tonic::{Code, Status};

use crate::support::calls::Transaction;
use crate::support::queries::*;
use crate::support::v1::run_query_request::ConsistencySelector;
use crate::support::v1::transaction_options::{ConcurrencyMode, Mode, ReadWrite};
use crate::support::v1::{DeleteDocumentRequest, StructuredQuery, TransactionOptions, Write};
use crate::support::values::*;
use crate::support::writes::{increment, put, remove, transform};
use crate::support::{Client, Local};

const SECOND: i64 = 1_000_000;

/// A server whose clock stands still until a test moves it.
async fn with_clock() -> (Local, Arc<AtomicI64>) {
    let time = Arc::new(AtomicI64::new(1_734_000_000 * SECOND));
    let clock = time.clone();
    let clock = Clock::from_micros(move || clock.load(Ordering::SeqCst));
    (Local::of(Server::builder().clock(clock)).await, time)
}

fn number(stored: Option<Fields>) -> i64 {
    stored.unwrap_or_default().get("n").map_or(0, integer)
}

fn write(client: &Client, path: &str, n: i64) -> Write {
    put(client.name(path), fields([("n", int(n))]))
}

/// Starts a call, and checks that it waits.
async fn waits<T: Send + 'static>(
    call: impl Future<Output = Result<T, Status>> + Send + 'static,
) -> JoinHandle<Result<T, Status>> {
    let call = tokio::spawn(call);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!call.is_finished(), "the call does not wait");
    call
}

fn commits(
    client: &Client,
    transaction: Transaction,
    write: Write,
) -> impl Future<Output = Result<(), Status>> + Send + 'static {
    let client = client.clone();
    async move { client.commit_in(transaction, [write]).await.map(drop) }
}

async fn query_in(
    client: &Client,
    transaction: &Transaction,
    query: StructuredQuery,
) -> Vec<String> {
    let selector = ConsistencySelector::Transaction(transaction.clone());
    client.paths_with(query, Some(selector)).await.unwrap()
}

#[tokio::test]
async fn every_kind_of_write_waits_for_the_readers_of_a_document() {
    let local = Local::start().await;
    local.set("c/d", [("n", int(1))]).await;
    let (first, second) = (local.begin().await, local.begin().await);
    // Shared locks: both read at once.
    for transaction in [&first, &second] {
        assert_eq!(number(local.fields_in(transaction, "c/d").await.unwrap()), 1);
    }
    let plain = waits(commits(&local, Transaction::new(), write(&local, "c/d", 2))).await;
    let third = local.begin().await;
    let blind = waits(commits(&local, third, write(&local, "c/d", 3))).await;
    let client = local.clone();
    let batch = waits(async move {
        let write = transform(client.name("c/d"), [increment("n", int(1))]);
        client.batch_write([write]).await
    })
    .await;
    let (client, name) = (local.clone(), local.name("c/d"));
    let deletion = waits(async move {
        let request = DeleteDocumentRequest { name, ..Default::default() };
        client.api().delete_document(request).await
    })
    .await;
    assert_eq!(number(local.fields("c/d").await), 1, "other reads do not wait");

    local.rollback(first).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!plain.is_finished(), "the other reader is left");
    local.commit_in(second, [write(&local, "c/other", 1)]).await.unwrap();
    plain.await.unwrap().unwrap();
    blind.await.unwrap().unwrap();
    assert_eq!(batch.await.unwrap().unwrap().status[0].code, 0);
    deletion.await.unwrap().unwrap();
    assert_eq!(local.fields("c/d").await, None, "they are applied in the order they came");
}

#[tokio::test]
async fn a_transaction_commits_over_its_own_locks() {
    let local = Local::start().await;
    local.set("c/d", [("n", int(1))]).await;
    let transaction = local.begin().await;
    local.fields_in(&transaction, "c/d").await.unwrap();
    query_in(&local, &transaction, from("c")).await;
    local.commit_in(transaction, [write(&local, "c/d", 2)]).await.unwrap();
    local.set("c/d", [("n", int(3))]).await;
}

#[tokio::test]
async fn a_deadlock_aborts_the_younger_commit_at_once() {
    for paths in [["c/a", "c/a"], ["c/a", "c/b"]] {
        let local = Local::start().await;
        local.set("c/a", [("n", int(1))]).await;
        local.set("c/b", [("n", int(1))]).await;
        let (first, second) = (local.begin().await, local.begin().await);
        for transaction in [&first, &second] {
            for path in ["c/a", "c/b"] {
                local.fields_in(transaction, path).await.unwrap();
            }
        }
        let began = Instant::now();
        let younger = waits(commits(&local, second, write(&local, paths[1], 3))).await;
        local.commit_in(first, [write(&local, paths[0], 2)]).await.unwrap();
        assert_eq!(younger.await.unwrap().unwrap_err().code(), Code::Aborted);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!(number(local.fields(paths[0]).await), 2);
    }
}

#[tokio::test]
async fn a_read_waits_for_a_waiting_write_unless_that_is_a_deadlock() {
    let local = Local::start().await;
    local.set("c/d", [("n", int(1))]).await;
    let reader = local.begin().await;
    local.fields_in(&reader, "c/d").await.unwrap();
    let plain = waits(commits(&local, Transaction::new(), write(&local, "c/d", 2))).await;
    // The write waits for this transaction, so that it may read again.
    assert_eq!(number(local.fields_in(&reader, "c/d").await.unwrap()), 1);
    let (client, late) = (local.clone(), local.begin().await);
    let late_read = waits(async move { client.fields_in(&late, "c/d").await }).await;
    local.rollback(reader).await.unwrap();
    plain.await.unwrap().unwrap();
    assert_eq!(number(late_read.await.unwrap().unwrap()), 2);
}

#[tokio::test]
async fn a_query_locks_what_it_covers_and_nothing_else() {
    let local = Local::start().await;
    for (path, n) in [("c/1", 1), ("c/2", 2), ("c/3", 3)] {
        local.set(path, [("n", int(n))]).await;
    }
    let transaction = local.begin().await;
    let query = from("c").filtered(test("n", Op::LessThan, int(10))).ordered("n").limited(2);
    assert_eq!(query_in(&local, &transaction, query).await, ["c/1", "c/2"]);
    // Not waiting: after the limit, not covered before or after, or elsewhere.
    for (path, n) in [("c/3", 4), ("c/4", 11), ("c/4", 12), ("c/5", 5), ("d/1", 1)] {
        local.set(path, [("n", int(n))]).await;
    }
    let mut waiting = Vec::new();
    for write in [
        write(&local, "c/new", 0),
        write(&local, "c/2", 20),
        write(&local, "c/4", 1),
        remove(local.name("c/1")),
    ] {
        waiting.push(waits(commits(&local, Transaction::new(), write)).await);
    }
    local.rollback(transaction).await.unwrap();
    for call in waiting {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_missing_document_that_was_read_is_locked() {
    let local = Local::start().await;
    let transaction = local.begin().await;
    assert_eq!(local.fields_in(&transaction, "c/d").await.unwrap(), None);
    let creation = waits(commits(&local, Transaction::new(), write(&local, "c/d", 1))).await;
    local.commit_in(transaction, [write(&local, "c/other", 1)]).await.unwrap();
    creation.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_write_that_waits_too_long_is_aborted() {
    let (local, time) = with_clock().await;
    local.set("c/d", [("n", int(1))]).await;
    let reader = local.begin().await;
    local.fields_in(&reader, "c/d").await.unwrap();
    let plain = waits(commits(&local, Transaction::new(), write(&local, "c/d", 2))).await;
    time.fetch_add(19 * SECOND, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!plain.is_finished());
    time.fetch_add(2 * SECOND, Ordering::SeqCst);
    assert_eq!(plain.await.unwrap().unwrap_err().code(), Code::Aborted);
    local.commit_in(reader, [write(&local, "c/d", 3)]).await.unwrap();
    assert_eq!(number(local.fields("c/d").await), 3);
}

#[tokio::test]
async fn a_transaction_expires_after_sixty_idle_seconds_and_releases_its_locks() {
    let (local, time) = with_clock().await;
    local.set("c/d", [("n", int(1))]).await;
    let idle = local.begin().await;
    local.fields_in(&idle, "c/d").await.unwrap();
    time.fetch_add(55 * SECOND, Ordering::SeqCst);
    let plain = waits(commits(&local, Transaction::new(), write(&local, "c/d", 2))).await;
    time.fetch_add(6 * SECOND, Ordering::SeqCst);
    plain.await.unwrap().unwrap();
    let status = local.fields_in(&idle, "c/d").await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = local.commit_in(idle, []).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_transaction_lives_for_270_seconds() {
    let (local, time) = with_clock().await;
    let transaction = local.begin().await;
    for _ in 0..5 {
        time.fetch_add(54 * SECOND, Ordering::SeqCst);
        local.fields_in(&transaction, "c/d").await.unwrap();
    }
    time.fetch_add(SECOND, Ordering::SeqCst);
    let status = local.commit_in(transaction, [write(&local, "c/d", 1)]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_transaction_may_choose_its_concurrency_mode() {
    for (local, mode) in [
        (Local::start().await, ConcurrencyMode::Optimistic),
        (Local::optimistic().await, ConcurrencyMode::Pessimistic),
    ] {
        local.set("c/d", [("n", int(1))]).await;
        let concurrency_mode = mode.into();
        let options = ReadWrite { concurrency_mode, ..ReadWrite::default() };
        let options = TransactionOptions { mode: Some(Mode::ReadWrite(options)) };
        let transaction = local.begin_with(Some(options)).await.unwrap();
        local.fields_in(&transaction, "c/d").await.unwrap();
        let plain = commits(&local, Transaction::new(), write(&local, "c/d", 2));
        let commit = commits(&local, transaction, write(&local, "c/d", 3));
        if mode == ConcurrencyMode::Optimistic {
            plain.await.unwrap();
            assert_eq!(commit.await.unwrap_err().code(), Code::Aborted);
        } else {
            let plain = waits(plain).await;
            commit.await.unwrap();
            plain.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn an_optimistic_transaction_reads_one_state_and_aborts_at_its_commit() {
    let local = Local::optimistic().await;
    local.set("c/a", [("n", int(1))]).await;
    let transaction = local.begin().await;
    // The first read fixes the state, not the begin.
    local.set("c/b", [("n", int(1))]).await;
    assert_eq!(number(local.fields_in(&transaction, "c/a").await.unwrap()), 1);
    for path in ["c/a", "c/b", "c/c"] {
        local.set(path, [("n", int(2))]).await;
    }
    for path in ["c/a", "c/b"] {
        assert_eq!(number(local.fields_in(&transaction, path).await.unwrap()), 1, "{path}");
    }
    assert_eq!(query_in(&local, &transaction, from("c")).await, ["c/a", "c/b"]);
    let status = local.commit_in(transaction, [write(&local, "c/x", 1)]).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
}

/// As the Python SDK does: only the commit is repeated, at most four times, and each repetition
/// names the first attempt.
async fn add_one(client: Client) -> Result<(), Status> {
    let mut first = Transaction::new();
    for attempt in 1.. {
        let again = ReadWrite { retry_transaction: first.clone(), ..ReadWrite::default() };
        let options = TransactionOptions { mode: Some(Mode::ReadWrite(again)) };
        let transaction = client.begin_with(Some(options)).await?;
        if attempt == 1 {
            first.clone_from(&transaction);
        }
        let n = number(client.fields_in(&transaction, "c/d").await?);
        match client.commit_in(transaction, [write(&client, "c/d", n + 1)]).await {
            Err(status) if status.code() == Code::Aborted && attempt < 5 => {}
            outcome => return outcome.map(drop),
        }
    }
    Ok(())
}

#[tokio::test]
async fn eighty_contending_transactions_all_commit() {
    let local = Local::start().await;
    let began = Instant::now();
    let adding = (0..80).map(|_| tokio::spawn(add_one((*local).clone())));
    for outcome in futures::future::join_all(adding).await {
        outcome.unwrap().unwrap();
    }
    assert_eq!(number(local.fields("c/d").await), 80);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
