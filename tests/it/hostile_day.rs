//! A day with hostile components: what they write changes no figure of the others, and costs no more
//! than it is worth.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::jobs::score::{ScoreJob, ScoreOptions};
use f0_learning::store::Store;
use f0_learning_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use firestore_kit::proto::firestore_client::FirestoreClient;
use firestore_kit::proto::{BatchWriteRequest, CommitRequest, Write};
use firestore_kit::tonic::transport::Channel;
use firestore_kit::tonic::{Code, Request};
use firestore_kit::value::{self, Fields};
use firestore_kit::{Connection, write};
use firestore_local::{Clock, Running, Server};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::collection;
use crate::support::{START, fields};

const PROJECT: &str = "demo-day";
const DATABASE: &str = "projects/demo-day/databases/(default)";
/// How often the jobs run.
const STEP_MS: i64 = 15 * MINUTE_MS;
const COMPONENTS: [&str; 4] = ["router", "search", "mail", "index"];
/// Honest observations in each step.
const HONEST: usize = 216;
/// Hostile documents in each step: a tenth of all.
const HOSTILE: usize = 24;

/// Who writes the hostile documents.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Hostile {
    Nobody,
    /// A component with a token: security rules judge what it writes.
    Component,
    /// A server, which no rules judge.
    Server,
}

fn honest(rng: &mut StdRng, ts: i64) -> Fields {
    let component = COMPONENTS[rng.random_range(0..COMPONENTS.len())];
    fields(&json!({
        "ts": ts, "component": component, "durationMs": rng.random_range(1..5_000),
        "outcome": if rng.random_bool(0.9) { "success" } else { "failure" },
        "costUsd": f64::from(rng.random_range(0..1_000)) / 1e5,
    }))
}

/// The `n`th hostile document: malformed, oversized, with a wrong time, delivered again, or forged.
fn hostile(rng: &mut StdRng, n: i64, ts: i64) -> (String, Fields) {
    let mut document = honest(rng, ts);
    document.insert("component".to_owned(), value::string("evil:arm"));
    let late = ts - rng.random_range(0..3 * HOUR_MS);
    let (name, bad) = match n % 16 {
        0 => ("outcome", value::string("maybe")),
        1 => ("durationMs", value::double(f64::NAN)),
        2 => ("costUsd", value::int(-1)),
        3 => ("tokens", value::int(7)),
        4 => ("meta", value::string("x".repeat(400_000))),
        5 => ("component", value::string("x".repeat(50_000))),
        6 => ("ts", value::int(ts * 1_000_000)),
        7 => ("ts", value::string(ts.to_string())),
        8 => ("ts", value::int(late)),
        9 => ("ts", value::int(ts + 50 * MINUTE_MS)),
        10 => ("ts", value::int(ts - 40 * DAY_MS)),
        // The same id is written again, at another time.
        11 => ("ts", value::int(late)),
        // The same event is delivered again, under another id.
        12 => ("outcome", value::string("failure")),
        13 => ("component", value::string("router")),
        14 => ("sampleRate", value::double(1e-6)),
        _ => ("policyVersion", value::string(format!("router-core@9.{n}.0"))),
    };
    document.insert(name.to_owned(), bad);
    let again = n % 16 == 11 && n > 32;
    (format!("hostile-{:06}", if again { n - 30 } else { n }), document)
}

/// Whether it poses as an honest component, which only rules prevent.
fn is_forged(n: i64) -> bool {
    n % 16 == 13
}

struct Day {
    running: Running,
    client: FirestoreClient<Channel>,
    store: Store,
    clock: Arc<AtomicI64>,
}

impl Day {
    async fn begin() -> Self {
        let clock = Arc::new(AtomicI64::new(START));
        let time = Arc::clone(&clock);
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let server = Server::builder()
            .clock(Clock::from_micros(move || time.load(Ordering::Relaxed) * 1_000))
            .rules(Some(root.join("firestore.rules")))
            .indexes(vec![root.join("firestore.indexes.json")]);
        let running = server.start().await.unwrap();
        let url = format!("http://{}", running.addr());
        let client = FirestoreClient::connect(url).await.unwrap();
        let connection = Connection::local(PROJECT, running.addr());
        let store = Store::connect(&connection).await.unwrap();
        store.seed(START).await.unwrap();
        Self { running, client, store, clock }
    }

    fn write(&self, id: &str, document: Fields, replaces: bool) -> Write {
        let name = format!("{DATABASE}/documents/{}/{id}", collection::OBSERVATIONS);
        let mut write = write::create(name, document);
        if replaces {
            write.current_document = None;
        }
        write
    }

    async fn write_as_server(&self, writes: Vec<Write>) {
        let database = DATABASE.to_owned();
        let request = CommitRequest { database, writes, ..CommitRequest::default() };
        self.client.clone().commit(request).await.unwrap();
    }

