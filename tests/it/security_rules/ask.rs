//! Asks through the protocol, in every way that it has.

use firestore::gcloud_sdk::google::firestore::v1::batch_get_documents_request::ConsistencySelector as BatchSelector;
use firestore::gcloud_sdk::google::firestore::v1::firestore_client::FirestoreClient;
use firestore::gcloud_sdk::google::firestore::v1::listen_request::TargetChange as Change;
use firestore::gcloud_sdk::google::firestore::v1::listen_response::ResponseType;
use firestore::gcloud_sdk::google::firestore::v1::run_aggregation_query_request::QueryType as AggregationType;
use firestore::gcloud_sdk::google::firestore::v1::run_query_request::{
    ConsistencySelector, QueryType,
};
use firestore::gcloud_sdk::google::firestore::v1::structured_aggregation_query::{
    Aggregation, QueryType as Aggregated, aggregation,
};
use firestore::gcloud_sdk::google::firestore::v1::structured_query::CollectionSelector;
use firestore::gcloud_sdk::google::firestore::v1::target::{
    DocumentsTarget, QueryTarget, TargetType, query_target,
};
use firestore::gcloud_sdk::google::firestore::v1::target_change::TargetChangeType;
use firestore::gcloud_sdk::google::firestore::v1::write::Operation;
use firestore::gcloud_sdk::google::firestore::v1::*;
use firestore::gcloud_sdk::tonic::transport::Channel;
use firestore::gcloud_sdk::tonic::{Code, Request, Status, Streaming};
use firestore_kit::value::Fields;
use tokio_stream::StreamExt as _;

use super::people::{Answer, PROJECT, Place};

/// The ways to ask for what a method of the rules stands for.
pub fn ways(method: &str) -> &'static [&'static str] {
    match method {
        "get" => {
            &["GetDocument", "BatchGetDocuments", "BatchGetDocuments in a transaction", "Listen"]
        }
        "list" => &[
            "RunQuery",
            "RunQuery in a transaction",
            "ListDocuments",
            "RunAggregationQuery",
            "Listen",
        ],
        "create" => &["Commit", "Commit in a transaction", "BatchWrite", "Write", "CreateDocument"],
        "update" => &["Commit", "Commit in a transaction", "BatchWrite", "Write", "UpdateDocument"],
        _ => &["Commit", "Commit in a transaction", "BatchWrite", "Write", "DeleteDocument"],
    }
}

fn database() -> String {
    format!("projects/{PROJECT}/databases/(default)")
}

fn root() -> String {
    format!("{}/documents", database())
}

/// A client with a token.
#[derive(Clone)]
pub struct Asker {
    client: FirestoreClient<Channel>,
    token: String,
}

/// What an answer says about the caller's rights.
fn judged<T>(answer: &Result<T, Status>) -> Answer {
    match answer {
        Ok(_) => Answer::Allowed,
        Err(status) => match status.code() {
            Code::PermissionDenied => Answer::Denied,
            Code::Unauthenticated => Answer::Refused,
            _ => panic!("{status}"),
        },
    }
}

fn of_code(code: i32, message: &str) -> Result<(), Status> {
    match Code::from(code) {
        Code::Ok => Ok(()),
        code => Err(Status::new(code, message)),
    }
}

async fn drained<T>(mut answers: Streaming<T>) -> Result<Vec<T>, Status> {
    let mut all = Vec::new();
    while let Some(answer) = answers.message().await? {
        all.push(answer);
    }
    Ok(all)
}

impl Asker {
    pub fn new(client: &FirestoreClient<Channel>, token: String) -> Self {
        Self { client: client.clone(), token }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let header = format!("Bearer {}", self.token).parse().unwrap();
        request.metadata_mut().insert("authorization", header);
        request
    }

    /// Asks in one way. `document` is what a create or an update writes.
    pub async fn ask(&self, place: &Place, method: &str, way: &str, document: &Fields) -> Answer {
        let name = format!("{}/{}/{}", root(), place.collection, place.id);
        let answer = match method {
            "get" => self.get(name, way).await,
            "list" => self.list(place.collection, way).await,
            _ => self.write(place, name, method, way, document).await,
        };
        judged(&answer)
    }

