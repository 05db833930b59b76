//! Every kind of document in `ops_state`, damaged in every way: what depends on it waits and is named,
//! the other components and policies continue, and nothing is counted twice or lost once the document
//! is as it was.

use f0_learning::jobs::guard::GuardJob;
use f0_learning::jobs::leases::Leases;
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::jobs::tune::{TuneOutcome, TuneReport};
use f0_learning::store::Store;
use f0_learning_core::Clock;
use f0_learning_core::observation::Outcome;
use f0_learning_core::stats::Window;
use f0_learning_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use firestore::gcloud_sdk::google::firestore::v1::value::ValueType;
use firestore::gcloud_sdk::google::firestore::v1::{Document, Value as Stored};
use firestore_kit::value::{self, Fields};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::collection;
use crate::experiments::{only, start_test};
use crate::support::{START, fields, job, put, put_arm, resharding_store, score, tune};

const VERSION: &str = "other@1.0.0";

async fn stored(store: &Store, id: &str) -> Option<Fields> {
    let db = store.db().clone().into_inner();
    let path = collection::STATE;
    let found: Option<Document> = db.fluent().select().by_id_in(path).one(id).await.unwrap();
    found.map(|found| found.fields)
}

async fn restore(store: &Store, id: &str, before: Option<Fields>) {
    match before {
        Some(fields) => put(store, collection::STATE, id, fields).await,
        None => {
            let db = store.db().clone().into_inner();
            let path = collection::STATE;
            db.fluent().delete().from(path).document_id(id).execute().await.unwrap();
        }
    }
}

/// Observations with a number each, so that every one has an id and a `ts` of its own.
struct World {
    store: Store,
    written: i64,
    /// How many of the component `good`, and of `bad`.
    counts: [u64; 2],
}

impl World {
    /// A project of two shards and two policies, with a document of every kind.
    async fn new() -> Self {
        let store = resharding_store().await;
        put(&store, collection::CONFIG, "scoring", fields(&json!({ "shards": 2 }))).await;
        let other = json!({
            "id": "other", "version": "1.0.0", "status": "active", "createdAt": START,
            "createdBy": "ada", "params": { "modelWeights": { "x": 0.5, "y": 0.5 } },
        });
        put(&store, collection::POLICIES, VERSION, fields(&other)).await;
        let config = json!({ "policies": {
            "router-core": { "component": "router:{arm}", "sampleRatioCheck": false },
            "other": { "component": "other:{arm}", "sampleRatioCheck": false },
        }});
        put(&store, collection::CONFIG, "tuning", fields(&config)).await;
        for arm in ["gpt-5", "gemini", "claude"] {
            put_arm(&store, arm, 0.5, 100).await;
        }
        let series = stored(&store, "series|router:gpt-5").await.unwrap();
        let mut series = series;
        series.insert("component".to_owned(), value::string("other:x"));
        put(&store, collection::STATE, "series|other:x", series).await;
        start_test(&store).await;
        let mut world = Self { store, written: 0, counts: [0, 0] };
        for _ in 0..2 {
            world.observe(3).await;
            world.score().await;
        }
        world.reconcile(false).await.unwrap();
        tune(&world.store, world.now()).await;
        world
    }

    fn now(&self) -> i64 {
        START + self.written * 1_000 + MINUTE_MS
    }

    async fn put(&mut self, component: &str, shard: i64, ts: Option<i64>) {
        self.written += 1;
        let ts = ts.unwrap_or(START + self.written * 1_000);
        let observation = json!({
            "ts": ts, "component": component, "outcome": "success", "durationMs": 1,
            "policyVersion": if component == "bad" { VERSION } else { "" }, "shard": shard,
        });
        let id = format!("o{:06}", self.written);
        put(&self.store, collection::OBSERVATIONS, &id, fields(&observation)).await;
        self.counts[usize::from(component == "bad")] += 1;
    }

    /// As many of both components, `good` in the shard 0 and `bad` in the shard 1; both are in time.
    async fn observe(&mut self, n: u32) {
        for _ in 0..n {
            self.put("good", 0, None).await;
            self.put("bad", 1, None).await;
        }
    }

