//! The service as the network lets clients see it: every request passes here, and meets the fault
//! that the plan has for it.

use std::sync::Arc;

use futures::StreamExt;
use tonic::{Code, Request, Response, Status, Streaming};

use super::{Answer, Answers, Service};
use crate::connection::Hold;
use crate::faults::{Fault, Faults, Touched};
use crate::proto::server::firestore_server::Firestore;
use crate::proto::*;

#[derive(Clone)]
pub struct Faulty {
    pub inner: Service,
    pub faults: Arc<Faults>,
}

fn broken() -> Status {
    Status::unavailable("a fault of the plan: the answer was lost")
}

/// The connection that a request came over.
fn hold<T>(request: &Request<T>) -> Option<Hold> {
    request.extensions().get::<Hold>().cloned()
}

fn close(hold: Option<Hold>) -> Status {
    if let Some(hold) = hold {
        hold.close();
    }
    broken()
}

impl Faulty {
    /// What is done before the request is carried out.
    async fn before(&self, fault: Option<Fault>, hold: Option<&Hold>) -> Result<(), Status> {
        match fault {
            Some(Fault::Refuse { code }) => {
                Err(Status::new(Code::from(code), "a fault of the plan: refused"))
            }
            Some(Fault::Drop) => Err(close(hold.cloned())),
            Some(Fault::Hold) => {
                self.faults.hold().await;
                Ok(())
            }
            Some(fault) => {
                if let Some(delay) = fault.delay() {
                    tokio::time::sleep(delay).await;
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn unary<T: Touched, R, F: Future<Output = Answer<R>>>(
        &self,
        rpc: &str,
        request: Request<T>,
        call: impl FnOnce(Request<T>) -> F,
    ) -> Answer<R> {
        let fault = self.faults.decide(rpc, request.get_ref());
        let hold = hold(&request);
        self.before(fault, hold.as_ref()).await?;
        let answer = call(request).await;
        if fault == Some(Fault::HoldAnswer) {
            self.faults.hold().await;
        }
        match fault {
            Some(Fault::LoseAnswer) => Err(broken()),
            Some(Fault::DropAnswer) => Err(close(hold)),
            _ => answer,
        }
    }

    async fn stream<T: Touched, R: Send + 'static, F: Future<Output = Answer<Answers<R>>>>(
        &self,
        rpc: &str,
        request: Request<T>,
        call: impl FnOnce(Request<T>) -> F,
    ) -> Answer<Answers<R>> {
        let fault = self.faults.decide(rpc, request.get_ref());
        let hold = hold(&request);
        self.before(fault, hold.as_ref()).await?;
        let mut answer = call(request).await;
        if fault == Some(Fault::HoldAnswer) {
            answer = begun(answer?).await;
            self.faults.hold().await;
        }
        match fault {
            Some(Fault::LoseAnswer) => Err(broken()),
            Some(Fault::DropAnswer) => Err(close(hold)),
            Some(Fault::Cut { after }) => Ok(answer?.map(|answers| cut(answers, after))),
            _ => answer,
        }
    }

    /// A stream in both directions. The request whose answer is lost is the one that comes after
    /// so many answers: those before it only open the stream.
    async fn both_ways<T, R: Send + 'static, F: Future<Output = Answer<Answers<R>>>>(
        &self,
        rpc: &str,
        request: Request<Streaming<T>>,
        opening: usize,
        call: impl FnOnce(Request<Streaming<T>>) -> F,
    ) -> Answer<Answers<R>> {
        let (fault, hold) = (self.faults.decide(rpc, &()), hold(&request));
        self.before(fault, hold.as_ref()).await?;
        let answer = call(request).await?;
        Ok(match fault {
            Some(Fault::Cut { after }) => answer.map(|answers| cut(answers, after)),
            Some(Fault::LoseAnswer) => answer.map(|answers| lose(answers, opening, None)),
            Some(Fault::DropAnswer) => answer.map(|answers| lose(answers, opening, hold)),
            _ => answer,
        })
    }
}

/// Waits for the first answer of a stream: what the others will be is decided then.
async fn begun<T: Send + 'static>(answer: Response<Answers<T>>) -> Answer<Answers<T>> {
    let (metadata, answers, extensions) = answer.into_parts();
    let mut answers = Box::pin(answers.peekable());
    answers.as_mut().peek().await;
    Ok(Response::from_parts(metadata, answers, extensions))
}

/// The first answers, and then the end that a broken connection would make.
fn cut<T: Send + 'static>(answers: Answers<T>, after: usize) -> Answers<T> {
    let end = futures::stream::once(async { Err(broken()) });
    Box::pin(answers.take(after).chain(end))
}

