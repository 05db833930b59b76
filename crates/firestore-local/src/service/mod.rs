//! The RPCs, one file a group. Each checks its request, asks the engine, and meters what it
//! answered.

mod aggregation;
mod asked;
mod batch_get;
mod documents;
mod faulty;
mod listen;
mod listing;
mod query;
mod selector;
mod write_stream;
mod writes;

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use prost::Message;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::{Request, Response, Status, Streaming};

use crate::engine::Engine;
use crate::meter::Meter;
use crate::proto::server::firestore_server::Firestore;
use crate::proto::*;
use crate::transactions::Transactions;

/// Firestore's limit on a request.
const MAX_REQUEST_BYTES: usize = 10 << 20;

pub use asked::Asked;
pub use faulty::Faulty;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Answer<T> = Result<Response<T>, Status>;

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    pub engine: Arc<Engine>,
    pub meter: Arc<Meter>,
    pub transactions: Arc<Transactions>,
    pub asked: Arc<Asked>,
    /// Lets the server wait for everything that still uses the engine.
    #[expect(dead_code, reason = "what counts is that each clone holds one")]
    pub in_use: TaskTrackerToken,
}

impl Service {
    /// Every request passes here before anything is done with it.
    fn admit<T: Message>(&self, request: Request<T>) -> Result<T, Status> {
        let request = request.into_inner();
        if request.encoded_len() > MAX_REQUEST_BYTES {
            return Err(Status::invalid_argument(format!(
                "Request payload size exceeds the limit: {MAX_REQUEST_BYTES} bytes."
            )));
        }
        Ok(request)
    }

    /// Runs what reads the store on a thread that may block.
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

#[tonic::async_trait]
impl Firestore for Service {
    type BatchGetDocumentsStream = Answers<BatchGetDocumentsResponse>;
    type RunQueryStream = Answers<RunQueryResponse>;
    type ExecutePipelineStream = Answers<ExecutePipelineResponse>;
    type RunAggregationQueryStream = Answers<RunAggregationQueryResponse>;
    type WriteStream = Answers<WriteResponse>;
    type ListenStream = Answers<ListenResponse>;

    async fn get_document(&self, request: Request<GetDocumentRequest>) -> Answer<Document> {
        documents::get(self, self.admit(request)?).await.map(Response::new)
    }

    async fn list_documents(
        &self,
        request: Request<ListDocumentsRequest>,
    ) -> Answer<ListDocumentsResponse> {
        listing::documents(self, self.admit(request)?).await.map(Response::new)
    }

    async fn create_document(&self, request: Request<CreateDocumentRequest>) -> Answer<Document> {
        documents::create(self, self.admit(request)?).await.map(Response::new)
    }

    async fn update_document(&self, request: Request<UpdateDocumentRequest>) -> Answer<Document> {
        documents::update(self, self.admit(request)?).await.map(Response::new)
    }

    async fn delete_document(&self, request: Request<DeleteDocumentRequest>) -> Answer<Empty> {
        documents::delete(self, self.admit(request)?).await.map(Response::new)
    }

    async fn batch_get_documents(
        &self,
        request: Request<BatchGetDocumentsRequest>,
    ) -> Answer<Self::BatchGetDocumentsStream> {
        batch_get::run(self, self.admit(request)?).await.map(Response::new)
    }

    async fn begin_transaction(
        &self,
        request: Request<BeginTransactionRequest>,
    ) -> Answer<BeginTransactionResponse> {
        writes::begin(self, &self.admit(request)?).await.map(Response::new)
    }

    async fn commit(&self, request: Request<CommitRequest>) -> Answer<CommitResponse> {
        writes::commit(self, self.admit(request)?).await.map(Response::new)
    }

    async fn rollback(&self, request: Request<RollbackRequest>) -> Answer<Empty> {
        writes::rollback(self, &self.admit(request)?).map(Response::new)
    }

    async fn batch_write(&self, request: Request<BatchWriteRequest>) -> Answer<BatchWriteResponse> {
        writes::batch(self, self.admit(request)?).await.map(Response::new)
    }

    async fn run_query(&self, request: Request<RunQueryRequest>) -> Answer<Self::RunQueryStream> {
        query::run(self, self.admit(request)?).await.map(Response::new)
    }

    async fn run_aggregation_query(
        &self,
        request: Request<RunAggregationQueryRequest>,
    ) -> Answer<Self::RunAggregationQueryStream> {
        aggregation::run(self, self.admit(request)?).await.map(Response::new)
    }

    async fn partition_query(
        &self,
        request: Request<PartitionQueryRequest>,
    ) -> Answer<PartitionQueryResponse> {
        query::partition(self, self.admit(request)?).await.map(Response::new)
    }

    async fn list_collection_ids(
        &self,
        request: Request<ListCollectionIdsRequest>,
    ) -> Answer<ListCollectionIdsResponse> {
        listing::collection_ids(self, self.admit(request)?).await.map(Response::new)
    }

    async fn execute_pipeline(
        &self,
        _request: Request<ExecutePipelineRequest>,
    ) -> Answer<Self::ExecutePipelineStream> {
        Err(Status::unimplemented("ExecutePipeline is not supported by firestore-local"))
    }

    async fn write(&self, request: Request<Streaming<WriteRequest>>) -> Answer<Self::WriteStream> {
        Ok(Response::new(write_stream::run(self.clone(), request.into_inner())))
    }

    async fn listen(
        &self,
        request: Request<Streaming<ListenRequest>>,
    ) -> Answer<Self::ListenStream> {
        Ok(Response::new(listen::run(self.clone(), request.into_inner())))
    }
}
