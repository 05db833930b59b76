//! Transactions: read, decide, write, and begin again from the reads where somebody else was
//! first.

use firestore::gcloud_sdk::google::firestore::v1::Write;
use firestore::gcloud_sdk::tonic::Code;

use crate::Db;
use crate::error::{Error, Result, is_transient};
use crate::rpc::TransactionId;

/// Attempts before a contended transaction gives up: with the delays between them some six
/// seconds, in which eight rivals on one policy have all had their turn.
const MAX_ATTEMPTS: u32 = 8;

/// After what a transaction may be run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Only after ABORTED, which says that nothing was applied.
    Aborted,
    /// Also after an answer that was lost: the body recognises its own commit, should it have
    /// landed.
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
    /// Runs `body` in a transaction: it reads with the id it is given and returns the writes to
    /// commit with its result; no writes, and the transaction is rolled back. The whole is run
    /// again as `repeat` allows, so `body` must have no effect of its own.
    pub async fn in_transaction<T, F>(
        &self,
        target: &str,
        repeat: Repeat,
        mut body: impl FnMut(TransactionId) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<(Vec<Write>, T)>>,
    {
        let mut attempt = 1;
        loop {
            match self.attempt(target, &mut body).await {
                Err(error) if repeat.allows(&error) && attempt < MAX_ATTEMPTS => {
                    self.retry.wait(attempt).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn attempt<T, F>(
        &self,
        target: &str,
        body: &mut impl FnMut(TransactionId) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<(Vec<Write>, T)>>,
    {
        let transaction = self.begin().await?;
        match body(transaction.clone()).await {
            Ok((writes, result)) if writes.is_empty() => {
                self.rollback(transaction).await;
                Ok(result)
            }
            Ok((writes, result)) => {
                self.commit(target, writes, Some(transaction)).await?;
                Ok(result)
            }
            Err(error) => {
                self.rollback(transaction).await;
                Err(error)
            }
        }
    }
}
