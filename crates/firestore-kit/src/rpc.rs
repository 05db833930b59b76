//! The calls to Firestore: each is one RPC over the `firestore` crate's authenticated channel, with a
//! deadline, an error that names its target, and retries if [`retry`](crate::retry) allows them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use firestore::gcloud_sdk::google::firestore::v1::{
    BatchGetDocumentsRequest, BatchWriteRequest, BeginTransactionRequest, CommitRequest,
    CommitResponse, Document, DocumentMask, RollbackRequest, RunAggregationQueryRequest,
    RunQueryRequest, RunQueryResponse, StructuredAggregationQuery, StructuredQuery,
    TransactionOptions, Value, Write,
    batch_get_documents_request::ConsistencySelector,
    batch_get_documents_response::Result as Found,
    run_aggregation_query_request::{self, QueryType as AggregationQueryType},
    run_query_request::{self, QueryType},
    structured_aggregation_query as aggregation,
    structured_query::FieldReference,
    transaction_options::{Mode, ReadWrite},
    value::ValueType,
};
use firestore::gcloud_sdk::google::rpc;
use firestore::gcloud_sdk::tonic::{self, Request, Streaming};

use crate::error::{COMMIT, Error, Result};
use crate::usage::{Operations, Usage};
use crate::{Client, Db, Timestamp};

/// The longest wait for a response. Firestore itself aborts a query after 60 s; a commit at its
/// limit of 500 writes takes well below a second.
const DEADLINE: Duration = Duration::from_secs(30);
const QUERY_DEADLINE: Duration = Duration::from_secs(60);

/// A response may be a little larger than Firestore's request limit of 10 MiB; tonic's default is
/// only 4 MiB.
const MAX_RESPONSE_BYTES: usize = 16 << 20;

/// An open transaction. Reads take it to be part of the transaction, and functions demand it as the
/// proof that they run in one: only [`Db::in_transaction`] makes one, and it cannot be copied.
#[derive(Debug)]
pub struct Transaction {
    id: Vec<u8>,
}

impl Transaction {
    /// The same transaction, for its body while its owner keeps it to commit or to roll back.
    pub(crate) fn same(&self) -> Self {
        Self { id: self.id.clone() }
    }
}

/// The aliases of aggregations in requests.
const COUNT_ALIAS: &str = "n";
const SUM_ALIAS: &str = "sum";

/// A sum as Firestore returns it: whole unless it leaves 64 bits or includes a double.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sum {
    Whole(i64),
    Double(f64),
}

/// What an aggregation found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aggregated {
    pub n: u64,
    pub sum: Sum,
    /// The time of the documents that were counted.
    pub at: Option<Timestamp>,
}

/// Below this, every whole number is exact as a double (2^53).
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

    /// This sum less another one; `None` if it is too large to be exact.
    pub fn less(self, other: Self) -> Option<Self> {
        if let (Self::Whole(a), Self::Whole(b)) = (self, other) {
            return a.checked_sub(b).map(Self::Whole);
        }
        let (a, b) = (self.exact()?, other.exact()?);
        Some(Self::Double(a - b))
    }

    /// The sum as a number; `None` if it is too large to be exact.
    pub fn exact(self) -> Option<f64> {
        Some(self.as_f64()).filter(|sum| sum.abs() < EXACT)
    }

    /// Whether `a` and `b` add up to `whole`; `None` if they are too large to be exact.
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

/// The answers to a query. What they cost is counted when the value is dropped.
#[derive(Debug)]
pub struct Answers {
    stream: Streaming<RunQueryResponse>,
    documents: usize,
    usage: Arc<Usage>,
}

impl Answers {
    /// The next answer; `None` at the end.
    ///
    /// # Errors
    /// The status with which the stream broke off.
    pub async fn message(&mut self) -> Result<Option<RunQueryResponse>, tonic::Status> {
        let answer = self.stream.message().await;
        let answer = answer.inspect_err(|status| self.usage.failed(status))?;
        let has_document = answer.as_ref().is_some_and(|answer| answer.document.is_some());
        self.documents += usize::from(has_document);
        Ok(answer)
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.usage.queried(self.documents);
    }
}

