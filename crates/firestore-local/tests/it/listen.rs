//! Listen: a client that applies the messages like the SDKs do always ends up with the result of
//! the query.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use firestore_local::{Clock, Server};
use prost_types::Timestamp;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::support::queries::*;
use crate::support::v1::listen_request::TargetChange as Request;
use crate::support::v1::listen_response::ResponseType;
use crate::support::v1::target::query_target::QueryType;
use crate::support::v1::target::{DocumentsTarget, QueryTarget, ResumeType, TargetType};
use crate::support::v1::target_change::TargetChangeType;
use crate::support::v1::{ListenRequest, ListenResponse, StructuredQuery, Target, TargetChange};
use crate::support::values::*;
use crate::support::writes::{patch, put, remove};
use crate::support::{Client, Local};

/// A client's state of one target.
#[derive(Debug, Default)]
struct Known {
    documents: BTreeMap<String, Fields>,
    current: bool,
    token: Vec<u8>,
    /// The number of changes and removals received since the last check.
    changes: usize,
}

/// A client that listens.
struct Listener {
    client: Client,
    requests: mpsc::Sender<ListenRequest>,
    answers: Streaming<ListenResponse>,
    targets: BTreeMap<i32, Known>,
    read_time: Option<Timestamp>,
}

impl Listener {
    async fn open(client: &Client) -> Self {
        let (requests, outgoing) = mpsc::channel(8);
        let stream = ReceiverStream::new(outgoing);
        let answers = client.api().listen(stream).await.unwrap().into_inner();
        Self {
            client: client.clone(),
            requests,
            answers,
            targets: BTreeMap::new(),
            read_time: None,
        }
    }

    async fn request(&self, change: Request) {
        let request = ListenRequest {
            database: self.client.database(),
            target_change: Some(change),
            ..Default::default()
        };
        self.requests.send(request).await.unwrap();
    }

    async fn query(&self, id: i32, query: StructuredQuery) {
        self.add(id, query, None).await;
    }

    async fn add(&self, id: i32, query: StructuredQuery, resume_type: Option<ResumeType>) {
        let query = QueryTarget {
            parent: self.client.root(),
            query_type: Some(QueryType::StructuredQuery(query)),
        };
        let target = Target {
            target_id: id,
            target_type: Some(TargetType::Query(query)),
            resume_type,
            ..Default::default()
        };
        self.request(Request::AddTarget(target)).await;
    }

    async fn documents<const N: usize>(&self, id: i32, paths: [&str; N]) {
        let documents = paths.map(|path| self.client.name(path)).into();
        let target = Target {
            target_id: id,
            target_type: Some(TargetType::Documents(DocumentsTarget { documents })),
            ..Default::default()
        };
        self.request(Request::AddTarget(target)).await;
    }

    /// Receives and applies one message.
    async fn next(&mut self) -> Result<ResponseType, Status> {
        let answer = self.answers.message().await?.expect("the stream is open");
        let message = answer.response_type.expect("a message");
        match message.clone() {
            ResponseType::TargetChange(change) => self.target_changed(change),
            ResponseType::DocumentChange(change) => {
                let document = change.document.expect("a document");
                let path = self.client.path(&document.name).to_owned();
                for id in change.target_ids {
                    let known = self.targets.get_mut(&id).expect("a target that was added");
                    known.documents.insert(path.clone(), document.fields.clone());
                    known.changes += 1;
                }
                self.remove(&document.name, &change.removed_target_ids);
            }
            ResponseType::DocumentDelete(delete) => {
                self.remove(&delete.document, &delete.removed_target_ids);
            }
            ResponseType::DocumentRemove(removal) => {
                self.remove(&removal.document, &removal.removed_target_ids);
            }
            ResponseType::Filter(filter) => {
                let known = &self.targets[&filter.target_id];
                assert_eq!(usize::try_from(filter.count).unwrap(), known.documents.len());
            }
        }
        Ok(message)
    }

    fn remove(&mut self, name: &str, targets: &[i32]) {
        let path = self.client.path(name).to_owned();
        for id in targets {
            let known = self.targets.get_mut(id).expect("a target that was added");
            known.documents.remove(&path);
            known.changes += 1;
        }
    }

