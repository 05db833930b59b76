//! The service behind security rules: every request passes here first.
//!
//! A server's request continues unchanged. A user's read is checked here; a user's write is checked
//! where all writes are applied (`writes`), and a listener where targets are added (`listen`).
//! Reads of documents are checked after the fact, so that rules see the very version that the user
//! receives; queries are checked before, because rules decide them without looking at documents.

mod documents;
mod user;
mod writes;

use std::sync::Arc;

use futures::StreamExt;
use tonic::{Code, Request, Response, Status, Streaming};

use super::faulty::Faulty;
use super::{Answer, Answers};
use crate::model::field_path::{parse_mask, project};
use crate::model::path::Database;
use crate::proto::batch_get_documents_response::Result as Found;
use crate::proto::server::firestore_server::Firestore;
use crate::proto::structured_query::CollectionSelector;
use crate::proto::*;
use crate::rules::{Caller, RulesFile};
pub use user::User;
pub use writes::batch;

/// The service, and the rules for its users, if there are any.
#[derive(Clone)]
pub struct Guarded {
    pub faulty: Faulty,
    pub rules: Option<Arc<RulesFile>>,
    /// Whether only this machine can reach the server.
    pub is_local: bool,
}

/// Google's words.
fn denied() -> Status {
    Status::permission_denied("Missing or insufficient permissions.")
}

/// A stream that only holds an error.
fn failed<T: Send + 'static>(status: Status) -> Answer<Answers<T>> {
    Ok(Response::new(Box::pin(futures::stream::iter([Err(status)]))))
}

impl Guarded {
    /// The service as the caller of a request may use it.
    fn admit<T>(&self, request: &Request<T>) -> Result<Faulty, Status> {
        let mut faulty = self.faulty.clone();
        let caller = self.caller(request);
        let claims = match &caller {
            Ok(Caller::User(claims)) => Some(claims),
            _ => None,
        };
        let meter = faulty.service.meter.meter();
        faulty.service.meter = meter.account(request.metadata(), claims);
        if let Some(rules) = &self.rules
            && let Caller::User(claims) = caller?
        {
            faulty.service.user = Some(Arc::new(User { claims, rules: Arc::clone(rules) }));
        }
        Ok(faulty)
    }

    /// Who sends a request. Without rules nothing depends on it but the name on the bill.
    fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let header = request.metadata().get("authorization").map(|header| header.to_str());
        let header = header
            .transpose()
            .map_err(|_| Status::unauthenticated("Invalid token: expected visible characters"))?;
        Caller::of_header(header, self.is_local, self.faulty.service.engine.now())
    }

    /// The service for RPCs that only servers may call.
    fn admit_server<T>(&self, request: &Request<T>) -> Result<Faulty, Status> {
        let faulty = self.admit(request)?;
        if faulty.service.user.is_some() { Err(denied()) } else { Ok(faulty) }
    }
}

#[tonic::async_trait]
impl Firestore for Guarded {
    type BatchGetDocumentsStream = Answers<BatchGetDocumentsResponse>;
    type RunQueryStream = Answers<RunQueryResponse>;
    type ExecutePipelineStream = Answers<ExecutePipelineResponse>;
    type RunAggregationQueryStream = Answers<RunAggregationQueryResponse>;
    type WriteStream = Answers<WriteResponse>;
    type ListenStream = Answers<ListenResponse>;

    async fn get_document(&self, mut request: Request<GetDocumentRequest>) -> Answer<Document> {
        let faulty = self.admit(&request)?;
        let Some(user) = faulty.service.user.clone() else {
            return faulty.get_document(request).await;
        };
        let mask = request.get_mut().mask.take();
        let mask = mask.as_ref().map(parse_mask).transpose()?;
        let name = request.get_ref().name.clone();
        let answer = faulty.get_document(request).await;
        let found = match &answer {
            Ok(answer) => Some(answer.get_ref().clone()),
            Err(status) if status.code() == Code::NotFound => None,
            Err(_) => return answer,
        };
        user.check_documents(&faulty.service, vec![(name, found)]).await?;
        answer.map(|answer| answer.map(|document| project(document, mask.as_deref())))
    }

    async fn list_documents(
        &self,
        request: Request<ListDocumentsRequest>,
    ) -> Answer<ListDocumentsResponse> {
        let faulty = self.admit(&request)?;
        if let Some(user) = &faulty.service.user {
            let list = request.get_ref();
            let selector = CollectionSelector {
                collection_id: list.collection_id.clone(),
                all_descendants: false,
            };
            let query = StructuredQuery {
                from: vec![selector],
                limit: (list.page_size > 0).then_some(list.page_size),
                ..StructuredQuery::default()
            };
            user.check_query(&faulty.service, &list.parent, &query).await?;
        }
        faulty.list_documents(request).await
    }

    async fn create_document(&self, request: Request<CreateDocumentRequest>) -> Answer<Document> {
        self.admit(&request)?.create_document(request).await
    }