    async fn begin(&self) -> Result<Vec<u8>, Status> {
        let begin = BeginTransactionRequest { database: database(), ..Default::default() };
        let request = self.request(begin);
        Ok(self.client.clone().begin_transaction(request).await?.into_inner().transaction)
    }

    /// Ends a transaction, which a refused request may have ended already.
    async fn end(&self, transaction: Vec<u8>) {
        let rollback = RollbackRequest { database: database(), transaction, ..Default::default() };
        let _ = self.client.clone().rollback(self.request(rollback)).await;
    }

    async fn get(&self, name: String, way: &str) -> Result<(), Status> {
        let mut client = self.client.clone();
        match way {
            "GetDocument" => {
                let get = GetDocumentRequest { name, ..Default::default() };
                client.get_document(self.request(get)).await.map(drop)
            }
            "Listen" => {
                let documents = DocumentsTarget { documents: vec![name] };
                self.listen(TargetType::Documents(documents)).await
            }
            _ => {
                let in_transaction = way.ends_with("transaction");
                let transaction = if in_transaction { self.begin().await? } else { Vec::new() };
                let selector =
                    in_transaction.then(|| BatchSelector::Transaction(transaction.clone()));
                let get = BatchGetDocumentsRequest {
                    database: database(),
                    documents: vec![name],
                    consistency_selector: selector,
                    ..Default::default()
                };
                let answer = match client.batch_get_documents(self.request(get)).await {
                    Ok(answers) => drained(answers.into_inner()).await.map(drop),
                    Err(status) => Err(status),
                };
                if in_transaction {
                    self.end(transaction).await;
                }
                answer
            }
        }
    }

    async fn list(&self, collection: &str, way: &str) -> Result<(), Status> {
        let mut client = self.client.clone();
        let selector =
            CollectionSelector { collection_id: collection.to_owned(), all_descendants: false };
        let query = StructuredQuery { from: vec![selector], ..Default::default() };
        match way {
            "ListDocuments" => {
                let list = ListDocumentsRequest {
                    parent: root(),
                    collection_id: collection.to_owned(),
                    ..Default::default()
                };
                client.list_documents(self.request(list)).await.map(drop)
            }
            "RunAggregationQuery" => {
                let count = aggregation::Operator::Count(aggregation::Count::default());
                let aggregated = StructuredAggregationQuery {
                    aggregations: vec![Aggregation {
                        alias: "n".to_owned(),
                        operator: Some(count),
                    }],
                    query_type: Some(Aggregated::StructuredQuery(query)),
                };
                let run = RunAggregationQueryRequest {
                    parent: root(),
                    query_type: Some(AggregationType::StructuredAggregationQuery(aggregated)),
                    ..Default::default()
                };
                let answers = client.run_aggregation_query(self.request(run)).await?;
                drained(answers.into_inner()).await.map(drop)
            }
            "Listen" => {
                let query_type = Some(query_target::QueryType::StructuredQuery(query));
                self.listen(TargetType::Query(QueryTarget { parent: root(), query_type })).await
            }
            _ => {
                let in_transaction = way.ends_with("transaction");
                let transaction = if in_transaction { self.begin().await? } else { Vec::new() };
                let selector =
                    in_transaction.then(|| ConsistencySelector::Transaction(transaction.clone()));
                let run = RunQueryRequest {
                    parent: root(),
                    query_type: Some(QueryType::StructuredQuery(query)),
                    consistency_selector: selector,
                    ..Default::default()
                };
                let answer = match client.run_query(self.request(run)).await {
                    Ok(answers) => drained(answers.into_inner()).await.map(drop),
                    Err(status) => Err(status),
                };
                if in_transaction {
                    self.end(transaction).await;
                }
                answer
            }
        }
    }