    fn target_changed(&mut self, change: TargetChange) {
        let kind = TargetChangeType::try_from(change.target_change_type).unwrap();
        if change.target_ids.is_empty() && change.read_time.is_some() {
            self.read_time = change.read_time;
        }
        let ids = if change.target_ids.is_empty() {
            self.targets.keys().copied().collect()
        } else {
            change.target_ids
        };
        for id in ids {
            if kind == TargetChangeType::Add {
                self.targets.insert(id, Known::default());
            }
            let known = self.targets.get_mut(&id).expect("a target that was added");
            match kind {
                TargetChangeType::Current => known.current = true,
                TargetChangeType::Reset => known.documents.clear(),
                TargetChangeType::Remove => drop(self.targets.remove(&id)),
                TargetChangeType::NoChange | TargetChangeType::Add => {}
            }
            if let Some(known) = self.targets.get_mut(&id)
                && !change.resume_token.is_empty()
            {
                known.token.clone_from(&change.resume_token);
            }
        }
    }

    /// Applies messages until all targets are current up to `time`.
    async fn until(&mut self, time: Timestamp) {
        let reached = |listener: &Self| {
            let current = listener.targets.values().all(|known| known.current);
            let seen = listener.read_time.map(|seen| (seen.seconds, seen.nanos));
            current && !listener.targets.is_empty() && seen >= Some((time.seconds, time.nanos))
        };
        while !reached(self) {
            self.next().await.unwrap();
        }
    }

    /// The paths of a target's documents.
    fn paths(&self, id: i32) -> String {
        self.targets[&id].documents.keys().cloned().collect::<Vec<_>>().join(" ")
    }

    /// The number of changes since the last call.
    fn take_changes(&mut self, id: i32) -> usize {
        std::mem::take(&mut self.targets.get_mut(&id).expect("a target").changes)
    }
}

#[tokio::test]
async fn a_listener_follows_a_query_from_its_first_result() {
    let local = Local::start().await;
    local.set("c/a", [("n", int(1))]).await;
    let now = local.set("c/b", [("n", int(5))]).await;
    let mut listener = Listener::open(&local).await;
    listener.query(2, from("c").filtered(test("n", Op::LessThan, int(5)))).await;
    listener.until(now).await;
    assert_eq!(listener.paths(2), "c/a");
    assert!(!listener.targets[&2].token.is_empty(), "a token to resume from");
    listener.take_changes(2);

    let now = local.set("c/c", [("n", int(2))]).await;
    listener.until(now).await;
    assert_eq!((listener.paths(2), listener.take_changes(2)), ("c/a c/c".into(), 1));

    let now = local.set("c/a", [("n", int(3))]).await;
    listener.until(now).await;
    assert_eq!(listener.targets[&2].documents["c/a"], fields([("n", int(3))]));
    assert_eq!(listener.take_changes(2), 1);

    // One document leaves the query, the other is deleted.
    local.set("c/a", [("n", int(9))]).await;
    let now = local.commit([remove(local.name("c/c"))]).await.unwrap().commit_time.unwrap();
    // The server need not report a commit that does not affect the query at once; this one does.
    let now = local.set("c/z", [("n", int(0))]).await.max_with(now);
    listener.until(now).await;
    assert_eq!(listener.paths(2), "c/z");
}

trait MaxWith {
    fn max_with(self, other: Self) -> Self;
}

impl MaxWith for Timestamp {
    fn max_with(self, other: Self) -> Self {
        if (self.seconds, self.nanos) >= (other.seconds, other.nanos) { self } else { other }
    }
}

#[tokio::test]
async fn the_first_messages_are_as_documented() {
    let local = Local::start().await;
    local.set("c/a", [("n", int(1))]).await;
    let mut listener = Listener::open(&local).await;
    listener.query(7, from("c")).await;
    let change = |message: ResponseType| match message {
        ResponseType::TargetChange(change) => change,
        other => panic!("{other:?}"),
    };
    let added = change(listener.next().await.unwrap());
    assert_eq!(added.target_change_type, i32::from(TargetChangeType::Add));
    assert_eq!(added.target_ids, [7]);
    assert!(matches!(listener.next().await.unwrap(), ResponseType::DocumentChange(_)));
    let current = change(listener.next().await.unwrap());
    assert_eq!(current.target_change_type, i32::from(TargetChangeType::Current));
    assert_eq!(current.target_ids, [7]);
    let consistent = change(listener.next().await.unwrap());
    assert_eq!(consistent.target_change_type, i32::from(TargetChangeType::NoChange));
    assert!(consistent.target_ids.is_empty() && consistent.read_time.is_some());
}

