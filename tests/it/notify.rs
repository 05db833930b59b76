//! Notifications, sent to a server on this machine: what people are told, once, whatever the receiver
//! and the workers do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use base64::Engine as _;
use f0_learning::jobs::PassContext;
use f0_learning::jobs::notify::{NotifyJob, NotifyReport};
use f0_learning::notify::{SIGNATURE, Sink, TIMESTAMP};
use f0_learning::store::Store;
use f0_learning_core::document::FlagChanges;
use f0_learning_core::intent::Intent;
use f0_learning_core::observation::Outcome;
use ring::hmac;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::collection;
use crate::support::{START, draft, fields, put, record, seeded_store};

const SECRET: &str = "0123456789abcdef";
const MINUTE: i64 = 60_000;

/// What a receiver got, and how it answers.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Received>>);

#[derive(Default)]
struct Received {
    bodies: Vec<(Vec<(String, String)>, Value)>,
    status: u16,
    delay: Duration,
}

impl Receiver {
    /// A server that answers with `status`, and its `host:port`.
    async fn start(status: u16) -> (Self, String) {
        let receiver = Self::default();
        receiver.answer(status, Duration::ZERO);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (receiver, address)
    }

    fn answer(&self, status: u16, delay: Duration) {
        let mut received = self.0.lock().unwrap();
        (received.status, received.delay) = (status, delay);
    }

    fn bodies(&self) -> Vec<Value> {
        self.0.lock().unwrap().bodies.iter().map(|(_, body)| body.clone()).collect()
    }

    fn kinds(&self) -> Vec<String> {
        let kind = |body: &Value| body["kind"].as_str().unwrap().to_owned();
        self.bodies().iter().map(kind).collect()
    }
}

async fn take(State(receiver): State<Receiver>, request: Request) -> StatusCode {
    let (parts, body) = request.into_parts();
    let text = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    let headers = parts.headers.iter();
    let mut headers: Vec<(String, String)> = headers
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.push(("path".to_owned(), parts.uri.path().to_owned()));
    headers.push(("raw".to_owned(), text.clone()));
    let (status, delay) = {
        let mut received = receiver.0.lock().unwrap();
        received.bodies.push((headers, serde_json::from_str(&text).unwrap()));
        (received.status, received.delay)
    };
    tokio::time::sleep(delay).await;
    StatusCode::from_u16(status).unwrap()
}

fn sinks(variables: &[(&str, &str)]) -> Vec<Sink> {
    let find = |name: &str| {
        variables.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned())
    };
    Sink::from_env("demo", find).unwrap()
}

fn webhook(store: &Store, address: &str) -> NotifyJob {
    let url = format!("http://{address}/hook");
    let set = [("NOTIFY_WEBHOOK_URL", url.as_str()), ("NOTIFY_WEBHOOK_SECRET", SECRET)];
    NotifyJob::new(store.clone(), sinks(&set), 0)
}

async fn pass(job: &mut NotifyJob, now: i64) -> NotifyReport {
    job.pass(&PassContext { now, stop: CancellationToken::new() }).await.unwrap()
}

/// An entry of the audit trail, as any writer may create it.
async fn entry(store: &Store, id: &str, entry: Value) {
    put(store, collection::AUDIT, id, fields(&entry)).await;
}

async fn rolled_back(store: &Store, id: &str, ts: i64) {
    let entry_of = json!({
        "ts": ts, "actor": "policy-guard", "action": "rollback", "id": "router-core", "from": "1.0.1",
        "to": "1.0.0", "reason": "reward fell",
    });
    entry(store, id, entry_of).await;
}

#[tokio::test]
async fn a_draft_that_waits_is_told_once_and_what_was_before_is_not() {
    let store = seeded_store().await;
    draft(&store, "1.0.1", "1.0.0").await;
    let (receiver, address) = Receiver::start(200).await;
    let mut job = webhook(&store, &address);
    assert_eq!(pass(&mut job, START + MINUTE).await, NotifyReport::default(), "it was before");
    draft(&store, "1.0.2", "1.0.0").await;
    assert_eq!(pass(&mut job, START + 3 * MINUTE).await.attempts, [("webhook", true)]);
    for minute in 4..20 {
        // Each pass is that of a new process.
        let report = pass(&mut webhook(&store, &address), START + minute * MINUTE).await;
        assert_eq!(report, NotifyReport::default(), "minute {minute}");
    }
    let bodies = receiver.bodies();
    assert_eq!(bodies.len(), 1);
    assert_eq!(
        (&bodies[0]["kind"], &bodies[0]["version"]),
        (&json!("draft-waiting"), &json!("1.0.2"))
    );
    assert!(bodies[0]["text"].as_str().unwrap().contains("policies show router-core@1.0.2"));
}

