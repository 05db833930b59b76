//! What was once accounted for costs nothing again, whatever it is: passes over input that no pass can
//! settle, and that does not change, cost as little as passes over nothing.

use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::store::Store;
use f0_learning_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use firestore_kit::value::{self, Fields};
use firestore_kit::{Connection, Timestamp};
use firestore_local::Running;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::collection;
use crate::support::{START, delete, fields, put, score, server};

/// Documents of each kind.
const MANY: i64 = 60;

fn observation(ts: i64) -> Fields {
    fields(&json!({ "ts": ts, "component": "c", "outcome": "success", "durationMs": 100 }))
}

async fn put_with_ts(store: &Store, kind: &str, n: i64, ts: Option<value_of::Ts>) {
    let mut fields = observation(START);
    match ts {
        None => drop(fields.remove("ts")),
        Some(ts) => drop(fields.insert("ts".to_owned(), ts)),
    }
    put(store, collection::OBSERVATIONS, &format!("{kind}-{n:04}"), fields).await;
}

mod value_of {
    pub type Ts = firestore_kit::proto::Value;
}

/// Documents that no pass can settle by counting: clocks in other units, other types, no time, and
/// observations that were moved or deleted after they were scored.
async fn fill(store: &Store, now: i64) {
    for n in 0..MANY {
        let ts = START + n * MINUTE_MS * 2;
        put_with_ts(store, "nanos", n, Some(value::int(ts * 1_000_000))).await;
        #[expect(clippy::cast_precision_loss, reason = "a time of any precision")]
        let nanos = ts as f64 * 1e6;
        put_with_ts(store, "nanos-double", n, Some(value::double(nanos))).await;
        put_with_ts(store, "negative-nanos", n, Some(value::int(-ts * 1_000_000))).await;
        put_with_ts(store, "micros", n, Some(value::int(ts * 1_000))).await;
        put_with_ts(store, "seconds", n, Some(value::int(ts / 1_000))).await;
        put_with_ts(store, "text", n, Some(value::string(ts.to_string()))).await;
        let time = Timestamp { seconds: ts / 1_000, nanos: 0 };
        put_with_ts(store, "timestamp", n, Some(value::timestamp(time))).await;
        put_with_ts(store, "infinite", n, Some(value::double(f64::INFINITY))).await;
        put_with_ts(store, "nan", n, Some(value::double(f64::NAN))).await;
        put_with_ts(store, "missing", n, None).await;
        for kind in ["honest", "moved", "orphan"] {
            put_with_ts(store, kind, n, Some(value::int(ts))).await;
        }
        let mut invalid = observation(ts);
        invalid.insert("outcome".to_owned(), value::string("maybe"));
        put(store, collection::OBSERVATIONS, &format!("invalid-{n:04}"), invalid).await;
    }
    score(store, now).await;
    for n in 0..MANY {
        let ts = START + n * MINUTE_MS * 2;
        put_with_ts(store, "moved", n, Some(value::int(ts + 7 * MINUTE_MS))).await;
        delete(store, collection::OBSERVATIONS, &format!("orphan-{n:04}")).await;
        if n % 2 == 0 {
            delete(store, collection::OBSERVATIONS, &format!("invalid-{n:04}")).await;
        }
    }
}

async fn pass(store: &Store, server: &Running, now: i64) -> (u64, u64) {
    let options = ReconcileOptions { lag_ms: 0, ..Default::default() };
    let before = server.meter().total;
    let mut job = ReconcileJob::new(store.clone(), options);
    job.pass(now, false, &CancellationToken::new()).await.unwrap();
    let after = server.meter().total;
    (after.reads - before.reads, after.writes - before.writes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_over_what_never_settles_costs_no_more_than_looking_at_its_counts() {
    let server = server().start().await.unwrap();
    let store = Store::connect(&Connection::local("demo-constant", server.addr())).await.unwrap();
    store.seed(START).await.unwrap();
    let first = START + 2 * HOUR_MS;
    fill(&store, first).await;
    let mut costs = Vec::new();
    for n in 0..8 {
        costs.push(pass(&store, &server, first + n * 10 * MINUTE_MS).await);
    }
    eprintln!("reads and writes of each pass: {costs:?}");
    for (reads, writes) in &costs[3..] {
        assert!(*reads <= 120 && *writes == 0, "{costs:?}");
    }
    // The pass once a day looks at more, and it, too, costs the same each time but for the comparison
    // of ids, which has a budget of its own.
    let mut deep = Vec::new();
    for n in 1..4 {
        deep.push(pass(&store, &server, first + n * DAY_MS).await);
    }
    eprintln!("reads and writes of each daily pass: {deep:?}");
    let stored = 13 * MANY.unsigned_abs();
    assert!(deep[2].0 <= deep[1].0 && deep[2].0 < 3 * stored + 400, "{deep:?}");
    server.shutdown().await;
}
