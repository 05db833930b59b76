//! Experiments whose documents are changed without the service, and changes of policies while an
//! experiment runs.

use crate::collection;
use f0_learning::jobs::guard::GuardAction;
use f0_learning::jobs::guard::history::history;
use f0_learning::store::{ChangeError, ExperimentRequest, Store};
use f0_learning_core::experiment::{Effect, Kind, Metric, Status};
use f0_learning_core::intent::{Intent, Watching};
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use serde_json::{Map, Value, json};

use crate::experiments::{ASKED, flags, guard, observe, only, regressed_store, share, start_test};
use crate::support::{
    START, ada, assert_sound, document, draft, fields, key, put, put_arm, seeded_store, statuses,
    tune,
};

/// Changes a document as an admin would in the Firestore console.
async fn change(
    store: &Store,
    collection: &str,
    id: &str,
    how: impl FnOnce(&mut Map<String, Value>),
) {
    let mut found = document(store, collection, id).await.unwrap();
    how(&mut found);
    put(store, collection, id, fields(&Value::Object(found))).await;
}

async fn set_status(store: &Store, version: &str, status: &str) {
    let set = |it: &mut Map<String, Value>| {
        it.insert("status".to_owned(), json!(status));
    };
    change(store, collection::POLICIES, &format!("router-core@{version}"), set).await;
}

async fn delete(store: &Store, collection: &str, id: &str) {
    let db = store.db().clone().into_inner();
    db.fluent().delete().from(collection).document_id(id).execute().await.unwrap();
}

async fn status(store: &Store, version: &str) -> PolicyStatus {
    statuses(store, "router-core").await[&version.parse().unwrap()]
}

/// No test is open, and the active version has no candidate.
async fn assert_no_test(store: &Store) {
    let all = store.experiments(Some("router-core")).await.unwrap();
    assert!(all.iter().all(|it| it.kind != Kind::Ab || !it.open), "{all:?}");
    assert_eq!(share(store).await, None);
}

#[tokio::test]
async fn rejecting_the_draft_under_test_ends_the_test() {
    let store = seeded_store().await;
    let key = start_test(&store).await;
    store.reject(&key, &ada()).await.unwrap();
    assert_no_test(&store).await;
    assert_eq!(only(&store, Kind::Ab).await.status, Status::Stopped);
    let trail = store.trail("router-core", None).await.unwrap();
    let last = &trail.last().unwrap().entry;
    assert_eq!(last.experiment, Some(only(&store, Kind::Ab).await.id));
    assert_sound(&store, "router-core", "after the draft under test was rejected").await;
}

#[tokio::test]
async fn rejecting_another_draft_leaves_the_test_running() {
    let store = seeded_store().await;
    start_test(&store).await;
    let other = draft(&store, "1.0.2", "1.0.0").await;
    store.reject(&other, &ada()).await.unwrap();
    assert_eq!(share(&store).await, Some(0.1));
    assert!(only(&store, Kind::Ab).await.open);
}

#[tokio::test]
async fn the_tuner_does_not_supersede_a_draft_under_test() {
    let store = seeded_store().await;
    for (arm, reward) in [("gpt-5", 0.45), ("gemini", 0.8), ("claude", 0.75)] {
        put_arm(&store, arm, reward, 1_000).await;
    }
    tune(&store, START).await;
    let key = key("router-core@1.0.1");
    store.start_experiment(&key, &ASKED, &ada()).await.unwrap();
    for (arm, reward) in [("gpt-5", 0.8), ("gemini", 0.45), ("claude", 0.75)] {
        put_arm(&store, arm, reward, 1_000).await;
    }
    tune(&store, START + HOUR_MS).await;
    assert_eq!(status(&store, "1.0.2").await, PolicyStatus::Draft, "the new evidence is proposed");
    assert_eq!(status(&store, "1.0.1").await, PolicyStatus::Draft);
    assert_eq!(share(&store).await, Some(0.1));
    assert_sound(&store, "router-core", "after a proposal during a test").await;
}