#[tokio::test]
async fn a_message_is_signed_over_its_time_and_its_body() {
    let store = seeded_store().await;
    let (receiver, address) = Receiver::start(200).await;
    let mut job = webhook(&store, &address);
    pass(&mut job, START).await;
    rolled_back(&store, "a", START + 1).await;
    pass(&mut job, START + MINUTE).await;
    let (headers, body) = receiver.0.lock().unwrap().bodies[0].clone();
    let header = |name: &str| {
        headers
            .iter()
            .find(|(it, _)| it.eq_ignore_ascii_case(name))
            .map(|(_, it)| it.clone())
            .unwrap()
    };
    let signed = format!("{}.{}", header(TIMESTAMP), header("raw"));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = hex::decode(header(SIGNATURE).strip_prefix("v1=").unwrap()).unwrap();
    hmac::verify(&key, signed.as_bytes(), &signature).unwrap();
    assert_eq!(header(TIMESTAMP), ((START + MINUTE) / 1_000).to_string());
    assert_eq!(body["text"], "the guard rolled back router-core@1.0.1 to 1.0.0: reward fell");
    assert_eq!((&body["kind"], &body["id"]), (&json!("rolled-back"), &json!("audit-a")));
}

#[tokio::test]
async fn a_refused_message_is_repeated_with_growing_delays_until_it_is_accepted() {
    let store = seeded_store().await;
    let (receiver, address) = Receiver::start(503).await;
    let mut job = webhook(&store, &address);
    pass(&mut job, START).await;
    rolled_back(&store, "a", START + 1).await;
    let mut attempts = Vec::new();
    for minute in 1..=20 {
        let report = pass(&mut webhook(&store, &address), START + minute * MINUTE).await;
        if !report.attempts.is_empty() {
            assert_eq!(report.failures, ["webhook: refused with status 503"]);
            attempts.push(minute);
        }
    }
    assert_eq!(attempts, [1, 2, 3, 5, 9, 17], "after 30 s, 1, 2, 4 and 8 minutes");
    receiver.answer(200, Duration::ZERO);
    assert_eq!(pass(&mut job, START + 40 * MINUTE).await.attempts, [("webhook", true)]);
    assert!(pass(&mut job, START + 200 * MINUTE).await.attempts.is_empty());
    let ids: Vec<_> = receiver.bodies().iter().map(|body| body["id"].clone()).collect();
    assert!(ids.len() == 7 && ids.iter().all(|id| *id == "audit-a"), "{ids:?}");
}

#[tokio::test]
async fn a_message_that_is_refused_for_a_day_is_given_up() {
    let store = seeded_store().await;
    let (_, address) = Receiver::start(404).await;
    let mut job = webhook(&store, &address);
    pass(&mut job, START).await;
    rolled_back(&store, "a", START + 1).await;
    pass(&mut job, START + MINUTE).await;
    let report = pass(&mut job, START + 25 * 60 * MINUTE).await;
    assert_eq!(report.given_up.len(), 1);
    assert!(store.due_notices(i64::MAX, 10).await.unwrap().is_empty(), "nothing is kept for ever");
}

#[tokio::test]
async fn a_slow_receiver_holds_up_a_pass_for_seconds_only() {
    let store = seeded_store().await;
    let (receiver, address) = Receiver::start(200).await;
    receiver.answer(200, Duration::from_secs(60));
    let mut job = webhook(&store, &address);
    pass(&mut job, START).await;
    rolled_back(&store, "a", START + 1).await;
    let report =
        tokio::time::timeout(Duration::from_secs(20), pass(&mut job, START + MINUTE)).await;
    assert_eq!(report.unwrap().attempts, [("webhook", false)]);
    receiver.answer(200, Duration::ZERO);
    assert_eq!(pass(&mut job, START + 2 * MINUTE).await.attempts, [("webhook", true)]);
}

#[tokio::test]
async fn workers_that_pass_at_once_add_a_notice_once() {
    let store = seeded_store().await;
    let (_, address) = Receiver::start(200).await;
    pass(&mut webhook(&store, &address), START).await;
    for n in 0..10 {
        rolled_back(&store, &format!("entry-{n}"), START + n).await;
    }
    let jobs: Vec<_> = (0..4).map(|_| webhook(&store, &address)).collect();
    let passes = jobs
        .into_iter()
        .map(|mut job| tokio::spawn(async move { pass(&mut job, START + MINUTE).await.added }));
    let passes: Vec<_> = passes.collect();
    let mut added = 0;
    for pass in passes {
        added += pass.await.unwrap();
    }
    assert_eq!(added, 10);
}

