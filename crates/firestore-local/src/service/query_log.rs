//! The queries that clients made, for tests that check which indexes they need.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::proto::StructuredQuery;

/// Records queries once it is started. An aggregation counts as the query that it runs over.
#[derive(Debug, Default)]
pub struct QueryLog {
    enabled: AtomicBool,
    queries: Mutex<Vec<StructuredQuery>>,
}

impl QueryLog {
    pub fn record(&self, query: &StructuredQuery) {
        if self.enabled.load(Ordering::Relaxed)
            && let Ok(mut queries) = self.queries.lock()
        {
            queries.push(query.clone());
        }
    }

    /// Discards the recorded queries, and records from now on.
    pub fn start(&self) {
        self.take();
        self.enabled.store(true, Ordering::Relaxed);
    }

    /// Takes the queries recorded so far.
    pub fn take(&self) -> Vec<StructuredQuery> {
        self.queries.lock().map(|mut queries| std::mem::take(&mut *queries)).unwrap_or_default()
    }
}