#[tokio::test]
async fn a_repair_that_keeps_the_control_removes_its_candidate() {
    let store = seeded_store().await;
    start_test(&store).await;
    let mut other = document(&store, collection::POLICIES, "router-core@1.0.0").await.unwrap();
    other.insert("version".to_owned(), json!("0.9.0"));
    other.remove("candidate");
    put(&store, collection::POLICIES, "router-core@0.9.0", fields(&json!(other))).await;
    store.repair("router-core", &ada()).await.unwrap();
    assert_eq!(status(&store, "1.0.0").await, PolicyStatus::Active);
    assert_no_test(&store).await;
}

#[tokio::test]
async fn a_reactivated_version_has_no_stale_candidate() {
    let store = seeded_store().await;
    start_test(&store).await;
    let other = draft(&store, "1.0.2", "1.0.0").await;
    set_status(&store, "1.0.0", "archived").await;
    set_status(&store, "1.0.2", "active").await;
    let test = only(&store, Kind::Ab).await;
    store.stop_experiment(&test.id, &ada()).await.unwrap();
    store.roll_back("router-core", Some(&"1.0.0".parse().unwrap()), &ada()).await.unwrap();
    assert_no_test(&store).await;
    assert_eq!(status(&store, &other.version.to_string()).await, PolicyStatus::Archived);
}

#[tokio::test]
async fn a_test_ends_when_its_candidate_is_deleted_malformed_or_rejected_by_hand() {
    for how in ["deleted", "malformed", "rejected"] {
        let store = seeded_store().await;
        start_test(&store).await;
        let id = "router-core@1.0.1";
        match how {
            "deleted" => delete(&store, collection::POLICIES, id).await,
            "rejected" => set_status(&store, "1.0.1", "rejected").await,
            _ => {
                let break_params = |it: &mut Map<String, Value>| {
                    it.insert("params".to_owned(), json!(7));
                };
                change(&store, collection::POLICIES, id, break_params).await;
            }
        }
        assert_eq!(
            guard(&store, START + HOUR_MS).await,
            [GuardAction::Ended(Status::Stopped)],
            "{how}"
        );
        assert_no_test(&store).await;
        let reason = only(&store, Kind::Ab).await.reason.unwrap();
        assert!(reason.contains("1.0.1"), "{how}: {reason}");
        assert_eq!(guard(&store, START + HOUR_MS).await, [], "{how}");
    }
}

#[tokio::test]
async fn a_test_ends_when_its_control_is_replaced_by_hand_and_its_draft_stays() {
    let store = seeded_store().await;
    start_test(&store).await;
    draft(&store, "1.0.2", "1.0.0").await;
    observe(&store, "1.0.0", 30, 3, START).await;
    observe(&store, "1.0.1", 30, 3, START + MINUTE_MS).await;
    set_status(&store, "1.0.0", "archived").await;
    set_status(&store, "1.0.2", "active").await;
    assert_eq!(guard(&store, START + 2 * HOUR_MS).await, [GuardAction::Ended(Status::Superseded)]);
    assert_no_test(&store).await;
    assert_eq!(status(&store, "1.0.1").await, PolicyStatus::Draft);
}

#[tokio::test]
async fn an_activation_that_was_replaced_by_hand_is_not_rolled_back() {
    let store = regressed_store().await;
    draft(&store, "1.0.2", "1.0.1").await;
    set_status(&store, "1.0.1", "archived").await;
    set_status(&store, "1.0.2", "active").await;
    assert_eq!(guard(&store, START + 4 * HOUR_MS).await, [GuardAction::Ended(Status::Superseded)]);
    assert_eq!(status(&store, "1.0.2").await, PolicyStatus::Active);
    assert_eq!(guard(&store, START + 4 * HOUR_MS).await, []);
}

#[tokio::test]
async fn a_watch_ends_when_the_previous_version_is_deleted_or_rejected() {
    for how in ["deleted", "rejected"] {
        let store = regressed_store().await;
        match how {
            "deleted" => delete(&store, collection::POLICIES, "router-core@1.0.0").await,
            _ => set_status(&store, "1.0.0", "rejected").await,
        }
        assert_eq!(
            guard(&store, START + 4 * HOUR_MS).await,
            [GuardAction::Ended(Status::Stopped)],
            "{how}"
        );
        assert_eq!(status(&store, "1.0.1").await, PolicyStatus::Active);
        assert_eq!(guard(&store, START + 4 * HOUR_MS).await, [], "{how}");
    }
}

