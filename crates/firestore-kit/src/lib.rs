//! Firestore for any service: values, queries, batches, retries, transactions and pages over the
//! [`firestore`] crate's authenticated channel.
//!
//! A [`Db`] is a connection to one database. Every call has a deadline and an error that names its
//! target. Reads and idempotent writes are retried within a shared budget (see [`RetryPolicy`]); a
//! commit is never repeated blindly. Reads inside a transaction take a [`Transaction`], which only
//! [`Db::in_transaction`] can make.
//!
//! This crate names no collection and no field of any application.

mod batch;
mod bounded;
mod cache;
mod connect;
mod credentials;
mod error;
mod names;
mod page;
mod query;
mod retry;
mod rpc;
mod time;
pub mod tls;
mod transaction;
mod usage;
pub mod value;
pub mod write;

use std::sync::Arc;

use firestore::FirestoreDb;
use firestore::gcloud_sdk::GoogleAuthMiddleware;
use firestore::gcloud_sdk::google::firestore::v1::firestore_client::FirestoreClient;

use retry::Retry;
use time::ServerTime;
use usage::Usage;

pub use firestore::gcloud_sdk::google::firestore::v1 as proto;
pub use firestore::gcloud_sdk::tonic;
pub use prost_types::Timestamp;

pub use batch::{Created, MAX_BATCH};
pub use bounded::{Found, NAMES_IN_FILTER, PAGE_BYTES, fitting};
pub use cache::Cached;
pub use connect::Connection;
pub use credentials::GoogleHeaders;
pub use error::{Error, Result, is_refusal, is_transient, set_remedies};
pub use names::{id_part, is_document_id, name_of_part};
pub use page::{
    DEFAULT_PAGE, InvalidCursor, MAX_PAGE, Page, PageCursor, PageOrder, PageRequest, Unreadable,
};
pub use query::Query;
pub use retry::RetryPolicy;
pub use rpc::{Aggregated, Answers, Sum, Transaction};
pub use transaction::Repeat;
pub use usage::Used;

/// A connection to a database. Cheap to clone; all clones share one channel, one retry budget,
/// and what is known of Firestore's time.
#[derive(Clone)]
pub struct Db {
    client: Client,
    project: Arc<str>,
    /// `projects/PROJECT/databases/DATABASE`.
    database: Arc<str>,
    /// `projects/PROJECT/databases/DATABASE/documents`.
    documents: Arc<str>,
    /// The client of a local Firestore, which shares the channel.
    local: Option<FirestoreDb>,
    retry: Arc<Retry>,
    time: Arc<ServerTime>,
    usage: Arc<Usage>,
    /// How many documents of a kind fit into a page.
    sizes: Arc<bounded::PageSizes>,
}

/// The RPCs, over an authenticated channel.
type Client = FirestoreClient<GoogleAuthMiddleware>;

impl Db {
    /// Waits between attempt number `attempt` and the next one.
    pub async fn pause(&self, attempt: u32) {
        self.retry.wait(attempt).await;
    }

    /// Runs `call` until it succeeds, fails permanently, or uses up its attempts or the budget.
    pub async fn retry<T, F>(&self, call: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.retry.run(call).await
    }

    /// What all clones of this connection have asked of Firestore.
    pub fn used(&self) -> Used {
        Used { retries: self.retry.repeated(), ..self.usage.used() }
    }

    /// The same connection with another retry policy and a separate budget.
    #[must_use]
    pub fn with_retry(self, policy: RetryPolicy) -> Self {
        Self { retry: Arc::new(Retry::new(policy)), ..self }
    }

    /// The client of a local Firestore, for tests and benchmarks that use the protocol directly.
    ///
    /// # Panics
    /// If this is a connection to Google's Firestore.
    pub fn into_inner(self) -> FirestoreDb {
        self.local.expect("a connection to a local Firestore")
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("database", &self.database).finish()
    }
}
