//! What people decide holds: a "no" is respected, a step waits for feedback, a draft keeps up with its
//! evidence, and each reason names its cause.

use crate::collection;
use f0_learning::jobs::guard::history::history;
use f0_learning::jobs::tune::replay::replay;
use f0_learning::jobs::tune::{TuneOutcome, TuneReport};
use f0_learning::store::{AuditFilter, AutoLimits, AutoOutcome, GUARD, OverrideParams, Store};
use f0_learning_client::{NewObservation, record_observation};
use f0_learning_core::audit::RENEWED;
use f0_learning_core::document::{FlagChanges, Policy};
use f0_learning_core::experiment::Kind;
use f0_learning_core::intent::Intent;
use f0_learning_core::observation::Outcome;
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::time::{DAY_MS, HOUR_MS};
use f0_learning_core::tuning::{PolicyTuning, Reason};
use serde_json::json;

use crate::experiments::{guard, observe, only, start_test};
use crate::support::http::Service;
use crate::support::process::{run_on, text};
use crate::support::{
    START, assert_sound, document, draft, fields, key, put, put_arm, put_more, record, score,
    seeded_store, tune,
};

const SECOND: i64 = 1_000;

/// A store in which `gpt-5` earns little.
async fn learned_store(automatic: bool) -> Store {
    let store = seeded_store().await;
    for (arm, reward) in [("gpt-5", 0.45), ("gemini", 0.8), ("claude", 0.75)] {
        put_arm(&store, arm, reward, 1_000).await;
    }
    let changes = FlagChanges { auto_activate_policies: Some(automatic), ..FlagChanges::default() };
    store.set_flags(changes, &Intent::new("ada", START)).await.unwrap();
    store
}

/// One pass, and what it did for `router-core`.
async fn pass(store: &Store, now: i64) -> TuneOutcome {
    match tune(store, now).await {
        TuneReport::Decided(mut verdicts) => verdicts.remove(0).1,
        TuneReport::SwitchedOff(flags) => panic!("{flags}"),
    }
}

#[track_caller]
fn vetoed_by(outcome: &TuneOutcome) -> &str {
    match outcome {
        TuneOutcome::NoChange(Reason::Vetoed { by, .. }) => by,
        outcome => panic!("{outcome:?}"),
    }
}

#[track_caller]
fn activated(outcome: TuneOutcome) -> String {
    match outcome {
        TuneOutcome::Activated { key, .. } => key.version.to_string(),
        outcome => panic!("{outcome:?}"),
    }
}

#[track_caller]
fn proposed(outcome: TuneOutcome) -> String {
    match outcome {
        TuneOutcome::Proposed { key, .. } => key.version.to_string(),
        outcome => panic!("{outcome:?}"),
    }
}

fn ada_at(now: i64) -> Intent {
    Intent::new("ada", now).because("a test")
}

async fn version(store: &Store, version: &str) -> Policy {
    store.policy(&key(&format!("router-core@{version}"))).await.unwrap().unwrap()
}

async fn versions(store: &Store) -> usize {
    store.policies(Some("router-core")).await.unwrap().len()
}

