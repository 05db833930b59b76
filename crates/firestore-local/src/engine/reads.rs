//! The read set of a transaction. Its commit is refused if anything in the read set has changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tonic::Status;

use super::lock_table::QueryLock;
use super::shared::Shared;
use super::snapshot::{Answer, Tables};
use crate::locks::read;
use crate::model::query::Query;
use crate::model::time::{Micros, update_time};
use crate::proto::Document;

/// A document and its version.
type Version = (String, Micros);

/// What a read in a read-write transaction records.
#[derive(Clone, Debug)]
pub struct Recording {
    pub set: Arc<Mutex<ReadSet>>,
    /// The lock on what a query covers, in a pessimistic transaction.
    pub lock: Option<Arc<QueryLock>>,
}

#[derive(Debug, Default)]
pub struct ReadSet {
    /// By key: the update time, or `None` if there was no document.
    documents: HashMap<Vec<u8>, Option<Micros>>,
    queries: Vec<QueryRead>,
}

#[derive(Debug)]
struct QueryRead {
    query: Query,
    seen: Vec<Version>,
    as_of: Micros,
}

pub fn version(document: &Document) -> Version {
    (document.name.clone(), update_time(document))
}

/// The answer to a transaction that lost a conflict.
pub fn contention() -> Status {
    Status::aborted(
        "Too much contention on these documents. Please try again. (The transaction was aborted \
         because data that it read has changed.)",
    )
}

impl ReadSet {
    /// Records the first version that was read of a document. If a later read sees another
    /// version, [`validate`] fails.
    ///
    /// [`validate`]: Self::validate
    pub fn add_document(&mut self, key: Vec<u8>, document: Option<&Document>) {
        self.documents.entry(key).or_insert_with(|| document.map(update_time));
    }

    pub fn add_query(&mut self, query: Query, seen: Vec<Version>, as_of: Micros) {
        self.queries.push(QueryRead { query, seen, as_of });
    }

    /// Checks that nothing in the read set has changed.
    pub fn validate<T: Tables>(&self, shared: &Shared, tables: &T) -> Result<(), Status> {
        for (key, seen) in &self.documents {
            let stored = tables.stored(key)?;
            if stored.as_ref().map(update_time) != *seen {
                return Err(contention());
            }
        }
        self.queries.iter().try_for_each(|read| read.validate(shared, tables))
    }
}

impl QueryRead {
    fn validate<T: Tables>(&self, shared: &Shared, tables: &T) -> Result<(), Status> {
        let scope = &self.query.scope;
        if scope.collection.is_some() && !scope.all_descendants {
            let changed = read(&shared.last_changes).get(&scope.key_prefix()).copied();
            if changed.is_none_or(|changed| changed <= self.as_of) {
                return Ok(());
            }
        }
        let mut again = Vec::with_capacity(self.seen.len());
        let answer = tables.run(shared, &self.query, true, &mut |document| {
            again.push(version(&document));
            again.len() <= self.seen.len()
        })?;
        debug_assert!(matches!(answer, Answer::Done { .. }), "a scan needs no index");
        if again == self.seen { Ok(()) } else { Err(contention()) }
    }
}
