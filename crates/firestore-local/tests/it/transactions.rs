//! Transactions: serializable under concurrency, and ABORTED if that is impossible.
//!
//! What conflicts is tested with optimistic transactions, of which none waits for another. These
//! tests do not check which of two transactions wins, only that the result could come from running
//! them one after the other. `locks.rs` tests who waits for whom.

use tonic::Code;

use crate::support::Local;
use crate::support::calls::read_only;
use crate::support::queries::*;
use crate::support::v1::batch_get_documents_request::ConsistencySelector as BatchSelector;
use crate::support::v1::batch_get_documents_response::Result as Found;
use crate::support::v1::run_query_request::ConsistencySelector;
use crate::support::v1::transaction_options::{Mode, ReadWrite};
use crate::support::v1::{
    BatchGetDocumentsRequest, GetDocumentRequest, TransactionOptions, get_document_request,
};
use crate::support::values::*;
use crate::support::writes::{When, exists, increment, put, remove, transform};

fn number(stored: Option<Fields>) -> i64 {
    stored.unwrap_or_default().get("n").map_or(0, integer)
}

#[tokio::test]
async fn the_writes_of_a_transaction_are_visible_once_it_commits() {
    let local = Local::start().await;
    let transaction = local.begin().await;
    assert!(!transaction.is_empty());
    assert_eq!(local.fields_in(&transaction, "c/d").await.unwrap(), None);
    let answer = local.commit_in(transaction, [put(local.name("c/d"), fields([("n", int(1))]))]);
    let answer = answer.await.unwrap();
    assert_eq!(local.get("c/d").await.unwrap().update_time, answer.commit_time);
}

#[tokio::test]
async fn one_of_two_transactions_that_read_and_write_the_same_document_is_aborted() {
    let local = Local::optimistic().await;
    local.set("c/d", [("n", int(1))]).await;
    let (first, second) = (local.begin().await, local.begin().await);
    let mut wins = 0;
    for transaction in [&first, &second] {
        assert_eq!(number(local.fields_in(transaction, "c/d").await.unwrap()), 1);
    }
    for transaction in [first, second] {
        let write = put(local.name("c/d"), fields([("n", int(2))]));
        match local.commit_in(transaction, [write]).await {
            Ok(_) => wins += 1,
            Err(status) => assert_eq!(status.code(), Code::Aborted),
        }
    }
    assert_eq!(wins, 1);
}

#[tokio::test]
async fn a_missing_document_that_was_read_and_then_created_aborts() {
    let local = Local::optimistic().await;
    let transaction = local.begin().await;
    assert_eq!(local.fields_in(&transaction, "c/d").await.unwrap(), None);
    local.set("c/d", [("n", int(1))]).await;
    let write = put(local.name("c/other"), fields([]));
    let status = local.commit_in(transaction, [write]).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!(local.fields("c/other").await, None);
}

#[tokio::test]
async fn a_document_that_was_read_and_then_deleted_aborts() {
    let local = Local::optimistic().await;
    local.set("c/d", [("n", int(1))]).await;
    let transaction = local.begin().await;
    local.fields_in(&transaction, "c/d").await.unwrap();
    local.commit([remove(local.name("c/d"))]).await.unwrap();
    let write = put(local.name("c/other"), fields([]));
    let status = local.commit_in(transaction, [write]).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
}

#[tokio::test]
async fn changes_of_unread_documents_do_not_abort_a_transaction() {
    let local = Local::start().await;
    local.set("c/d", [("n", int(1))]).await;
    let transaction = local.begin().await;
    local.fields_in(&transaction, "c/d").await.unwrap();
    local.set("c/other", [("n", int(1))]).await;
    local.set("elsewhere/d", [("n", int(1))]).await;
    let write = put(local.name("c/d"), fields([("n", int(2))]));
    local.commit_in(transaction, [write]).await.unwrap();
}

/// Two doctors are on call; each may leave if the other stays.
#[tokio::test]
async fn write_skew_is_prevented() {
    let local = Local::optimistic().await;
    local.set("c/a", [("n", int(1))]).await;
    local.set("c/b", [("n", int(1))]).await;
    let (first, second) = (local.begin().await, local.begin().await);
    for transaction in [&first, &second] {
        for path in ["c/a", "c/b"] {
            assert_eq!(number(local.fields_in(transaction, path).await.unwrap()), 1);
        }
    }
    let mut left = 0;
    for (transaction, path) in [(first, "c/a"), (second, "c/b")] {
        let write = put(local.name(path), fields([("n", int(0))]));
        match local.commit_in(transaction, [write]).await {
            Ok(_) => left += 1,
            Err(status) => assert_eq!(status.code(), Code::Aborted),
        }
    }
    assert_eq!(left, 1);
}

