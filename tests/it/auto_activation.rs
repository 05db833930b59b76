//! What the tune job activates by itself, and what it leaves to people.

use crate::collection;
use f0_learning::jobs::tune::{TuneOutcome, TuneReport};
use f0_learning::store::{AutoOutcome, Store, TUNER};
use f0_learning_core::document::FlagChanges;
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::PolicyStatus;
use serde_json::json;

use crate::support::{
    START, ada, assert_sound, document, draft, fields, key, put, put_arm, seeded_store, statuses,
    tune,
};

/// A store in which `gpt-5` does badly, and where the job may activate.
async fn ready_store() -> Store {
    let store = seeded_store().await;
    for (arm, reward) in [("gpt-5", 0.45), ("gemini", 0.8), ("claude", 0.75)] {
        put_arm(&store, arm, reward, 1_000).await;
    }
    automatic(&store, true).await;
    store
}

async fn automatic(store: &Store, on: bool) {
    let changes = FlagChanges { auto_activate_policies: Some(on), ..FlagChanges::default() };
    store.set_flags(changes, &Intent::new("ada", START)).await.unwrap();
}

async fn verdict(store: &Store, now: i64) -> TuneOutcome {
    match tune(store, now).await {
        TuneReport::Decided(mut verdicts) => verdicts.remove(0).1,
        TuneReport::SwitchedOff(flags) => panic!("{flags}"),
    }
}

#[tokio::test]
async fn a_draft_of_the_job_is_activated_and_audited_as_the_jobs() {
    let store = ready_store().await;
    let verdict = verdict(&store, START).await;
    let TuneOutcome::Activated { key, audit_id, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!(key.to_string(), "router-core@1.0.1");
    let entry = document(&store, collection::AUDIT, &audit_id).await.unwrap();
    assert_eq!((&entry["actor"], &entry["action"]), (&json!(TUNER), &json!("activate")));
    assert_sound(&store, "router-core", "after an automatic activation").await;
}

#[tokio::test]
async fn a_draft_from_before_the_flag_is_activated_by_the_next_pass() {
    let store = ready_store().await;
    automatic(&store, false).await;
    assert!(matches!(verdict(&store, START).await, TuneOutcome::Proposed { left: None, .. }));
    assert!(matches!(verdict(&store, START).await, TuneOutcome::NoChange(_)));
    automatic(&store, true).await;
    assert!(matches!(verdict(&store, START).await, TuneOutcome::Activated { .. }));
}

#[tokio::test]
async fn no_more_are_activated_in_a_day_than_the_bounds_allow() {
    let store = ready_store().await;
    let tuning = json!({
        "version": "2", "policies": { "router-core": {
            "component": "router:{arm}", "maxAutoActivationsPerDay": 1, "stepBound": 0.06, "retrainStepBound": 0.06,
        } },
    });
    put(&store, collection::CONFIG, "tuning", fields(&tuning)).await;
    let first = verdict(&store, START).await;
    assert!(matches!(first, TuneOutcome::Activated { .. }), "{first:?}");
    let second = verdict(&store, START + 1_000).await;
    let TuneOutcome::Proposed { left: Some(why), .. } = &second else { panic!("{second:?}") };
    assert!(why.contains("in the last 24 hours"), "{why}");
    const DAY: i64 = 24 * 3_600_000;
    assert!(matches!(verdict(&store, START + DAY + 2_000).await, TuneOutcome::Activated { .. }));
    assert_sound(&store, "router-core", "after three passes").await;
}

#[tokio::test]
async fn only_what_the_tuner_made_and_as_it_made_it() {
    let store = ready_store().await;
    let by_tuner = draft(&store, "1.0.1", "1.0.0").await;
    let weights = |arms: &[(&str, f64)]| {
        arms.iter().map(|(arm, weight)| ((*arm).to_owned(), *weight)).collect()
    };
    let checked = weights(&[("gpt-5", 0.5), ("gemini", 0.25), ("claude", 0.25)]);
    let other = weights(&[("gpt-5", 0.4), ("gemini", 0.35), ("claude", 0.25)]);
    let left = |outcome: AutoOutcome| match outcome {
        AutoOutcome::AwaitingApproval(why) => why,
        AutoOutcome::Activated(changed) => panic!("{changed:?}"),
    };
    let activate =
        async |weights| left(store.auto_activate(&by_tuner, weights, 4, START).await.unwrap());
    assert!(activate(&other).await.contains("changed by hand"));
    let mut by_hand = document(&store, collection::POLICIES, "router-core@1.0.1").await.unwrap();
    by_hand.insert("createdBy".to_owned(), json!("ada"));
    put(&store, collection::POLICIES, "router-core@1.0.1", fields(&json!(by_hand))).await;
    assert!(activate(&checked).await.contains("created by ada"));
    assert_eq!(statuses(&store, "router-core").await[&by_tuner.version], PolicyStatus::Draft);
}

#[tokio::test]
async fn a_switch_thrown_after_the_draft_still_stops_its_activation() {
    let store = ready_store().await;
    let key = draft(&store, "1.0.1", "1.0.0").await;
    let weights = [("gpt-5", 0.5), ("gemini", 0.25), ("claude", 0.25)]
        .map(|(arm, weight)| (arm.to_owned(), weight))
        .into();
    for changes in [
        FlagChanges { enabled: Some(false), auto_activate_policies: Some(true) },
        FlagChanges { enabled: Some(true), auto_activate_policies: Some(false) },
    ] {
        store.set_flags(changes, &ada()).await.unwrap();
        let outcome = store.auto_activate(&key, &weights, 4, START).await.unwrap();
        assert!(matches!(outcome, AutoOutcome::AwaitingApproval(_)), "{outcome:?}");
    }
    automatic(&store, true).await;
    store.pin("router-core", &ada()).await.unwrap();
    let outcome = store.auto_activate(&key, &weights, 4, START).await.unwrap();
    assert!(
        matches!(&outcome, AutoOutcome::AwaitingApproval(why) if why.contains("pinned")),
        "{outcome:?}"
    );
    assert_eq!(statuses(&store, "router-core").await[&key.version], PolicyStatus::Draft);
}

#[tokio::test]
async fn a_pinned_policy_is_left_alone_even_by_a_pass_that_began_before() {
    let store = ready_store().await;
    store.pin("router-core", &ada()).await.unwrap();
    assert_eq!(verdict(&store, START).await, TuneOutcome::Pinned("a test".to_owned()));
    // A pass that had read the policy before the pin meets it in its transaction.
    let version = key("router-core@1.0.1").version;
    let active = store.active_policies().await.unwrap().remove(0);
    let late = f0_learning::store::NewDraft {
        key: key("router-core@1.0.1"),
        parent: active.version,
        params: active.params,
        notes: "late".to_owned(),
        expected_gain: 0.1,
        evidence: json!({}),
        decision: None,
        supersedes: Vec::new(),
        now: START,
    };
    let outcome = store.propose(&late).await.unwrap();
    assert_eq!(outcome, f0_learning::store::ProposeOutcome::Pinned);
    assert!(!statuses(&store, "router-core").await.contains_key(&version));
    store.unpin("router-core", &ada()).await.unwrap();
    assert!(matches!(verdict(&store, START).await, TuneOutcome::Activated { .. }));
}
