//! Firestore for any service: values, queries, batches, retries, transactions and pages over the
//! [`firestore`] crate's authenticated channel.
//!
//! A [`Db`] is a connection to one database. Every call has a deadline and an error that names its
//! target. Reads and repeatable writes are retried within a shared budget (see [`RetryPolicy`]); a
//! commit is never repeated blindly.
//!
//! This crate knows no collection and no field of any application.

mod batch;
mod cache;
mod connect;
mod error;
mod names;
mod page;
mod query;
mod retry;
mod rpc;
pub mod tls;
mod transaction;
pub mod value;
pub mod write;

use std::sync::Arc;

use firestore::FirestoreDb;

use retry::Retry;

pub use firestore::gcloud_sdk::google::firestore::v1 as proto;
pub use firestore::gcloud_sdk::tonic;
pub use prost_types::Timestamp;

pub use batch::{Created, MAX_BATCH};
pub use cache::Cached;
pub use connect::{Connection, LOCAL_PROJECT};
pub use error::{Error, Result, is_refusal, is_transient};
pub use names::id_part;
pub use page::{
    DEFAULT_PAGE, InvalidCursor, MAX_PAGE, Page, PageCursor, PageRequest, by_name, newest_first,
};
pub use query::Query;
pub use retry::RetryPolicy;
pub use rpc::{Sum, TransactionId};
pub use transaction::Repeat;

/// A connection to a database. Cheap to clone; all clones share one channel and one retry budget.
#[derive(Clone)]
pub struct Db {
    db: FirestoreDb,
    retry: Arc<Retry>,
}

impl Db {
    /// Waits before attempt number `attempt + 1` of a call that failed transiently.
    pub async fn pause(&self, attempt: u32) {
        self.retry.wait(attempt).await;
    }

    /// Runs `call` until it succeeds, fails permanently, or uses up its attempts or the budget.
    pub async fn repeat<T, F>(&self, call: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.retry.repeat(call).await
    }

    /// The same connection with another retry policy and a budget of its own.
    #[must_use]
    pub fn with_retry(self, policy: RetryPolicy) -> Self {
        Self { retry: Arc::new(Retry::new(policy)), ..self }
    }

    /// The underlying client, for callers that speak the protocol themselves.
    pub fn into_inner(self) -> FirestoreDb {
        self.db
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("database", self.db.get_database_path()).finish()
    }
}