    /// Listens until the target is current or refused.
    async fn listen(&self, target_type: TargetType) -> Result<(), Status> {
        let target = Target { target_id: 1, target_type: Some(target_type), ..Default::default() };
        let listen = ListenRequest {
            database: database(),
            target_change: Some(Change::AddTarget(target)),
            ..Default::default()
        };
        let requests = tokio_stream::iter([listen]).chain(tokio_stream::pending());
        let mut answers = self.client.clone().listen(self.request(requests)).await?.into_inner();
        while let Some(answer) = answers.message().await? {
            let Some(ResponseType::TargetChange(change)) = answer.response_type else { continue };
            if let Some(cause) = change.cause {
                return of_code(cause.code, &cause.message);
            }
            if change.target_change_type == i32::from(TargetChangeType::Current) {
                return Ok(());
            }
        }
        panic!("the stream ended before an answer");
    }

    async fn write(
        &self,
        place: &Place,
        name: String,
        method: &str,
        way: &str,
        document: &Fields,
    ) -> Result<(), Status> {
        let mut client = self.client.clone();
        let fields = document.clone();
        let operation = match method {
            "delete" => Operation::Delete(name.clone()),
            _ => Operation::Update(Document {
                name: name.clone(),
                fields: fields.clone(),
                ..Default::default()
            }),
        };
        let writes = vec![Write { operation: Some(operation), ..Default::default() }];
        match way {
            "Commit" => {
                let commit = CommitRequest { database: database(), writes, ..Default::default() };
                client.commit(self.request(commit)).await.map(drop)
            }
            "Commit in a transaction" => {
                let transaction = self.begin().await?;
                let commit = CommitRequest {
                    database: database(),
                    writes,
                    transaction: transaction.clone(),
                    ..Default::default()
                };
                let answer = client.commit(self.request(commit)).await.map(drop);
                self.end(transaction).await;
                answer
            }
            "BatchWrite" => {
                let batch =
                    BatchWriteRequest { database: database(), writes, ..Default::default() };
                let answer = client.batch_write(self.request(batch)).await?.into_inner();
                of_code(answer.status[0].code, &answer.status[0].message)
            }
            "Write" => self.write_stream(writes).await,
            "CreateDocument" => {
                let create = CreateDocumentRequest {
                    parent: root(),
                    collection_id: place.collection.to_owned(),
                    document_id: place.id.to_owned(),
                    document: Some(Document { fields, ..Default::default() }),
                    ..Default::default()
                };
                client.create_document(self.request(create)).await.map(drop)
            }
            "UpdateDocument" => {
                let document = Some(Document { name, fields, ..Default::default() });
                let update = UpdateDocumentRequest { document, ..Default::default() };
                client.update_document(self.request(update)).await.map(drop)
            }
            _ => {
                let delete = DeleteDocumentRequest { name, ..Default::default() };
                client.delete_document(self.request(delete)).await.map(drop)
            }
        }
    }

    async fn write_stream(&self, writes: Vec<Write>) -> Result<(), Status> {
        let (sender, receiver) = tokio::sync::mpsc::channel(2);
        let open = WriteRequest { database: database(), ..Default::default() };
        sender.send(open).await.unwrap();
        let requests = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let answers = self.client.clone().write(self.request(requests)).await?;
        let mut answers = answers.into_inner();
        let opened = answers.message().await?.expect("an answer to the first request");
        let write =
            WriteRequest { writes, stream_token: opened.stream_token, ..Default::default() };
        sender.send(write).await.unwrap();
        answers.message().await.map(drop)
    }

    /// Makes a document be as given, or be absent. For servers.
    pub async fn set(&self, place: &Place, document: Option<&Fields>) {
        let empty = Fields::default();
        let method = if document.is_some() { "update" } else { "delete" };
        let answer = self.ask(place, method, "Commit", document.unwrap_or(&empty)).await;
        assert_eq!(answer, Answer::Allowed);
    }

    /// The stored document. For servers.
    pub async fn stored(&self, place: &Place) -> Option<Fields> {
        let name = format!("{}/{}/{}", root(), place.collection, place.id);
        let get = GetDocumentRequest { name, ..Default::default() };
        match self.client.clone().get_document(self.request(get)).await {
            Ok(found) => Some(found.into_inner().fields),
            Err(status) if status.code() == Code::NotFound => None,
            Err(status) => panic!("{status}"),
        }
    }
}
