//! Compares two builds of the server: operations a second of each, in alternating rounds.
//!
//! `cargo run --release -p firestore-local --example rates -- OLD NEW [ROUNDS]`, where OLD and NEW are
//! `firestore-local` programs. Each round restarts each server, in memory, and drives it with the
//! same client. The order changes with every round. Printed are medians over the rounds.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use firestore::gcloud_sdk::google::firestore::v1::firestore_client::FirestoreClient;
use firestore_local::proto::{
    BatchGetDocumentsRequest, BeginTransactionRequest, CommitRequest, Document, RunQueryRequest,
    StructuredQuery, Value, Write, batch_get_documents_request::ConsistencySelector,
    run_query_request::QueryType, structured_query::CollectionSelector, value::ValueType,
    write::Operation,
};
use tonic::transport::Channel;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Client = FirestoreClient<Channel>;

const DATABASE: &str = "projects/demo/databases/(default)";
const TASKS: u64 = 16;
const PHASE: Duration = Duration::from_millis(1_500);
const STORED: u64 = 2_000;
const BATCH: u64 = 100;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Commits,
    BatchCommits,
    Gets,
    Queries,
    Transactions,
}

const KINDS: [(Kind, &str); 5] = [
    (Kind::Commits, "commits of one document"),
    (Kind::BatchCommits, "documents in commits of 100"),
    (Kind::Gets, "gets of one document"),
    (Kind::Queries, "documents of queries of 100"),
    (Kind::Transactions, "transactions of one get and one write"),
];

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(program: &str) -> Result<Self, Error> {
        let mut command = Command::new(program);
        command.args(["--addr", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let address = line.strip_prefix("listening on ").and_then(|rest| rest.split(';').next());
        let address = address.ok_or_else(|| format!("unexpected output {line:?}"))?.to_owned();
        Ok(Self { child, address })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn name(id: u64) -> String {
    format!("{DATABASE}/documents/docs/d{id:06}")
}

/// A document of ten fields, like an observation.
fn put(id: u64) -> Write {
    let text = |text: String| Value { value_type: Some(ValueType::StringValue(text)) };
    let fields = (0..10).map(|n| (format!("field{n}"), text(format!("value {id} of {n}"))));
    let document = Document { name: name(id), fields: fields.collect(), ..Document::default() };
    Write { operation: Some(Operation::Update(document)), ..Write::default() }
}

fn commit(writes: Vec<Write>, transaction: Vec<u8>) -> CommitRequest {
    CommitRequest { database: DATABASE.to_owned(), writes, transaction, ..CommitRequest::default() }
}

async fn get(client: &mut Client, id: u64, transaction: Option<Vec<u8>>) -> Result<(), Error> {
    let request = BatchGetDocumentsRequest {
        database: DATABASE.to_owned(),
        documents: vec![name(id)],
        consistency_selector: transaction.map(ConsistencySelector::Transaction),
        ..BatchGetDocumentsRequest::default()
    };
    let mut stream = client.batch_get_documents(request).await?.into_inner();
    while stream.message().await?.is_some() {}
    Ok(())
}

/// One operation; gives the number of documents or transactions.
async fn operate(client: &mut Client, kind: Kind, number: u64) -> Result<u64, Error> {
    match kind {
        Kind::Commits => {
            client.commit(commit(vec![put(number)], Vec::new())).await?;
            Ok(1)
        }
        Kind::BatchCommits => {
            let writes = (0..BATCH).map(|n| put(number * BATCH + n)).collect();
            client.commit(commit(writes, Vec::new())).await?;
            Ok(BATCH)
        }
        Kind::Gets => get(client, number % STORED, None).await.map(|()| 1),
        Kind::Queries => {
            let selector =
                CollectionSelector { collection_id: "docs".to_owned(), ..Default::default() };
            let query = StructuredQuery {
                from: vec![selector],
                limit: Some(100),
                ..StructuredQuery::default()
            };
            let request = RunQueryRequest {
                parent: format!("{DATABASE}/documents"),
                query_type: Some(QueryType::StructuredQuery(query)),
                ..RunQueryRequest::default()
            };
            let mut stream = client.run_query(request).await?.into_inner();
            let mut found = 0;
            while let Some(answer) = stream.message().await? {
                found += u64::from(answer.document.is_some());
            }
            Ok(found)
        }
        Kind::Transactions => {
            let begin =
                BeginTransactionRequest { database: DATABASE.to_owned(), ..Default::default() };
            let id = client.begin_transaction(begin).await?.into_inner().transaction;
            // Tasks take different documents: nothing is contended.
            let document = number % STORED;
            get(client, document, Some(id.clone())).await?;
            client.commit(commit(vec![put(document)], id)).await?;
            Ok(1)
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "measures durations")]
fn clock() -> Instant {
    Instant::now()
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
async fn rate(client: &Client, kind: Kind) -> Result<f64, Error> {
    let (started, next) = (clock(), Arc::new(AtomicU64::new(0)));
    let tasks = (0..TASKS).map(|_| {
        let (mut client, next) = (client.clone(), next.clone());
        tokio::spawn(async move {
            let mut done = 0;
            while started.elapsed() < PHASE {
                done += operate(&mut client, kind, next.fetch_add(1, Ordering::Relaxed)).await?;
            }
            Ok::<_, Error>(done)
        })
    });
    let mut done = 0;
    for task in tasks.collect::<Vec<_>>() {
        done += task.await??;
    }
    Ok(done as f64 / started.elapsed().as_secs_f64())
}

async fn round(program: &str) -> Result<Vec<f64>, Error> {
    let server = Server::start(program)?;
    let channel = Channel::from_shared(format!("http://{}", server.address))?.connect().await?;
    let mut client = FirestoreClient::new(channel);
    for first in (0..STORED).step_by(500) {
        client.commit(commit((first..first + 500).map(put).collect(), Vec::new())).await?;
    }
    let mut rates = Vec::new();
    for (kind, _) in KINDS {
        rates.push(rate(&client, kind).await?);
    }
    Ok(rates)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [old, new, rest @ ..] = &arguments[..] else {
        return Err("expected OLD NEW [ROUNDS]".into());
    };
    let rounds: usize = rest.first().map_or(Ok(5), |rounds| rounds.parse())?;
    let (mut olds, mut news) = (Vec::new(), Vec::new());
    for number in 0..rounds {
        if number % 2 == 0 {
            olds.push(round(old).await?);
            news.push(round(new).await?);
        } else {
            news.push(round(new).await?);
            olds.push(round(old).await?);
        }
    }
    println!("{:<40}{:>12}{:>12}{:>9}", "a second", "old", "new", "new/old");
    for (index, (_, title)) in KINDS.iter().enumerate() {
        let of = |all: &[Vec<f64>]| median(all.iter().map(|rates| rates[index]).collect());
        let ratios = olds.iter().zip(&news).map(|(old, new)| new[index] / old[index]);
        let ratio = median(ratios.collect());
        println!("{title:<40}{:>12.0}{:>12.0}{ratio:>9.3}", of(&olds), of(&news));
    }
    Ok(())
}