/// The first answers; the one after them is made, and does not arrive.
fn lose<T: Send + 'static>(answers: Answers<T>, opening: usize, hold: Option<Hold>) -> Answers<T> {
    let answers = answers.enumerate().scan(false, move |lost, (position, answer)| {
        let next = match (*lost, position < opening) {
            (true, _) => None,
            (false, true) => Some(answer),
            (false, false) => {
                *lost = true;
                Some(Err(close(hold.clone())))
            }
        };
        futures::future::ready(next)
    });
    Box::pin(answers)
}

#[tonic::async_trait]
impl Firestore for Faulty {
    type BatchGetDocumentsStream = Answers<BatchGetDocumentsResponse>;
    type RunQueryStream = Answers<RunQueryResponse>;
    type ExecutePipelineStream = Answers<ExecutePipelineResponse>;
    type RunAggregationQueryStream = Answers<RunAggregationQueryResponse>;
    type WriteStream = Answers<WriteResponse>;
    type ListenStream = Answers<ListenResponse>;

    async fn get_document(&self, request: Request<GetDocumentRequest>) -> Answer<Document> {
        self.unary("GetDocument", request, |it| self.inner.get_document(it)).await
    }

    async fn list_documents(
        &self,
        request: Request<ListDocumentsRequest>,
    ) -> Answer<ListDocumentsResponse> {
        self.unary("ListDocuments", request, |it| self.inner.list_documents(it)).await
    }

    async fn create_document(&self, request: Request<CreateDocumentRequest>) -> Answer<Document> {
        self.unary("CreateDocument", request, |it| self.inner.create_document(it)).await
    }

    async fn update_document(&self, request: Request<UpdateDocumentRequest>) -> Answer<Document> {
        self.unary("UpdateDocument", request, |it| self.inner.update_document(it)).await
    }

    async fn delete_document(&self, request: Request<DeleteDocumentRequest>) -> Answer<Empty> {
        self.unary("DeleteDocument", request, |it| self.inner.delete_document(it)).await
    }

    async fn batch_get_documents(
        &self,
        request: Request<BatchGetDocumentsRequest>,
    ) -> Answer<Self::BatchGetDocumentsStream> {
        self.stream("BatchGetDocuments", request, |it| self.inner.batch_get_documents(it)).await
    }

    async fn begin_transaction(
        &self,
        request: Request<BeginTransactionRequest>,
    ) -> Answer<BeginTransactionResponse> {
        self.unary("BeginTransaction", request, |it| self.inner.begin_transaction(it)).await
    }

    async fn commit(&self, request: Request<CommitRequest>) -> Answer<CommitResponse> {
        self.unary("Commit", request, |it| self.inner.commit(it)).await
    }

    async fn rollback(&self, request: Request<RollbackRequest>) -> Answer<Empty> {
        self.unary("Rollback", request, |it| self.inner.rollback(it)).await
    }

    async fn batch_write(&self, request: Request<BatchWriteRequest>) -> Answer<BatchWriteResponse> {
        self.unary("BatchWrite", request, |it| self.inner.batch_write(it)).await
    }

    async fn run_query(&self, request: Request<RunQueryRequest>) -> Answer<Self::RunQueryStream> {
        self.stream("RunQuery", request, |it| self.inner.run_query(it)).await
    }

    async fn run_aggregation_query(
        &self,
        request: Request<RunAggregationQueryRequest>,
    ) -> Answer<Self::RunAggregationQueryStream> {
        self.stream("RunAggregationQuery", request, |it| self.inner.run_aggregation_query(it)).await
    }

    async fn partition_query(
        &self,
        request: Request<PartitionQueryRequest>,
    ) -> Answer<PartitionQueryResponse> {
        self.unary("PartitionQuery", request, |it| self.inner.partition_query(it)).await
    }

    async fn list_collection_ids(
        &self,
        request: Request<ListCollectionIdsRequest>,
    ) -> Answer<ListCollectionIdsResponse> {
        self.unary("ListCollectionIds", request, |it| self.inner.list_collection_ids(it)).await
    }

    async fn execute_pipeline(
        &self,
        request: Request<ExecutePipelineRequest>,
    ) -> Answer<Self::ExecutePipelineStream> {
        self.stream("ExecutePipeline", request, |it| self.inner.execute_pipeline(it)).await
    }

    async fn write(&self, request: Request<Streaming<WriteRequest>>) -> Answer<Self::WriteStream> {
        // The first answer names the stream; nothing is written before the second.
        self.both_ways("Write", request, 1, |it| self.inner.write(it)).await
    }

    async fn listen(
        &self,
        request: Request<Streaming<ListenRequest>>,
    ) -> Answer<Self::ListenStream> {
        self.both_ways("Listen", request, 0, |it| self.inner.listen(it)).await
    }
}
