//! What the tune job writes, and what keeps it from writing.

use f0_learning::domain::observation::Outcome;
use f0_learning::domain::policy::{PolicyKey, PolicyStatus};
use f0_learning::jobs::tune::{TuneReport, Verdict};
use f0_learning::store::{AuditFilter, Flag, FlagsState, NewDraft, Policy, ProposeOutcome, Store};
use serde_json::json;

use crate::support::{START, empty_store, record, score, seeded_store, tune};

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

async fn actions(store: &Store) -> Vec<String> {
    let entries = store.audit(&AuditFilter::default(), 50).await.unwrap();
    entries.into_iter().map(|(_, entry)| entry.action).collect()
}

#[tokio::test]
async fn the_kill_switch_stops_tuning_and_leaves_scoring_on() {
    let store = degraded_store().await;
    store.set_flag(Flag::Enabled, false, "ada", None, START).await.unwrap();
    assert!(matches!(tune(&store, START).await, TuneReport::SwitchedOff(FlagsState::Set(_))));
    fail(&store, "router:gpt-5", 3, START + 5_000).await;
    assert_eq!(score(&store, START + 6_000).await.scored, 3);
    assert!(drafts(&store).await.is_empty());
    assert_eq!(actions(&store).await, ["flags"]);
}

#[tokio::test]
async fn without_flags_nothing_is_proposed() {
    let store = empty_store().await;
    assert_eq!(tune(&store, START).await, TuneReport::SwitchedOff(FlagsState::Missing));
}

#[tokio::test]
async fn a_switch_thrown_after_the_decision_still_stops_the_draft() {
    let store = degraded_store().await;
    let active = store.active_policies().await.unwrap().remove(0);
    let draft = NewDraft {
        key: PolicyKey::new("router-core", "1.0.1".parse().unwrap()).unwrap(),
        parent: active.version,
        params: active.params,
        notes: "decided before the switch was thrown".to_owned(),
        expected_gain: 0.1,
        evidence: json!({}),
        supersedes: None,
        now: START,
    };
    store.set_flag(Flag::Enabled, false, "ada", None, START).await.unwrap();
    let outcome = store.propose(&draft).await.unwrap();
    assert!(matches!(outcome, ProposeOutcome::SwitchedOff(_)), "{outcome:?}");
    assert!(drafts(&store).await.is_empty());
    assert_eq!(actions(&store).await, ["flags"]);
}

#[tokio::test]
async fn newer_evidence_supersedes_the_open_draft_instead_of_piling_up() {
    let store = degraded_store().await;
    tune(&store, START + 2_000).await;
    // Now another arm does badly too.
    fail(&store, "router:gemini", 150, START + 3_000).await;
    score(&store, START + 4_000).await;
    let TuneReport::Decided(verdicts) = tune(&store, START + 5_000).await else { panic!("flags") };
    assert!(
        matches!(&verdicts[0].1, Verdict::Proposed { supersedes: Some(_), .. }),
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
async fn passes_at_once_make_one_draft() {
    let store = degraded_store().await;
    let now = START + 2_000;
    tokio::join!(tune(&store, now), tune(&store, now), tune(&store, now));
    assert_eq!(drafts(&store).await.len(), 1);
    assert_eq!(actions(&store).await, ["propose"]);
}

#[tokio::test]
async fn flags_keep_what_others_put_beside_them() {
    let store = seeded_store().await;
    let reason = Some("checking".to_owned());
    store.set_flag(Flag::AutoActivatePolicies, true, "ada", reason, START).await.unwrap();
    let FlagsState::Set(flags) = store.flags().await.unwrap() else { panic!("flags") };
    assert!(flags.learning.enabled && flags.learning.auto_activate_policies);
    let (_, entry) = store.audit(&AuditFilter::default(), 1).await.unwrap().remove(0);
    assert_eq!((entry.actor.as_str(), entry.reason.as_deref()), ("ada", Some("checking")));
}
