//! Scoring of valid, invalid and malformed observations, the windows it keeps, and its bill.

use f0_learning_core::time::HOUR_MS;
use std::collections::BTreeMap;

use crate::collection::{self, OBSERVATIONS};
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::store::{DOCUMENT_BYTES, Store};
use f0_learning_core::observation::Observation;
use f0_learning_core::reward::{self, RewardConfig};
use f0_learning_core::stats::{Series, Window};
use firestore_kit::{Connection, MAX_BATCH, value};
use firestore_local::{Billed, Fault, FaultCode, Plan, Rule};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{START, document, fields, job, put, put_series, score, seeded_store};

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("expected an object, got {other}"),
    }
}

fn observation(id: &str) -> Map<String, Value> {
    object(json!({
        "id": id, "ts": START, "component": "c", "outcome": "success", "durationMs": 100,
    }))
}

fn with(id: &str, field: &str, value: Value) -> Map<String, Value> {
    let mut observation = observation(id);
    observation.insert(field.to_owned(), value);
    observation
}

async fn write(store: &Store, observations: &[Map<String, Value>]) {
    for batch in observations.chunks(MAX_BATCH) {
        f0_learning_client::create_all_observations(store.db(), batch).await.unwrap();
    }
}

#[tokio::test]
async fn invalid_observations_are_quarantined_and_block_no_others() {
    let store = seeded_store().await;
    let cases = [
        with("a-outcome", "outcome", json!("fine")),
        with("d-component", "component", json!("")),
        with("e-component", "component", Value::Null),
        with("g-rate", "sampleRate", json!(0)),
        with("h-rate", "sampleRate", json!(1.5)),
        with("h-share", "propensity", json!(0.0001)),
        with("k-large", "outcome", json!({ "meta": "x".repeat(1_048_430) })),
    ];
    let fields =
        ["outcome", "component", "component", "sampleRate", "sampleRate", "propensity", "outcome"];
    write(&store, &cases).await;
    write(&store, &[observation("good"), with("double", "durationMs", json!(100.5))]).await;
    let report = score(&store, START).await;
    assert_eq!((report.scored, report.quarantined), (2, cases.len() as u64));
    assert_eq!(store.counts().await.unwrap(), (2, cases.len() as u64));
    for (case, field) in cases.iter().zip(fields) {
        let id = case["id"].as_str().unwrap();
        let entry = store.quarantined(id).await.unwrap().unwrap();
        assert_eq!(entry["field"], field, "{id}");
        assert!(entry["reason"].as_str().unwrap().contains(field), "{entry:?}");
        if id == "k-large" {
            assert!(entry["documentNote"].is_string());
        } else {
            assert_eq!(entry["document"], Value::Object(case.clone()), "{id}");
        }
    }
    let again = score(&store, START).await;
    assert_eq!((again.scored, again.quarantined), (0, 0));
}

#[tokio::test]
async fn an_observation_with_invalid_optional_fields_is_scored_and_the_fields_are_named() {
    let store = seeded_store().await;
    let mut failed = with("failed", "errorCode", json!({ "code": 503 }));
    failed.insert("outcome".to_owned(), json!("failure"));
    failed.insert("durationMs".to_owned(), json!("slow"));
    let mut missing = observation("missing");
    missing.remove("durationMs");
    let cases = [
        (failed, vec!["durationMs", "errorCode"]),
        (missing, vec!["durationMs"]),
        (with("cost", "costUsd", json!(-0.5)), vec!["costUsd"]),
        (with("policy", "policyVersion", json!("router-core")), vec!["policyVersion"]),
        (with("shard", "shard", json!("3")), vec!["shard"]),
        (with("tokens", "tokensIn", json!(1.5)), vec!["tokensIn"]),
        (observation("good"), vec![]),
    ];
    let documents: Vec<_> = cases.iter().map(|(document, _)| document.clone()).collect();
    write(&store, &documents).await;
    let report = score(&store, START).await;
    assert_eq!((report.scored, report.quarantined), (7, 0));
    assert_eq!(report.malformed.by_component["c"], 7);
    assert!(report.to_string().contains("durationMs 2, errorCode 1"), "{report}");
    for (case, malformed) in &cases {
        let id = case["id"].as_str().unwrap();
        let reward = document(&store, collection::REWARDS, id).await.unwrap();
        let expected = (!malformed.is_empty()).then(|| json!(malformed));
        assert_eq!(reward.get("malformed"), expected.as_ref(), "{id}");
        let penalty = reward["details"]["latencyPenalty"].as_f64().unwrap();
        assert_eq!(penalty == 0.25, malformed.contains(&"durationMs"), "{id}: {penalty}");
    }
    let stats = store.stats_of(&["c".to_owned()], Window::OneHour).await.unwrap().remove(0).stats;
    assert_eq!((stats.n, stats.rejected, stats.malformed), (7, 0, 7));
    assert!((stats.success_rate - 6.0 / 7.0).abs() < 1e-9, "{stats:?}");
    assert!((stats.p95_latency / 100.0 - 1.0).abs() < 0.02, "{stats:?}");
}

