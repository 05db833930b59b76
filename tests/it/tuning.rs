//! Invariants 4 to 6 in the tune job: the drafts that it proposes, and what stops it.

use crate::collection;
use f0_learning::jobs::tune::replay::replay;
use f0_learning::jobs::tune::{TuneOutcome, TuneReport};
use f0_learning::store::{AuditFilter, ProposeOutcome, Store};
use f0_learning_core::document::{FlagChanges, FlagsState, Policy};
use f0_learning_core::intent::Intent;
use f0_learning_core::observation::Outcome;
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use f0_learning_core::stats::Window;
use f0_learning_core::time::HOUR_MS;
use firestore_kit::value;
use serde_json::json;

use crate::support::{
    START, document, empty_store, fields, new_draft, put, record, score, seeded_store, tune,
};

/// Records slow failures of a component.
async fn fail(store: &Store, component: &str, count: i64, from: i64) {
    for n in 0..count {
        record(store, component, Outcome::Failure, 5_000.0, from + n).await;
    }
}

async fn degraded_store() -> Store {
    let store = seeded_store().await;
    fail(&store, "router:gpt-5", 100, START).await;
    score(&store, START + 1_000).await;
    store
}

async fn drafts(store: &Store) -> Vec<Policy> {
    let mut policies = store.policies(Some("router-core")).await.unwrap();
    policies.retain(|policy| policy.status != PolicyStatus::Active);
    policies
}

/// The actions in the audit trail since the project was seeded.
async fn actions(store: &Store) -> Vec<String> {
    let entries = store.audit(&AuditFilter::default(), 50).await.unwrap();
    let actions = entries.into_iter().map(|record| record.entry.action);
    actions.filter(|action| action != "seed").collect()
}

/// Sets `learning.enabled=false`, the kill switch.
async fn disable_learning(store: &Store) {
    let changes = FlagChanges { enabled: Some(false), ..FlagChanges::default() };
    store.set_flags(changes, &Intent::new("ada", START)).await.unwrap();
}

#[tokio::test]
async fn the_kill_switch_stops_tuning_and_leaves_scoring_on() {
    let store = degraded_store().await;
    disable_learning(&store).await;
    assert!(matches!(tune(&store, START).await, TuneReport::SwitchedOff(FlagsState::Set(_))));
    fail(&store, "router:gpt-5", 3, START + 5_000).await;
    assert_eq!(score(&store, START + 6_000).await.scored, 3);
    assert!(drafts(&store).await.is_empty());
    assert_eq!(actions(&store).await, ["flags"]);
}

/// The component of gpt-5 writes `errorCode` as a map when it fails, and that of gemini
/// `sampleRate`.
#[tokio::test]
async fn an_arm_gains_nothing_by_failures_that_are_malformed_or_rejected() {
    let store = seeded_store().await;
    for (arm, spoiled) in [("gpt-5", "errorCode"), ("gemini", "sampleRate"), ("claude", "meta")] {
        let documents = (0..400_i64).map(|n| {
            let mut document = json!({ "id": format!("{arm}-{n}"), "ts": START + n,
                "component": format!("router:{arm}"), "outcome": "success", "durationMs": 100 });
            if n % 10 < 4 {
                document["outcome"] = json!("failure");
                document[spoiled] = json!({ "code": 503 });
            }
            document.as_object().unwrap().clone()
        });
        let documents: Vec<_> = documents.collect();
        f0_learning_client::create_all_observations(store.db(), &documents).await.unwrap();
    }
    score(&store, START + 1_000).await;
    let day = store.stats_of(&["router:gpt-5".to_owned()], Window::OneDay).await.unwrap().remove(0);
    assert_eq!((day.stats.n, day.stats.malformed, day.stats.success_rate), (400, 160, 0.6));
    let TuneReport::Decided(verdicts) = tune(&store, START + 2_000).await else { panic!() };
    let TuneOutcome::NoChange(reason) = &verdicts[0].1 else { panic!("{verdicts:?}") };
    assert_eq!(reason.code(), "rejected-share");
    let text = reason.to_string();
    assert!(text.starts_with("gemini has 160 of 400 documents rejected (40.0%)"), "{text}");
}

