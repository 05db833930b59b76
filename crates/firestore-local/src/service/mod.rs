//! The RPCs, one file for each group. Each RPC checks its request, calls the engine, and bills its
//! answer to the meter.

mod aggregation;
mod batch_get;
mod documents;
mod faulty;
mod guard;
mod listen;
mod listing;
mod query;
mod query_log;
mod rpcs;
mod selector;
mod write_stream;
mod writes;

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::{Response, Status};

use crate::engine::Engine;
use crate::indexes::Enforced;
use crate::meter::Account;
use crate::proto::ExplainOptions;
use crate::transactions::Transactions;
pub use faulty::Faulty;
pub use guard::{Guarded, User};
pub use query_log::QueryLog;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Answer<T> = Result<Response<T>, Status>;

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    pub engine: Arc<Engine>,
    /// Bills the caller of the request.
    pub meter: Account,
    pub transactions: Arc<Transactions>,
    pub query_log: Arc<QueryLog>,
    pub indexes: Arc<Enforced>,
    /// The user who sends the request, if security rules apply to it.
    pub user: Option<Arc<User>>,
    /// Lets the server wait for every task that still uses the engine.
    #[expect(dead_code, reason = "the server counts the tokens that clones of the service hold")]
    pub in_use: TaskTrackerToken,
}

impl Service {
    /// Runs work that reads the store on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let service = self.clone();
        tokio::task::spawn_blocking(move || work(&service))
            .await
            .map_err(|error| Status::internal(format!("the request failed: {error}")))?
    }
}

fn refuse_explain(options: Option<&ExplainOptions>) -> Result<(), Status> {
    match options {
        None => Ok(()),
        Some(_) => {
            Err(Status::unimplemented("explain_options are not supported by firestore-local"))
        }
    }
}
