//! Documents that cannot be read: the one is passed over and named, and everything else continues.

use std::sync::Arc;

use crate::collection;
use f0_learning::jobs::check::CheckReport;
use f0_learning::jobs::guard::GuardJob;
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions, ReconcileReport};
use f0_learning::jobs::tune::{TuneJob, TuneOutcome, TuneReport};
use f0_learning::jobs::{Job, JobReport, PassContext};
use f0_learning::observability::health::Health;
use f0_learning::store::{AutoOutcome, ChangeError, OverrideParams, ProposeOutcome, Store};
use f0_learning_client::{NewObservation, record_observation};
use f0_learning_core::observation::Outcome;
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::stats::Window;
use f0_learning_core::time::{HOUR_MS, MINUTE_MS};
use firestore::gcloud_sdk::google::firestore::v1::{Document, Value as Stored};
use firestore_kit::Connection;
use firestore_kit::value::{self, Fields};
use firestore_local::{Fault, Plan, Rule};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::experiments::{ASKED, only, start_test};
use crate::support::{
    START, ada, assert_sound, document, draft, empty_store, fields, job, key, new_draft, put,
    put_arm, record, router_params, score, seeded_store, statuses, tune,
};

/// A document with its types.
async fn stored(store: &Store, collection: &str, id: &str) -> Option<Fields> {
    let db = store.db().clone().into_inner();
    let found: Option<Document> = db.fluent().select().by_id_in(collection).one(id).await.unwrap();
    found.map(|found| found.fields)
}

/// Replaces a field of a document, and gives the document as it was.
async fn set(store: &Store, collection: &str, id: &str, field: &str, to: Stored) -> Fields {
    let before = stored(store, collection, id).await.unwrap();
    let mut fields = before.clone();
    fields.insert(field.to_owned(), to);
    put(store, collection, id, fields).await;
    before
}

async fn reconcile(store: &Store, now: i64) -> ReconcileReport {
    let mut job = ReconcileJob::new(store.clone(), ReconcileOptions::default());
    job.pass(now, false, &CancellationToken::new()).await.unwrap()
}

async fn observe(store: &Store, component: &str, version: Option<&str>, n: i64, ts: i64) {
    for n in 0..n {
        let observation = NewObservation {
            ts: Some(ts + n),
            policy_version: version.map(str::to_owned),
            ..NewObservation::new(component, Outcome::Success, 200.0)
        };
        record_observation(store.db(), observation, ts).await.unwrap();
    }
}

/// The number of observations of a component in the last day, as `ops_stats` shows it.
async fn counted(store: &Store, component: &str) -> u64 {
    let all = store.all_stats(Some(component)).await.unwrap();
    all.iter().find(|it| it.window == Window::OneDay).map_or(0, |it| it.stats.n)
}

async fn rewards(store: &Store) -> u64 {
    store.counts().await.unwrap().0
}

#[tokio::test]
async fn a_series_of_an_unknown_format_stops_no_other_component_and_loses_no_count() {
    let store = seeded_store().await;
    observe(&store, "bad", None, 3, START).await;
    observe(&store, "good", None, 3, START).await;
    score(&store, START + MINUTE_MS).await;
    let before = set(&store, collection::STATE, "series|bad", "format", value::int(99)).await;

    let mut worker = job(&store, 2);
    for pass in 1..=3_i64 {
        let ts = START + pass * 10 * MINUTE_MS;
        observe(&store, "bad", None, 5, ts).await;
        observe(&store, "good", None, 5, ts).await;
        let stop = CancellationToken::new();
        let report = worker.pass(ts + MINUTE_MS, &stop, &|_| ()).await.unwrap();
        assert_eq!(report.scored, 10, "pass {pass}");
        assert!(report.damaged["ops_state/series|bad"].contains("99"), "{report:?}");
        assert!(report.to_string().contains("ops_state/series|bad"), "{report}");
        let health = Health::default();
        report.observe(&health);
        assert!(health.readiness().damaged[0].contains("ops_state/series|bad"));
        assert!(health.metrics().text(true).contains("f0_damaged_documents 1"));
    }
    assert_eq!((counted(&store, "good").await, rewards(&store).await), (18, 36));
    let now = START + 40 * MINUTE_MS;
    let report = reconcile(&store, now).await;
    assert_eq!(report.damaged.keys().collect::<Vec<_>>(), ["ops_state/series|bad"]);
    assert_eq!(counted(&store, "bad").await, 3, "its windows are as they were");

    // A later version of the service, or a person, made it readable again.
    put(&store, collection::STATE, "series|bad", before).await;
    let report = reconcile(&store, now).await;
    assert_eq!((report.merged.len(), report.damaged.len()), (1, 0), "{report:?}");
    assert_eq!(counted(&store, "bad").await, 18);
    assert_eq!(stored(&store, collection::STATE, "parked|series|bad").await, None);
    let after = worker.pass(now, &CancellationToken::new(), &|_| ()).await.unwrap();
    assert!(after.damaged.is_empty(), "{after:?}");
    observe(&store, "bad", None, 1, now).await;
    score(&store, now + MINUTE_MS).await;
    assert_eq!(counted(&store, "bad").await, 19);
}