    /// Writes one document as a component, if the rules allow it. Returns whether they did.
    async fn write_as_component(&self, write: Write) -> bool {
        let encode = |part: Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let now = self.clock.load(Ordering::Relaxed) / 1_000;
        let claims = json!({
            "sub": "evil", "user_id": "evil", "role": "service", "component": "evil",
            "aud": PROJECT, "iss": format!("https://securetoken.google.com/{PROJECT}"),
            "iat": now - 60, "auth_time": now - 60, "exp": now + 3_600,
        });
        let token = format!("{}.{}.", encode(json!({"alg": "none"})), encode(claims));
        let database = DATABASE.to_owned();
        let writes = vec![write];
        let mut request =
            Request::new(BatchWriteRequest { database, writes, ..BatchWriteRequest::default() });
        let header = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", header);
        let answer = self.client.clone().batch_write(request).await.unwrap().into_inner();
        match Code::from(answer.status[0].code) {
            Code::Ok => true,
            Code::PermissionDenied | Code::InvalidArgument | Code::AlreadyExists => false,
            other => panic!("{other:?} {}", answer.status[0].message),
        }
    }

    fn billed(&self) -> u64 {
        self.running.meter().total.total()
    }
}

/// Runs a day, and returns the figures of the honest components, the billed operations of the jobs, and
/// how many hostile documents were stored.
async fn day(by: Hostile) -> (BTreeMap<String, Value>, u64, u64) {
    let day = Day::begin().await;
    let (mut of_honest, mut of_hostile) = (StdRng::seed_from_u64(1), StdRng::seed_from_u64(2));
    let mut score = ScoreJob::new(day.store.clone(), ScoreOptions::default());
    let mut reconcile = ReconcileJob::new(day.store.clone(), ReconcileOptions::default());
    let stop = CancellationToken::new();
    let (mut n, mut m) = (0, 0);
    let (mut billed, mut stored) = (0, 0);
    let mut now = START;
    while now < START + DAY_MS {
        let mut writes = Vec::new();
        for _ in 0..HONEST {
            let ts = now + of_honest.random_range(0..STEP_MS);
            writes.push(day.write(&format!("honest-{n:06}"), honest(&mut of_honest, ts), false));
            n += 1;
        }
        day.write_as_server(writes).await;
        let before_all = now;
        now += STEP_MS;
        day.clock.store(now, Ordering::Relaxed);
        for _ in 0..HOSTILE {
            let ts = before_all + of_hostile.random_range(0..STEP_MS);
            let (id, document) = hostile(&mut of_hostile, m, ts);
            let write = day.write(&id, document, true);
            let was_stored = match by {
                Hostile::Nobody => false,
                Hostile::Component => day.write_as_component(write).await,
                Hostile::Server if is_forged(m) => false,
                Hostile::Server => {
                    day.write_as_server(vec![write]).await;
                    true
                }
            };
            stored += u64::from(was_stored);
            m += 1;
        }
        day.clock.store(now + MINUTE_MS, Ordering::Relaxed);
        let before = day.billed();
        score.pass(now + MINUTE_MS, &stop, &|_| ()).await.unwrap();
        reconcile.pass(now + MINUTE_MS, false, &stop).await.unwrap();
        billed += day.billed() - before;
    }
    let stats = day.store.all_stats(None).await.unwrap().into_iter();
    let of_honest = stats.filter(|it| COMPONENTS.contains(&it.component.as_str()));
    let figures = of_honest.map(|it| {
        (format!("{} {}", it.component, it.window.as_str()), serde_json::to_value(&it).unwrap())
    });
    let figures = figures.collect();
    day.running.shutdown().await;
    (figures, billed, stored)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_components_change_no_figure_of_the_others_and_cost_little() {
    let (alone, cost, _) = day(Hostile::Nobody).await;
    assert_eq!(alone.len(), 3 * COMPONENTS.len());
    let steps = u64::try_from(DAY_MS / STEP_MS).unwrap();
    let honest = steps * HONEST as u64;
    eprintln!("{honest} honest observations: {cost} billed operations");
    // A stored document costs its read and its write, and its share of its component's statistics. One
    // that scoring has passed by costs the search among the others of three hours.
    for (by, most) in [(Hostile::Component, 9), (Hostile::Server, 7)] {
        let (beside, cost_beside, stored) = day(by).await;
        let own = cost_beside.saturating_sub(cost);
        eprintln!(
            "{by:?}: beside {} hostile documents, {stored} of them stored: {own} more",
            steps * HOSTILE as u64,
        );
        assert_eq!(alone, beside, "{by:?}");
        assert!(own <= most * stored, "{own} operations for {stored} documents");
    }
}
