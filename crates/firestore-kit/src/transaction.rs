//! Transactions: read, decide, write; if another writer was first, repeat from the reads.

use firestore::gcloud_sdk::google::firestore::v1::Write;
use firestore::gcloud_sdk::tonic::Code;

use crate::Db;
use crate::error::{Error, Result, is_transient};
use crate::rpc::Transaction;

/// Attempts before a contended transaction fails. With the delays between them this takes about six
/// seconds, enough for eight writers that contend for the same documents.
const MAX_ATTEMPTS: u32 = 8;

/// The failures after which a transaction may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Only ABORTED, which means that nothing was applied.
    Aborted,
    /// Also a lost response: the body recognises its own commit if that was applied.
    Idempotent,
}

impl Repeat {
    fn allows(self, error: &Error) -> bool {
        match (self, error.code()) {
            (_, Some(Code::Aborted)) => true,
            (Self::Idempotent, Some(code)) => is_transient(code),
            _ => false,
        }
    }
}

impl Db {
    /// Runs `body` in a transaction. It reads with the [`Transaction`] and returns its result with
    /// the writes to commit; without writes, the transaction is rolled back. All of it may be
    /// repeated as `repeat` allows, so `body` must have no other effect.
    pub async fn in_transaction<T, F>(
        &self,
        target: &str,
        repeat: Repeat,
        mut body: impl FnMut(Transaction) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<(Vec<Write>, T)>>,
    {
        let mut attempt = 1;
        let mut last = None;
        loop {
            match self.attempt(target, &mut body, &mut last).await {
                Err(error) if repeat.allows(&error) && attempt < MAX_ATTEMPTS => {
                    self.retry.wait(attempt).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// One attempt. `last` is the transaction of the previous attempt, and then of this one.
    async fn attempt<T, F>(
        &self,
        target: &str,
        body: &mut impl FnMut(Transaction) -> F,
        last: &mut Option<Transaction>,
    ) -> Result<T>
    where
        F: Future<Output = Result<(Vec<Write>, T)>>,
    {
        let transaction = self.begin(last.as_ref()).await?;
        *last = Some(transaction.same());
        match body(transaction.same()).await {
            Ok((writes, result)) if writes.is_empty() => {
                self.rollback(transaction).await;
                Ok(result)
            }
            Ok((writes, result)) => {
                let open = transaction.same();
                if let Err(error) = self.commit_in(target, writes, transaction).await {
                    // A commit that did not arrive leaves the transaction open, with its locks.
                    let arrived = |code| code == Code::Aborted || !is_transient(code);
                    if !error.code().is_some_and(arrived) {
                        self.rollback(open).await;
                    }
                    return Err(error);
                }
                Ok(result)
            }
            Err(error) => {
                self.rollback(transaction).await;
                Err(error)
            }
        }
    }
}
