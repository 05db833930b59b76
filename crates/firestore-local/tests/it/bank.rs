//! Serializability: many clients transfer money between accounts while others read the accounts.
//! The total never changes for any reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use firestore_local::Server;
use tonic::{Code, Status};

use crate::support::calls::read_only;
use crate::support::queries::*;
use crate::support::random::Random;
use crate::support::v1::Document;
use crate::support::v1::run_query_request::ConsistencySelector;
use crate::support::values::*;
use crate::support::writes::put;
use crate::support::{Client, Local};

const ACCOUNTS: usize = 5;
const TOTAL: i64 = 500;
const CLERKS: u64 = 4;
const TRANSFERS: usize = 25;

fn balance(document: &Document) -> i64 {
    integer(&document.fields["balance"])
}

/// The accounts that are not empty, richest first, as a transaction sees them.
async fn accounts_in(client: &Client, transaction: &[u8]) -> Result<Vec<Document>, Status> {
    let query = from("accounts").filtered(test("balance", Op::GreaterThan, int(0)));
    let selector = ConsistencySelector::Transaction(transaction.to_vec());
    let answers = client.answers("", query.descending("balance"), Some(selector)).await?;
    Ok(answers.into_iter().filter_map(|answer| answer.document).collect())
}

/// Transfers a part of the richest account's balance to a random account; returns false if that is
/// the same account.
async fn transfer(client: &Client, random: &mut Random) -> Result<bool, Status> {
    let transaction = client.begin().await;
    let accounts = accounts_in(client, &transaction).await?;
    let total: i64 = accounts.iter().map(balance).sum();
    let from = accounts.first().expect("an account with money");
    let to = client.name(&format!("accounts/{}", random.below(ACCOUNTS)));
    if to == from.name {
        client.rollback(transaction).await?;
        return Ok(false);
    }
    let amount = 1 + i64::try_from(random.below(usize::try_from(balance(from)).unwrap())).unwrap();
    let had = accounts.iter().find(|account| account.name == to).map_or(0, balance);
    let writes = [
        put(from.name.clone(), fields([("balance", int(balance(from) - amount))])),
        put(to, fields([("balance", int(had + amount))])),
    ];
    client.commit_in(transaction, writes).await?;
    // Only a transaction that commits must have seen a consistent state.
    assert_eq!(total, TOTAL);
    Ok(true)
}

async fn work(client: Client, seed: u64) {
    let mut random = Random::seeded(seed);
    let mut done = 0;
    while done < TRANSFERS {
        match transfer(&client, &mut random).await {
            Ok(moved) => done += usize::from(moved),
            Err(status) => assert_eq!(status.code(), Code::Aborted, "{status}"),
        }
    }
}

/// Reads all accounts, in a transaction and with a plain query, until the clerks are done.
async fn audit(client: Client, closed: Arc<AtomicBool>) {
    while !closed.load(Ordering::SeqCst) {
        let transaction = client.begin_with(Some(read_only(None))).await.unwrap();
        let accounts = accounts_in(&client, &transaction).await.unwrap();
        assert_eq!(accounts.iter().map(balance).sum::<i64>(), TOTAL);
        let now = client.query(from("accounts")).await.unwrap();
        assert_eq!(now.iter().map(balance).sum::<i64>(), TOTAL);
        let summed = client.aggregate(from("accounts"), [sum("total", "balance")]).await.unwrap();
        assert_eq!(summed["total"], int(TOTAL));
    }
}

#[tokio::test]
async fn every_reader_sees_the_same_total_during_transfers() {
    for index_threshold in [0, usize::MAX - 1] {
        let local = Local::of(Server::builder().index_threshold(index_threshold)).await;
        let opening = (0..ACCOUNTS).map(|account| {
            let share = TOTAL / i64::try_from(ACCOUNTS).unwrap();
            put(local.name(&format!("accounts/{account}")), fields([("balance", int(share))]))
        });
        local.commit(opening).await.unwrap();
        let closed = Arc::new(AtomicBool::new(false));
        let auditor = tokio::spawn(audit(local.clone(), closed.clone()));
        let clerks = (0..CLERKS).map(|seed| tokio::spawn(work(local.clone(), seed)));
        for clerk in futures::future::join_all(clerks).await {
            clerk.unwrap();
        }
        closed.store(true, Ordering::SeqCst);
        auditor.await.unwrap();
    }
}