#[tokio::test]
async fn a_regression_with_a_malformed_document_is_still_rolled_back() {
    let store = regressed_store().await;
    change(&store, collection::POLICIES, "router-core@1.0.1", |it| {
        it.insert("params".to_owned(), json!(7));
    })
    .await;
    assert!(matches!(
        guard(&store, START + 4 * HOUR_MS).await.as_slice(),
        [GuardAction::RolledBack(_)]
    ));
    assert_eq!(status(&store, "1.0.0").await, PolicyStatus::Active);
    let stored = document(&store, collection::POLICIES, "router-core@1.0.1").await.unwrap();
    assert_eq!(stored["rolledBackAt"], json!(START + 4 * HOUR_MS));
}

#[tokio::test]
async fn a_test_without_its_baseline_blocks_no_other_and_ends_at_its_time_limit() {
    let store = regressed_store().await;
    let other = draft(&store, "1.0.2", "1.0.1").await;
    store.start_experiment(&other, &ASKED, &Intent::new("ada", START)).await.unwrap();
    let test = only(&store, Kind::Ab).await;
    delete(&store, collection::STATE, &format!("experiment|{}", test.id)).await;
    let steps = guard(&store, START + 4 * HOUR_MS).await;
    let [GuardAction::Skipped(why), GuardAction::RolledBack(_)] = steps.as_slice() else {
        panic!("{steps:?}")
    };
    assert!(why.contains("is missing"), "{why}");
    assert_sound(&store, "router-core", "with a test that cannot be compared").await;

    let store = seeded_store().await;
    start_test(&store).await;
    let test = only(&store, Kind::Ab).await;
    delete(&store, collection::STATE, &format!("experiment|{}", test.id)).await;
    let end = START + 14 * DAY_MS;
    assert!(matches!(guard(&store, end - 1).await.as_slice(), [GuardAction::Skipped(_)]));
    assert_eq!(guard(&store, end).await, [GuardAction::Ended(Status::Inconclusive)]);
    assert_no_test(&store).await;
}

#[tokio::test]
async fn an_experiment_edited_by_hand_changes_nothing_and_can_be_stopped() {
    let edits: [(&str, Value); 8] = [
        ("stage", json!(99)),
        ("share", json!(7)),
        ("guard", json!({ "alpha": "NaN" })),
        ("guard", json!({ "alpha": 7 })),
        ("kind", json!("abc")),
        ("status", json!("breached")),
        ("policy", json!("a/b")),
        ("startedAt", json!(i64::MIN)),
    ];
    for (field, wrong) in edits {
        let store = seeded_store().await;
        start_test(&store).await;
        let test = only(&store, Kind::Ab).await;
        observe(&store, "1.0.0", 30, 3, START).await;
        observe(&store, "1.0.1", 30, 3, START + MINUTE_MS).await;
        let edit = |it: &mut Map<String, Value>| {
            it.insert(field.to_owned(), wrong.clone());
        };
        change(&store, collection::EXPERIMENTS, &test.id, edit).await;
        assert_eq!(guard(&store, START + 2 * HOUR_MS).await, [], "{field} {wrong}");
        assert_eq!(share(&store).await, Some(0.1), "{field} {wrong}");
        store.stop_experiment(&test.id, &ada()).await.unwrap();
        assert_eq!(share(&store).await, None, "{field} {wrong}");
        let stored = document(&store, collection::EXPERIMENTS, &test.id).await.unwrap();
        assert_eq!((&stored["open"], &stored["status"]), (&json!(false), &json!("stopped")));
        let trail = store.trail("router-core", None).await.unwrap();
        let last = &trail.last().unwrap().entry;
        assert_eq!(last.experiment.as_deref(), Some(test.id.as_str()), "{field} {wrong}");
        let again = store.stop_experiment(&test.id, &ada()).await;
        assert!(matches!(again, Err(ChangeError::ExperimentOver(_))), "{field} {again:?}");
    }
}

#[tokio::test]
async fn a_rollback_skips_a_rolled_back_version_unless_it_is_named() {
    let store = regressed_store().await;
    assert!(matches!(
        guard(&store, START + 4 * HOUR_MS).await.as_slice(),
        [GuardAction::RolledBack(_)]
    ));
    // An admin rolls back for the same regression, a moment after the guard.
    let late = store.roll_back("router-core", None, &ada()).await;
    assert!(matches!(late, Err(ChangeError::NothingBefore(_))), "{late:?}");
    assert_eq!(status(&store, "1.0.0").await, PolicyStatus::Active);
    let named = "1.0.1".parse().unwrap();
    store.roll_back("router-core", Some(&named), &ada()).await.unwrap();
    let version = store.policy(&key("router-core@1.0.1")).await.unwrap().unwrap();
    assert_eq!(version.rolled_back_at, None, "an admin named it, so that it counts as good again");
    assert_sound(&store, "router-core", "after a rollback to a version that was rolled back").await;
}

