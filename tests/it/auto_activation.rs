//! Which drafts the tune job activates by itself, and which it leaves to an admin.

use std::collections::BTreeSet;

use crate::collection;
use f0_learning::jobs::tune::{TuneOutcome, TuneReport};
use f0_learning::store::{AutoLimits, AutoOutcome, ProposeOutcome, Store, TUNER};
use f0_learning_core::document::FlagChanges;
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::time::DAY_MS;
use f0_learning_core::tuning::PolicyTuning;
use serde_json::json;

use crate::support::{
    START, ada, assert_sound, document, draft, fields, key, new_draft, put, put_arm, seeded_store,
    statuses, tune,
};

/// A store in which `gpt-5` earns little and the flags allow the job to activate.
async fn ready_store() -> Store {
    let store = seeded_store().await;
    for (arm, reward) in [("gpt-5", 0.45), ("gemini", 0.8), ("claude", 0.75)] {
        put_arm(&store, arm, reward, 1_000).await;
    }
    set_auto_activate(&store, true).await;
    store
}

async fn set_auto_activate(store: &Store, on: bool) {
    let changes = FlagChanges { auto_activate_policies: Some(on), ..FlagChanges::default() };
    store.set_flags(changes, &Intent::new("ada", START)).await.unwrap();
}

/// The limits by default.
pub fn limits() -> AutoLimits {
    AutoLimits::new(&PolicyTuning::default(), BTreeSet::new())
}

/// One pass, and what it did for `router-core`.
async fn pass(store: &Store, now: i64) -> TuneOutcome {
    match tune(store, now).await {
        TuneReport::Decided(mut verdicts) => verdicts.remove(0).1,
        TuneReport::SwitchedOff(flags) => panic!("{flags}"),
    }
}

#[tokio::test]
async fn the_tuner_activates_its_own_draft_and_the_audit_names_it() {
    let store = ready_store().await;
    let outcome = pass(&store, START).await;
    let TuneOutcome::Activated { key, audit_id, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(key.to_string(), "router-core@1.0.1");
    let entry = document(&store, collection::AUDIT, &audit_id).await.unwrap();
    assert_eq!((&entry["actor"], &entry["action"]), (&json!(TUNER), &json!("activate")));
    assert_sound(&store, "router-core", "after an automatic activation").await;
}

#[tokio::test]
async fn a_draft_made_before_the_flag_was_set_is_activated_by_the_next_pass() {
    let store = ready_store().await;
    set_auto_activate(&store, false).await;
    assert!(matches!(pass(&store, START).await, TuneOutcome::Proposed { left: None, .. }));
    assert!(matches!(pass(&store, START).await, TuneOutcome::NoChange(_)));
    set_auto_activate(&store, true).await;
    assert!(matches!(pass(&store, START).await, TuneOutcome::Activated { .. }));
}

#[tokio::test]
async fn automatic_activations_stop_at_the_daily_maximum() {
    let store = ready_store().await;
    let tuning = json!({
        "version": "2", "policies": { "router-core": {
            "component": "router:{arm}", "maxAutoActivationsPerDay": 1, "stepBound": 0.06,
            "retrainStepBound": 0.06, "minHoursBetweenSteps": 0,
        } },
    });
    put(&store, collection::CONFIG, "tuning", fields(&tuning)).await;
    let first = pass(&store, START).await;
    assert!(matches!(first, TuneOutcome::Activated { .. }), "{first:?}");
    let second = pass(&store, START + 1_000).await;
    let TuneOutcome::Proposed { left: Some(why), .. } = &second else { panic!("{second:?}") };
    assert!(why.contains("in the last 24 hours"), "{why}");
    assert!(matches!(pass(&store, START + DAY_MS + 2_000).await, TuneOutcome::Activated { .. }));
    assert_sound(&store, "router-core", "after three passes").await;
}

#[tokio::test]
async fn only_an_unchanged_draft_of_the_tuner_is_activated_automatically() {
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
    let activate = async |weights| {
        left(store.auto_activate(&by_tuner, weights, &limits(), START).await.unwrap())
    };
    assert!(activate(&other).await.contains("changed by hand"));
    let mut by_hand = document(&store, collection::POLICIES, "router-core@1.0.1").await.unwrap();
    by_hand.insert("createdBy".to_owned(), json!("ada"));
    put(&store, collection::POLICIES, "router-core@1.0.1", fields(&json!(by_hand))).await;
    assert!(activate(&checked).await.contains("created by ada"));
    assert_eq!(statuses(&store, "router-core").await[&by_tuner.version], PolicyStatus::Draft);
}

#[tokio::test]
async fn flags_or_a_pin_set_after_the_draft_still_stop_its_activation() {
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
        let outcome = store.auto_activate(&key, &weights, &limits(), START).await.unwrap();
        assert!(matches!(outcome, AutoOutcome::AwaitingApproval(_)), "{outcome:?}");
    }
    set_auto_activate(&store, true).await;
    store.pin("router-core", &ada()).await.unwrap();
    let outcome = store.auto_activate(&key, &weights, &limits(), START).await.unwrap();
    assert!(
        matches!(&outcome, AutoOutcome::AwaitingApproval(why) if why.contains("pinned")),
        "{outcome:?}"
    );
    assert_eq!(statuses(&store, "router-core").await[&key.version], PolicyStatus::Draft);
}

#[tokio::test]
async fn a_pinned_policy_gets_no_draft_even_from_a_pass_that_started_before_the_pin() {
    let store = ready_store().await;
    store.pin("router-core", &ada()).await.unwrap();
    assert_eq!(pass(&store, START).await, TuneOutcome::Pinned("a test".to_owned()));
    // A pass that read the policy before the pin finds the pin in its transaction.
    let version = key("router-core@1.0.1").version;
    let active = store.active_policies().await.unwrap().remove(0);
    let late = new_draft(key("router-core@1.0.1"), active.version, active.params);
    let outcome = store.propose(&late).await.unwrap();
    assert_eq!(outcome, ProposeOutcome::Pinned);
    assert!(!statuses(&store, "router-core").await.contains_key(&version));
    store.unpin("router-core", &ada()).await.unwrap();
    assert!(matches!(pass(&store, START).await, TuneOutcome::Activated { .. }));
}
