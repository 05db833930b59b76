//! Transactions: read, decide, write, and begin again from the reads where somebody else was
//! first.

use firestore::gcloud_sdk::google::firestore::v1::Write;
use firestore::gcloud_sdk::tonic::Code;

use super::error::Result;
use super::rpc::TransactionId;
use super::{Store, retry};

/// Attempts before a contended transaction gives up; the caller's next pass tries again anyway.
const MAX_ATTEMPTS: u32 = 5;

impl Store {
    /// Runs `body` in a transaction: it reads with the id it is given and returns the writes to
    /// commit with its result; no writes, and the transaction is rolled back. The whole is run
    /// again where Firestore aborted it, so `body` must have no effect of its own.
    pub(super) async fn in_transaction<T, F>(
        &self,
        target: &str,
        mut body: impl FnMut(TransactionId) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<(Vec<Write>, T)>>,
    {
        let mut attempt = 1;
        loop {
            match self.attempt(target, &mut body).await {
                Err(error) if error.code() == Some(Code::Aborted) && attempt < MAX_ATTEMPTS => {
                    tokio::time::sleep(retry::delay(attempt, rand::random())).await;
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
