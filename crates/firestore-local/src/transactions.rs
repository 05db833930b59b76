//! Open transactions, until they commit, roll back or expire.
//!
//! A pessimistic transaction locks what it reads, and a write waits for the locks of others. An
//! optimistic transaction reads the state of its first read and waits for nothing. The commit of
//! either is refused with ABORTED if something that it read has changed. Locks prevent that, so it
//! happens only to optimistic transactions.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock};

use tonic::Status;

use crate::ambient;
use crate::engine::{Engine, Life, Lineage, MAX_AGE, ReadSet};
use crate::locks::lock;
use crate::model::path::{Database, DocumentName};
use crate::model::time::Micros;
use crate::proto::transaction_options::{ConcurrencyMode, Mode as Options, read_only};
use crate::proto::{TransactionOptions, transaction_options::ReadWrite};

/// The most ended transactions that are remembered.
const MAX_ENDED: usize = 10_000;

/// How read-write transactions are kept apart, unless a transaction chooses for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Concurrency {
    /// Reads take locks, and writes wait for them. The default of Firestore's standard edition.
    #[default]
    Pessimistic,
    /// Nothing waits; a commit is aborted if something that the transaction read has changed.
    Optimistic,
}

/// The text names no concurrency mode.
#[derive(Debug, thiserror::Error)]
#[error("invalid concurrency mode {0:?}: expected pessimistic or optimistic")]
pub struct ConcurrencyError(String);

impl FromStr for Concurrency {
    type Err = ConcurrencyError;

    fn from_str(text: &str) -> Result<Self, ConcurrencyError> {
        match text {
            "pessimistic" => Ok(Self::Pessimistic),
            "optimistic" => Ok(Self::Optimistic),
            other => Err(ConcurrencyError(other.to_owned())),
        }
    }
}

impl fmt::Display for Concurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pessimistic => "pessimistic",
            Self::Optimistic => "optimistic",
        })
    }
}

#[derive(Clone, Debug)]
pub struct Transaction {
    database: Database,
    pub mode: Mode,
    life: Arc<Life>,
    /// Shared with the attempts that this one repeats, and with those that repeat it.
    lineage: Arc<Lineage>,
}

#[derive(Clone, Debug)]
pub enum Mode {
    ReadOnly(Micros),
    /// Holds locks under an id of the engine.
    Pessimistic {
        reads: Arc<Mutex<ReadSet>>,
        locks: u64,
    },
    /// Reads at the time of its first read.
    Optimistic {
        reads: Arc<Mutex<ReadSet>>,
        read_time: Arc<OnceLock<Micros>>,
    },
}

#[derive(Debug, Default)]
pub struct Transactions {
    concurrency: Concurrency,
    open: Mutex<HashMap<Vec<u8>, Transaction>>,
    ended: Mutex<Ended>,
}

/// Transactions that failed or were rolled back, for as long as one may be repeated.
#[derive(Debug, Default)]
struct Ended {
    by_id: HashMap<Vec<u8>, End>,
    oldest_first: VecDeque<(Micros, Vec<u8>)>,
}

#[derive(Debug)]
struct End {
    database: Database,
    lineage: Arc<Lineage>,
    /// Whether it accepts a rollback, as a transaction does whose commit failed.
    accepts_rollback: bool,
}

impl Transactions {
    pub fn new(concurrency: Concurrency) -> Self {
        Self { concurrency, ..Self::default() }
    }

    pub fn begin(
        &self,
        engine: &Engine,
        database: &Database,
        options: Option<&TransactionOptions>,
    ) -> Result<(Vec<u8>, Transaction), Status> {
        let now = engine.now();
        let life = Arc::new(Life::beginning(now));
        let default = ReadWrite::default();
        let (mode, lineage) = match options.and_then(|options| options.mode.as_ref()) {
            Some(Options::ReadOnly(options)) => {
                let time = match &options.consistency_selector {
                    Some(read_only::ConsistencySelector::ReadTime(time)) => Micros::from(time),
                    None => engine.read_now(),
                };
                engine.check_read_time(time)?;
                (Mode::ReadOnly(time), engine.new_lineage())
            }
            Some(Options::ReadWrite(options)) => self.read_write(engine, options, &life)?,
            None => self.read_write(engine, &default, &life)?,
        };
        let transaction = Transaction { database: database.clone(), mode, life, lineage };
        let id = ambient::random_id().into_bytes().to_vec();
        let mut open = lock(&self.open);
        let gone = open.extract_if(|_, transaction| transaction.life.has_expired(now));
        gone.for_each(|(_, transaction)| transaction.release(engine));
        open.insert(id.clone(), transaction.clone());
        Ok((id, transaction))
    }

