//! The raw ceiling: the reads and writes of scoring without the scoring. All observations are read
//! by the same query in the same chunks. For each a document with the shape and size of a reward is
//! created, in the same batches, while the next chunk is read.

use std::time::{Duration, Instant};

use f0_learning::store::{SCORED_FIELDS, Store};
use firestore::FirestoreDb;
use firestore::gcloud_sdk::google::firestore::v1::structured_query::{
    CollectionSelector, Direction, FieldReference, Order, Projection,
};
use firestore::gcloud_sdk::google::firestore::v1::{
    BatchWriteRequest, Cursor, Document, Precondition, RunQueryRequest, StructuredQuery, Value,
    Write, precondition::ConditionType, run_query_request::QueryType, value::ValueType,
    write::Operation,
};
use firestore_kit::value::{double, fields, int, map, string};
use firestore_kit::{Connection, MAX_BATCH};
use tokio::task::JoinSet;

use crate::Result;
use crate::server::Server;

const CHUNK: i32 = 25_000;
const IN_FLIGHT: usize = 8;

pub async fn run(server: &Server, project: &str) -> Result<Duration> {
    let db = Store::connect(&Connection::local(project, server.address()))
        .await?
        .db()
        .clone()
        .into_inner();
    let began = Instant::now();
    let mut chunk = read(&db, None).await?;
    while let Some(last) = chunk.last() {
        let after = last.clone();
        let (written, next) = tokio::join!(write(&db, &chunk), read(&db, Some(&after)));
        written?;
        chunk = next?;
    }
    Ok(began.elapsed())
}

async fn read(db: &FirestoreDb, after: Option<&Document>) -> Result<Vec<Document>> {
    let field = |path: &str| FieldReference { field_path: path.to_owned() };
    let order =
        |path: &str| Order { field: Some(field(path)), direction: Direction::Ascending.into() };
    let query = StructuredQuery {
        select: Some(Projection { fields: SCORED_FIELDS.iter().map(|path| field(path)).collect() }),
        from: vec![CollectionSelector {
            collection_id: "ops_observations".to_owned(),
            all_descendants: false,
        }],
        order_by: vec![order("ts"), order("__name__")],
        start_at: after.map(|document| Cursor {
            values: vec![
                document.fields["ts"].clone(),
                Value { value_type: Some(ValueType::ReferenceValue(document.name.clone())) },
            ],
            before: false,
        }),
        limit: Some(CHUNK),
        ..StructuredQuery::default()
    };
    let request = RunQueryRequest {
        parent: db.get_documents_path().clone(),
        query_type: Some(QueryType::StructuredQuery(query)),
        ..RunQueryRequest::default()
    };
    let mut answers = db.client().get().run_query(request).await?.into_inner();
    let mut documents = Vec::new();
    while let Some(answer) = answers.message().await? {
        documents.extend(answer.document);
    }
    Ok(documents)
}

async fn write(db: &FirestoreDb, chunk: &[Document]) -> Result<()> {
    let mut in_flight = JoinSet::new();
    for batch in chunk.chunks(MAX_BATCH) {
        if in_flight.len() >= IN_FLIGHT {
            in_flight.join_next().await.ok_or("no batch in flight")???;
        }
        let request = BatchWriteRequest {
            database: db.get_database_path().clone(),
            writes: batch.iter().map(create).collect(),
            ..BatchWriteRequest::default()
        };
        let mut client = db.client().get();
        in_flight.spawn(async move { client.batch_write(request).await.map(drop) });
    }
    while let Some(outcome) = in_flight.join_next().await {
        outcome??;
    }
    Ok(())
}

/// Creates a document as large as a reward, with constant values.
fn create(observation: &Document) -> Write {
    let id = observation.name.rsplit('/').next().unwrap_or_default();
    let details = fields([
        ("successBoost", double(0.6)),
        ("latencyPenalty", double(0.05)),
        ("costPenalty", double(0.02)),
        ("errorPenalty", double(0.0)),
    ]);
    let document = Document {
        name: observation.name.replace("ops_observations", "ceiling"),
        fields: fields([
            ("obsId", string(id)),
            ("ts", int(0)),
            ("component", string("router:model-0")),
            ("score", double(0.78)),
            ("details", map(details)),
            ("configVersion", string("1.0.0")),
            ("policyVersion", string("router-core@1.0.0")),
        ]),
        ..Document::default()
    };
    Write {
        operation: Some(Operation::Update(document)),
        current_document: Some(Precondition { condition_type: Some(ConditionType::Exists(false)) }),
        ..Write::default()
    }
}