#[tokio::test]
async fn a_late_observation_of_a_damaged_series_is_parked_too() {
    let store = seeded_store().await;
    observe(&store, "bad", None, 2, START).await;
    score(&store, START + 10 * MINUTE_MS).await;
    let garbage = value::bytes(vec![200, 1, 2]);
    let before = set(&store, collection::STATE, "series|bad", "series", garbage).await;
    record(&store, "bad", Outcome::Success, 100.0, START - 5).await;
    record(&store, "next", Outcome::Success, 100.0, START - 5).await;
    let report = reconcile(&store, START + 20 * MINUTE_MS).await;
    assert_eq!((report.scored, report.damaged.len()), (2, 1), "{report:?}");
    assert_eq!(counted(&store, "next").await, 1);
    put(&store, collection::STATE, "series|bad", before).await;
    reconcile(&store, START + 20 * MINUTE_MS).await;
    assert_eq!(counted(&store, "bad").await, 3);
}

#[tokio::test]
async fn a_tally_of_an_unknown_format_stops_no_scoring_and_loses_no_count() {
    let store = seeded_store().await;
    let version = "router-core@1.0.0";
    observe(&store, "router:gpt-5", Some(version), 4, START).await;
    score(&store, START + MINUTE_MS).await;
    let id = format!("version|{version}");
    let before = set(&store, collection::STATE, &id, "format", value::int(99)).await;
    observe(&store, "router:gpt-5", Some(version), 6, START + 2 * MINUTE_MS).await;
    let report = score(&store, START + 3 * MINUTE_MS).await;
    assert_eq!(report.scored, 6);
    assert!(report.damaged.contains_key(&format!("ops_state/{id}")), "{report:?}");
    assert_eq!(counted(&store, "router:gpt-5").await, 10, "the component's own series is fine");
    put(&store, collection::STATE, &id, before).await;
    reconcile(&store, START + 4 * MINUTE_MS).await;
    assert_eq!(store.tally(&key(version)).await.unwrap().stats().n, 10);
}

#[tokio::test]
async fn a_damaged_series_does_not_keep_the_windows_of_others_from_being_renewed() {
    let store = seeded_store().await;
    for component in ["a", "bad", "c"] {
        observe(&store, component, None, 1, START).await;
    }
    score(&store, START + MINUTE_MS).await;
    set(&store, collection::STATE, "series|bad", "format", value::int(99)).await;
    let report = score(&store, START + 2 * HOUR_MS).await;
    assert_eq!(report.refreshed, 2, "{report:?}");
    assert!(report.damaged.contains_key("ops_state/series|bad"));
}

/// The outcome of each policy.
async fn tuned(store: &Store, now: i64) -> Vec<(String, TuneOutcome)> {
    match tune(store, now).await {
        TuneReport::Decided(outcomes) => outcomes,
        other => panic!("{other}"),
    }
}