/// Values that JSON cannot hold or that a typed write would reject, as any client may write them.
#[tokio::test]
async fn malformed_documents_are_quarantined_with_the_field_named() {
    let store = seeded_store().await;
    let weighing = |rate| {
        let mut fields = fields(&json!(observation("rate")));
        fields.remove("id");
        fields.insert("sampleRate".to_owned(), rate);
        fields
    };
    let mut deep = json!("bottom");
    for _ in 0..18 {
        deep = json!({ "down": deep });
    }
    let mut deep = with("g-deep", "meta", deep);
    deep.insert("outcome".to_owned(), json!(-1));
    for (id, fields) in [
        ("a-nan", weighing(value::double(f64::NAN))),
        ("b-infinite", weighing(value::double(f64::INFINITY))),
        ("c-bytes", weighing(value::bytes(vec![1, 2]))),
        ("d-map", weighing(value::map(fields(&json!({ "rate": 1 }))))),
        ("e-bare", fields(&json!({ "ts": START }))),
        ("f-id", fields(&json!(observation("another")))),
        ("g-deep", fields(&json!(deep))),
        ("good", fields(&json!(with("good", "meta", json!({ "any": [null, "thing"] }))))),
    ] {
        put(&store, OBSERVATIONS, id, fields).await;
    }

    let report = score(&store, START).await;
    assert_eq!((report.scored, report.quarantined), (1, 7));
    for (id, field) in [
        ("a-nan", "sampleRate"),
        ("b-infinite", "sampleRate"),
        ("c-bytes", "sampleRate"),
        ("d-map", "sampleRate"),
        ("e-bare", "component"),
        ("f-id", "id"),
        ("g-deep", "outcome"),
    ] {
        let entry = store.quarantined(id).await.unwrap().unwrap();
        assert_eq!(entry["field"], field, "{id}");
        assert!(entry["reason"].as_str().unwrap().starts_with(field), "{entry:?}");
        assert!(entry.contains_key("document") || entry.contains_key("documentNote"), "{id}");
    }
}

#[tokio::test]
#[expect(clippy::cast_precision_loss, reason = "START is exact as a float")]
async fn integers_and_doubles_are_the_same_number() {
    let store = seeded_store().await;
    let whole = with("whole", "component", json!("whole"));
    let mut double = with("double", "component", json!("double"));
    double.insert("ts".to_owned(), json!(START as f64));
    double.insert("durationMs".to_owned(), json!(100.0));
    write(&store, &[whole, double]).await;
    assert_eq!(score(&store, START).await.scored, 2);
    let of = async |component: &str| {
        store.stats_of(&[component.to_owned()], Window::OneHour).await.unwrap().remove(0).stats
    };
    assert_eq!(of("whole").await, of("double").await);
}

