//! As of when a read is: now, at a time, or within a transaction.

use std::sync::{Arc, Mutex};

use tonic::Status;

use super::Service;
use crate::engine::ReadSet;
use crate::model::path::Database;
use crate::model::time::Micros;
use crate::proto::TransactionOptions;
use crate::transactions::{Mode, Transaction};

/// What a request selects, whichever request it is.
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
    /// As of this time; `None` is the latest state.
    pub at: Option<Micros>,
    /// Where to note what was read.
    pub reads: Option<Arc<Mutex<ReadSet>>>,
    /// The id of a transaction that this read began.
    pub begun: Option<Vec<u8>>,
    /// What to tell the client the data is as of.
    pub read_time: Micros,
}

impl Service {
    pub(super) async fn view(
        &self,
        database: &Database,
        selector: Selector,
    ) -> Result<View, Status> {
        let now = self.engine.read_time();
        let latest = View { at: None, reads: None, begun: None, read_time: now };
        let view = match selector {
            Selector::Now => latest,
            Selector::At(time) => {
                let time = Micros::from(&time);
                self.engine.check_read_time(time)?;
                View { at: Some(time), read_time: time, ..latest }
            }
            Selector::In(id) => view_in(&self.transactions.get(database, &id)?, latest),
            Selector::New(options) => {
                let (id, transaction) =
                    self.transactions.begin(&self.engine, database, Some(&options))?;
                View { begun: Some(id), ..view_in(&transaction, latest) }
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
        Mode::ReadWrite(reads) => View { reads: Some(reads.clone()), ..latest },
    }
}

/// The selector of a request, whose generated enum has the variants named.
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