#[tokio::test]
async fn a_listener_follows_existing_and_missing_documents_by_name() {
    let local = Local::start().await;
    let now = local.set("c/a", [("n", int(1))]).await;
    let mut listener = Listener::open(&local).await;
    listener.documents(4, ["c/a", "c/missing"]).await;
    listener.until(now).await;
    assert_eq!(listener.paths(4), "c/a");
    let now = local.set("c/missing", [("n", int(2))]).await;
    listener.until(now).await;
    assert_eq!(listener.paths(4), "c/a c/missing");
    let now = local.commit([remove(local.name("c/a"))]).await.unwrap().commit_time.unwrap();
    listener.until(now).await;
    assert_eq!(listener.paths(4), "c/missing");
}

#[tokio::test]
async fn a_document_that_leaves_a_limited_query_is_replaced_by_the_next() {
    let local = Local::start().await;
    let numbers = [("c/a", 1), ("c/b", 2), ("c/c", 3)];
    local
        .commit(numbers.map(|(path, n)| put(local.name(path), fields([("n", int(n))]))))
        .await
        .unwrap();
    let now = local.commit([]).await.unwrap().commit_time.unwrap();
    let mut listener = Listener::open(&local).await;
    listener.query(1, from("c").ordered("n").limited(2)).await;
    // The empty commit is newer than the target's state but changes nothing.
    listener.until(Timestamp { nanos: 0, ..now }).await;
    assert_eq!(listener.paths(1), "c/a c/b");
    let now = local.commit([remove(local.name("c/a"))]).await.unwrap().commit_time.unwrap();
    listener.until(now).await;
    assert_eq!(listener.paths(1), "c/b c/c");
    let now = local.set("c/d", [("n", int(0))]).await;
    listener.until(now).await;
    assert_eq!(listener.paths(1), "c/b c/d");
}

#[tokio::test]
async fn targets_are_added_and_removed_on_one_stream() {
    let local = Local::start().await;
    local.set("c/a", [("n", int(1))]).await;
    let now = local.set("d/a", [("n", int(1))]).await;
    let mut listener = Listener::open(&local).await;
    listener.query(1, from("c")).await;
    listener.query(2, from("d")).await;
    while listener.targets.len() < 2 {
        listener.next().await.unwrap();
    }
    listener.until(now).await;
    assert_eq!((listener.paths(1), listener.paths(2)), ("c/a".into(), "d/a".into()));
    listener.request(Request::RemoveTarget(1)).await;
    while listener.targets.len() > 1 {
        listener.next().await.unwrap();
    }
    local.set("c/b", [("n", int(1))]).await;
    let now = local.set("d/b", [("n", int(1))]).await;
    listener.until(now).await;
    assert_eq!(listener.paths(2), "d/a d/b");
}

#[tokio::test]
async fn a_resumed_target_ends_up_with_the_current_documents() {
    let local = Local::start().await;
    local.set("c/a", [("n", int(1))]).await;
    let now = local.set("c/b", [("n", int(1))]).await;
    let mut first = Listener::open(&local).await;
    first.query(1, from("c")).await;
    first.until(now).await;
    let known = first.targets.remove(&1).unwrap();
    drop(first);
    local.commit([remove(local.name("c/a"))]).await.unwrap();
    let now = local.set("c/c", [("n", int(1))]).await;
    let mut second = Listener::open(&local).await;
    second.add(1, from("c"), Some(ResumeType::ResumeToken(known.token))).await;
    while second.targets.is_empty() {
        second.next().await.unwrap();
    }
    // A client that resumes starts with its earlier state.
    second.targets.get_mut(&1).unwrap().documents = known.documents;
    second.until(now).await;
    assert_eq!(second.paths(1), "c/b c/c");
}