fn request<T>(message: T, deadline: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

impl Db {
    fn client(&self) -> Client {
        self.client.clone().max_decoding_message_size(MAX_RESPONSE_BYTES)
    }

    /// The failure of a call, which is counted.
    pub(crate) fn failure(
        &self,
        operation: &'static str,
        target: impl Into<String>,
        status: tonic::Status,
    ) -> Error {
        self.usage.failed(&status);
        Error::rpc(operation, target, status)
    }

    fn database(&self) -> String {
        self.database.to_string()
    }

    fn documents(&self) -> String {
        self.documents.to_string()
    }

    /// The full resource name of a document.
    pub fn name(&self, collection: &str, id: &str) -> String {
        format!("{}/{collection}/{id}", self.documents)
    }

    /// A document's path without the database, for messages.
    pub fn short_name<'a>(&self, name: &'a str) -> &'a str {
        name.strip_prefix(&*self.documents).map_or(name, |path| path.trim_start_matches('/'))
    }

    pub async fn get(&self, collection: &str, id: &str) -> Result<Option<Document>> {
        let name = self.name(collection, id);
        Ok(self.get_many(vec![name.clone()]).await?.remove(&name))
    }

    /// The same inside a transaction.
    pub async fn get_in(
        &self,
        collection: &str,
        id: &str,
        transaction: &Transaction,
    ) -> Result<Option<Document>> {
        let name = self.name(collection, id);
        Ok(self.get_many_in(vec![name.clone()], transaction).await?.remove(&name))
    }

    /// The documents that exist among `names`, by name.
    pub async fn get_many(&self, names: Vec<String>) -> Result<HashMap<String, Document>> {
        Ok(self.batch_get(names, None, None).await?.0)
    }

    /// The documents that exist among `names`, by name, all as of the returned time: they have not
    /// changed between their read and that time.
    pub async fn snapshot(
        &self,
        names: Vec<String>,
    ) -> Result<(HashMap<String, Document>, Timestamp)> {
        let target =
            names.first().map_or_else(String::new, |name| self.short_name(name).to_owned());
        let (found, time) = self.batch_get(names, None, None).await?;
        let time = time.ok_or_else(|| {
            Error::decode(target, "a snapshot of documents", "the response has no read time")
        })?;
        Ok((found, time))
    }

    /// The same inside a transaction.
    pub async fn get_many_in(
        &self,
        names: Vec<String>,
        transaction: &Transaction,
    ) -> Result<HashMap<String, Document>> {
        Ok(self.batch_get(names, None, Some(transaction)).await?.0)
    }

    /// The documents that exist among `names`, by name, with only these fields.
    pub async fn get_masked(
        &self,
        names: Vec<String>,
        fields: &[&str],
    ) -> Result<HashMap<String, Document>> {
        let field_paths = fields.iter().map(|field| (*field).to_owned()).collect();
        Ok(self.batch_get(names, Some(DocumentMask { field_paths }), None).await?.0)
    }

    /// The documents, and the time of the read.
    pub(crate) async fn batch_get(
        &self,
        names: Vec<String>,
        mask: Option<DocumentMask>,
        transaction: Option<&Transaction>,
    ) -> Result<(HashMap<String, Document>, Option<Timestamp>)> {
        let take = |document: Document| (document.name.clone(), document);
        let (found, time) = self.batch_get_map(names, mask, transaction, take).await?;
        Ok((found.into_iter().collect(), time))
    }

    /// What `take` makes of each document, and the time of the read.
    pub(crate) async fn batch_get_map<T>(
        &self,
        names: Vec<String>,
        mask: Option<DocumentMask>,
        transaction: Option<&Transaction>,
        take: impl Fn(Document) -> T,
    ) -> Result<(Vec<T>, Option<Timestamp>)> {
        self.batch_get_fold(names, mask, transaction, Vec::new, |taken, answer| {
            if let Found::Found(document) = answer {
                taken.push(take(document));
            }
            true
        })
        .await
    }

    /// Adds the answers for these names to a value, until `add` returns `false`, and returns it with the
    /// time of the read. Each attempt starts with a `new` value.
    pub(crate) async fn batch_get_fold<T>(
        &self,
        names: Vec<String>,
        mask: Option<DocumentMask>,
        transaction: Option<&Transaction>,
        new: impl Fn() -> T,
        add: impl Fn(&mut T, Found) -> bool,
    ) -> Result<(T, Option<Timestamp>)> {
        if names.is_empty() {
            return Ok((new(), None));
        }
        let message = BatchGetDocumentsRequest {
            database: self.database(),
            documents: names,
            mask,
            consistency_selector: transaction
                .map(|transaction| ConsistencySelector::Transaction(transaction.id.clone())),
            ..BatchGetDocumentsRequest::default()
        };
        let target = || self.short_name(&message.documents[0]).to_owned();
        let failed = |status| self.failure("read", target(), status);
        let read = || async {
            let mut folded = new();
            let mut time = None;
            let message = request(message.clone(), DEADLINE);
            let stream = self.client().batch_get_documents(message).await;
            let mut stream = stream.map_err(failed)?.into_inner();
            while let Some(response) = stream.message().await.map_err(failed)? {
                self.usage.read(u64::from(response.result.is_some()));
                // Read times rise, and the last one is valid for all documents of the stream. A
                // transaction reads at its beginning, which may be long past.
                if time.is_none() && transaction.is_none() {
                    self.time.record(response.read_time);
                }
                time = response.read_time.or(time);
                if let Some(answer) = response.result
                    && !add(&mut folded, answer)
                {
                    break;
                }
            }
            Ok((folded, time))
        };
        // An aborted transaction stays aborted: it can only be repeated as a whole.
        if transaction.is_some() { read().await } else { self.retry.run(read).await }
    }

    /// Opens a query's stream of responses, without retries: see [`query_all`](Self::query_all).
    pub async fn query(&self, query: StructuredQuery) -> Result<Answers, tonic::Status> {
        let message = RunQueryRequest {
            parent: self.documents(),
            query_type: Some(QueryType::StructuredQuery(query)),
            ..RunQueryRequest::default()
        };
        let answers = self.client().run_query(request(message, QUERY_DEADLINE)).await;
        let stream = answers.inspect_err(|status| self.usage.failed(status))?.into_inner();
        Ok(Answers { stream, documents: 0, usage: self.usage.clone() })
    }

    /// All documents of a query with a small result.
    pub async fn query_all(&self, target: &str, query: StructuredQuery) -> Result<Vec<Document>> {
        let failed = |status| Error::rpc("query", target, status);
        self.retry
            .run(|| async {
                let mut documents = Vec::new();
                let mut stream = self.query(query.clone()).await.map_err(failed)?;
                let mut is_first = true;
                while let Some(response) = stream.message().await.map_err(failed)? {
                    // Later messages may arrive long after the read.
                    if std::mem::take(&mut is_first) {
                        self.time.record(response.read_time);
                    }
                    documents.extend(response.document);
                }
                Ok(documents)
            })
            .await
    }

    /// The same inside a transaction: the commit fails if another writer changes the query's result.
    pub async fn query_in(
        &self,
        target: &str,
        query: StructuredQuery,
        transaction: &Transaction,
    ) -> Result<Vec<Document>> {
        let failed = |status| self.failure("query", target, status);
        let message = RunQueryRequest {
            parent: self.documents(),
            query_type: Some(QueryType::StructuredQuery(query)),
            consistency_selector: Some(run_query_request::ConsistencySelector::Transaction(
                transaction.id.clone(),
            )),
            ..RunQueryRequest::default()
        };
        let stream = self.client().run_query(request(message, QUERY_DEADLINE)).await;
        let mut stream = stream.map_err(failed)?.into_inner();
        let mut documents = Vec::new();
        while let Some(response) = stream.message().await.map_err(failed)? {
            documents.extend(response.document);
        }
        self.usage.queried(documents.len());
        Ok(documents)
    }

    /// The number of a query's documents. Firestore bills one read for each 1,000 index entries.
    pub async fn count(&self, target: &str, query: StructuredQuery) -> Result<u64> {
        Ok(self.aggregate(target, query, None, None).await?.n)
    }

    /// The number of a query's documents and the sum of one of their fields, at the same price: now, or
    /// as they were `at` a time that an earlier answer gave.
    ///
    /// # Errors
    /// See [`Error::is_too_old`] for a time of which Firestore has no versions any more.
    pub async fn count_and_sum(
        &self,
        target: &str,
        query: StructuredQuery,
        field: &str,
        at: Option<Timestamp>,
    ) -> Result<Aggregated> {
        self.aggregate(target, query, Some(field), at).await
    }

    async fn aggregate(
        &self,
        target: &str,
        query: StructuredQuery,
        sum_field: Option<&str>,
        at: Option<Timestamp>,
    ) -> Result<Aggregated> {
        use aggregation::aggregation::{Count, Operator};
        // An aggregation reads no fields, and not every implementation takes a projection inside it.
        let query = StructuredQuery { select: None, ..query };
        let failed = |status| self.failure("count", target, status);
        let count = (COUNT_ALIAS, Operator::Count(Count { up_to: None }));
        let sum = sum_field.map(|path| {
            let field = Some(FieldReference { field_path: path.to_owned() });
            (SUM_ALIAS, Operator::Sum(aggregation::aggregation::Sum { field }))
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
            consistency_selector: at
                .map(run_aggregation_query_request::ConsistencySelector::ReadTime),
            ..RunAggregationQueryRequest::default()
        };
        self.retry
            .run(|| async {
                let message = request(message.clone(), QUERY_DEADLINE);
                let stream = self.client().run_aggregation_query(message).await;
                let mut stream = stream.map_err(failed)?.into_inner();
                while let Some(response) = stream.message().await.map_err(failed)? {
                    if at.is_none() {
                        self.time.record(response.read_time);
                    }
                    let fields = response.result.unwrap_or_default().aggregate_fields;
                    let value = |alias| {
                        fields.get(alias).and_then(|value: &Value| value.value_type.clone())
                    };
                    if let Some(ValueType::IntegerValue(n)) = value(COUNT_ALIAS) {
                        let (n, sum) = (u64::try_from(n).unwrap_or(0), Sum::of(value(SUM_ALIAS)));
                        self.usage.counted(n);
                        return Ok(Aggregated { n, sum, at: response.read_time });
                    }
                }
                Err(Error::decode(target, "a count", "the response holds none"))
            })
            .await
    }

    /// Applies all writes or none. Never repeated here: after a lost response only the caller can
    /// find out, by reading, whether its commit was applied.
    pub async fn commit(&self, target: &str, writes: Vec<Write>) -> Result<CommitResponse> {
        self.send_commit(target, writes, Vec::new()).await
    }

    /// Commits a transaction with these writes.
    pub(crate) async fn commit_in(
        &self,
        target: &str,
        writes: Vec<Write>,
        transaction: Transaction,
    ) -> Result<CommitResponse> {
        self.send_commit(target, writes, transaction.id).await
    }

    async fn send_commit(
        &self,
        target: &str,
        writes: Vec<Write>,
        transaction: Vec<u8>,
    ) -> Result<CommitResponse> {
        let operations = Operations::of(&writes);
        let message = CommitRequest {
            database: self.database(),
            writes,
            transaction,
            ..CommitRequest::default()
        };
        let response = self.client().commit(request(message, DEADLINE)).await;
        let response =
            response.map_err(|status| self.failure(COMMIT, target, status))?.into_inner();
        self.usage.wrote(operations);
        self.time.record(response.commit_time);
        Ok(response)
    }

    /// Applies each write independently and returns their statuses in the same order.
    pub(crate) async fn batch_write(
        &self,
        target: &str,
        writes: Vec<&Write>,
    ) -> Result<Vec<tonic::Status>> {
        self.retry
            .run(|| async {
                let message = BatchWriteRequest {
                    database: self.database(),
                    writes: writes.iter().copied().cloned().collect(),
                    ..BatchWriteRequest::default()
                };
                let response = self.client().batch_write(request(message, DEADLINE)).await;
                let failed = |status| self.failure("write to", target, status);
                let statuses = response.map_err(failed)?.into_inner().status.into_iter();
                let as_tonic =
                    |status: rpc::Status| tonic::Status::new(status.code.into(), status.message);
                let statuses: Vec<_> = statuses.map(as_tonic).collect();
                let applied = writes.iter().zip(&statuses);
                let applied = applied.filter(|(_, status)| status.code() == tonic::Code::Ok);
                self.usage.wrote(Operations::of(applied.map(|(write, _)| *write)));
                Ok(statuses)
            })
            .await
    }

    /// Begins a transaction. If it repeats another one, the request names that one, so that the work
    /// keeps its priority among contending transactions.
    pub(crate) async fn begin(&self, repeated: Option<&Transaction>) -> Result<Transaction> {
        let options = repeated.map(|transaction| TransactionOptions {
            mode: Some(Mode::ReadWrite(ReadWrite {
                retry_transaction: transaction.id.clone(),
                ..ReadWrite::default()
            })),
        });
        let failed = |status| self.failure("begin a transaction on", self.database(), status);
        self.retry
            .run(|| async {
                let message = BeginTransactionRequest {
                    database: self.database(),
                    options: options.clone(),
                    ..BeginTransactionRequest::default()
                };
                let response = self.client().begin_transaction(request(message, DEADLINE)).await;
                Ok(Transaction { id: response.map_err(failed)?.into_inner().transaction })
            })
            .await
    }

    /// Releases a transaction's locks. A failure does no harm: the transaction expires.
    pub(crate) async fn rollback(&self, transaction: Transaction) {
        let (database, transaction) = (self.database(), transaction.id);
        let message = RollbackRequest { database, transaction, ..RollbackRequest::default() };
        if let Err(status) = self.client().rollback(request(message, DEADLINE)).await {
            tracing::debug!(%status, "cannot roll back a transaction; it will expire");
        }
    }
}