#[tokio::test]
async fn a_human_rollback_is_not_undone_by_the_next_pass() {
    let store = learned_store(true).await;
    assert_eq!(activated(pass(&store, START).await), "1.0.1");
    store.roll_back("router-core", None, &ada_at(START + SECOND)).await.unwrap();
    let outcome = pass(&store, START + 4 * SECOND).await;
    assert_eq!(vetoed_by(&outcome), "ada");
    let text = outcome.to_string();
    for part in
        ["ada rolled back 1.0.1 at 2026-05-28 20:26 UTC", "2026-05-29 20:26", "policies pin"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(versions(&store).await, 2, "no draft either");
    vetoed_by(&pass(&store, START + 23 * HOUR_MS).await);
    assert_eq!(activated(pass(&store, START + 25 * HOUR_MS).await), "1.0.2");
    assert_sound(&store, "router-core", "after a veto").await;
}

#[tokio::test]
async fn evidence_that_changed_materially_ends_a_veto() {
    let store = learned_store(true).await;
    pass(&store, START).await;
    store.roll_back("router-core", None, &ada_at(START + SECOND)).await.unwrap();
    for n in 0..300 {
        let ts = START + 2 * HOUR_MS + n;
        record(&store, "router:gemini", Outcome::Failure, 4_000.0, ts).await;
    }
    score(&store, START + 3 * HOUR_MS).await;
    activated(pass(&store, START + 3 * HOUR_MS).await);
}

#[tokio::test]
async fn an_override_is_a_no_to_the_version_that_it_replaces() {
    let store = learned_store(true).await;
    pass(&store, START).await;
    let back = json!({ "modelWeights": { "gpt-5": 0.6, "gemini": 0.25, "claude": 0.15 } });
    let params = OverrideParams::Whole(serde_json::from_value(back).unwrap());
    let by_hand = ada_at(START + SECOND);
    store.override_policy("router-core", &params, None, &by_hand).await.unwrap();
    assert_eq!(vetoed_by(&pass(&store, START + 4 * SECOND).await), "ada");
}

#[tokio::test]
async fn a_rejected_draft_is_not_drafted_again_for_a_day() {
    let store = learned_store(false).await;
    assert_eq!(proposed(pass(&store, START).await), "1.0.1");
    store.reject(&key("router-core@1.0.1"), &ada_at(START + SECOND)).await.unwrap();
    assert_eq!(vetoed_by(&pass(&store, START + 4 * SECOND).await), "ada");
    assert_eq!(proposed(pass(&store, START + 25 * HOUR_MS).await), "1.0.2");
}

#[tokio::test]
async fn veto_hours_of_zero_turn_the_veto_off() {
    let store = learned_store(false).await;
    let tuning = json!({
        "version": "2",
        "policies": { "router-core": { "component": "router:{arm}", "vetoHours": 0 } },
    });
    put(&store, collection::CONFIG, "tuning", fields(&tuning)).await;
    pass(&store, START).await;
    store.reject(&key("router-core@1.0.1"), &ada_at(START + SECOND)).await.unwrap();
    assert_eq!(proposed(pass(&store, START + 4 * SECOND).await), "1.0.2");
}

#[tokio::test]
async fn a_rollback_by_the_guard_is_not_repeated_but_not_for_ever() {
    let store = learned_store(true).await;
    pass(&store, START).await;
    let guard = Intent::new(GUARD, START + SECOND).because("the mean reward fell");
    store.roll_back("router-core", None, &guard).await.unwrap();
    assert_eq!(vetoed_by(&pass(&store, START + 4 * SECOND).await), GUARD);
    activated(pass(&store, START + 25 * HOUR_MS).await);
}

#[tokio::test]
async fn a_superseded_draft_was_not_refused() {
    let store = learned_store(false).await;
    assert_eq!(proposed(pass(&store, START).await), "1.0.1");
    let params = OverrideParams::Set(vec![("theirs".to_owned(), json!("other"))]);
    let over = ada_at(START + SECOND);
    store.override_policy("router-core", &params, None, &over).await.unwrap();
    assert_eq!(proposed(pass(&store, START + 2 * SECOND).await), "1.0.3");
    let superseded = version(&store, "1.0.1").await;
    assert_eq!(superseded.status, PolicyStatus::Rejected);
    let first = "1.0.0".parse().unwrap();
    store.roll_back("router-core", Some(&first), &ada_at(START + 3 * SECOND)).await.unwrap();
    assert_eq!(proposed(pass(&store, START + 4 * SECOND).await), "1.0.4");
}

#[tokio::test]
async fn a_no_during_a_pass_stops_its_automatic_activation() {
    let store = learned_store(true).await;
    let (one, two) = (draft(&store, "1.0.1", "1.0.0").await, draft(&store, "1.0.2", "1.0.0").await);
    let weights = version(&store, "1.0.2").await.params.model_weights().unwrap().unwrap();
    // The pass decided before the rejection.
    let limits = AutoLimits::new(&PolicyTuning::default(), std::collections::BTreeSet::new());
    store.reject(&one, &ada_at(START)).await.unwrap();
    let left = store.auto_activate(&two, &weights, &limits, START + SECOND).await.unwrap();
    assert!(
        matches!(&left, AutoOutcome::AwaitingApproval(why) if why.contains("ada decided")),
        "{left:?}"
    );
}

#[tokio::test]
async fn the_answer_to_a_no_says_how_long_it_holds_and_offers_a_pin() {
    let store = learned_store(false).await;
    pass(&store, START).await;
    let service = Service::with_token(&store).await;
    let asked = json!({ "id": "router-core", "version": "1.0.1" });
    let answer = service.post("/ops/policies/reject", &asked).await.ok();
    let note = answer["note"].as_str().unwrap();
    assert!(note.contains("24 hours") && note.contains("policies pin router-core"), "{note}");
    let set = ["policies", "override", "router-core", "--set", "theirs=1"];
    let output = text(&run_on(&store, &set, &[]).await.stdout);
    assert!(output.contains("24 hours") && output.contains("policies pin"), "{output}");
    let output = text(&run_on(&store, &["policies", "rollback", "router-core"], &[]).await.stdout);
    assert!(output.contains("24 hours") && output.contains("policies pin"), "{output}");
}

/// Records actions that name a version, drawn by its weights.
async fn use_version(store: &Store, name: &str, n: u32, ts: i64) {
    let weights = version(store, name).await.params.model_weights().unwrap().unwrap();
    for (arm, weight) in &weights {
        let share = (0..n).filter(|it| f64::from(*it) + 0.5 <= weight * f64::from(n)).count();
        for number in 0..share {
            let ts = ts + i64::try_from(number).unwrap();
            let observation = NewObservation {
                ts: Some(ts),
                policy_version: Some(format!("router-core@{name}")),
                ..NewObservation::new(format!("router:{arm}"), Outcome::Success, 400.0)
            };
            record_observation(store.db(), observation, ts).await.unwrap();
        }
    }
    score(store, ts + HOUR_MS).await;
}

#[tokio::test]
async fn the_next_step_waits_for_observations_of_the_last_one() {
    let store = learned_store(true).await;
    assert_eq!(activated(pass(&store, START).await), "1.0.1");
    for minute in 1..4 {
        let outcome = pass(&store, START + minute * 60 * SECOND).await;
        let TuneOutcome::NoChange(Reason::AwaitingFeedback { have, need, .. }) = &outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!((*have, *need), (0, 100));
        assert!(outcome.to_string().contains("0 of 100 observations name"), "{outcome}");
    }
    use_version(&store, "1.0.1", 110, START + HOUR_MS).await;
    assert_eq!(activated(pass(&store, START + 3 * HOUR_MS).await), "1.0.2");
}

#[tokio::test]
async fn the_next_step_waits_a_day_where_nothing_names_versions() {
    let store = learned_store(true).await;
    pass(&store, START).await;
    assert!(matches!(
        pass(&store, START + 23 * HOUR_MS).await,
        TuneOutcome::NoChange(Reason::AwaitingFeedback { .. })
    ));
    assert_eq!(activated(pass(&store, START + DAY_MS).await), "1.0.2");
}

#[tokio::test]
async fn a_watch_is_not_superseded_before_it_has_seen_enough() {
    let store = learned_store(true).await;
    // In the direction of the tuner, so that the override refuses nothing that it wants.
    let weights = json!({ "modelWeights": { "gpt-5": 0.55, "gemini": 0.3, "claude": 0.15 } });
    let params = OverrideParams::Whole(serde_json::from_value(weights).unwrap());
    store.override_policy("router-core", &params, None, &ada_at(START)).await.unwrap();
    let outcome = pass(&store, START + SECOND).await;
    let TuneOutcome::Proposed { left: Some(why), .. } = &outcome else { panic!("{outcome:?}") };
    assert!(why.contains("the watch of 1.0.1 has not seen enough"), "{why}");
    use_version(&store, "1.0.1", 110, START + HOUR_MS).await;
    activated(pass(&store, START + 3 * HOUR_MS).await);
}

#[tokio::test]
async fn an_open_draft_is_renewed_when_its_evidence_moves() {
    let store = learned_store(false).await;
    assert_eq!(proposed(pass(&store, START).await), "1.0.1");
    let before = version(&store, "1.0.1").await;
    for (arm, reward) in [("gpt-5", 0.55), ("gemini", 0.8), ("claude", 0.75)] {
        put_more(&store, arm, reward, 1_000).await;
    }
    let outcome = pass(&store, START + HOUR_MS).await;
    assert!(matches!(outcome, TuneOutcome::Renewed { .. }), "{outcome:?}");
    let after = version(&store, "1.0.1").await;
    assert_eq!((versions(&store).await, &after.params), (2, &before.params));
    assert_ne!(after.expected_gain, before.expected_gain);
    assert!(after.notes.as_ref().unwrap().contains("mean reward 0.55"), "{:?}", after.notes);
    let evidence = after.evidence.as_ref().unwrap();
    assert_eq!(evidence["asOf"], START + HOUR_MS);
    let input = store.decision(&key("router-core@1.0.1")).await.unwrap().unwrap();
    assert_eq!(replay(&after, &input), Vec::<String>::new());
    let filter = AuditFilter { action: Some("propose".to_owned()), ..AuditFilter::default() };
    let entries = store.audit(&filter, 10).await.unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].entry.reason.as_deref(), Some(RENEWED));
    assert_eq!(entries[0].entry.evidence.as_ref(), Some(evidence));
    let effect = store.effectiveness("router-core", 1, START + 2 * HOUR_MS).await.unwrap();
    assert_eq!(effect.proposed, 1, "a renewal is not another proposal");
    assert!(matches!(
        pass(&store, START + 2 * HOUR_MS).await,
        TuneOutcome::NoChange(Reason::AlreadyProposed { .. })
    ));
    assert_sound(&store, "router-core", "after a renewal").await;
}

