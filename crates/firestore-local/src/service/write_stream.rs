//! Write: a stream of write requests, answered in order.
//!
//! The first request opens the stream and carries no writes; its answer holds the stream's id and
//! first token. A broken stream cannot be resumed: a request that names an old stream is refused,
//! and the client opens a new one, as it must with Firestore once a stream has expired.

use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::writes::{self, write_result};
use super::{Answers, Service};
use crate::ambient;
use crate::model::path::Database;
use crate::proto::{WriteRequest, WriteResponse};

pub fn run(service: Service, requests: Streaming<WriteRequest>) -> Answers<WriteResponse> {
    let (answers, stream) = mpsc::channel(16);
    tokio::spawn(async move {
        if let Err(status) = serve(&service, requests, &answers).await {
            // Sending fails if the client has gone.
            let _ = answers.send(Err(status)).await;
        }
    });
    Box::pin(ReceiverStream::new(stream))
}

async fn serve(
    service: &Service,
    mut requests: Streaming<WriteRequest>,
    answers: &mpsc::Sender<Result<WriteResponse, Status>>,
) -> Result<(), Status> {
    let Some(first) = requests.next().await else { return Ok(()) };
    let first = first?;
    let database = Database::parse(&first.database)?;
    if !first.stream_id.is_empty() {
        return Err(Status::not_found("The stream has expired; open a new one"));
    }
    if !first.writes.is_empty() {
        return Err(Status::invalid_argument("The first request of a stream must have no writes"));
    }
    let mut position: u64 = 0;
    let opened = WriteResponse {
        stream_id: ambient::random_id().to_string(),
        stream_token: token(position),
        ..WriteResponse::default()
    };
    if answers.send(Ok(opened)).await.is_err() {
        return Ok(());
    }
    while let Some(request) = requests.next().await {
        let request = request?;
        if request.stream_token.is_empty() {
            return Err(Status::invalid_argument("A write request has no stream token"));
        }
        let outcome = writes::apply(service, &database, request.writes, None).await?;
        position += 1;
        let write_results = outcome
            .results
            .into_iter()
            .map(|result| result.map(write_result))
            .collect::<Result<_, _>>()?;
        let answer = WriteResponse {
            stream_token: token(position),
            write_results,
            commit_time: Some(outcome.time.into()),
            ..WriteResponse::default()
        };
        if answers.send(Ok(answer)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn token(position: u64) -> Vec<u8> {
    position.to_be_bytes().to_vec()
}
