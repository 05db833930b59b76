//! The calls that many tests make. Each returns the part of the answer that tests check.

use std::collections::HashMap;

use prost_types::Timestamp;
use tonic::{Code, Status};

use super::Client;
use super::v1::batch_get_documents_request::ConsistencySelector as BatchSelector;
use super::v1::batch_get_documents_response::Result as Found;
use super::v1::run_aggregation_query_request::QueryType as AggregationType;
use super::v1::run_query_request::{ConsistencySelector, QueryType};
use super::v1::structured_aggregation_query::{Aggregation, QueryType as AggregatedType};
use super::v1::transaction_options::{Mode, ReadOnly, read_only};
use super::v1::{
    BatchGetDocumentsRequest, BatchWriteRequest, BatchWriteResponse, BeginTransactionRequest,
    CommitRequest, CommitResponse, Document, GetDocumentRequest, RollbackRequest,
    RunAggregationQueryRequest, RunQueryRequest, RunQueryResponse, StructuredAggregationQuery,
    StructuredQuery, TransactionOptions, Value, Write,
};
use super::values::{Fields, fields};
use super::writes::put;

/// The id of an open transaction.
pub type Transaction = Vec<u8>;

impl Client {
    pub async fn get(&self, path: &str) -> Result<Document, Status> {
        let request = GetDocumentRequest { name: self.name(path), ..Default::default() };
        Ok(self.api().get_document(request).await?.into_inner())
    }

    /// The fields of a document, or `None` if there is no document.
    pub async fn fields(&self, path: &str) -> Option<Fields> {
        match self.get(path).await {
            Ok(document) => Some(document.fields),
            Err(status) if status.code() == Code::NotFound => None,
            Err(status) => panic!("{path}: {status}"),
        }
    }

    /// Replaces a document; returns its update time.
    pub async fn set<const N: usize>(&self, path: &str, pairs: [(&str, Value); N]) -> Timestamp {
        let answer = self.commit([put(self.name(path), fields(pairs))]).await.unwrap();
        answer.write_results[0].update_time.expect("a write has an update time")
    }

    pub async fn commit(
        &self,
        writes: impl IntoIterator<Item = Write>,
    ) -> Result<CommitResponse, Status> {
        self.commit_in(Transaction::new(), writes).await
    }

    pub async fn commit_in(
        &self,
        transaction: Transaction,
        writes: impl IntoIterator<Item = Write>,
    ) -> Result<CommitResponse, Status> {
        let request = CommitRequest {
            database: self.database(),
            writes: writes.into_iter().collect(),
            transaction,
            ..Default::default()
        };
        Ok(self.api().commit(request).await?.into_inner())
    }

    /// The code that a commit is refused with.
    pub async fn refused(&self, write: Write) -> Code {
        self.commit([write]).await.expect_err("the commit is refused").code()
    }

    pub async fn batch_write(
        &self,
        writes: impl IntoIterator<Item = Write>,
    ) -> Result<BatchWriteResponse, Status> {
        let request = BatchWriteRequest {
            database: self.database(),
            writes: writes.into_iter().collect(),
            ..Default::default()
        };
        Ok(self.api().batch_write(request).await?.into_inner())
    }

    pub async fn begin(&self) -> Transaction {
        self.begin_with(None).await.unwrap()
    }

    pub async fn begin_with(
        &self,
        options: Option<TransactionOptions>,
    ) -> Result<Transaction, Status> {
        let request =
            BeginTransactionRequest { database: self.database(), options, ..Default::default() };
        Ok(self.api().begin_transaction(request).await?.into_inner().transaction)
    }

    pub async fn rollback(&self, transaction: Transaction) -> Result<(), Status> {
        let request =
            RollbackRequest { database: self.database(), transaction, ..Default::default() };
        self.api().rollback(request).await.map(drop)
    }

    /// The documents of `paths` that exist, by path.
    pub async fn get_many<const N: usize>(
        &self,
        paths: [&str; N],
        selector: Option<BatchSelector>,
    ) -> Result<HashMap<String, Document>, Status> {
        let request = BatchGetDocumentsRequest {
            database: self.database(),
            documents: paths.map(|path| self.name(path)).into(),
            consistency_selector: selector,
            ..Default::default()
        };
        let mut answers = self.api().batch_get_documents(request).await?.into_inner();
        let mut found = HashMap::new();
        while let Some(answer) = answers.message().await? {
            if let Some(Found::Found(document)) = answer.result {
                found.insert(self.path(&document.name).to_owned(), document);
            }
        }
        Ok(found)
    }

    /// The fields of a document as a transaction sees it.
    pub async fn fields_in(
        &self,
        transaction: &Transaction,
        path: &str,
    ) -> Result<Option<Fields>, Status> {
        let selector = BatchSelector::Transaction(transaction.clone());
        let mut found = self.get_many([path], Some(selector)).await?;
        Ok(found.remove(path).map(|document| document.fields))
    }

    /// All answers to a query, below a document if `parent` is not empty.
    pub async fn answers(
        &self,
        parent: &str,
        query: StructuredQuery,
        selector: Option<ConsistencySelector>,
    ) -> Result<Vec<RunQueryResponse>, Status> {
        let request = RunQueryRequest {
            parent: if parent.is_empty() { self.root() } else { self.name(parent) },
            query_type: Some(QueryType::StructuredQuery(query)),
            consistency_selector: selector,
            ..Default::default()
        };
        let mut stream = self.api().run_query(request).await?.into_inner();
        let mut answers = Vec::new();
        while let Some(answer) = stream.message().await? {
            answers.push(answer);
        }
        Ok(answers)
    }

    pub async fn query(&self, query: StructuredQuery) -> Result<Vec<Document>, Status> {
        let answers = self.answers("", query, None).await?;
        Ok(answers.into_iter().filter_map(|answer| answer.document).collect())
    }

    /// The paths of a query's documents in order.
    pub async fn paths(&self, query: StructuredQuery) -> Result<Vec<String>, Status> {
        self.paths_with(query, None).await
    }

    pub async fn paths_with(
        &self,
        query: StructuredQuery,
        selector: Option<ConsistencySelector>,
    ) -> Result<Vec<String>, Status> {
        let answers = self.answers("", query, selector).await?;
        let documents = answers.into_iter().filter_map(|answer| answer.document);
        Ok(documents.map(|document| self.path(&document.name).to_owned()).collect())
    }

    pub async fn aggregate<const N: usize>(
        &self,
        query: StructuredQuery,
        aggregations: [Aggregation; N],
    ) -> Result<Fields, Status> {
        let query = StructuredAggregationQuery {
            aggregations: aggregations.into(),
            query_type: Some(AggregatedType::StructuredQuery(query)),
        };
        let request = RunAggregationQueryRequest {
            parent: self.root(),
            query_type: Some(AggregationType::StructuredAggregationQuery(query)),
            ..Default::default()
        };
        let mut answers = self.api().run_aggregation_query(request).await?.into_inner();
        let mut results = Fields::new();
        while let Some(answer) = answers.message().await? {
            results.extend(answer.result.unwrap_or_default().aggregate_fields);
        }
        Ok(results)
    }
}

/// A read-only transaction that reads at a time, or at its start.
pub fn read_only(time: Option<Timestamp>) -> TransactionOptions {
    let consistency_selector = time.map(read_only::ConsistencySelector::ReadTime);
    TransactionOptions { mode: Some(Mode::ReadOnly(ReadOnly { consistency_selector })) }
}