/// Passes over two days of virtual time, compared with a naive recount of each window.
#[tokio::test]
async fn windows_match_a_naive_recount_as_time_passes() {
    let store = seeded_store().await;
    let mut rng = StdRng::seed_from_u64(7);
    let mut written: Vec<(i64, f64, bool)> = Vec::new();
    let mut now = START;
    for step in 0..24 {
        let quiet = (8..14).contains(&step);
        let count = if quiet { 0 } else { rng.random_range(1..20) };
        let batch: Vec<_> = (0..count)
            .map(|n| {
                let ts = now - rng.random_range(0..2 * HOUR_MS);
                let ts = written.iter().map(|(ts, ..)| *ts).max().map_or(ts, |last| ts.max(last));
                let failed = rng.random::<f64>() < 0.3;
                let rate = if failed { 1.0 } else { 0.25 };
                written.push((ts, rate, failed));
                let mut observation = with(&format!("{step:02}-{n:02}"), "sampleRate", json!(rate));
                observation.insert("ts".to_owned(), json!(ts));
                if failed {
                    observation.insert("outcome".to_owned(), json!("failure"));
                }
                observation
            })
            .collect();
        write(&store, &batch).await;
        score(&store, now).await;
        for window in Window::ALL {
            let within = |(ts, ..): &&(i64, f64, bool)| *ts >= window.start(now);
            let counted: Vec<_> = written.iter().filter(within).collect();
            let stats = store.stats_of(&["c".to_owned()], window).await.unwrap();
            let n = stats.first().map_or(0, |stats| stats.stats.n);
            assert_eq!(n, counted.len() as u64, "{window} in step {step}");
            if let Some(stats) = stats.first() {
                let population: f64 = counted.iter().map(|(_, rate, _)| 1.0 / rate).sum();
                let succeeded = counted.iter().filter(|(.., failed)| !failed);
                let succeeded: f64 = succeeded.map(|(_, rate, _)| 1.0 / rate).sum();
                assert!((stats.stats.population - population).abs() < 1e-6);
                assert!((stats.stats.success_rate - succeeded / population).abs() < 1e-9);
            }
        }
        now += 2 * HOUR_MS;
    }
}

#[tokio::test]
async fn more_components_than_one_commit_holds_are_counted_in_several_commits() {
    let store = seeded_store().await;
    let observations: Vec<_> = (0..2_500)
        .map(|n| with(&format!("o{n:04}"), "component", json!(format!("c{:04}", n % 1_250))))
        .collect();
    write(&store, &observations).await;
    let report = score(&store, START).await;
    assert_eq!(report.scored, 2_500);
    assert!(report.checkpoints > 1, "{report}");
    let mut counts: BTreeMap<Window, u64> = BTreeMap::new();
    for stats in store.all_stats(None).await.unwrap() {
        assert_eq!(stats.stats.n, 2);
        *counts.entry(stats.window).or_default() += stats.stats.n;
    }
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [2_500; 3]);
}

#[tokio::test]
async fn twenty_thousand_observations_are_billed_at_most_2005_operations_per_thousand() {
    const OBSERVATIONS: u32 = 20_000;
    let server = crate::support::server().start().await.unwrap();
    let store = Store::connect(&Connection::local("demo-bill", server.addr())).await.unwrap();
    store.seed(START).await.unwrap();
    let observations: Vec<_> = (0..OBSERVATIONS)
        .map(|n| with(&format!("o{n:05}"), "component", json!(format!("c{}", n % 10))))
        .collect();
    write(&store, &observations).await;
    server.reset_meter();
    let (mut job, stop) = (job(&store, 25_000), CancellationToken::new());
    let report = job.pass(START, &stop, &|_| ()).await.unwrap();
    assert_eq!(report.scored, u64::from(OBSERVATIONS));
    let n = u64::from(OBSERVATIONS);
    // One read and one write for each, and the states that a chunk shares.
    server.assert_billed_at_most(Billed { reads: n + n / 200, writes: n + n / 200, deletes: 0 });
    let billed = server.meter().total.total();
    assert!(billed * 1_000 <= 2_005 * n, "{}", server.meter());

    server.reset_meter();
    job.pass(START + 1, &stop, &|_| ()).await.unwrap();
    assert_eq!(server.meter().total.total(), 3, "a pass that finds nothing: {}", server.meter());
    server.shutdown().await;
}

