//! The collections that a request names.

use crate::proto::run_aggregation_query_request::QueryType as AggregationQueryType;
use crate::proto::structured_aggregation_query::QueryType as AggregatedQueryType;
use crate::proto::write::Operation;
use crate::proto::{
    BatchGetDocumentsRequest, BatchWriteRequest, BeginTransactionRequest, CommitRequest,
    CreateDocumentRequest, DeleteDocumentRequest, GetDocumentRequest, ListCollectionIdsRequest,
    ListDocumentsRequest, PartitionQueryRequest, RollbackRequest, RunAggregationQueryRequest,
    RunQueryRequest, StructuredQuery, UpdateDocumentRequest, Write, partition_query_request,
    run_query_request,
};

/// A request, by the ids of the collections that it names.
pub trait Touched {
    fn collections(&self) -> Vec<&str>;
}

/// The collection of a document's resource name.
fn of_name(name: &str) -> Option<&str> {
    name.rsplit('/').nth(1)
}

fn of_writes(writes: &[Write]) -> Vec<&str> {
    writes
        .iter()
        .filter_map(|write| match write.operation.as_ref() {
            Some(Operation::Update(document)) => Some(document.name.as_str()),
            Some(Operation::Delete(name)) => Some(name.as_str()),
            _ => None,
        })
        .filter_map(of_name)
        .collect()
}

fn of_query(query: &StructuredQuery) -> Vec<&str> {
    query.from.iter().map(|selector| selector.collection_id.as_str()).collect()
}

/// Requests that name no collection, or only open a stream.
macro_rules! touches_nothing {
    ($($request:ty),* $(,)?) => {
        $(impl Touched for $request {
            fn collections(&self) -> Vec<&str> {
                Vec::new()
            }
        })*
    };
}

touches_nothing!(BeginTransactionRequest, RollbackRequest, ListCollectionIdsRequest, ());

impl Touched for GetDocumentRequest {
    fn collections(&self) -> Vec<&str> {
        of_name(&self.name).into_iter().collect()
    }
}

impl Touched for DeleteDocumentRequest {
    fn collections(&self) -> Vec<&str> {
        of_name(&self.name).into_iter().collect()
    }
}

impl Touched for UpdateDocumentRequest {
    fn collections(&self) -> Vec<&str> {
        self.document.iter().filter_map(|document| of_name(&document.name)).collect()
    }
}

impl Touched for CreateDocumentRequest {
    fn collections(&self) -> Vec<&str> {
        vec![&self.collection_id]
    }
}

impl Touched for ListDocumentsRequest {
    fn collections(&self) -> Vec<&str> {
        vec![&self.collection_id]
    }
}

impl Touched for BatchGetDocumentsRequest {
    fn collections(&self) -> Vec<&str> {
        self.documents.iter().filter_map(|name| of_name(name)).collect()
    }
}

impl Touched for CommitRequest {
    fn collections(&self) -> Vec<&str> {
        of_writes(&self.writes)
    }
}

impl Touched for BatchWriteRequest {
    fn collections(&self) -> Vec<&str> {
        of_writes(&self.writes)
    }
}

impl Touched for RunQueryRequest {
    fn collections(&self) -> Vec<&str> {
        match &self.query_type {
            Some(run_query_request::QueryType::StructuredQuery(query)) => of_query(query),
            None => Vec::new(),
        }
    }
}

impl Touched for PartitionQueryRequest {
    fn collections(&self) -> Vec<&str> {
        match &self.query_type {
            Some(partition_query_request::QueryType::StructuredQuery(query)) => of_query(query),
            None => Vec::new(),
        }
    }
}

impl Touched for RunAggregationQueryRequest {
    fn collections(&self) -> Vec<&str> {
        let Some(AggregationQueryType::StructuredAggregationQuery(aggregation)) = &self.query_type
        else {
            return Vec::new();
        };
        match &aggregation.query_type {
            Some(AggregatedQueryType::StructuredQuery(query)) => of_query(query),
            None => Vec::new(),
        }
    }
}