#[tokio::test]
async fn a_rolled_back_version_shows_the_verdict_of_its_watch() {
    let store = seeded_store().await;
    let key = draft(&store, "1.0.1", "1.0.0").await;
    observe(&store, "1.0.0", 200, 10, START).await;
    let range = json!({ "estimate": 0.5, "low": 0.4, "high": 0.6 });
    let tested = json!({
        "at": START, "against": "1.0.0", "kind": "ab", "effect": "better",
        "comparison": {
            "controlN": 9, "candidateN": 9, "tail": 0.01,
            "reward": { "control": range, "candidate": range, "change": range },
        },
    });
    let insert = |it: &mut Map<String, Value>| {
        it.insert("verdict".to_owned(), tested);
    };
    change(&store, collection::POLICIES, "router-core@1.0.1", insert).await;
    store.activate(&key, false, &Intent::new("ada", START + 2 * HOUR_MS)).await.unwrap();
    observe(&store, "1.0.1", 200, 2, START + 3 * HOUR_MS).await;
    guard(&store, START + 4 * HOUR_MS).await;
    let shown = history(&store, "router-core", START + 4 * HOUR_MS).await.unwrap();
    let rolled_back = shown.iter().find(|it| it.version == key.version).unwrap();
    let verdict = rolled_back.verdict.as_ref().unwrap();
    assert_eq!((verdict.kind, verdict.effect), (Kind::Watch, Effect::Worse));
}

#[tokio::test]
async fn a_reactivated_version_has_at_most_one_watch() {
    for guarded in [Watching::On, Watching::Off] {
        let store = regressed_store().await;
        set_status(&store, "1.0.1", "draft").await;
        set_status(&store, "1.0.0", "active").await;
        store.activate(&key("router-core@1.0.1"), false, &ada().watched(guarded)).await.unwrap();
        let open = store.open_experiments().await.unwrap();
        assert_eq!(open.len(), usize::from(guarded == Watching::On), "{guarded:?}: {open:?}");
    }
}

#[tokio::test]
async fn a_test_that_cannot_start_is_refused_with_the_reason() {
    let store = seeded_store().await;
    let key = draft(&store, "1.0.1", "1.0.0").await;
    draft(&store, "1.0.2", "1.0.0").await;
    let costs = ExperimentRequest { metric: Metric::CostUsd, min_effect: None, ..ASKED };
    let refused = store.start_experiment(&key, &costs, &ada()).await.unwrap_err().to_string();
    assert!(refused.contains("US dollars"), "{refused}");
    set_status(&store, "1.0.2", "active").await;
    let refused = store.start_experiment(&key, &ASKED, &ada()).await.unwrap_err().to_string();
    assert!(refused.contains("several versions are active"), "{refused}");
}

#[tokio::test]
async fn an_improvement_of_a_pinned_policy_awaits_approval_whatever_the_flags() {
    let store = seeded_store().await;
    flags(&store, true, true).await;
    start_test(&store).await;
    let test = only(&store, Kind::Ab).await;
    change(&store, collection::EXPERIMENTS, &test.id, |it| {
        it.insert("stage".to_owned(), json!(2));
    })
    .await;
    store.pin("router-core", &ada()).await.unwrap();
    observe(&store, "1.0.0", 250, 3, START).await;
    observe(&store, "1.0.1", 250, 50, START + MINUTE_MS).await;
    assert_eq!(guard(&store, START + HOUR_MS).await, [GuardAction::AwaitingApproval]);
    assert_eq!(guard(&store, START + HOUR_MS).await, [GuardAction::NoChange], "asked once");
    store.unpin("router-core", &ada()).await.unwrap();
    assert_eq!(guard(&store, START + HOUR_MS).await, [GuardAction::Promoted]);
    assert_sound(&store, "router-core", "after a promotion that awaited approval").await;
}