    async fn score(&self) -> std::collections::BTreeMap<String, String> {
        let clock = Clock::from_fn(|| START);
        let leases = Leases::named(self.store.clone(), clock, "w".to_owned());
        let mut job = job(&self.store, 5).with_leases(leases);
        let stop = CancellationToken::new();
        job.pass(self.now(), &stop, &|_| ()).await.unwrap().damaged
    }

    async fn reconcile(
        &self,
        full: bool,
    ) -> Result<std::collections::BTreeMap<String, String>, f0_learning::store::StoreError> {
        let options = ReconcileOptions { lag_ms: 0, ..Default::default() };
        let mut job = ReconcileJob::new(self.store.clone(), options);
        let report = job.pass(self.now(), full, &CancellationToken::new()).await?;
        Ok(report.damaged)
    }

    /// How many observations of both components are counted.
    async fn counted(&self) -> [u64; 2] {
        let stats = self.store.all_stats(None).await.unwrap();
        ["good", "bad"].map(|component| {
            let of =
                stats.iter().find(|it| it.component == component && it.window == Window::SevenDays);
            of.map_or(0, |it| it.stats.n)
        })
    }

    async fn tally(&self) -> u64 {
        self.store.tally(&VERSION.parse().unwrap()).await.unwrap().stats().n
    }
}

fn wrong_types() -> Vec<Stored> {
    vec![
        value::map(value::fields([("x", value::int(1))])),
        value::bytes(vec![99, 1, 2]),
        Stored { value_type: Some(ValueType::NullValue(0)) },
    ]
}

/// The document with each of its fields missing or of a wrong type, with an unknown format, and empty.
fn damages(before: &Fields) -> Vec<(String, Fields)> {
    let mut damages = vec![("empty".to_owned(), Fields::default())];
    let mut names: Vec<_> = before.keys().cloned().collect();
    names.sort();
    for name in names {
        let mut without = before.clone();
        without.remove(&name);
        damages.push((format!("without {name}"), without));
        for wrong in wrong_types() {
            let mut damaged = before.clone();
            if damaged.get(&name) != Some(&wrong) {
                damaged.insert(name.clone(), wrong.clone());
                damages.push((format!("{name}: {wrong:?}"), damaged));
            }
        }
    }
    let mut later = before.clone();
    later.insert("format".to_owned(), value::int(99));
    damages.push(("format 99".to_owned(), later));
    let mut alien = before.clone();
    alien.insert("alien".to_owned(), value::string("x"));
    damages.push(("an alien field".to_owned(), alien));
    damages
}

/// Damages a document in every way, one after the other, each time with new observations.
async fn damage_in_turn(world: &mut World, id: &str) {
    let ways = damages(&stored(&world.store, id).await.unwrap()).len();
    for way in 0..ways {
        let before = stored(&world.store, id).await;
        let all = damages(before.as_ref().unwrap_or(&Fields::default()));
        let Some((how, damaged)) = all.get(way) else { break };
        let how = format!("{id} {how}");
        put(&world.store, collection::STATE, id, damaged.clone()).await;
        let counted = world.counted().await[0];
        let good = world.counts[0];
        world.observe(2).await;
        let mut named = world.score().await;
        world.put("good", 0, Some(START - HOUR_MS - world.written)).await;
        named.extend(world.reconcile(false).await.unwrap_or_else(|error| panic!("{how}: {error}")));
        let expected = counted + world.counts[0] - good;
        assert_eq!(world.counted().await[0], expected, "{how}: the other component");
        let report = tune(&world.store, world.now()).await;
        let TuneReport::Decided(outcomes) = report else { panic!("{how}: {report}") };
        let router = outcomes.iter().find(|(policy, _)| policy == "router-core").unwrap();
        assert!(!matches!(router.1, TuneOutcome::Unusable(_)), "{how}: {}", router.1);
        GuardJob::new(world.store.clone()).pass(world.now()).await.unwrap();
        let path = format!("ops_state/{id}");
        let is_named = named.contains_key(&path);
        assert!(is_named || !how.contains("empty") || !is_needed(id), "{how}: {named:?}");
        assert!(!is_named || !how.contains("alien"), "{how}: {named:?}");
        // What was counted into a readable document meanwhile must stay in it.
        if is_named {
            restore(&world.store, id, before).await;
        }
        world.score().await;
        world.reconcile(false).await.unwrap();
    }
}

