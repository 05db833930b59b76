//! The server trait of the protocol: which function answers each RPC.

use tonic::{Request, Status, Streaming};

use super::faulty::Faulty;
use super::{
    Answer, Answers, aggregation, batch_get, documents, listen, listing, query, write_stream,
    writes,
};
use crate::proto::server::firestore_server::Firestore;
use crate::proto::*;

#[tonic::async_trait]
impl Firestore for Faulty {
    type BatchGetDocumentsStream = Answers<BatchGetDocumentsResponse>;
    type RunQueryStream = Answers<RunQueryResponse>;
    type ExecutePipelineStream = Answers<ExecutePipelineResponse>;
    type RunAggregationQueryStream = Answers<RunAggregationQueryResponse>;
    type WriteStream = Answers<WriteResponse>;
    type ListenStream = Answers<ListenResponse>;

    async fn get_document(&self, request: Request<GetDocumentRequest>) -> Answer<Document> {
        self.unary("GetDocument", request, |it| documents::get(&self.service, it)).await
    }

    async fn list_documents(
        &self,
        request: Request<ListDocumentsRequest>,
    ) -> Answer<ListDocumentsResponse> {
        self.unary("ListDocuments", request, |it| listing::documents(&self.service, it)).await
    }

    async fn create_document(&self, request: Request<CreateDocumentRequest>) -> Answer<Document> {
        self.unary("CreateDocument", request, |it| documents::create(&self.service, it)).await
    }

    async fn update_document(&self, request: Request<UpdateDocumentRequest>) -> Answer<Document> {
        self.unary("UpdateDocument", request, |it| documents::update(&self.service, it)).await
    }

    async fn delete_document(&self, request: Request<DeleteDocumentRequest>) -> Answer<Empty> {
        self.unary("DeleteDocument", request, |it| documents::delete(&self.service, it)).await
    }

    async fn batch_get_documents(
        &self,
        request: Request<BatchGetDocumentsRequest>,
    ) -> Answer<Self::BatchGetDocumentsStream> {
        self.stream("BatchGetDocuments", request, |it| batch_get::run(&self.service, it)).await
    }

    async fn begin_transaction(
        &self,
        request: Request<BeginTransactionRequest>,
    ) -> Answer<BeginTransactionResponse> {
        self.unary("BeginTransaction", request, async |it| writes::begin(&self.service, &it)).await
    }

    async fn commit(&self, request: Request<CommitRequest>) -> Answer<CommitResponse> {
        self.unary("Commit", request, |it| writes::commit(&self.service, it)).await
    }

    async fn rollback(&self, request: Request<RollbackRequest>) -> Answer<Empty> {
        self.unary("Rollback", request, async |it| writes::rollback(&self.service, &it)).await
    }

    async fn batch_write(&self, request: Request<BatchWriteRequest>) -> Answer<BatchWriteResponse> {
        self.unary("BatchWrite", request, |it| writes::batch(&self.service, it)).await
    }

    async fn run_query(&self, request: Request<RunQueryRequest>) -> Answer<Self::RunQueryStream> {
        self.stream("RunQuery", request, |it| query::run(&self.service, it)).await
    }

    async fn run_aggregation_query(
        &self,
        request: Request<RunAggregationQueryRequest>,
    ) -> Answer<Self::RunAggregationQueryStream> {
        self.stream("RunAggregationQuery", request, |it| aggregation::run(&self.service, it)).await
    }

    async fn partition_query(
        &self,
        request: Request<PartitionQueryRequest>,
    ) -> Answer<PartitionQueryResponse> {
        self.unary("PartitionQuery", request, |it| query::partition(&self.service, it)).await
    }

    async fn list_collection_ids(
        &self,
        request: Request<ListCollectionIdsRequest>,
    ) -> Answer<ListCollectionIdsResponse> {
        self.unary("ListCollectionIds", request, |it| listing::collection_ids(&self.service, it))
            .await
    }

    async fn execute_pipeline(
        &self,
        request: Request<ExecutePipelineRequest>,
    ) -> Answer<Self::ExecutePipelineStream> {
        let unsupported = async |_| {
            Err(Status::unimplemented("ExecutePipeline is not supported by firestore-local"))
        };
        self.stream_of_any_size("ExecutePipeline", request, unsupported).await
    }

    async fn write(&self, request: Request<Streaming<WriteRequest>>) -> Answer<Self::WriteStream> {
        let run = |requests| write_stream::run(self.service.clone(), requests);
        // The first answer names the stream; nothing is written before the second.
        self.both_ways("Write", request, 1, run).await
    }

    async fn listen(
        &self,
        request: Request<Streaming<ListenRequest>>,
    ) -> Answer<Self::ListenStream> {
        let run = |requests| listen::run(self.service.clone(), requests);
        self.both_ways("Listen", request, 0, run).await
    }
}