#[tokio::test]
async fn a_worker_that_dies_after_storing_leaves_the_message_to_the_next() {
    let store = seeded_store().await;
    let (receiver, address) = Receiver::start(200).await;
    pass(&mut webhook(&store, &address), START).await;
    rolled_back(&store, "a", START + 1).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let mut dying = webhook(&store, &address);
    let report = dying.pass(&PassContext { now: START + MINUTE, stop }).await.unwrap();
    assert_eq!((report.added, report.attempts.len()), (1, 0));
    pass(&mut webhook(&store, &address), START + 2 * MINUTE).await;
    assert_eq!(receiver.kinds(), ["rolled-back"]);
}

#[tokio::test]
async fn the_kill_switch_a_surge_and_a_backlog_are_told_and_not_repeated_for_hours() {
    let store = seeded_store().await;
    let on = FlagChanges { enabled: Some(true), ..FlagChanges::default() };
    store.set_flags(on, &Intent::new("ada", START)).await.unwrap();
    let (receiver, address) = Receiver::start(200).await;
    let mut job = webhook(&store, &address);
    pass(&mut job, START).await;
    let off = FlagChanges { enabled: Some(false), ..FlagChanges::default() };
    store.set_flags(off, &Intent::new("ada", START + 1)).await.unwrap();
    record(&store, "c", Outcome::Success, 10.0, START).await;
    for n in 0..101 {
        let entry = json!({ "ts": START + 2, "obsTs": START, "field": "outcome", "reason": "x" });
        put(&store, collection::QUARANTINE, &format!("q{n}"), fields(&entry)).await;
    }
    for minute in 1..=50 {
        pass(&mut job, START + minute * MINUTE).await;
    }
    assert_eq!(receiver.kinds(), ["kill-switch", "quarantine-surge", "backlog-stuck"]);
    let texts: Vec<_> = receiver.bodies().iter().map(|body| body["text"].clone()).collect();
    assert!(texts[0].as_str().unwrap().starts_with("the kill switch was used by ada"), "{texts:?}");
    pass(&mut job, START + 400 * MINUTE).await;
    assert_eq!(receiver.kinds().len(), 4, "the backlog is still stuck after six hours");
}

#[tokio::test]
async fn a_message_is_published_to_a_topic_and_each_sink_gets_it_once() {
    let store = seeded_store().await;
    let (hook, hook_at) = Receiver::start(500).await;
    let (topic, topic_at) = Receiver::start(200).await;
    let url = format!("http://{hook_at}/hook");
    let set = [
        ("NOTIFY_WEBHOOK_URL", url.as_str()),
        ("NOTIFY_PUBSUB_TOPIC", "learning"),
        ("PUBSUB_EMULATOR_HOST", topic_at.as_str()),
    ];
    let mut job = NotifyJob::new(store.clone(), sinks(&set), 0);
    pass(&mut job, START).await;
    rolled_back(&store, "a", START + 1).await;
    assert_eq!(
        pass(&mut job, START + MINUTE).await.attempts,
        [("webhook", false), ("pubsub", true)]
    );
    hook.answer(200, Duration::ZERO);
    assert_eq!(pass(&mut job, START + 2 * MINUTE).await.attempts, [("webhook", true)]);
    let (headers, body) = topic.0.lock().unwrap().bodies[0].clone();
    let path = &headers.iter().find(|(name, _)| name == "path").unwrap().1;
    assert_eq!(path, "/v1/projects/demo/topics/learning:publish");
    let message = &body["messages"][0];
    assert_eq!(message["attributes"], json!({ "id": "audit-a", "kind": "rolled-back" }));
    let data = base64::engine::general_purpose::STANDARD.decode(message["data"].as_str().unwrap());
    let notice: Value = serde_json::from_slice(&data.unwrap()).unwrap();
    assert_eq!(notice["text"], hook.bodies()[0]["text"]);
    assert_eq!(topic.bodies().len(), 1);
}

#[tokio::test]
async fn a_damaged_state_or_a_huge_entry_does_not_stop_notifications() {
    let store = seeded_store().await;
    let (receiver, address) = Receiver::start(200).await;
    let mut job = webhook(&store, &address);
    pass(&mut job, START).await;
    put(&store, collection::NOTICES, "state", fields(&json!({ "cursor": "yesterday" }))).await;
    let reason = "x".repeat(900_000);
    let huge = json!({
        "ts": START + 1, "actor": "policy-guard", "action": "rollback", "id": "p", "to": "1", "reason": reason,
    });
    entry(&store, &"h".repeat(1_490), huge).await;
    pass(&mut job, START + MINUTE).await;
    let bodies = receiver.bodies();
    assert_eq!(receiver.kinds(), ["rolled-back"]);
    assert!(bodies[0]["text"].as_str().unwrap().len() < 1_000);
}