/// Two policies over arms with evidence for a change.
async fn two_policies() -> Store {
    let store = seeded_store().await;
    let other = json!({
        "id": "other", "version": "1.0.0", "status": "active", "createdAt": START,
        "createdBy": "ada", "params": { "modelWeights": { "x": 0.5, "y": 0.5 } },
    });
    put(&store, collection::POLICIES, "other@1.0.0", fields(&other)).await;
    let config = json!({ "policies": {
        "router-core": { "component": "router:{arm}" }, "other": { "component": "other:{arm}" },
    }});
    put(&store, collection::CONFIG, "tuning", fields(&config)).await;
    for (arm, reward) in [("gpt-5", 0.45), ("gemini", 0.8), ("claude", 0.75)] {
        put_arm(&store, arm, reward, 1_000).await;
    }
    store
}

fn unusable<'a>(outcomes: &'a [(String, TuneOutcome)], policy: &str) -> &'a str {
    let found = outcomes.iter().find(|(id, _)| id == policy);
    match found {
        Some((_, TuneOutcome::Unusable(why))) => why,
        other => panic!("{other:?}"),
    }
}

fn is_proposed(outcomes: &[(String, TuneOutcome)]) -> bool {
    outcomes
        .iter()
        .any(|(id, it)| id == "router-core" && matches!(it, TuneOutcome::Proposed { .. }))
}

#[tokio::test]
async fn a_broken_memory_or_series_of_one_policy_stops_no_other() {
    let store = two_policies().await;
    let broken = fields(&json!({ "policy": "other", "period": "soon" }));
    put(&store, collection::STATE, "tuner|other", broken).await;
    let outcomes = tuned(&store, START).await;
    assert!(unusable(&outcomes, "other").contains("ops_state/tuner|other"), "{outcomes:?}");
    assert!(is_proposed(&outcomes), "{outcomes:?}");

    let store = two_policies().await;
    let series = value::fields([("format", value::int(99))]);
    put(&store, collection::STATE, "series|other:x", series).await;
    let outcomes = tuned(&store, START).await;
    assert!(unusable(&outcomes, "other").contains("ops_state/series|other:x"), "{outcomes:?}");
    assert!(is_proposed(&outcomes), "{outcomes:?}");
}

#[tokio::test]
async fn an_invalid_entry_in_config_tuning_disables_only_its_policy() {
    let store = two_policies().await;
    let config = json!({ "policies": {
        "router-core": { "component": "router:{arm}" },
        "other": { "component": "other:{arm}", "stepBond": 0.2 },
    }});
    put(&store, collection::CONFIG, "tuning", fields(&config)).await;
    let report = tune(&store, START).await;
    let TuneReport::Decided(outcomes) = &report else { panic!("{report}") };
    let why = unusable(outcomes, "other");
    assert!(why.contains("config/tuning policies.other.stepBond"), "{why}");
    assert!(why.contains("stepBound"), "{why}");
    assert!(is_proposed(outcomes), "{outcomes:?}");
    let health = Health::default();
    report.observe(&health);
    assert!(health.readiness().damaged[0].contains("other"), "{:?}", health.readiness());
}

#[tokio::test]
async fn unknown_fields_of_the_configuration_are_refused_with_their_path() {
    let store = seeded_store().await;
    let weights = value::map(fields(&json!({
        "latency": 0.25, "cost": 0.2, "success": 0.6, "error": 0.6, "tokens": 0.1,
    })));
    set(&store, collection::CONFIG, "reward_config", "weights", weights).await;
    let error = store.reward_config().await.unwrap_err().to_string();
    assert!(error.contains("config/reward_config weights.tokens"), "{error}");
    put(&store, collection::CONFIG, "scoring", fields(&json!({ "shard": 4 }))).await;
    let error = store.asked_layout().await.unwrap_err().to_string();
    assert!(error.contains("config/scoring shard") && error.contains("`shards`"), "{error}");
}

#[tokio::test]
async fn the_seeded_configuration_is_valid() {
    let store = seeded_store().await;
    assert!(store.tuning_config().await.unwrap().refused.is_empty());
    store.reward_config().await.unwrap();
    store.asked_layout().await.unwrap();
    assert!(store.flags().await.unwrap().tuning_enabled());
}

fn timestamp(ms: i64) -> Stored {
    value::timestamp(value::from_epoch_micros(ms * 1_000))
}