#[tokio::test]
async fn without_flags_nothing_is_proposed() {
    let store = empty_store().await;
    assert_eq!(tune(&store, START).await, TuneReport::SwitchedOff(FlagsState::Missing));
}

#[tokio::test]
async fn disabling_learning_after_the_decision_still_stops_the_draft() {
    let store = degraded_store().await;
    let active = store.active_policies().await.unwrap().remove(0);
    let key = "router-core@1.0.1".parse().unwrap();
    let draft = new_draft(key, active.version, active.params);
    disable_learning(&store).await;
    let outcome = store.propose(&draft).await.unwrap();
    assert!(matches!(outcome, ProposeOutcome::SwitchedOff(_)), "{outcome:?}");
    assert!(drafts(&store).await.is_empty());
    assert_eq!(actions(&store).await, ["flags"]);
}

#[tokio::test]
async fn newer_evidence_supersedes_the_open_draft() {
    let store = degraded_store().await;
    tune(&store, START + 2_000).await;
    // Now another arm does badly as well.
    fail(&store, "router:gemini", 150, START + 3_000).await;
    score(&store, START + 4_000).await;
    let TuneReport::Decided(verdicts) = tune(&store, START + 5_000).await else { panic!("flags") };
    assert!(
        matches!(&verdicts[0].1, TuneOutcome::Proposed { supersedes, .. } if supersedes.len() == 1),
        "{verdicts:?}"
    );
    let versions: Vec<_> = drafts(&store)
        .await
        .into_iter()
        .map(|policy| (policy.version.to_string(), policy.status, policy.superseded_by))
        .collect();
    let second = "1.0.2".parse().unwrap();
    assert_eq!(
        versions,
        [
            ("1.0.1".to_owned(), PolicyStatus::Rejected, Some(second)),
            ("1.0.2".to_owned(), PolicyStatus::Draft, None),
        ]
    );
    let mut actions = actions(&store).await;
    actions.sort();
    assert_eq!(actions, ["propose", "propose", "supersede"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_passes_make_one_draft() {
    let store = degraded_store().await;
    let now = START + 2_000;
    tokio::join!(tune(&store, now), tune(&store, now), tune(&store, now));
    assert_eq!(drafts(&store).await.len(), 1);
    assert_eq!(actions(&store).await, ["propose"]);
}

#[tokio::test]
async fn malformed_flags_forbid_proposals() {
    let store = degraded_store().await;
    let malformed = json!({ "learning": { "enabled": "yes" } });
    put(&store, collection::CONFIG, "flags", fields(&malformed)).await;
    let report = tune(&store, START + 2_000).await;
    assert!(matches!(report, TuneReport::SwitchedOff(FlagsState::Malformed(_))), "{report:?}");
    assert!(drafts(&store).await.is_empty());
    assert!(actions(&store).await.is_empty());
}

#[tokio::test]
async fn a_draft_differs_from_its_parent_only_in_the_weights() {
    let store = degraded_store().await;
    let mut parent = document(&store, collection::POLICIES, "router-core@1.0.0").await.unwrap();
    parent["params"]["theirs"] = json!({ "nested": [1, 2.5, null, { "deep": "text" }] });
    put(&store, collection::POLICIES, "router-core@1.0.0", fields(&json!(parent))).await;
    tune(&store, START + 2_000).await;

    let active = store.active_policies().await.unwrap().remove(0);
    let draft = drafts(&store).await.remove(0);
    let weights = draft.params.model_weights().unwrap().unwrap();
    assert_ne!(draft.params, active.params);
    assert_eq!(draft.params, active.params.with_model_weights(&weights));
    assert_eq!(draft.params.0["theirs"], parent["params"]["theirs"]);
    assert_eq!(weights.values().sum::<f64>(), 1.0, "{weights:?}");
}

/// Firestore gives all writes of a commit the same time, and two commits to one document different
/// times: writes with the same time were one commit.
#[tokio::test]
async fn a_superseding_draft_and_its_audit_entries_are_one_commit() {
    let store = degraded_store().await;
    tune(&store, START + 2_000).await;
    fail(&store, "router:gemini", 150, START + 3_000).await;
    score(&store, START + 4_000).await;
    tune(&store, START + 5_000).await;

    let db = store.db().clone().into_inner();
    let policies = || db.fluent().select().by_id_in(collection::POLICIES);
    let draft = policies().one("router-core@1.0.2").await.unwrap().unwrap();
    let superseded = policies().one("router-core@1.0.1").await.unwrap().unwrap();
    assert_eq!(superseded.update_time, draft.create_time);
    let audit = db.fluent().select().from(collection::AUDIT).query().await.unwrap();
    let together = audit.iter().filter(|entry| entry.create_time == draft.create_time);
    let mut actions: Vec<_> = together.map(|entry| entry.fields["action"].clone()).collect();
    actions.sort_by_key(|action| format!("{action:?}"));
    assert_eq!(actions, ["propose", "supersede"].map(value::string));
}

#[tokio::test]
async fn changing_a_flag_keeps_all_other_fields() {
    let store = seeded_store().await;
    let theirs = json!({
        "learning": { "enabled": true, "autoActivatePolicies": false, "canary": 0.5 },
        "billing": { "alerts": true },
    });
    put(&store, collection::CONFIG, "flags", fields(&theirs)).await;
    let changes = FlagChanges { auto_activate_policies: Some(true), ..FlagChanges::default() };
    store.set_flags(changes, &Intent::new("ada", START).because("checking")).await.unwrap();
    let FlagsState::Set(flags) = store.flags().await.unwrap() else { panic!("flags") };
    assert!(flags.learning.enabled && flags.learning.auto_activate_policies);
    let stored = document(&store, collection::CONFIG, "flags").await.unwrap();
    assert_eq!(stored["learning"]["canary"], theirs["learning"]["canary"]);
    assert_eq!(stored["billing"], theirs["billing"]);
    let filter = AuditFilter { action: Some("flags".to_owned()), ..AuditFilter::default() };
    let entry = store.audit(&filter, 1).await.unwrap().remove(0).entry;
    assert_eq!((entry.actor.as_str(), entry.reason.as_deref()), ("ada", Some("checking")));
}

/// An arm earns well and then fails. Once the change is detected, the reward before it no longer
/// counts, and the proposal replays to the same decision.
#[tokio::test]
async fn evidence_of_an_arm_restarts_when_the_arm_changes() {
    let store = seeded_store().await;
    let remembered = async || {
        let memory = store.tuner_memory("router-core").await.unwrap().memory;
        memory.of("gpt-5").restarts
    };
    for hour in 0..3 {
        for n in 0..60 {
            let ts = START + hour * HOUR_MS + n;
            record(&store, "router:gpt-5", Outcome::Success, 100.0, ts).await;
        }
    }
    score(&store, START + 3 * HOUR_MS).await;
    tune(&store, START + 3 * HOUR_MS).await;
    assert_eq!(remembered().await, 0);
    fail(&store, "router:gpt-5", 60, START + 4 * HOUR_MS).await;
    score(&store, START + 5 * HOUR_MS).await;
    tune(&store, START + 5 * HOUR_MS).await;
    assert_eq!(remembered().await, 1, "the change is detected");
    assert!(drafts(&store).await.is_empty(), "the observations that showed it are not used again");
    fail(&store, "router:gpt-5", 110, START + 6 * HOUR_MS + 1_000_000).await;
    score(&store, START + 7 * HOUR_MS).await;
    tune(&store, START + 7 * HOUR_MS).await;
    let draft = drafts(&store).await.remove(0);
    assert_eq!(draft.evidence.as_ref().unwrap()["arms"][2]["n"], 110);
    let key = PolicyKey::new(&draft.id, draft.version.clone()).unwrap();
    let input = store.decision(&key).await.unwrap().unwrap();
    assert_eq!(replay(&draft, &input), Vec::<String>::new());
}