#[tokio::test]
async fn phantoms_are_prevented() {
    let query = || from("c").filtered(equal("n", int(1)));
    for (what, disturbs) in [("c/new", true), ("c/no match", false), ("other/new", false)] {
        let local = Local::optimistic().await;
        local.set("c/d", [("n", int(1))]).await;
        let transaction = local.begin().await;
        let selector = ConsistencySelector::Transaction(transaction.clone());
        let seen = local.paths_with(query(), Some(selector)).await.unwrap();
        assert_eq!(seen, ["c/d"]);
        let n = if what == "c/no match" { 2 } else { 1 };
        local.set(what, [("n", int(n))]).await;
        let outcome = local.commit_in(transaction, [put(local.name("sum/d"), fields([]))]).await;
        if disturbs {
            assert_eq!(outcome.unwrap_err().code(), Code::Aborted, "{what}");
        } else {
            // Range locks may be wider than the query, so that an abort is allowed here.
            let code = outcome.err().map(|status| status.code());
            assert!(matches!(code, None | Some(Code::Aborted)), "{what}: {code:?}");
        }
    }
}

#[tokio::test]
async fn a_document_that_leaves_the_result_of_a_read_query_aborts() {
    for by_delete in [true, false] {
        let local = Local::optimistic().await;
        local.set("c/d", [("n", int(1))]).await;
        let transaction = local.begin().await;
        let selector = ConsistencySelector::Transaction(transaction.clone());
        local.paths_with(from("c").ordered("n").limited(1), Some(selector)).await.unwrap();
        if by_delete {
            local.commit([remove(local.name("c/d"))]).await.unwrap();
        } else {
            local.set("c/d", [("m", int(1))]).await;
        }
        let write = put(local.name("sum/d"), fields([]));
        let status = local.commit_in(transaction, [write]).await.unwrap_err();
        assert_eq!(status.code(), Code::Aborted);
    }
}

#[tokio::test]
async fn a_transaction_never_sees_two_states() {
    let local = Local::optimistic().await;
    local.set("c/a", [("n", int(1))]).await;
    local.set("c/b", [("n", int(1))]).await;
    let transaction = local.begin().await;
    assert_eq!(number(local.fields_in(&transaction, "c/a").await.unwrap()), 1);
    let both = ["c/a", "c/b"].map(|path| put(local.name(path), fields([("n", int(2))])));
    local.commit(both).await.unwrap();
    match local.fields_in(&transaction, "c/b").await {
        Ok(stored) => assert_eq!(number(stored), 1, "together with n = 1 of the other"),
        Err(status) => assert_eq!(status.code(), Code::Aborted),
    }
}

#[tokio::test]
async fn concurrent_transactions_with_retries_count_exactly() {
    for local in [Local::start().await, Local::optimistic().await] {
        let counters = (0..8).map(|_| {
            let client = local.clone();
            tokio::spawn(async move {
                let mut done = 0;
                while done < 10 {
                    let transaction = client.begin().await;
                    let stored = client.fields_in(&transaction, "c/d").await.unwrap();
                    let next = fields([("n", int(number(stored) + 1))]);
                    match client.commit_in(transaction, [put(client.name("c/d"), next)]).await {
                        Ok(_) => done += 1,
                        Err(status) => assert_eq!(status.code(), Code::Aborted),
                    }
                }
            })
        });
        for outcome in futures::future::join_all(counters).await {
            outcome.unwrap();
        }
        assert_eq!(number(local.fields("c/d").await), 80);
    }
}

#[tokio::test]
async fn a_transaction_applies_all_writes_or_none() {
    let local = Local::start().await;
    let transaction = local.begin().await;
    let writes = [
        put(local.name("c/a"), fields([])),
        transform(local.name("c/b"), [increment("n", int(1))]).when(exists(true)),
    ];
    let status = local.commit_in(transaction, writes).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(local.fields("c/a").await, None);
}