#[tokio::test]
async fn a_version_with_timestamps_and_doubles_is_read() {
    let store = seeded_store().await;
    let id = "router-core@1.0.0";
    set(&store, collection::POLICIES, id, "createdAt", timestamp(START)).await;
    set(&store, collection::POLICIES, id, "activatedAt", value::double(1.0)).await;
    let policy = store.active_policies().await.unwrap().remove(0);
    assert_eq!((policy.created_at, policy.activated_at), (START, Some(1)));
    assert!(!matches!(tuned(&store, START).await[0].1, TuneOutcome::Unusable(_)));
}

#[tokio::test]
async fn an_experiment_with_timestamps_and_doubles_is_read() {
    let store = seeded_store().await;
    start_test(&store).await;
    let test = only(&store, f0_learning_core::experiment::Kind::Ab).await;
    set(&store, collection::EXPERIMENTS, &test.id, "startedAt", timestamp(test.started_at)).await;
    set(&store, collection::EXPERIMENTS, &test.id, "stage", value::double(0.0)).await;
    assert_eq!(store.open_experiments().await.unwrap(), [test]);
}

#[tokio::test]
async fn an_active_version_that_cannot_be_read_is_named_and_not_replaced_by_seeding() {
    let store = empty_store().await;
    let active = json!({
        "id": "router-core", "version": "0.9.0", "status": "active", "createdAt": "yesterday",
        "params": { "modelWeights": { "gpt-5": 1 } },
    });
    put(&store, collection::POLICIES, "router-core@0.9.0", fields(&active)).await;
    let seeded = store.seed(START).await.unwrap();
    assert!(seeded.existing.contains(&"ops_policies/router-core@0.9.0".to_owned()), "{seeded:?}");
    assert_eq!(stored(&store, collection::POLICIES, "router-core@1.0.0").await, None);

    let expected = "router-core@0.9.0 is active but cannot be read: createdAt";
    let report = tune(&store, START).await.to_string();
    assert!(report.contains(expected) && !report.contains("seed"), "{report}");
    let check = CheckReport::take(&store).await.unwrap();
    let irregular = check.irregular();
    assert!(irregular[0].to_string().contains(expected), "{irregular:?}");
    let unreadable = store.unreadable_versions(Some("router-core")).await.unwrap();
    assert!(unreadable[0].to_string().contains(expected), "{unreadable:?}");
    let lines = check.log_lines();
    assert!(lines.iter().any(|line| line.text.contains(expected)), "{lines:?}");
}