/// Each observation has another sample rate, as under adaptive sampling, so that two months of the
/// series nearly fill a document. A larger document would fail the commit of all components.
#[tokio::test]
async fn a_component_with_a_new_sample_rate_per_observation_fits_its_document() {
    let store = seeded_store().await;
    let mut random = StdRng::seed_from_u64(3);
    let mut varied = |ts: i64| {
        let mut observation = with("", "sampleRate", json!(random.random_range(0.01..1.0)));
        observation.remove("id");
        for (field, value) in [
            ("component", json!("adaptive")),
            ("ts", json!(ts)),
            ("durationMs", json!(random.random_range(2.0..10.0_f64).exp())),
            ("costUsd", json!(random.random_range(-10.0..0.0_f64).exp())),
        ] {
            observation.insert(field.to_owned(), value);
        }
        observation
    };
    let mut series = Series::default();
    for hour in (0..24 * 60).rev() {
        for n in 0..107 {
            let ts = START - hour * HOUR_MS - n;
            let observation = Observation::parse("o", &varied(ts)).unwrap();
            let reward = reward::score(&RewardConfig::default(), &observation);
            let _ = series.record(&observation, &reward, ts);
        }
    }
    let before = series.encode().len();
    assert!((1_000_000..1_040_000).contains(&before), "{before} bytes");
    put_series(&store, "adaptive", &series).await;
    let mut more: Vec<_> = (0..2_400_i64).map(|n| varied(START - n * HOUR_MS / 120)).collect();
    for (n, observation) in more.iter_mut().enumerate() {
        observation.insert("id".to_owned(), json!(format!("more-{n:04}")));
    }
    write(&store, &more).await;
    write(&store, &[observation("of-another")]).await;
    assert_eq!(score(&store, START + 1_000).await.scored, 2_401);
    let stored = store.series(&["adaptive"]).await.unwrap().remove(0).series;
    assert!(stored.encode().len() <= DOCUMENT_BYTES);
    let day = |series: &Series| series.windows()[1].1.n;
    series.advance(stored.now());
    assert_eq!(day(&stored), day(&series) + 2_400);
}

/// Firestore refuses commits of this size, in the test below.
const REFUSED_BYTES: usize = 150_000;

#[tokio::test]
async fn a_commit_that_firestore_refuses_as_invalid_is_repeated_with_fewer_components() {
    let server = crate::support::server().start().await.unwrap();
    let store = Store::connect(&Connection::local("demo-refused", server.addr())).await.unwrap();
    store.seed(START).await.unwrap();
    let components = 200;
    let of_round = |round: i64| -> Vec<_> {
        let observation = |component: i64| {
            let id = format!("o-{round}-{component}");
            let mut observation = with(&id, "component", json!(format!("c{component:03}")));
            observation.insert("ts".to_owned(), json!(START - round * 500 + component));
            observation
        };
        (0..components).map(observation).collect()
    };
    let refuse = Fault::Refuse { code: FaultCode::InvalidArgument };
    let rule = Rule::on("Commit", refuse).at_least(REFUSED_BYTES);
    server.set_faults(Plan::new(0, vec![rule]));
    write(&store, &of_round(0)).await;
    let report = score(&store, START + HOUR_MS).await;
    assert!(report.checkpoints > 1, "{report}");
    let refused = server.injected();
    assert!(refused["refuse"] > 0, "no commit was refused");
    // Those of the second round are behind the cursor, and are counted as late.
    write(&store, &of_round(1)).await;
    let mut reconcile = ReconcileJob::new(store.clone(), ReconcileOptions::default());
    let stop = CancellationToken::new();
    let report = reconcile.pass(START + HOUR_MS, false, &stop).await.unwrap();
    assert_eq!(report.scored, components.unsigned_abs());
    assert!(server.injected()["refuse"] > refused["refuse"], "no late commit was refused");
    let stats = store.all_stats(None).await.unwrap();
    let counted =
        stats.iter().filter(|it| it.window == Window::SevenDays && it.stats.n == 2).count();
    assert_eq!(counted, usize::try_from(components).unwrap());
    server.shutdown().await;
}