#[tokio::test]
async fn a_rolled_back_transaction_cannot_be_used() {
    let local = Local::start().await;
    let transaction = local.begin().await;
    local.rollback(transaction.clone()).await.unwrap();
    let write = put(local.name("c/d"), fields([]));
    let status = local.commit_in(transaction.clone(), [write]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = local.fields_in(&transaction, "c/d").await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(local.fields("c/d").await, None);
}

#[tokio::test]
async fn a_transaction_commits_once() {
    let local = Local::start().await;
    let transaction = local.begin().await;
    local.commit_in(transaction.clone(), [put(local.name("c/d"), fields([]))]).await.unwrap();
    let status = local.commit_in(transaction, [remove(local.name("c/d"))]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(local.fields("c/d").await, Some(fields([])));
}

#[tokio::test]
async fn unknown_transaction_ids_are_refused() {
    let local = Local::start().await;
    let unknown = b"no transaction".to_vec();
    let status = local.commit_in(unknown.clone(), []).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(local.rollback(unknown.clone()).await.unwrap_err().code(), Code::InvalidArgument);
    let request = GetDocumentRequest {
        name: local.name("c/d"),
        consistency_selector: Some(get_document_request::ConsistencySelector::Transaction(unknown)),
        ..Default::default()
    };
    let status = local.api().get_document(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let elsewhere = local.project("demo-other").await.begin().await;
    let status = local.commit_in(elsewhere, []).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_read_only_transaction_sees_one_state_and_cannot_write() {
    let local = Local::start().await;
    local.set("c/d", [("n", int(1))]).await;
    let transaction = local.begin_with(Some(read_only(None))).await.unwrap();
    local.set("c/d", [("n", int(2))]).await;
    local.set("c/e", [("n", int(2))]).await;
    assert_eq!(number(local.fields_in(&transaction, "c/d").await.unwrap()), 1);
    assert_eq!(local.fields_in(&transaction, "c/e").await.unwrap(), None);
    let selector = ConsistencySelector::Transaction(transaction.clone());
    assert_eq!(local.paths_with(from("c"), Some(selector)).await.unwrap(), ["c/d"]);
    let write = put(local.name("c/d"), fields([]));
    let status = local.commit_in(transaction, [write]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(number(local.fields("c/d").await), 2);
}

#[tokio::test]
async fn a_read_only_transaction_may_read_at_a_time_and_commit_without_writes() {
    let local = Local::start().await;
    let then = local.set("c/d", [("n", int(1))]).await;
    local.set("c/d", [("n", int(2))]).await;
    let transaction = local.begin_with(Some(read_only(Some(then)))).await.unwrap();
    assert_eq!(number(local.fields_in(&transaction, "c/d").await.unwrap()), 1);
    local.commit_in(transaction, []).await.unwrap();
}

#[tokio::test]
async fn a_read_may_begin_the_transaction() {
    let local = Local::optimistic().await;
    local.set("c/d", [("n", int(1))]).await;
    let read_write = TransactionOptions { mode: Some(Mode::ReadWrite(ReadWrite::default())) };
    let request = BatchGetDocumentsRequest {
        database: local.database(),
        documents: vec![local.name("c/d")],
        consistency_selector: Some(BatchSelector::NewTransaction(read_write.clone())),
        ..Default::default()
    };
    let mut stream = local.api().batch_get_documents(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().expect("a first answer");
    assert!(!first.transaction.is_empty(), "the first answer names the transaction");
    let mut found = Vec::from_iter(first.result);
    while let Some(answer) = stream.message().await.unwrap() {
        assert!(answer.transaction.is_empty(), "and only the first");
        found.extend(answer.result);
    }
    assert!(matches!(&found[..], [Found::Found(document)] if document.name == local.name("c/d")));
    local.set("c/d", [("n", int(2))]).await;
    let write = put(local.name("c/d"), fields([]));
    let status = local.commit_in(first.transaction, [write]).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);

    for query in [from("c"), from("nothing here")] {
        let selector = ConsistencySelector::NewTransaction(read_write.clone());
        let answers = local.answers("", query, Some(selector)).await.unwrap();
        let transaction = answers[0].transaction.clone();
        assert!(!transaction.is_empty());
        local.commit_in(transaction, [put(local.name("c/e"), fields([]))]).await.unwrap();
    }
}

#[tokio::test]
async fn a_retry_may_name_the_previous_transaction() {
    let local = Local::start().await;
    let retry_transaction = local.begin().await;
    local.rollback(retry_transaction.clone()).await.unwrap();
    let again = ReadWrite { retry_transaction, ..ReadWrite::default() };
    let options = TransactionOptions { mode: Some(Mode::ReadWrite(again)) };
    let transaction = local.begin_with(Some(options)).await.unwrap();
    local.commit_in(transaction, [put(local.name("c/d"), fields([]))]).await.unwrap();
}