#[tokio::test]
async fn a_renewed_draft_its_evidence_and_its_audit_entry_are_one_commit() {
    let store = learned_store(false).await;
    pass(&store, START).await;
    put_arm(&store, "gpt-5", 0.55, 1_000).await;
    pass(&store, START + HOUR_MS).await;
    let db = store.db().clone().into_inner();
    let draft = db.fluent().select().by_id_in(collection::POLICIES);
    let draft = draft.one("router-core@1.0.1").await.unwrap().unwrap();
    let decision = db.fluent().select().by_id_in(collection::STATE);
    let decision = decision.one("decision|router-core@1.0.1").await.unwrap().unwrap();
    assert_eq!(draft.update_time, decision.update_time);
    let audit = db.fluent().select().from(collection::AUDIT).query().await.unwrap();
    assert_eq!(audit.iter().filter(|it| it.create_time == draft.update_time).count(), 1);
}

#[tokio::test]
async fn a_draft_under_test_keeps_its_evidence() {
    let store = learned_store(false).await;
    pass(&store, START).await;
    let draft = key("router-core@1.0.1");
    let request = crate::experiments::ASKED;
    store.start_experiment(&draft, &request, &ada_at(START)).await.unwrap();
    let before = document(&store, collection::POLICIES, "router-core@1.0.1").await;
    put_arm(&store, "gpt-5", 0.55, 1_000).await;
    let outcome = pass(&store, START + HOUR_MS).await;
    assert!(matches!(outcome, TuneOutcome::NoChange(_)), "{outcome:?}");
    assert_eq!(document(&store, collection::POLICIES, "router-core@1.0.1").await, before);
}

