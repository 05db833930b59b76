//! The calls to Firestore that everything else in `store` is made of: each is one RPC over the
//! `firestore` crate's authenticated channel, with a deadline, an error that names its target,
//! and a retry where [`retry`](crate::retry) allows one.

use std::collections::HashMap;
use std::time::Duration;

use firestore::gcloud_sdk::GoogleAuthMiddleware;
use firestore::gcloud_sdk::google::firestore::v1::firestore_client::FirestoreClient;
use firestore::gcloud_sdk::google::firestore::v1::{
    BatchGetDocumentsRequest, BatchWriteRequest, BeginTransactionRequest, CommitRequest,
    CommitResponse, Document, DocumentMask, RollbackRequest, RunAggregationQueryRequest,
    RunQueryRequest, RunQueryResponse, StructuredAggregationQuery, StructuredQuery, Value, Write,
    batch_get_documents_request::ConsistencySelector,
    batch_get_documents_response::Result as Found,
    run_aggregation_query_request::QueryType as AggregationQueryType,
    run_query_request::{self, QueryType},
    structured_aggregation_query as aggregation,
    structured_query::FieldReference,
    value::ValueType,
};
use firestore::gcloud_sdk::google::rpc;
use firestore::gcloud_sdk::tonic::{self, Request, Streaming};

use crate::Db;
use crate::error::{COMMITTING, Error, Result};

/// Longest wait for one answer. Firestore itself gives up on a query after 60 s; our largest
/// commits are far below a second's work.
const DEADLINE: Duration = Duration::from_secs(30);
const QUERY_DEADLINE: Duration = Duration::from_secs(60);

/// A response may be a little larger than Firestore's 10 MiB request limit; tonic's own default
/// of 4 MiB is below it.
const MAX_RESPONSE_BYTES: usize = 16 << 20;

/// The id of an open transaction.
pub type TransactionId = Vec<u8>;

/// What aggregations are called in our requests.
const COUNTED: &str = "n";
const SUMMED: &str = "sum";

/// A sum as Firestore gives it: whole until it leaves 64 bits or meets a double.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sum {
    Whole(i64),
    Double(f64),
}

/// Below this every whole number is a double of its own (2^53).
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Sum {
    fn of(value: Option<ValueType>) -> Self {
        match value {
            Some(ValueType::DoubleValue(sum)) => Self::Double(sum),
            Some(ValueType::IntegerValue(sum)) => Self::Whole(sum),
            _ => Self::Whole(0),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "compared only below 2^53")]
    fn as_f64(self) -> f64 {
        match self {
            Self::Whole(sum) => sum as f64,
            Self::Double(sum) => sum,
        }
    }

    /// Whether two sums make the third; `None` where they are too large to tell.
    pub fn adds_up(a: Self, b: Self, whole: Self) -> Option<bool> {
        if let (Self::Whole(a), Self::Whole(b), Self::Whole(whole)) = (a, b, whole) {
            return Some(a.checked_add(b) == Some(whole));
        }
        let all = [a, b, whole].map(Self::as_f64);
        if all.iter().any(|sum| sum.abs() >= EXACT || sum.is_nan()) {
            return None;
        }
        Some((all[0] + all[1] - all[2]).abs() < 0.5)
    }
}

