//! Hostile requests: the server refuses or answers each of them, never panics, never answers
//! INTERNAL, and continues to work.
//!
//! There are two kinds: requests with invalid parts, and requests whose bytes were tampered with.

mod parts;
mod requests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use firestore_local::{Clock, Server};
use futures::StreamExt;
use tokio_stream::iter;
use tonic::{Code, Status, Streaming};

use crate::support::random::Random;
use crate::support::v1;
use crate::support::values::*;
use crate::support::{Client, Local};

static PANICS: AtomicUsize = AtomicUsize::new(0);
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// Counts the panics of the server's code in all threads.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            // A failed assertion of a test is not a panic of the server.
            if !place.contains("firestore-local/tests") {
                PANICS.fetch_add(1, Ordering::SeqCst);
                *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = format!("{info}");
            }
            usual(info);
        }));
    });
}

fn check_code(status: &Status, sent: &dyn std::fmt::Debug) {
    let fine = !matches!(
        status.code(),
        Code::Internal | Code::Unknown | Code::Unavailable | Code::Cancelled | Code::DataLoss
    );
    assert!(fine, "{status}\n{sent:?}");
}

/// Sends a request and reads all answers.
async fn send(client: &Client, request: requests::Any) {
    let mut api = client.api();
    let sent = request.clone();
    let outcome = match request {
        requests::Any::Get(request) => api.get_document(request).await.map(drop),
        requests::Any::List(request) => api.list_documents(request).await.map(drop),
        requests::Any::Create(request) => api.create_document(request).await.map(drop),
        requests::Any::Update(request) => api.update_document(request).await.map(drop),
        requests::Any::Delete(request) => api.delete_document(request).await.map(drop),
        requests::Any::BatchGet(request) => drain(api.batch_get_documents(request).await).await,
        requests::Any::Commit(request) => api.commit(request).await.map(drop),
        requests::Any::BatchWrite(request) => api.batch_write(request).await.map(drop),
        requests::Any::Begin(request) => api.begin_transaction(request).await.map(drop),
        requests::Any::Rollback(request) => api.rollback(request).await.map(drop),
        requests::Any::Query(request) => drain(api.run_query(request).await).await,
        requests::Any::Aggregate(request) => drain(api.run_aggregation_query(request).await).await,
        requests::Any::Partition(request) => api.partition_query(request).await.map(drop),
        requests::Any::Collections(request) => api.list_collection_ids(request).await.map(drop),
        requests::Any::Pipeline(request) => drain(api.execute_pipeline(request).await).await,
        requests::Any::Write(requests) => drain(api.write(iter(requests)).await).await,
        requests::Any::Listen(requests) => drain(api.listen(iter(requests)).await).await,
    };
    if let Err(status) = outcome {
        check_code(&status, &sent);
    }
}

async fn drain<T>(answers: Result<tonic::Response<Streaming<T>>, Status>) -> Result<(), Status> {
    let mut answers = answers?.into_inner();
    while let Some(answer) = answers.next().await {
        answer?;
    }
    Ok(())
}

/// A clock that runs a thousand times as fast as the machine's: locks of transactions that nothing
/// ends time out within milliseconds.
fn hasty_clock() -> Clock {
    let (began, start) = (Instant::now(), SystemTime::now());
    Clock::from_micros(move || {
        let start = start.duration_since(UNIX_EPOCH).unwrap().as_micros();
        i64::try_from(start + 1_000 * began.elapsed().as_micros()).unwrap()
    })
}

async fn bombard(
    seed: u64,
    count: usize,
    next: fn(&mut Random, &Client, &[u8]) -> Option<requests::Any>,
) {
    count_panics();
    let before = PANICS.load(Ordering::SeqCst);
    let local = Local::of(Server::builder().index_threshold(3).clock(hasty_clock())).await;
    let mut random = Random::seeded(seed);
    let mut open = local.begin().await;
    for _ in 0..count {
        if random.one_in(10) {
            open = local.begin().await;
        }
        let Some(request) = next(&mut random, &local, &open) else { continue };
        let sent = request.clone();
        send(&local, request).await;
        let panics = PANICS.load(Ordering::SeqCst);
        let last = LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert_eq!(panics, before, "{last}\nafter {sent:?}");
    }
    local.set("fine/afterwards", [("x", int(1))]).await;
    let found = local.query(crate::support::queries::from("fine")).await.unwrap();
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn requests_with_invalid_parts_are_refused_or_answered() {
    bombard(1, 6_000, |random, client, open| Some(requests::nasty(random, client, open))).await;
}

#[tokio::test]
async fn tampered_requests_are_refused_or_answered() {
    bombard(2, 6_000, requests::tampered).await;
}

#[tokio::test]
async fn deeply_nested_values_and_filters_are_refused_or_answered() {
    let local = Local::start().await;
    let depths = [21, 30, 40, 90];
    for depth in depths {
        let write = crate::support::writes::put(local.name("c/d"), fields([("x", nested(depth))]));
        let status = local.commit([write]).await.expect_err("too deep");
        check_code(&status, &depth);
    }
    let mut filter = crate::support::queries::equal("x", int(1));
    for _ in 0..40 {
        filter = crate::support::queries::all([filter]);
    }
    let query = v1::StructuredQuery { r#where: Some(filter), ..crate::support::queries::from("c") };
    let found = local.query(query).await;
    if let Err(status) = found {
        check_code(&status, &"a filter of forty levels");
    }
}
