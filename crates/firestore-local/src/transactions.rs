//! Open transactions and their read sets, until they commit, roll back or expire.
//!
//! Transactions are optimistic: no transaction waits for another. The commit of a read-write
//! transaction is refused with ABORTED if anything that it read has changed, which makes
//! transactions serializable. Firestore itself uses locks, and refuses with the same code when a
//! lock would deadlock or take too long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tonic::Status;

use crate::ambient;
use crate::engine::{Engine, ReadSet};
use crate::locks::lock;
use crate::model::path::Database;
use crate::model::time::Micros;
use crate::proto::{TransactionOptions, transaction_options};

/// Firestore's limits on the age and the idle time of a transaction.
const MAX_AGE: Duration = Duration::from_secs(270);
const MAX_IDLE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub struct Transaction {
    database: Database,
    pub mode: Mode,
    began: Instant,
    used: Instant,
}

#[derive(Clone, Debug)]
pub enum Mode {
    ReadOnly(Micros),
    ReadWrite(Arc<Mutex<ReadSet>>),
}

#[derive(Debug, Default)]
pub struct Transactions {
    open: Mutex<HashMap<Vec<u8>, Transaction>>,
    /// Transactions whose commit failed, and when. They accept only a rollback.
    failed: Mutex<HashMap<Vec<u8>, Instant>>,
}

impl Transactions {
    pub fn begin(
        &self,
        engine: &Engine,
        database: &Database,
        options: Option<&TransactionOptions>,
    ) -> Result<(Vec<u8>, Transaction), Status> {
        let mode = match options.and_then(|options| options.mode.as_ref()) {
            Some(transaction_options::Mode::ReadOnly(options)) => {
                let time = match &options.consistency_selector {
                    Some(transaction_options::read_only::ConsistencySelector::ReadTime(time)) => {
                        Micros::from(time)
                    }
                    None => engine.read_time(),
                };
                engine.check_read_time(time)?;
                Mode::ReadOnly(time)
            }
            _ => Mode::ReadWrite(Arc::default()),
        };
        let now = ambient::monotonic();
        let transaction = Transaction { database: database.clone(), mode, began: now, used: now };
        let id = ambient::random_id().into_bytes().to_vec();
        let mut open = lock(&self.open);
        open.retain(|_, transaction| !transaction.expired(now));
        open.insert(id.clone(), transaction.clone());
        Ok((id, transaction))
    }

    /// Returns the open transaction with this id.
    pub fn get(&self, database: &Database, id: &[u8]) -> Result<Transaction, Status> {
        let now = ambient::monotonic();
        let mut open = lock(&self.open);
        match open.get_mut(id) {
            Some(transaction) if transaction.database == *database && !transaction.expired(now) => {
                transaction.used = now;
                Ok(transaction.clone())
            }
            _ => Err(unknown()),
        }
    }

    /// Rolls back a transaction. SDKs also do this after a failed commit. If that rollback were
    /// refused, the Python SDK would report the refusal and hide why the commit failed.
    pub fn rollback(&self, database: &Database, id: &[u8]) -> Result<(), Status> {
        match lock(&self.failed).remove(id) {
            Some(_) => Ok(()),
            None => self.end(database, id).map(drop),
        }
    }

    /// Records that the commit of an ended transaction failed.
    pub fn fail(&self, id: &[u8]) {
        let now = ambient::monotonic();
        let mut failed = lock(&self.failed);
        failed.retain(|_, since| now.duration_since(*since) <= MAX_IDLE);
        failed.insert(id.to_vec(), now);
    }

    /// Ends a transaction, and returns it.
    pub fn end(&self, database: &Database, id: &[u8]) -> Result<Transaction, Status> {
        let transaction = self.get(database, id)?;
        lock(&self.open).remove(id);
        Ok(transaction)
    }
}

impl Transaction {
    fn expired(&self, now: Instant) -> bool {
        now.duration_since(self.began) > MAX_AGE || now.duration_since(self.used) > MAX_IDLE
    }
}

fn unknown() -> Status {
    Status::invalid_argument("The referenced transaction has expired or is no longer valid")
}