fn request<T>(message: T, deadline: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

impl Db {
    fn client(&self) -> FirestoreClient<GoogleAuthMiddleware> {
        self.db.client().get().max_decoding_message_size(MAX_RESPONSE_BYTES)
    }

    fn database(&self) -> String {
        self.db.get_database_path().clone()
    }

    fn documents(&self) -> String {
        self.db.get_documents_path().clone()
    }

    pub fn name(&self, collection: &str, id: &str) -> String {
        format!("{}/{collection}/{id}", self.db.get_documents_path())
    }

    /// What a message calls a document: its path without the database.
    pub fn short_name<'a>(&self, name: &'a str) -> &'a str {
        name.strip_prefix(self.db.get_documents_path().as_str())
            .map_or(name, |path| path.trim_start_matches('/'))
    }

    pub async fn get(&self, collection: &str, id: &str) -> Result<Option<Document>> {
        let name = self.name(collection, id);
        Ok(self.get_many(vec![name.clone()], None).await?.remove(&name))
    }

    /// The documents that exist among `names`, by name; read inside `transaction` if one is given.
    pub async fn get_many(
        &self,
        names: Vec<String>,
        transaction: Option<&TransactionId>,
    ) -> Result<HashMap<String, Document>> {
        self.batch_get(names, None, transaction).await
    }

    /// The same with these fields only.
    pub async fn get_masked(
        &self,
        names: Vec<String>,
        fields: &[&str],
    ) -> Result<HashMap<String, Document>> {
        let field_paths = fields.iter().map(|field| (*field).to_owned()).collect();
        self.batch_get(names, Some(DocumentMask { field_paths }), None).await
    }

    async fn batch_get(
        &self,
        names: Vec<String>,
        mask: Option<DocumentMask>,
        transaction: Option<&TransactionId>,
    ) -> Result<HashMap<String, Document>> {
        if names.is_empty() {
            return Ok(HashMap::new());
        }
        let message = BatchGetDocumentsRequest {
            database: self.database(),
            documents: names,
            mask,
            consistency_selector: transaction.cloned().map(ConsistencySelector::Transaction),
            ..BatchGetDocumentsRequest::default()
        };
        let target = || self.short_name(&message.documents[0]).to_owned();
        let failed = |status| Error::rpc("reading", target(), status);
        let read = || async {
            let mut found = HashMap::new();
            let message = request(message.clone(), DEADLINE);
            let answers = self.client().batch_get_documents(message).await;
            let mut answers = answers.map_err(failed)?.into_inner();
            while let Some(answer) = answers.message().await.map_err(failed)? {
                if let Some(Found::Found(document)) = answer.result {
                    found.insert(document.name.clone(), document);
                }
            }
            Ok(found)
        };
        // A transaction that was aborted stays aborted: only the whole of it can be repeated.
        if transaction.is_some() { read().await } else { self.retry.repeat(read).await }
    }

    /// Opens a query's stream of answers. Nothing is retried: see [`query_all`](Self::query_all).
    pub async fn query(
        &self,
        query: StructuredQuery,
    ) -> Result<Streaming<RunQueryResponse>, tonic::Status> {
        let message = RunQueryRequest {
            parent: self.documents(),
            query_type: Some(QueryType::StructuredQuery(query)),
            ..RunQueryRequest::default()
        };
        Ok(self.client().run_query(request(message, QUERY_DEADLINE)).await?.into_inner())
    }

    /// All documents of a query whose result is known to be small.
    pub async fn query_all(&self, target: &str, query: StructuredQuery) -> Result<Vec<Document>> {
        let failed = |status| Error::rpc("querying", target, status);
        self.retry
            .repeat(|| async {
                let mut documents = Vec::new();
                let mut answers = self.query(query.clone()).await.map_err(failed)?;
                while let Some(answer) = answers.message().await.map_err(failed)? {
                    documents.extend(answer.document);
                }
                Ok(documents)
            })
            .await
    }

    /// The same inside a transaction: what the query would find is then part of what the commit
    /// depends on.
    pub async fn query_in(
        &self,
        target: &str,
        query: StructuredQuery,
        transaction: &TransactionId,
    ) -> Result<Vec<Document>> {
        let failed = |status| Error::rpc("querying", target, status);
        let message = RunQueryRequest {
            parent: self.documents(),
            query_type: Some(QueryType::StructuredQuery(query)),
            consistency_selector: Some(run_query_request::ConsistencySelector::Transaction(
                transaction.clone(),
            )),
            ..RunQueryRequest::default()
        };
        let answers = self.client().run_query(request(message, QUERY_DEADLINE)).await;
        let mut answers = answers.map_err(failed)?.into_inner();
        let mut documents = Vec::new();
        while let Some(answer) = answers.message().await.map_err(failed)? {
            documents.extend(answer.document);
        }
        Ok(documents)
    }

    /// How many documents a query has. Firestore bills one read for each 1,000 index entries.
    pub async fn count(&self, target: &str, query: StructuredQuery) -> Result<u64> {
        Ok(self.aggregate(target, query, None).await?.0)
    }

    /// How many documents a query has, and the sum of a field of theirs, at the same price.
    pub async fn count_and_sum(
        &self,
        target: &str,
        query: StructuredQuery,
        field: &str,
    ) -> Result<(u64, Sum)> {
        self.aggregate(target, query, Some(field)).await
    }

    async fn aggregate(
        &self,
        target: &str,
        query: StructuredQuery,
        summed: Option<&str>,
    ) -> Result<(u64, Sum)> {
        use aggregation::aggregation::{Count, Operator};
        let failed = |status| Error::rpc("counting", target, status);
        let count = (COUNTED, Operator::Count(Count { up_to: None }));
        let sum = summed.map(|path| {
            let field = Some(FieldReference { field_path: path.to_owned() });
            (SUMMED, Operator::Sum(aggregation::aggregation::Sum { field }))
        });
        let aggregations = [count].into_iter().chain(sum).map(|(alias, operator)| {
            let operator = Some(operator);
            aggregation::Aggregation { alias: alias.to_owned(), operator }
        });
        let message = RunAggregationQueryRequest {
            parent: self.documents(),
            query_type: Some(AggregationQueryType::StructuredAggregationQuery(
                StructuredAggregationQuery {
                    aggregations: aggregations.collect(),
                    query_type: Some(aggregation::QueryType::StructuredQuery(query)),
                },
            )),
            ..RunAggregationQueryRequest::default()
        };
        self.retry
            .repeat(|| async {
                let message = request(message.clone(), QUERY_DEADLINE);
                let answers = self.client().run_aggregation_query(message).await;
                let mut answers = answers.map_err(failed)?.into_inner();
                while let Some(answer) = answers.message().await.map_err(failed)? {
                    let fields = answer.result.unwrap_or_default().aggregate_fields;
                    let value = |alias| {
                        fields.get(alias).and_then(|value: &Value| value.value_type.clone())
                    };
                    if let Some(ValueType::IntegerValue(n)) = value(COUNTED) {
                        return Ok((u64::try_from(n).unwrap_or(0), Sum::of(value(SUMMED))));
                    }
                }
                Err(Error::decode(target, "a count", "the answer holds none"))
            })
            .await
    }

    /// Applies all writes or none. Never repeated here: after an answer that was lost only the
    /// caller can tell, by reading, whether its commit was applied.
    pub async fn commit(
        &self,
        target: &str,
        writes: Vec<Write>,
        transaction: Option<TransactionId>,
    ) -> Result<CommitResponse> {
        let message = CommitRequest {
            database: self.database(),
            writes,
            transaction: transaction.unwrap_or_default(),
            ..CommitRequest::default()
        };
        let answer = self.client().commit(request(message, DEADLINE)).await;
        Ok(answer.map_err(|status| Error::rpc(COMMITTING, target, status))?.into_inner())
    }

    /// Applies each write on its own and says how each went, in their order.
    pub async fn batch_write(
        &self,
        target: &str,
        writes: Vec<&Write>,
    ) -> Result<Vec<tonic::Status>> {
        self.retry
            .repeat(|| async {
                let message = BatchWriteRequest {
                    database: self.database(),
                    writes: writes.iter().copied().cloned().collect(),
                    ..BatchWriteRequest::default()
                };
                let answer = self.client().batch_write(request(message, DEADLINE)).await;
                let failed = |status| Error::rpc("writing to", target, status);
                let statuses = answer.map_err(failed)?.into_inner().status.into_iter();
                let told =
                    |status: rpc::Status| tonic::Status::new(status.code.into(), status.message);
                Ok(statuses.map(told).collect())
            })
            .await
    }

    pub async fn begin(&self) -> Result<TransactionId> {
        let failed = |status| Error::rpc("beginning a transaction on", self.database(), status);
        self.retry
            .repeat(|| async {
                let message =
                    BeginTransactionRequest { database: self.database(), ..Default::default() };
                let answer = self.client().begin_transaction(request(message, DEADLINE)).await;
                Ok(answer.map_err(failed)?.into_inner().transaction)
            })
            .await
    }

    /// Gives a transaction's locks back. A failure is of no consequence: the transaction expires.
    pub async fn rollback(&self, transaction: TransactionId) {
        let message =
            RollbackRequest { database: self.database(), transaction, ..Default::default() };
        if let Err(status) = self.client().rollback(request(message, DEADLINE)).await {
            tracing::debug!(%status, "a rollback failed; the transaction will expire by itself");
        }
    }
}