#[tokio::test]
async fn history_has_a_record_for_each_activation_and_compares_with_the_parent() {
    let store = seeded_store().await;
    let first = key("router-core@1.0.0").version;
    let second = draft(&store, "1.0.1", "1.0.0").await;
    observe(&store, "1.0.0", 200, 2, START).await;
    store.activate(&second, false, &ada_at(START + 2 * HOUR_MS)).await.unwrap();
    observe(&store, "1.0.1", 200, 20, START + 3 * HOUR_MS).await;
    store.roll_back("router-core", Some(&first), &ada_at(START + 4 * HOUR_MS)).await.unwrap();
    store
        .roll_back("router-core", Some(&second.version), &ada_at(START + 5 * HOUR_MS))
        .await
        .unwrap();
    let shown = history(&store, "router-core", START + 6 * HOUR_MS).await.unwrap();
    let rows: Vec<_> = shown.iter().map(|it| (it.version.to_string(), it.activated_at)).collect();
    let at = |hour: i64| START + hour * HOUR_MS;
    let expected = [("1.0.1", at(5)), ("1.0.0", at(4)), ("1.0.1", at(2)), ("1.0.0", at(0))];
    assert_eq!(rows, expected.map(|(version, at)| (version.to_owned(), at)));
    for record in &shown {
        let against = record.verdict.as_ref().map(|it| it.against.as_str());
        let parent = (record.version == second.version).then_some("1.0.0");
        assert_eq!(against, parent, "{record:?}");
    }
}

#[tokio::test]
async fn a_score_of_old_observations_says_that_they_are_in_no_window() {
    let store = seeded_store().await;
    for n in 0..3 {
        record(&store, "router:gpt-5", Outcome::Success, 100.0, START - 8 * DAY_MS + n).await;
    }
    let report = score(&store, START).await;
    assert_eq!((report.scored, report.too_old), (3, 3));
    let text = report.to_string();
    assert!(text.contains("3 of them are older than 7 days"), "{text}");
    let output = run_on(&store, &["stats", "--component", "router:none"], &[]).await;
    assert!(self::text(&output.stdout).contains("no observation of the last 7 days"));
}

#[tokio::test]
async fn an_inconclusive_test_says_how_much_it_observed() {
    let store = seeded_store().await;
    start_test(&store).await;
    guard(&store, START + 15 * DAY_MS).await;
    let test = only(&store, Kind::Ab).await;
    let why = test.reason.unwrap();
    let parts = ["0 observations name 1.0.0, 0 observations name 1.0.1", "policyVersion"];
    for part in parts {
        assert!(why.contains(part), "{part} in {why}");
    }
}

#[tokio::test]
async fn a_pass_after_an_outage_says_since_when_an_arm_counts() {
    let store = learned_store(false).await;
    put_arm(&store, "claude", 0.8, 1_000).await;
    let memory = json!({
        "policy": "router-core", "period": START / (30 * DAY_MS),
        "arms": { "gpt-5": { "since": START + HOUR_MS, "restarts": 1 } },
    });
    put(&store, collection::STATE, "tuner|router-core", fields(&memory)).await;
    let text = pass(&store, START + 2 * HOUR_MS).await.to_string();
    let restarted = "gpt-5 has 0 (restarted at 2026-05-28 21:26 UTC: its rewards changed";
    assert!(text.contains(restarted), "{text}");
}