/// Listens to ten documents, leaves, changes one, and resumes later.
async fn billed_for_resuming_after(minutes: i64) -> u64 {
    let time = Arc::new(AtomicI64::new(1_734_000_000_000_000));
    let read = time.clone();
    let clock = Clock::from_micros(move || read.fetch_add(1, Ordering::SeqCst));
    let local = Local::of(Server::builder().clock(clock)).await;
    let ten = (0..10).map(|n| put(local.name(&format!("c/{n}")), fields([("n", int(n))])));
    local.commit(ten).await.unwrap();
    let now = local.set("c/0", [("n", int(100))]).await;
    let mut first = Listener::open(&local).await;
    first.query(1, from("c")).await;
    first.until(now).await;
    let known = first.targets.remove(&1).unwrap();
    drop(first);
    time.fetch_add(minutes * 60_000_000, Ordering::SeqCst);
    let now = local.set("c/3", [("n", int(100))]).await;
    local.server.reset_meter();
    let mut second = Listener::open(&local).await;
    second.add(1, from("c"), Some(ResumeType::ResumeToken(known.token))).await;
    second.until(now).await;
    local.server.meter().total.reads
}

#[tokio::test]
async fn a_listener_that_resumes_within_30_minutes_is_billed_for_changes_only() {
    assert_eq!(billed_for_resuming_after(29).await, 1);
    assert_eq!(billed_for_resuming_after(31).await, 10);
}

#[tokio::test]
async fn an_invalid_target_is_removed_with_the_cause() {
    let local = Local::start().await;
    let mut listener = Listener::open(&local).await;
    listener.query(3, from("c").limited(-1)).await;
    let ResponseType::TargetChange(change) =
        listener.answers.message().await.unwrap().unwrap().response_type.unwrap()
    else {
        panic!("a target change");
    };
    assert_eq!(change.target_change_type, i32::from(TargetChangeType::Remove));
    assert_eq!(change.target_ids, [3]);
    assert_eq!(Code::from(change.cause.expect("a cause").code), Code::InvalidArgument);
}

#[tokio::test]
async fn a_listener_ends_up_with_the_querys_result_after_many_changes() {
    let local = Local::start().await;
    let query = || from("c").filtered(test("n", Op::GreaterThan, int(3))).ordered("n").limited(5);
    let mut now = local.set("c/0", [("n", int(4))]).await;
    let mut listener = Listener::open(&local).await;
    listener.query(1, query()).await;
    listener.until(now).await;
    let mut random = crate::support::random::Random::seeded(7);
    for _ in 0..10 {
        for _ in 0..10 {
            let name = local.name(&format!("c/{}", random.below(8)));
            let n = i64::try_from(random.below(10)).unwrap();
            let write = match random.below(3) {
                0 => remove(name),
                1 => put(name, fields([("n", int(n))])),
                _ => patch(name, fields([("n", int(n))]), ["n"]),
            };
            now = local.commit([write]).await.unwrap().commit_time.unwrap();
        }
        // One more change that affects the query in any case.
        now = local.set("c/9", [("n", int(4)), ("at", int(now.nanos.into()))]).await;
        listener.until(now).await;
        let mut expected = local.paths(query()).await.unwrap();
        expected.sort();
        assert_eq!(listener.paths(1), expected.join(" "));
    }
}

#[tokio::test]
async fn a_listener_is_billed_for_the_documents_it_is_sent() {
    let local = Local::start().await;
    local
        .commit((0..10).map(|n| put(local.name(&format!("c/{n}")), fields([("n", int(n))]))))
        .await
        .unwrap();
    let now = local.set("c/0", [("n", int(100))]).await;
    local.server.reset_meter();
    let mut listener = Listener::open(&local).await;
    listener.query(1, from("c")).await;
    listener.until(now).await;
    assert_eq!(local.server.meter().total.reads, 10, "the first result");
    let now = local.set("c/3", [("n", int(200))]).await;
    listener.until(now).await;
    assert_eq!(local.server.meter().total.reads, 11, "one more for the changed document");
}
