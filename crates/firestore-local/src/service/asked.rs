//! What was asked: the queries that a client made, for tests of what indexes they need.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::proto::StructuredQuery;

/// Queries are kept once somebody wants them; an aggregation counts as the query that it is over.
#[derive(Debug, Default)]
pub struct Asked {
    wanted: AtomicBool,
    queries: Mutex<Vec<StructuredQuery>>,
}

impl Asked {
    pub fn record(&self, query: &StructuredQuery) {
        if self.wanted.load(Ordering::Relaxed)
            && let Ok(mut queries) = self.queries.lock()
        {
            queries.push(query.clone());
        }
    }

    /// Keeps what is asked from now on; what was kept before is forgotten.
    pub fn begin(&self) {
        self.take();
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// What was asked since.
    pub fn take(&self) -> Vec<StructuredQuery> {
        self.queries.lock().map(|mut queries| std::mem::take(&mut *queries)).unwrap_or_default()
    }
}