    async fn update_document(&self, request: Request<UpdateDocumentRequest>) -> Answer<Document> {
        self.admit(&request)?.update_document(request).await
    }

    async fn delete_document(&self, request: Request<DeleteDocumentRequest>) -> Answer<Empty> {
        self.admit(&request)?.delete_document(request).await
    }

    async fn batch_get_documents(
        &self,
        mut request: Request<BatchGetDocumentsRequest>,
    ) -> Answer<Self::BatchGetDocumentsStream> {
        let faulty = self.admit(&request)?;
        let Some(user) = faulty.service.user.clone() else {
            return faulty.batch_get_documents(request).await;
        };
        let mask = request.get_mut().mask.take();
        let mask = mask.as_ref().map(parse_mask).transpose()?;
        let database = request.get_ref().database.clone();
        let mut stream = faulty.batch_get_documents(request).await?.into_inner();
        let (mut answers, mut found, mut transaction) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(answer) = stream.next().await {
            if let Ok(answer) = &answer {
                if !answer.transaction.is_empty() {
                    transaction.clone_from(&answer.transaction);
                }
                match &answer.result {
                    Some(Found::Found(document)) => {
                        found.push((document.name.clone(), Some(document.clone())));
                    }
                    Some(Found::Missing(name)) => found.push((name.clone(), None)),
                    None => {}
                }
            }
            answers.push(answer);
        }
        if let Err(status) = user.check_documents(&faulty.service, found).await {
            if !transaction.is_empty() {
                let database = Database::parse(&database)?;
                let service = &faulty.service;
                service.transactions.rollback(&service.engine, &database, &transaction)?;
            }
            return failed(status);
        }
        let answers = answers.into_iter().map(move |answer| {
            answer.map(|mut answer| {
                if let Some(Found::Found(document)) = answer.result {
                    answer.result = Some(Found::Found(project(document, mask.as_deref())));
                }
                answer
            })
        });
        let answers: Vec<_> = answers.collect();
        Ok(Response::new(Box::pin(futures::stream::iter(answers))))
    }

    async fn begin_transaction(
        &self,
        request: Request<BeginTransactionRequest>,
    ) -> Answer<BeginTransactionResponse> {
        self.admit(&request)?.begin_transaction(request).await
    }

    async fn commit(&self, request: Request<CommitRequest>) -> Answer<CommitResponse> {
        self.admit(&request)?.commit(request).await
    }

    async fn rollback(&self, request: Request<RollbackRequest>) -> Answer<Empty> {
        self.admit(&request)?.rollback(request).await
    }

    async fn batch_write(&self, request: Request<BatchWriteRequest>) -> Answer<BatchWriteResponse> {
        self.admit(&request)?.batch_write(request).await
    }

    async fn run_query(&self, request: Request<RunQueryRequest>) -> Answer<Self::RunQueryStream> {
        let faulty = self.admit(&request)?;
        if let Some(user) = &faulty.service.user
            && let Some(run_query_request::QueryType::StructuredQuery(query)) =
                &request.get_ref().query_type
            && let Err(status) =
                user.check_query(&faulty.service, &request.get_ref().parent, query).await
        {
            return failed(status);
        }
        faulty.run_query(request).await
    }

    async fn run_aggregation_query(
        &self,
        request: Request<RunAggregationQueryRequest>,
    ) -> Answer<Self::RunAggregationQueryStream> {
        use run_aggregation_query_request::QueryType::StructuredAggregationQuery;
        use structured_aggregation_query::QueryType::StructuredQuery;
        let faulty = self.admit(&request)?;
        if let Some(user) = &faulty.service.user
            && let Some(StructuredAggregationQuery(aggregation)) = &request.get_ref().query_type
            && let Some(StructuredQuery(query)) = &aggregation.query_type
            && let Err(status) =
                user.check_query(&faulty.service, &request.get_ref().parent, query).await
        {
            return failed(status);
        }
        faulty.run_aggregation_query(request).await
    }

    async fn partition_query(
        &self,
        request: Request<PartitionQueryRequest>,
    ) -> Answer<PartitionQueryResponse> {
        self.admit_server(&request)?.partition_query(request).await
    }

    async fn list_collection_ids(
        &self,
        request: Request<ListCollectionIdsRequest>,
    ) -> Answer<ListCollectionIdsResponse> {
        self.admit_server(&request)?.list_collection_ids(request).await
    }

    async fn execute_pipeline(
        &self,
        request: Request<ExecutePipelineRequest>,
    ) -> Answer<Self::ExecutePipelineStream> {
        self.admit_server(&request)?.execute_pipeline(request).await
    }

    async fn write(&self, request: Request<Streaming<WriteRequest>>) -> Answer<Self::WriteStream> {
        self.admit(&request)?.write(request).await
    }

    async fn listen(
        &self,
        request: Request<Streaming<ListenRequest>>,
    ) -> Answer<Self::ListenStream> {
        self.admit(&request)?.listen(request).await
    }
}
