//! The collections that a request names.

use crate::proto::run_aggregation_query_request::QueryType as AggregationQueryType;
use crate::proto::structured_aggregation_query::QueryType as AggregatedQueryType;
use crate::proto::write::Operation;
use crate::proto::{
    BatchGetDocumentsRequest, BatchWriteRequest, BeginTransactionRequest, CommitRequest,
    CreateDocumentRequest, DeleteDocumentRequest, ExecutePipelineRequest, GetDocumentRequest,
    ListCollectionIdsRequest, ListDocumentsRequest, PartitionQueryRequest, RollbackRequest,
    RunAggregationQueryRequest, RunQueryRequest, StructuredQuery, UpdateDocumentRequest, Write,
    partition_query_request, run_query_request,
};

/// The ids of the collections that a request names.
pub trait NamedCollections: prost::Message {
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

/// For requests that name no collection or only open a stream.
macro_rules! names_no_collection {
    ($($request:ty),* $(,)?) => {
        $(impl NamedCollections for $request {
            fn collections(&self) -> Vec<&str> {
                Vec::new()
            }
        })*
    };
}

names_no_collection!(
    BeginTransactionRequest,
    ExecutePipelineRequest,
    ListCollectionIdsRequest,
    RollbackRequest,
    ()
);

impl NamedCollections for GetDocumentRequest {
    fn collections(&self) -> Vec<&str> {
        of_name(&self.name).into_iter().collect()
    }
}

impl NamedCollections for DeleteDocumentRequest {
    fn collections(&self) -> Vec<&str> {
        of_name(&self.name).into_iter().collect()
    }
}

impl NamedCollections for UpdateDocumentRequest {
    fn collections(&self) -> Vec<&str> {
        self.document.iter().filter_map(|document| of_name(&document.name)).collect()
    }
}

impl NamedCollections for CreateDocumentRequest {
    fn collections(&self) -> Vec<&str> {
        vec![&self.collection_id]
    }
}

impl NamedCollections for ListDocumentsRequest {
    fn collections(&self) -> Vec<&str> {
        vec![&self.collection_id]
    }
}

impl NamedCollections for BatchGetDocumentsRequest {
    fn collections(&self) -> Vec<&str> {
        self.documents.iter().filter_map(|name| of_name(name)).collect()
    }
}

impl NamedCollections for CommitRequest {
    fn collections(&self) -> Vec<&str> {
        of_writes(&self.writes)
    }
}

impl NamedCollections for BatchWriteRequest {
    fn collections(&self) -> Vec<&str> {
        of_writes(&self.writes)
    }
}

impl NamedCollections for RunQueryRequest {
    fn collections(&self) -> Vec<&str> {
        match &self.query_type {
            Some(run_query_request::QueryType::StructuredQuery(query)) => of_query(query),
            None => Vec::new(),
        }
    }
}

impl NamedCollections for PartitionQueryRequest {
    fn collections(&self) -> Vec<&str> {
        match &self.query_type {
            Some(partition_query_request::QueryType::StructuredQuery(query)) => of_query(query),
            None => Vec::new(),
        }
    }
}

impl NamedCollections for RunAggregationQueryRequest {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::structured_query::CollectionSelector;
    use crate::proto::{Document, StructuredAggregationQuery};

    const ROOT: &str = "projects/p/databases/(default)/documents";

    fn query(ids: &[&str]) -> StructuredQuery {
        let selector = |id: &&str| CollectionSelector {
            collection_id: (*id).to_owned(),
            ..CollectionSelector::default()
        };
        StructuredQuery { from: ids.iter().map(selector).collect(), ..StructuredQuery::default() }
    }

    #[test]
    fn a_commit_names_the_collections_of_all_its_writes() {
        let document = Document { name: format!("{ROOT}/a/1/b/2"), ..Document::default() };
        let operations = [Operation::Update(document), Operation::Delete(format!("{ROOT}/c/3"))];
        let writes = operations.map(|it| Write { operation: Some(it), ..Write::default() });
        let commit = CommitRequest { writes: writes.to_vec(), ..CommitRequest::default() };
        assert_eq!(commit.collections(), ["b", "c"]);
    }

    #[test]
    fn a_query_names_the_collections_it_selects() {
        let run = RunQueryRequest {
            query_type: Some(run_query_request::QueryType::StructuredQuery(query(&["a", "b"]))),
            ..RunQueryRequest::default()
        };
        assert_eq!(run.collections(), ["a", "b"]);
        let aggregation = StructuredAggregationQuery {
            query_type: Some(AggregatedQueryType::StructuredQuery(query(&["c"]))),
            ..StructuredAggregationQuery::default()
        };
        let run = RunAggregationQueryRequest {
            query_type: Some(AggregationQueryType::StructuredAggregationQuery(aggregation)),
            ..RunAggregationQueryRequest::default()
        };
        assert_eq!(run.collections(), ["c"]);
    }

    #[test]
    fn a_batch_of_gets_names_the_collections_of_its_documents() {
        let names = ["x/1", "y/2"].map(|path| format!("{ROOT}/{path}"));
        let get = BatchGetDocumentsRequest { documents: names.to_vec(), ..Default::default() };
        assert_eq!(get.collections(), ["x", "y"]);
        assert_eq!(RunQueryRequest::default().collections(), Vec::<&str>::new());
    }
}