    fn read_write(
        &self,
        engine: &Engine,
        options: &ReadWrite,
        life: &Arc<Life>,
    ) -> Result<(Mode, Arc<Lineage>), Status> {
        let lineage = self.lineage(&options.retry_transaction);
        let lineage = lineage.unwrap_or_else(|| engine.new_lineage());
        let concurrency = match ConcurrencyMode::try_from(options.concurrency_mode) {
            Ok(ConcurrencyMode::Unspecified) => self.concurrency,
            Ok(ConcurrencyMode::Pessimistic) => Concurrency::Pessimistic,
            Ok(ConcurrencyMode::Optimistic) => Concurrency::Optimistic,
            Err(_) => {
                return Err(Status::invalid_argument(format!(
                    "Unknown concurrency mode {}",
                    options.concurrency_mode
                )));
            }
        };
        let reads = Arc::default();
        let mode = match concurrency {
            Concurrency::Pessimistic => {
                let locks = engine.open_locks(lineage.clone(), life.clone());
                Mode::Pessimistic { reads, locks }
            }
            Concurrency::Optimistic => Mode::Optimistic { reads, read_time: Arc::default() },
        };
        Ok((mode, lineage))
    }

    /// The lineage of a transaction that is to be repeated.
    fn lineage(&self, id: &[u8]) -> Option<Arc<Lineage>> {
        if id.is_empty() {
            return None;
        }
        let open = lock(&self.open).get(id).map(|transaction| transaction.lineage.clone());
        open.or_else(|| lock(&self.ended).by_id.get(id).map(|end| end.lineage.clone()))
    }

    /// Returns the open transaction with this id.
    pub fn get(
        &self,
        engine: &Engine,
        database: &Database,
        id: &[u8],
    ) -> Result<Transaction, Status> {
        let now = engine.now();
        let open = lock(&self.open);
        match open.get(id) {
            Some(transaction)
                if transaction.database == *database && !transaction.life.has_expired(now) =>
            {
                transaction.life.touch(now);
                Ok(transaction.clone())
            }
            _ => Err(unknown()),
        }
    }

    /// Rolls back a transaction. SDKs also do this after a failed commit. If that rollback were
    /// refused, the Python SDK would report the refusal and hide why the commit failed.
    pub fn rollback(&self, engine: &Engine, database: &Database, id: &[u8]) -> Result<(), Status> {
        if let Some(end) = lock(&self.ended).by_id.get_mut(id)
            && end.database == *database
            && std::mem::take(&mut end.accepts_rollback)
        {
            return Ok(());
        }
        let transaction = self.end(engine, database, id)?;
        transaction.release(engine);
        self.remember(engine, id, transaction, false);
        Ok(())
    }

    /// Records that the commit of an ended transaction failed, and what it wrote.
    pub fn fail(
        &self,
        engine: &Engine,
        id: &[u8],
        transaction: Transaction,
        names: &[DocumentName],
    ) {
        transaction.lineage.intend(names);
        self.remember(engine, id, transaction, true);
    }

    fn remember(
        &self,
        engine: &Engine,
        id: &[u8],
        transaction: Transaction,
        accepts_rollback: bool,
    ) {
        let now = engine.now();
        let Transaction { database, lineage, .. } = transaction;
        let mut ended = lock(&self.ended);
        ended.by_id.insert(id.to_vec(), End { database, lineage, accepts_rollback });
        ended.oldest_first.push_back((now, id.to_vec()));
        while let Some((since, _)) = ended.oldest_first.front()
            && (now.0 - since.0 > MAX_AGE.0 || ended.oldest_first.len() > MAX_ENDED)
            && let Some((_, id)) = ended.oldest_first.pop_front()
        {
            ended.by_id.remove(&id);
        }
    }

    /// Ends a transaction, and returns it.
    pub fn end(
        &self,
        engine: &Engine,
        database: &Database,
        id: &[u8],
    ) -> Result<Transaction, Status> {
        let transaction = self.get(engine, database, id)?;
        lock(&self.open).remove(id).ok_or_else(unknown)?;
        Ok(transaction)
    }
}

impl Transaction {
    fn release(&self, engine: &Engine) {
        if let Mode::Pessimistic { locks, .. } = &self.mode {
            engine.release_locks(*locks);
        }
    }
}

fn unknown() -> Status {
    Status::invalid_argument("The referenced transaction has expired or is no longer valid")
}