#[tokio::test]
async fn seeding_beside_a_readable_active_version_creates_no_second_one() {
    let store = empty_store().await;
    let active = json!({
        "id": "router-core", "version": "2.0.0", "status": "active", "createdAt": START,
        "params": { "modelWeights": { "gpt-5": 1 } },
    });
    put(&store, collection::POLICIES, "router-core@2.0.0", fields(&active)).await;
    store.seed(START).await.unwrap();
    assert_eq!(store.active_policies().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_open_experiment_that_cannot_be_read_is_never_passed_over_silently() {
    let store = seeded_store().await;
    start_test(&store).await;
    let test = only(&store, f0_learning_core::experiment::Kind::Ab).await;
    set(&store, collection::EXPERIMENTS, &test.id, "kind", value::string("later")).await;
    let report = GuardJob::new(store.clone()).pass(START + HOUR_MS).await.unwrap();
    assert!(report.to_string().contains(&test.id), "{report}");
    assert_eq!(report.log_lines().len(), 1);

    let other = draft(&store, "1.0.2", "1.0.0").await;
    let refused = store.start_experiment(&other, &ASKED, &ada()).await.unwrap_err();
    assert!(matches!(refused, ChangeError::ExperimentUnreadable { .. }), "{refused}");
    let weights = other_weights();
    let automatic = store
        .auto_activate(&other, &weights, &crate::auto_activation::limits(), START)
        .await
        .unwrap();
    assert!(matches!(automatic, AutoOutcome::AwaitingApproval(_)), "{automatic:?}");

    // An admin is not kept from activating, and the experiment ends with it.
    store.activate(&other, false, &ada()).await.unwrap();
    let ended = document(&store, collection::EXPERIMENTS, &test.id).await.unwrap();
    assert_eq!((&ended["open"], &ended["status"]), (&json!(false), &json!("superseded")));
    assert!(ended["reason"].as_str().unwrap().contains("cannot read"), "{ended:?}");
    assert_sound(&store, "router-core", "with an experiment that cannot be read").await;
}

fn other_weights() -> std::collections::BTreeMap<String, f64> {
    router_params("1.0.2").model_weights().unwrap().unwrap()
}

#[tokio::test]
async fn rejecting_a_draft_ends_its_test_even_if_that_cannot_be_read() {
    let store = seeded_store().await;
    let tested = start_test(&store).await;
    let test = only(&store, f0_learning_core::experiment::Kind::Ab).await;
    set(&store, collection::EXPERIMENTS, &test.id, "kind", value::string("later")).await;
    store.reject(&tested, &ada()).await.unwrap();
    let ended = document(&store, collection::EXPERIMENTS, &test.id).await.unwrap();
    assert_eq!(ended["open"], json!(false));
    let active = document(&store, collection::POLICIES, "router-core@1.0.0").await.unwrap();
    assert!(!active.contains_key("candidate"));
}

#[tokio::test]
async fn a_version_named_before_it_exists_is_counted_from_the_next_pass_on() {
    let store = seeded_store().await;
    let mut worker = job(&store, 100);
    let stop = CancellationToken::new();
    let version = "router-core@1.0.1";
    observe(&store, "router:gpt-5", Some(version), 3, START).await;
    worker.pass(START + MINUTE_MS, &stop, &|_| ()).await.unwrap();
    draft(&store, "1.0.1", "1.0.0").await;
    observe(&store, "router:gpt-5", Some(version), 4, START + 2 * MINUTE_MS).await;
    worker.pass(START + 3 * MINUTE_MS, &stop, &|_| ()).await.unwrap();
    assert_eq!(store.tally(&key(version)).await.unwrap().stats().n, 4);
}

#[tokio::test]
async fn a_policy_that_is_seeded_after_a_pass_is_seen_by_the_next() {
    let store = empty_store().await;
    let learning = json!({ "learning": { "enabled": true, "autoActivatePolicies": false } });
    put(&store, collection::CONFIG, "flags", fields(&learning)).await;
    let mut worker = TuneJob::new(store.clone());
    let none = worker.pass(START).await.unwrap();
    assert_eq!(none, TuneReport::Decided(Vec::new()));
    store.seed(START).await.unwrap();
    let TuneReport::Decided(outcomes) = worker.pass(START + 1).await.unwrap() else {
        panic!("decided")
    };
    assert_eq!(outcomes.len(), 1);
}

#[tokio::test]
async fn a_lease_that_cannot_be_read_has_expired() {
    let store = empty_store().await;
    put(&store, collection::STATE, "lease|tune", fields(&json!({ "holder": 7 }))).await;
    let lease = store.lease("tune").await.unwrap().unwrap();
    assert_eq!(lease.until, 0);
    store.take_lease("tune", Some(&lease), "me", START, 1_000).await.unwrap();
    set(&store, collection::STATE, "lease|tune", "until", timestamp(START)).await;
    assert_eq!(store.lease("tune").await.unwrap().unwrap().until, START);
}

/// A store whose next commit to a collection is applied, and its answer lost.
async fn losing(collection: &str) -> (Store, firestore_local::Running) {
    let server = crate::support::server().start().await.unwrap();
    let store = Store::connect(&Connection::local("demo-lost", server.addr())).await.unwrap();
    let rule = Rule::on("Commit", Fault::LoseAnswer).of(collection).once_after(0);
    if collection != collection::CONFIG {
        store.seed(START).await.unwrap();
    }
    server.set_faults(Plan::new(1, vec![rule]));
    (store, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_whose_answer_was_lost_is_recognised() {
    let (store, _server) = losing(collection::POLICIES).await;
    let version = key("router-core@1.0.1");
    let draft = new_draft(version, "1.0.0".parse().unwrap(), router_params("1.0.1"));
    assert_eq!(store.propose(&draft).await.unwrap(), ProposeOutcome::Proposed);
    let stored = statuses(&store, "router-core").await;
    assert_eq!(stored[&"1.0.1".parse().unwrap()], PolicyStatus::Draft);
    assert_sound(&store, "router-core", "after a lost answer").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seed_whose_answer_was_lost_counts_as_created() {
    let (store, server) = losing(collection::CONFIG).await;
    let rule =
        |collection: &str| Rule::on("Commit", Fault::LoseAnswer).of(collection).once_after(0);
    let rules = vec![rule(collection::CONFIG), rule(collection::POLICIES)];
    server.set_faults(Plan::new(1, rules));
    let report = store.seed(START).await.unwrap();
    assert_eq!((report.created.len(), report.existing.len()), (5, 0), "{report:?}");
    assert_sound(&store, "router-core", "after a lost answer").await;
}

/// The params of `router-core@1.0.0` with values that JSON lacks.
async fn typed_store() -> (Store, Fields) {
    let store = seeded_store().await;
    let before = stored(&store, collection::POLICIES, "router-core@1.0.0").await.unwrap();
    let mut params = value::as_map(&before, "params").unwrap().clone();
    let typed = value::fields([
        ("until", timestamp(START)),
        ("salt", value::bytes(vec![1, 2, 3])),
        ("limit", value::double(f64::INFINITY)),
        ("owner", value::reference(format!("{}/users/ada", "projects/p/databases/d/documents"))),
        ("nested", value::map(value::fields([("until", timestamp(START))]))),
    ]);
    params.extend(typed.clone());
    set(&store, collection::POLICIES, "router-core@1.0.0", "params", value::map(params)).await;
    (store, typed)
}

async fn assert_typed(store: &Store, id: &str, typed: &Fields) {
    let found = stored(store, collection::POLICIES, id).await.unwrap();
    let params = value::as_map(&found, "params").unwrap();
    for (name, value) in typed {
        assert_eq!(params.get(name), Some(value), "{id} {name}");
    }
}

#[tokio::test]
async fn values_that_json_lacks_pass_into_drafts_overrides_and_candidates() {
    let (store, typed) = typed_store().await;
    for (arm, reward) in [("gpt-5", 0.45), ("gemini", 0.8), ("claude", 0.75)] {
        put_arm(&store, arm, reward, 1_000).await;
    }
    assert!(is_proposed(&tuned(&store, START).await));
    assert_typed(&store, "router-core@1.0.1", &typed).await;

    let tested = key("router-core@1.0.1");
    store.start_experiment(&tested, &ASKED, &ada()).await.unwrap();
    let active = stored(&store, collection::POLICIES, "router-core@1.0.0").await.unwrap();
    let candidate = value::as_map(&active, "candidate").unwrap();
    let params = value::as_map(candidate, "params").unwrap();
    assert_eq!(params.get("until"), typed.get("until"));

    let set = OverrideParams::Set(vec![("cooldownMs".to_owned(), json!(1))]);
    store.override_policy("router-core", &set, None, &ada()).await.unwrap();
    assert_typed(&store, "router-core@1.0.2", &typed).await;

    let set = OverrideParams::Set(vec![("until".to_owned(), json!("tomorrow"))]);
    let refused = store.override_policy("router-core", &set, None, &ada()).await.unwrap_err();
    let refused = refused.to_string();
    assert!(refused.contains("until") && refused.contains("a Timestamp"), "{refused}");
}

#[tokio::test]
async fn a_failing_job_keeps_the_service_unready_while_others_succeed() {
    let health = Arc::new(Health::default());
    let store = seeded_store().await;
    let guard = value::map(fields(&json!({ "alpha": 7 })));
    set(&store, collection::CONFIG, "tuning", "guard", guard).await;
    let context = PassContext { now: START, stop: CancellationToken::new() };
    let error = TuneJob::new(store.clone()).run(&context).await.unwrap_err();
    health.pass_failed("tune", &error);
    job(&store, 10).run(&context).await.unwrap();
    health.pass_succeeded("score");
    let readiness = health.readiness();
    assert!(!readiness.ready, "{readiness:?}");
    assert!(readiness.detail.contains("tune: ") && readiness.detail.contains("guard.alpha"));
}