/// Whether scoring or reconciliation needs it.
fn is_needed(id: &str) -> bool {
    ["series|bad", "version|", "parked", "cursor", "retention"].iter().any(|it| id.starts_with(it))
}

async fn assert_whole(world: &World, why: &str) {
    world.score().await;
    world.reconcile(true).await.unwrap();
    assert_eq!(world.counted().await, world.counts, "{why}");
    assert_eq!(world.tally().await, world.counts[1], "{why}");
    assert!(world.score().await.is_empty(), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_to_any_state_document_stops_nothing_that_does_not_depend_on_it() {
    let experiment = |world: &Store| {
        let world = world.clone();
        async move { only(&world, f0_learning_core::experiment::Kind::Ab).await.id }
    };
    for kind in [
        "series|bad",
        "version|other@1.0.0",
        "cursor|1",
        "retention",
        "tuner|other",
        "series|other:x",
        "decision|other@1.0.1",
        "lease|score|1",
        "worker|w2",
        "experiment",
    ] {
        let mut world = World::new().await;
        let id = match kind {
            "experiment" => format!("experiment|{}", experiment(&world.store).await),
            other => other.to_owned(),
        };
        if stored(&world.store, &id).await.is_none() {
            let made = match kind {
                "retention" => json!({ "sequence": 1, "archivedBefore": START - 10 * DAY_MS }),
                "worker|w2" => json!({ "worker": "w2", "workerUntil": START - 1 }),
                "decision|other@1.0.1" => json!({ "policyVersion": "other@1.0.1", "input": "?" }),
                "tuner|other" => json!({ "policy": "other" }),
                other => panic!("{other}"),
            };
            put(&world.store, collection::STATE, &id, fields(&made)).await;
        }
        damage_in_turn(&mut world, &id).await;
        assert_whole(&world, kind).await;
    }
}

/// The counts go into a third document if the parked ones cannot be read either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_to_parked_counts_stops_nothing_and_loses_nothing() {
    for id in ["series|bad", "version|other@1.0.0"] {
        let mut world = World::new().await;
        let before = stored(&world.store, id).await;
        let mut damaged = before.clone().unwrap();
        damaged.insert("format".to_owned(), value::int(99));
        put(&world.store, collection::STATE, id, damaged).await;
        world.observe(2).await;
        world.score().await;
        let parked = format!("parked|{id}");
        damage_in_turn(&mut world, &parked).await;
        restore(&world.store, id, before).await;
        assert_whole(&world, id).await;
        for n in ["", "2", "3"] {
            assert_eq!(stored(&world.store, &format!("parked{n}|{id}")).await, None);
        }
    }
}

#[tokio::test]
async fn damaged_parked_counts_are_named_even_if_they_say_nothing_of_themselves() {
    let mut world = World::new().await;
    put(&world.store, collection::STATE, "series|bad", Fields::default()).await;
    put(&world.store, collection::STATE, "parked|series|bad", Fields::default()).await;
    world.observe(1).await;
    let named = world.score().await;
    assert!(named.contains_key("ops_state/parked|series|bad"), "{named:?}");
    assert!(named.contains_key("ops_state/series|bad"), "{named:?}");
    let named = world.reconcile(false).await.unwrap();
    assert!(named.contains_key("ops_state/parked|series|bad"), "{named:?}");
}

/// Scoring cannot continue without its only cursor, but what does not need it does.
#[tokio::test]
async fn a_damaged_cursor_layout_or_reconcile_state_is_named_and_counts_nothing_twice() {
    let store = resharding_store().await;
    let write = async |n: i64| {
        let observation = json!({
            "ts": START + n, "component": "c", "outcome": "success", "durationMs": 1,
        });
        put(&store, collection::OBSERVATIONS, &format!("o{n}"), fields(&observation)).await;
    };
    let counted = async || {
        let stats = store.all_stats(None).await.unwrap();
        stats.iter().find(|it| it.window == Window::SevenDays).map_or(0, |it| it.stats.n)
    };
    put_arm(&store, "gpt-5", 0.5, 100).await;
    let stop = CancellationToken::new();
    let mut written = 0;
    for id in ["cursor", "layout", "reconcile"] {
        for n in 0..3 {
            write(written + n).await;
        }
        written += 3;
        score(&store, START + HOUR_MS).await;
        if id == "layout" {
            put(&store, collection::STATE, id, fields(&json!({ "shards": 0 }))).await;
        }
        if id == "reconcile" {
            let mut job = ReconcileJob::new(store.clone(), ReconcileOptions::default());
            job.pass(START + 2 * HOUR_MS, true, &stop).await.unwrap();
        }
        for way in 0..damages(&stored(&store, id).await.unwrap()).len() {
            let before = stored(&store, id).await.unwrap();
            let Some((how, damaged)) = damages(&before).into_iter().nth(way) else { break };
            put(&store, collection::STATE, id, damaged).await;
            write(written).await;
            written += 1;
            let now = START + 2 * HOUR_MS;
            let scored = job(&store, 10).pass(now, &stop, &|_| ()).await;
            let mut reconcile = ReconcileJob::new(store.clone(), ReconcileOptions::default());
            let reconciled = reconcile.pass(now, false, &stop).await;
            let path = format!("ops_state/{id}");
            let errors = [
                scored.err().map(|it| it.to_string()),
                reconciled.as_ref().err().map(ToString::to_string),
            ];
            let mut named: Vec<String> = errors.into_iter().flatten().collect();
            assert!(named.iter().all(|error| error.contains(&path)), "{how}: {named:?}");
            named.extend(reconciled.into_iter().flat_map(|report| report.damaged.into_keys()));
            assert!(matches!(tune(&store, now).await, TuneReport::Decided(_)), "{id} {how}");
            GuardJob::new(store.clone()).pass(now).await.unwrap();
            if !named.is_empty() {
                put(&store, collection::STATE, id, before).await;
            }
            score(&store, now).await;
            let expected = u64::try_from(written).unwrap();
            assert_eq!(counted().await, expected, "{id} {how}");
        }
    }
}

#[tokio::test]
async fn a_lease_or_a_worker_of_a_far_future_stops_no_scoring() {
    let mut world = World::new().await;
    let far = i64::MAX / 4;
    for shard in 0..2 {
        let lease = json!({ "holder": "nobody", "until": far, "fence": 3 });
        put(&world.store, collection::STATE, &format!("lease|score|{shard}"), fields(&lease)).await;
    }
    let worker = json!({ "worker": "ghost", "workerUntil": far });
    put(&world.store, collection::STATE, "worker|ghost", fields(&worker)).await;
    world.observe(3).await;
    world.score().await;
    assert_eq!(world.counted().await, world.counts);
}

#[tokio::test]
async fn an_alien_document_in_ops_stats_hides_no_other_statistic() {
    let mut world = World::new().await;
    world.observe(3).await;
    world.score().await;
    for (id, alien) in [("alien", json!({ "window": 7 })), ("good|1h|x", json!({ "n": "many" }))] {
        put(&world.store, collection::STATS, id, fields(&alien)).await;
    }
    assert_eq!(world.counted().await, world.counts);
}

#[tokio::test]
async fn an_alien_document_in_ops_rewards_does_not_stop_the_first_pass() {
    let store = crate::support::seeded_store().await;
    put(&store, collection::REWARDS, "alien", fields(&json!({ "score": "high" }))).await;
    crate::support::record(&store, "c", Outcome::Success, 5.0, START).await;
    assert_eq!(score(&store, START + HOUR_MS).await.scored, 1);
    // Without a cursor beside that reward, the next pass must not count it again.
    crate::support::delete(&store, collection::STATE, "cursor").await;
    let stop = CancellationToken::new();
    let error = job(&store, 10).pass(START + HOUR_MS, &stop, &|_| ()).await.unwrap_err();
    assert!(error.to_string().contains("ops_state/cursor"), "{error}");
}
