//! The state that a read sees: the latest one, the one at a time, or that of a transaction.

use tonic::Status;

use super::Service;
use crate::engine::{Recording, Wanted, contention};
use crate::model::path::{Database, DocumentName};
use crate::model::query::Query;
use crate::model::time::Micros;
use crate::proto::TransactionOptions;
use crate::transactions::{Mode, Transaction};

/// The consistency selector of any request.
#[derive(Debug)]
pub enum Selector {
    Now,
    At(prost_types::Timestamp),
    In(Vec<u8>),
    New(TransactionOptions),
}

/// How to carry out a read.
#[derive(Clone, Debug)]
pub struct View {
    /// The time to read at; `None` for the latest state.
    pub at: Option<Micros>,
    /// Where to record the read.
    pub reads: Option<Recording>,
    /// The transaction that takes locks for the read.
    locks: Option<u64>,
    /// The id of the transaction that this read began.
    pub new_transaction: Option<Vec<u8>>,
    /// The read time to report to the client.
    pub read_time: Micros,
}

impl Service {
    pub(super) async fn view(
        &self,
        database: &Database,
        selector: Selector,
    ) -> Result<View, Status> {
        let now = self.engine.read_now();
        let latest =
            View { at: None, reads: None, locks: None, new_transaction: None, read_time: now };
        let view = match selector {
            Selector::Now => latest,
            Selector::At(time) => {
                let time = Micros::from(&time);
                self.engine.check_read_time(time)?;
                View { at: Some(time), read_time: time, ..latest }
            }
            Selector::In(id) => {
                let view = view_in(&self.transactions.get(&self.engine, database, &id)?, latest);
                if let Some(time) = view.at {
                    // Versions may be dropped during the life of a transaction.
                    self.engine.check_read_time(time).map_err(|_| contention())?;
                }
                view
            }
            Selector::New(options) => {
                let (id, transaction) =
                    self.transactions.begin(&self.engine, database, Some(&options))?;
                View { new_transaction: Some(id), ..view_in(&transaction, latest) }
            }
        };
        if let Some(at) = view.at {
            self.engine.settle(database, at).await?;
        }
        Ok(view)
    }
}

fn view_in(transaction: &Transaction, latest: View) -> View {
    match &transaction.mode {
        Mode::ReadOnly(time) => View { at: Some(*time), read_time: *time, ..latest },
        Mode::Pessimistic { reads, locks } => {
            let reads = Recording { set: reads.clone(), lock: None };
            View { reads: Some(reads), locks: Some(*locks), ..latest }
        }
        Mode::Optimistic { reads, read_time } => {
            let time = *read_time.get_or_init(|| latest.read_time);
            let reads = Recording { set: reads.clone(), lock: None };
            View { at: Some(time), reads: Some(reads), read_time: time, ..latest }
        }
    }
}

impl View {
    /// Takes the locks of a read of documents.
    pub async fn lock_documents(
        &mut self,
        service: &Service,
        names: &[DocumentName],
    ) -> Result<(), Status> {
        self.lock(service, Wanted::Documents(names)).await
    }

    /// Takes the locks of a query.
    pub async fn lock_query(&mut self, service: &Service, query: &Query) -> Result<(), Status> {
        self.lock(service, Wanted::Query(query)).await
    }

    async fn lock(&mut self, service: &Service, wanted: Wanted<'_>) -> Result<(), Status> {
        let Some(id) = self.locks else { return Ok(()) };
        let lock = service.engine.lock(id, wanted).await?;
        if let Some(reads) = &mut self.reads {
            reads.lock = lock;
        }
        // The wait may have been long: the read sees what was committed meanwhile.
        self.read_time = service.engine.read_now();
        Ok(())
    }
}

/// Converts the generated selector of a request. The last argument names the variant that begins a
/// transaction, if the request has one.
macro_rules! selector {
    ($module:ident, $value:expr, [$($new:ident)?]) => {
        match $value {
            None => $crate::service::selector::Selector::Now,
            Some($crate::proto::$module::ConsistencySelector::ReadTime(time)) => {
                $crate::service::selector::Selector::At(time)
            }
            Some($crate::proto::$module::ConsistencySelector::Transaction(id)) => {
                $crate::service::selector::Selector::In(id)
            }
            $(Some($crate::proto::$module::ConsistencySelector::$new(options)) => {
                $crate::service::selector::Selector::New(options)
            })?
        }
    };
}
pub(super) use selector;
