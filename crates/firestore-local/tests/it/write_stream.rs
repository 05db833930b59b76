//! Write: a stream of requests and answers.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::support::v1::{Write, WriteRequest, WriteResponse};
use crate::support::values::*;
use crate::support::writes::{When, exists, increment, put, transform};
use crate::support::{Client, Local};

/// An open stream, and the token to send next.
struct Stream {
    requests: mpsc::Sender<WriteRequest>,
    answers: Streaming<WriteResponse>,
    token: Vec<u8>,
}

impl Stream {
    async fn open(client: &Client) -> Self {
        let (requests, outgoing) = mpsc::channel(8);
        let first = WriteRequest { database: client.database(), ..Default::default() };
        requests.send(first).await.unwrap();
        let answers = client.api().write(ReceiverStream::new(outgoing)).await.unwrap();
        let mut stream = Self { requests, answers: answers.into_inner(), token: Vec::new() };
        let opened = stream.answer().await.unwrap().expect("an answer to the first request");
        assert!(!opened.stream_id.is_empty());
        assert!(opened.write_results.is_empty());
        stream
    }

    async fn answer(&mut self) -> Result<Option<WriteResponse>, Status> {
        let answer = self.answers.message().await?;
        if let Some(answer) = &answer {
            assert!(!answer.stream_token.is_empty());
            self.token.clone_from(&answer.stream_token);
        }
        Ok(answer)
    }

    async fn send(&self, writes: impl IntoIterator<Item = Write>) {
        let request = WriteRequest {
            writes: writes.into_iter().collect(),
            stream_token: self.token.clone(),
            ..Default::default()
        };
        self.requests.send(request).await.unwrap();
    }
}

#[tokio::test]
async fn writes_are_answered_in_order() {
    let local = Local::start().await;
    let mut stream = Stream::open(&local).await;
    for n in 1..=5 {
        stream.send([transform(local.name("c/d"), [increment("n", int(1))])]).await;
        let answer = stream.answer().await.unwrap().expect("an answer");
        assert_eq!(answer.write_results[0].transform_results, [int(n)]);
        assert!(answer.commit_time.is_some());
    }
    assert_eq!(local.fields("c/d").await, Some(fields([("n", int(5))])));
    drop(stream.requests);
    assert!(stream.answers.message().await.unwrap().is_none(), "the stream ends with its requests");
}

#[tokio::test]
async fn requests_may_be_sent_ahead_of_their_answers() {
    let local = Local::start().await;
    let mut stream = Stream::open(&local).await;
    for n in 0..5 {
        stream.send([put(local.name(&format!("c/{n}")), fields([]))]).await;
    }
    for _ in 0..5 {
        assert_eq!(stream.answer().await.unwrap().expect("an answer").write_results.len(), 1);
    }
    assert_eq!(local.paths(crate::support::queries::from("c")).await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_failed_request_applies_nothing_and_ends_the_stream() {
    let local = Local::start().await;
    let mut stream = Stream::open(&local).await;
    let missing = put(local.name("c/missing"), fields([])).when(exists(true));
    stream.send([put(local.name("c/d"), fields([])), missing]).await;
    assert_eq!(stream.answer().await.unwrap_err().code(), Code::NotFound);
    assert_eq!(local.fields("c/d").await, None);
}

#[tokio::test]
async fn a_first_request_without_a_database_or_with_writes_is_refused() {
    let local = Local::start().await;
    for (why, first) in [
        ("no database", WriteRequest::default()),
        (
            "writes",
            WriteRequest {
                database: local.database(),
                writes: vec![put(local.name("c/d"), fields([]))],
                ..Default::default()
            },
        ),
    ] {
        let requests = futures::stream::iter([first]);
        let mut answers = local.api().write(requests).await.unwrap().into_inner();
        let status = answers.message().await.expect_err(why);
        assert_eq!(status.code(), Code::InvalidArgument, "{why}");
    }
    assert_eq!(local.fields("c/d").await, None);
}
