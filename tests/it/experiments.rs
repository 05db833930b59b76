//! Watches of activations, tests of drafts, and what the guard does with each.

use std::collections::BTreeSet;

use crate::collection;
use f0_learning::jobs::JobReport;
use f0_learning::jobs::guard::history::history;
use f0_learning::jobs::guard::{GuardAction, GuardJob, evaluate};
use f0_learning::jobs::tune::{TuneOutcome, TuneReport};
use f0_learning::store::{AutoLimits, AutoOutcome, ChangeError, ExperimentRequest, GUARD, Store};
use f0_learning_client::{NewObservation, record_observation};
use f0_learning_core::document::{Experiment, FlagChanges};
use f0_learning_core::experiment::{Effect, Guardrail, Kind, Promised, STAGES, Status};
use f0_learning_core::intent::{Intent, Watching};
use f0_learning_core::observation::Outcome;
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use f0_learning_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use f0_learning_core::tuning::PolicyTuning;
use serde_json::json;

use crate::support::http::Service;
use crate::support::{
    START, ada, assert_sound, document, draft, fields, key, put, put_arm, score, seeded_store,
    statuses, tune,
};

pub const ASKED: ExperimentRequest = ExperimentRequest {
    metric: f0_learning_core::experiment::Metric::Reward,
    min_effect: Some(0.01),
    min_samples: Some(20),
    stage_minutes: Some(0),
    max_days: None,
};

/// Records and scores `n` observations of a version, of which one in `failure_every` fails.
pub async fn observe(store: &Store, version: &str, n: u32, failure_every: u32, ts: i64) {
    for number in 0..n {
        let outcome =
            if number.is_multiple_of(failure_every) { Outcome::Failure } else { Outcome::Success };
        let observation = NewObservation {
            ts: Some(ts + i64::from(number)),
            policy_version: Some(format!("router-core@{version}")),
            cost_usd: Some(0.01),
            ..NewObservation::new("router:gpt-5", outcome, 400.0)
        };
        record_observation(store.db(), observation, ts).await.unwrap();
    }
    score(store, ts + MINUTE_MS).await;
}

/// One pass of the guard, and what it did.
pub async fn guard(store: &Store, now: i64) -> Vec<GuardAction> {
    let report = GuardJob::new(store.clone()).pass(now).await.unwrap();
    report.outcomes.into_iter().map(|outcome| outcome.action).collect()
}

/// The only experiment of a kind.
pub async fn only(store: &Store, kind: Kind) -> Experiment {
    let all = store.experiments(Some("router-core")).await.unwrap();
    let mut of: Vec<_> = all.into_iter().filter(|it| it.kind == kind).collect();
    assert_eq!(of.len(), 1, "{of:?}");
    of.remove(0)
}

/// A store in which version 1.0.1 replaced 1.0.0 and does worse.
pub async fn regressed_store() -> Store {
    let store = seeded_store().await;
    let key = draft(&store, "1.0.1", "1.0.0").await;
    observe(&store, "1.0.0", 200, 10, START).await;
    store.activate(&key, false, &Intent::new("ada", START + 2 * HOUR_MS)).await.unwrap();
    observe(&store, "1.0.1", 200, 2, START + 3 * HOUR_MS).await;
    store
}

pub async fn flags(store: &Store, enabled: bool, automatic: bool) {
    let changes = FlagChanges { enabled: Some(enabled), auto_activate_policies: Some(automatic) };
    store.set_flags(changes, &ada()).await.unwrap();
}

#[tokio::test]
async fn a_regression_is_rolled_back_with_its_evidence() {
    let store = regressed_store().await;
    let now = START + 4 * HOUR_MS;
    let steps = guard(&store, now).await;
    let [GuardAction::RolledBack(breach)] = steps.as_slice() else { panic!("{steps:?}") };
    assert!(breach.proven > breach.allowed, "{breach:?}");
    assert_sound(&store, "router-core", "after a rollback by the guard").await;
    let stored = statuses(&store, "router-core").await;
    assert_eq!(stored[&"1.0.0".parse().unwrap()], PolicyStatus::Active);

    let trail = store.trail("router-core", None).await.unwrap();
    let last = &trail.last().unwrap().entry;
    assert_eq!((last.actor.as_str(), last.action.as_str()), (GUARD, "rollback"));
    assert!(last.reason.as_deref().unwrap().contains("fell by at least"), "{last:?}");
    assert!(last.evidence.as_ref().unwrap()["reward"]["change"]["high"].as_f64() < Some(0.0));
    let watch = only(&store, Kind::Watch).await;
    assert_eq!((watch.status, watch.open), (Status::Breached, false));
    assert_eq!(last.experiment.as_ref(), Some(&watch.id));

    let version = store.policy(&key("router-core@1.0.1")).await.unwrap().unwrap();
    assert_eq!(version.rolled_back_at, Some(now));
    let verdict = version.verdict.unwrap();
    assert_eq!(verdict.effect, Effect::Worse);
    assert_eq!(verdict.promise.unwrap().kept, Promised::Broken);
    assert_eq!(guard(&store, now).await, [], "nothing is watched any more");
}

/// Half of its documents cannot be scored: those that failed, whose `sampleRate` is a text.
#[tokio::test]
async fn a_watched_version_whose_failing_half_is_rejected_is_rolled_back() {
    let store = seeded_store().await;
    let key = draft(&store, "1.0.1", "1.0.0").await;
    observe(&store, "1.0.0", 200, 10, START).await;
    store.activate(&key, false, &Intent::new("ada", START + 2 * HOUR_MS)).await.unwrap();
    let ts = START + 3 * HOUR_MS;
    let invalid: Vec<_> = (0..100)
        .map(|n| {
            let document = json!({ "id": format!("bad{n}"), "ts": ts + n, "outcome": "failure",
                "component": "router:gpt-5", "durationMs": 400, "sampleRate": "1",
                "policyVersion": "router-core@1.0.1" });
            document.as_object().unwrap().clone()
        })
        .collect();
    f0_learning_client::create_all_observations(store.db(), &invalid).await.unwrap();
    observe(&store, "1.0.1", 100, 1_000, ts).await;
    let outcome = history(&store, "router-core", ts).await.unwrap().remove(0);
    assert_eq!(outcome.verdict.unwrap().effect, Effect::Unclear, "it is not better so far");
    let steps = guard(&store, START + 4 * HOUR_MS).await;
    let [GuardAction::RolledBack(breach)] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!(breach.guardrail, Guardrail::RejectedShare);
    assert_sound(&store, "router-core", "after a rollback by the guard").await;
    let watch = only(&store, Kind::Watch).await;
    assert!(watch.reason.unwrap().contains("rejected share"));
}

/// Records and scores observations of four components that no policy concerns, of which one in
/// `failure_every` fails.
async fn observe_others(store: &Store, failure_every: u32, ts: i64) {
    let mut documents = Vec::new();
    for component in ["search", "mail", "login", "billing"] {
        for n in 0..120 {
            let failed = n % failure_every == 0;
            let document = json!({ "id": format!("{component}{ts}-{n}"), "ts": ts + i64::from(n),
                "component": component, "outcome": if failed { "failure" } else { "success" },
                "durationMs": 400, "costUsd": 0.01 });
            documents.push(document.as_object().unwrap().clone());
        }
    }
    f0_learning_client::create_all_observations(store.db(), &documents).await.unwrap();
    score(store, ts + MINUTE_MS).await;
}

/// A store in which version 1.0.1 replaced 1.0.0, and of 1.0.1 and of all other components one in so
/// many observations fails; before, one in ten.
async fn shocked_store(of_version: u32, of_others: u32) -> Store {
    let store = seeded_store().await;
    let key = draft(&store, "1.0.1", "1.0.0").await;
    observe(&store, "1.0.0", 200, 10, START).await;
    observe_others(&store, 10, START + 2 * MINUTE_MS).await;
    observe_others(&store, 10, START + HOUR_MS).await;
    store.activate(&key, false, &Intent::new("ada", START + 2 * HOUR_MS)).await.unwrap();
    observe(&store, "1.0.1", 200, of_version, START + 3 * HOUR_MS).await;
    observe_others(&store, of_others, START + 3 * HOUR_MS + 2 * MINUTE_MS).await;
    store
}

#[tokio::test]
async fn a_watched_version_that_falls_with_all_other_components_is_not_rolled_back() {
    let store = shocked_store(2, 2).await;
    let now = START + 4 * HOUR_MS;
    assert_eq!(guard(&store, now).await, [GuardAction::NoChange]);
    let watch = only(&store, Kind::Watch).await;
    let rewards = store.reward_config().await.unwrap();
    let found = evaluate(&store, &watch, &rewards, now).await.unwrap().comparison;
    let controls = found.controls.unwrap();
    assert_eq!((controls.components, controls.after_n), (4, 480), "{controls:?}");
    assert!(found.success_rate.unwrap().change.high < -0.02, "{found:?}");
    assert!(controls.success_rate.unwrap().beyond.high > 0.0, "{controls:?}");
    let shown = history(&store, "router-core", now).await.unwrap().remove(0);
    let verdict = shown.verdict.unwrap();
    assert_eq!((verdict.effect, verdict.comparison.controls), (Effect::Unclear, Some(controls)));
}

#[tokio::test]
async fn a_watched_version_that_falls_further_than_other_components_is_rolled_back() {
    let store = shocked_store(1, 8).await;
    let steps = guard(&store, START + 4 * HOUR_MS).await;
    assert!(matches!(steps.as_slice(), [GuardAction::RolledBack(_)]), "{steps:?}");
    assert_sound(&store, "router-core", "after a rollback by the guard").await;
    let watch = only(&store, Kind::Watch).await;
    let reason = watch.reason.unwrap();
    assert!(reason.contains("4 other components changed by"), "{reason}");
    assert_eq!(watch.comparison.unwrap().controls.unwrap().components, 4);
    let trail = store.trail("router-core", None).await.unwrap();
    assert_eq!(trail.last().unwrap().entry.reason.as_ref(), Some(&reason));
}

#[tokio::test]
async fn a_watch_without_other_components_says_that_it_has_no_controls() {
    let store = regressed_store().await;
    // An arm of the policy is not a control, nor is a component that the version names.
    guard(&store, START + 4 * HOUR_MS).await;
    let watch = only(&store, Kind::Watch).await;
    assert!(watch.reason.unwrap().contains("without controls"));
    assert_eq!(watch.comparison.unwrap().controls, None);
}

#[tokio::test]
async fn a_rolled_back_version_is_not_proposed_again_on_the_same_evidence() {
    let store = seeded_store().await;
    for (arm, reward) in [("gpt-5", 0.45), ("gemini", 0.8), ("claude", 0.75)] {
        put_arm(&store, arm, reward, 1_000).await;
    }
    flags(&store, true, true).await;
    let TuneReport::Decided(verdicts) = tune(&store, START).await else { panic!() };
    assert!(matches!(verdicts[0].1, TuneOutcome::Activated { .. }), "{verdicts:?}");
    let mut rolled_back =
        document(&store, collection::POLICIES, "router-core@1.0.1").await.unwrap();
    store.roll_back("router-core", None, &ada()).await.unwrap();
    rolled_back.insert("status".to_owned(), json!("archived"));
    rolled_back.insert("rolledBackAt".to_owned(), json!(START));
    put(&store, collection::POLICIES, "router-core@1.0.1", fields(&json!(rolled_back))).await;
    let TuneReport::Decided(verdicts) = tune(&store, START).await else { panic!() };
    assert!(matches!(verdicts[0].1, TuneOutcome::NoChange(_)), "{verdicts:?}");
}

#[tokio::test]
async fn a_regression_is_not_rolled_back_while_learning_is_disabled_or_the_policy_is_pinned() {
    let store = regressed_store().await;
    flags(&store, false, true).await;
    let skipped = guard(&store, START + 4 * HOUR_MS).await;
    assert!(
        matches!(skipped.as_slice(), [GuardAction::Skipped(why)] if why.contains("enabled=false"))
    );
    flags(&store, true, false).await;
    store.pin("router-core", &ada()).await.unwrap();
    let skipped = guard(&store, START + 4 * HOUR_MS).await;
    assert!(
        matches!(skipped.as_slice(), [GuardAction::Skipped(why)] if why.contains("pinned")),
        "{skipped:?}"
    );
    store.unpin("router-core", &ada()).await.unwrap();
    assert!(matches!(
        guard(&store, START + 4 * HOUR_MS).await.as_slice(),
        [GuardAction::RolledBack(_)]
    ));
}

#[tokio::test]
async fn two_concurrent_guards_roll_a_version_back_once() {
    let store = regressed_store().await;
    let now = START + 4 * HOUR_MS;
    let (a, b) = tokio::join!(guard(&store, now), guard(&store, now));
    let all: Vec<_> = a.iter().chain(&b).collect();
    let done = all.iter().filter(|step| matches!(step, GuardAction::RolledBack(_))).count();
    assert_eq!(done, 1, "{all:?}");
    assert_sound(&store, "router-core", "after two guards").await;
    let trail = store.trail("router-core", None).await.unwrap();
    assert_eq!(trail.iter().filter(|it| it.entry.action == "rollback").count(), 1);
}

#[tokio::test]
async fn an_activation_with_the_guard_off_starts_no_watch() {
    let store = seeded_store().await;
    let key = draft(&store, "1.0.1", "1.0.0").await;
    let changed = store.activate(&key, false, &ada().watched(Watching::Off)).await.unwrap();
    assert_eq!(changed.entry.guard.as_deref(), Some("off"));
    assert_eq!(store.experiments(None).await.unwrap(), []);
}

#[tokio::test]
async fn a_watch_with_enough_samples_ends_with_a_verdict_on_the_promised_gain() {
    let store = seeded_store().await;
    let tuning = json!({ "version": "2", "guard": { "minEffect": 0.2 } });
    put(&store, collection::CONFIG, "tuning", fields(&tuning)).await;
    let key = draft(&store, "1.0.1", "1.0.0").await;
    observe(&store, "1.0.0", 300, 2, START).await;
    store.activate(&key, false, &Intent::new("ada", START + 2 * HOUR_MS)).await.unwrap();
    observe(&store, "1.0.1", 300, 30, START + 3 * HOUR_MS).await;
    let shown = history(&store, "router-core", START + 4 * HOUR_MS).await.unwrap();
    assert!(!shown[0].settled && shown[0].verdict.is_some(), "{shown:?}");
    assert_eq!(
        guard(&store, START + 4 * HOUR_MS).await,
        [GuardAction::NoChange],
        "a watch lasts a day"
    );
    let later = START + 2 * HOUR_MS + DAY_MS;
    assert_eq!(guard(&store, later).await, [GuardAction::Ended(Status::Passed)]);
    let shown = history(&store, "router-core", later).await.unwrap();
    let verdict = shown[0].verdict.as_ref().unwrap();
    assert!(shown[0].settled);
    assert_eq!(shown[0].promised.unwrap().expected, 0.01, "as the draft promised");
    assert_eq!((verdict.effect, verdict.promise.unwrap().kept), (Effect::Better, Promised::Kept));
    assert_sound(&store, "router-core", "after a verdict").await;
}

/// Starts a test of 1.0.1 against 1.0.0.
pub async fn start_test(store: &Store) -> PolicyKey {
    let key = draft(store, "1.0.1", "1.0.0").await;
    store.start_experiment(&key, &ASKED, &Intent::new("ada", START)).await.unwrap();
    key
}

/// The share of units that gets the candidate, if there is one.
pub async fn share(store: &Store) -> Option<f64> {
    let active = store.active_policies().await.unwrap();
    active[0].candidate.as_ref().map(|it| it.share)
}

#[tokio::test]
async fn an_improvement_is_ramped_and_promoted_if_the_flags_allow_it() {
    let store = seeded_store().await;
    flags(&store, true, true).await;
    let key = start_test(&store).await;
    let mut now = START;
    for (stage, expected) in STAGES.into_iter().enumerate() {
        assert_eq!(share(&store).await, Some(expected));
        let active = &store.active_policies().await.unwrap()[0];
        let chosen = (0..400).filter(|unit| active.choose(&unit.to_string()).0 == &key.version);
        let chosen = f64::from(u16::try_from(chosen.count()).unwrap()) / 400.0;
        assert!((chosen - expected).abs() < 0.08, "{chosen} of {expected}");
        now += HOUR_MS;
        observe(&store, "1.0.0", 250, 3, now).await;
        observe(&store, "1.0.1", 250, 50, now + MINUTE_MS).await;
        let steps = guard(&store, now + HOUR_MS).await;
        match STAGES.get(stage + 1) {
            Some(next) => assert_eq!(steps, [GuardAction::NextStage { share: *next }]),
            None => assert_eq!(steps, [GuardAction::Promoted]),
        }
    }
    assert_eq!(share(&store).await, None);
    assert_sound(&store, "router-core", "after a promotion").await;
    assert_eq!(statuses(&store, "router-core").await[&key.version], PolicyStatus::Active);
    assert_eq!(only(&store, Kind::Ab).await.status, Status::Passed);
    let watch = only(&store, Kind::Watch).await;
    assert!(watch.open, "a promotion is watched like any other activation");
    let verdict = store.policy(&key).await.unwrap().unwrap().verdict.unwrap();
    assert_eq!((verdict.kind, verdict.effect), (Kind::Ab, Effect::Better));
}

#[tokio::test]
async fn a_candidate_that_gets_no_units_although_its_control_does_is_noted() {
    let store = seeded_store().await;
    start_test(&store).await;
    observe(&store, "1.0.0", 400, 30, START + MINUTE_MS).await;
    let report = async |now: i64| GuardJob::new(store.clone()).pass(now).await.unwrap();
    let early = report(START + HOUR_MS / 2).await;
    assert!(!early.to_string().contains("no observation names the candidate"), "{early}");
    let late = report(START + 2 * HOUR_MS).await;
    let note = "no observation names the candidate 1.0.1 in 2 hours, although 400 name 1.0.0 and 44 were \
                to be expected";
    assert!(late.to_string().contains(note), "{late}");
    assert_eq!(late.log_lines()[0].level, tracing::Level::WARN);
    let service = Service::with_token(&store).await;
    service.advance(2 * HOUR_MS);
    let id = only(&store, Kind::Ab).await.id;
    let shown = service.get(&format!("/ops/experiments/{id}")).await.ok();
    assert!(shown["note"].as_str().unwrap().contains("integration.md"), "{shown}");
    observe(&store, "1.0.1", 10, 1, START + 2 * HOUR_MS).await;
    let served = report(START + 3 * HOUR_MS).await;
    assert!(!served.to_string().contains("no observation names the candidate"), "{served}");
    let shown = service.get(&format!("/ops/experiments/{id}")).await.ok();
    assert!(shown.get("note").is_none(), "{shown}");
}

#[tokio::test]
async fn without_the_flag_an_improvement_awaits_approval() {
    let store = seeded_store().await;
    let key = start_test(&store).await;
    let mut now = START;
    let mut last = Vec::new();
    for _ in STAGES {
        now += HOUR_MS;
        observe(&store, "1.0.0", 250, 3, now).await;
        observe(&store, "1.0.1", 250, 50, now + MINUTE_MS).await;
        last = guard(&store, now + HOUR_MS).await;
    }
    assert_eq!(last, [GuardAction::AwaitingApproval]);
    assert_eq!(guard(&store, now + HOUR_MS).await, [GuardAction::NoChange], "asked once");
    assert_eq!(share(&store).await, Some(0.5));
    store.activate(&key, false, &ada()).await.unwrap();
    assert_eq!(only(&store, Kind::Ab).await.status, Status::Passed);
    assert_eq!(share(&store).await, None);
    assert_sound(&store, "router-core", "after the approval").await;
}

#[tokio::test]
async fn a_test_whose_candidate_is_activated_early_did_not_pass_and_names_who_ended_it() {
    let store = seeded_store().await;
    let key = start_test(&store).await;
    let said = only(&store, Kind::Ab).await.on_activation_of(&key.version).unwrap();
    assert!(said.contains("stops the test without a result"), "{said}");
    store.activate(&key, false, &ada()).await.unwrap();
    let test = only(&store, Kind::Ab).await;
    assert_eq!(test.status, Status::Stopped);
    assert_eq!(test.reason.unwrap(), "ada activated 1.0.1 before the test had a result");
    assert_sound(&store, "router-core", "after an early activation").await;
}

#[tokio::test]
async fn the_duration_of_a_test_follows_from_the_time_that_there_is_data_for() {
    let store = seeded_store().await;
    let key = draft(&store, "1.0.1", "1.0.0").await;
    let now = store.now().await.unwrap();
    // A hundred observations in five minutes are 1,200 an hour, also where the hour has just begun.
    for n in 0..100_u8 {
        let observation = NewObservation {
            ts: Some(now - i64::from(100 - n) * 3_000),
            policy_version: Some("router-core@1.0.0".to_owned()),
            ..NewObservation::new("router:gpt-5", Outcome::Success, 400.0 + f64::from(n))
        };
        record_observation(store.db(), observation, now).await.unwrap();
    }
    score(&store, now + 1).await;
    let request = ExperimentRequest::default();
    let found = store.estimate_experiment(&key, &request).await.unwrap().unwrap();
    let per_hour = found.traffic.per_hour;
    assert!((1_150.0..1_250.0).contains(&per_hour), "{per_hour}");
}

#[tokio::test]
async fn a_worse_candidate_loses_its_traffic_and_is_rejected() {
    let store = seeded_store().await;
    let key = start_test(&store).await;
    observe(&store, "1.0.0", 200, 20, START).await;
    observe(&store, "1.0.1", 200, 2, START + MINUTE_MS).await;
    // The kill switch does not keep a candidate in use.
    flags(&store, false, false).await;
    let steps = guard(&store, START + 2 * HOUR_MS).await;
    assert!(matches!(steps.as_slice(), [GuardAction::RolledBack(_)]), "{steps:?}");
    assert_eq!(share(&store).await, None);
    assert_eq!(statuses(&store, "router-core").await[&key.version], PolicyStatus::Rejected);
    assert_sound(&store, "router-core", "after a breach").await;
}

#[tokio::test]
async fn a_policy_has_one_test_at_a_time_and_an_activation_supersedes_it() {
    let store = seeded_store().await;
    let key = start_test(&store).await;
    let other = draft(&store, "1.0.2", "1.0.0").await;
    let again = store.start_experiment(&other, &ASKED, &ada()).await;
    assert!(matches!(again, Err(ChangeError::ExperimentRuns { .. })), "{again:?}");
    let weights =
        [("gpt-5", 0.5), ("gemini", 0.25), ("claude", 0.25)].map(|(a, w)| (a.to_owned(), w));
    flags(&store, true, true).await;
    let limits = AutoLimits::new(&PolicyTuning::default(), BTreeSet::new());
    let left = store.auto_activate(&other, &weights.into(), &limits, START).await.unwrap();
    assert!(matches!(&left, AutoOutcome::AwaitingApproval(why) if why.contains("experiment")));
    // An admin's activation of another draft ends the test; the tested version stays a draft.
    store.activate(&other, false, &ada()).await.unwrap();
    assert_eq!(only(&store, Kind::Ab).await.status, Status::Superseded);
    assert_eq!(share(&store).await, None);
    assert_eq!(statuses(&store, "router-core").await[&key.version], PolicyStatus::Draft);
    assert_sound(&store, "router-core", "after a test was superseded").await;
}

#[tokio::test]
async fn a_stopped_test_leaves_its_draft_and_cannot_be_stopped_twice() {
    let store = seeded_store().await;
    let key = start_test(&store).await;
    let test = only(&store, Kind::Ab).await;
    store.stop_experiment(&test.id, &ada()).await.unwrap();
    assert_eq!(share(&store).await, None);
    assert_eq!(statuses(&store, "router-core").await[&key.version], PolicyStatus::Draft);
    let again = store.stop_experiment(&test.id, &ada()).await;
    assert!(matches!(again, Err(ChangeError::ExperimentOver(_))), "{again:?}");
    for unknown in ["no-such", "a/b", "", "__x__"] {
        let none = store.stop_experiment(unknown, &ada()).await;
        assert!(matches!(none, Err(ChangeError::UnknownExperiment(_))), "{none:?}");
    }
    assert_sound(&store, "router-core", "after a stop").await;
}

/// Watches 1.0.1 after 1.0.0, and writes `n` observations of each by `document`.
async fn watched(store: &Store, n: i64, document: impl Fn(&str, i64) -> serde_json::Value) {
    let key = draft(store, "1.0.1", "1.0.0").await;
    let write = async |version: &str, ts: i64| {
        let documents: Vec<_> = (0..n)
            .map(|n| {
                let mut document = document(version, n);
                document["id"] = json!(format!("{version}-{n}"));
                document["ts"] = json!(ts + n);
                document["component"] = json!("router:gpt-5");
                document.as_object().unwrap().clone()
            })
            .collect();
        f0_learning_client::create_all_observations(store.db(), &documents).await.unwrap();
        score(store, ts + MINUTE_MS).await;
    };
    write("1.0.0", START).await;
    store.activate(&key, false, &Intent::new("ada", START + 2 * HOUR_MS)).await.unwrap();
    write("1.0.1", START + 3 * HOUR_MS).await;
}

#[tokio::test]
async fn documents_that_name_no_version_are_counted_and_the_guard_says_how_many() {
    let store = seeded_store().await;
    watched(&store, 60, |version, n| {
        let named = match (version, n % 4) {
            ("1.0.0", _) => json!("router-core@1.0.0"),
            (_, 0) => json!(7),
            (_, 1) => json!("router-core"),
            (_, 2) => json!("router-core@9.9.9"),
            _ => json!(null),
        };
        json!({ "outcome": "success", "durationMs": 400, "policyVersion": named })
    })
    .await;
    let stats = store.all_stats(Some("router:gpt-5")).await.unwrap();
    let week = &stats.iter().find(|it| it.window.as_str() == "7d").unwrap().stats;
    assert_eq!((week.n, week.unversioned), (120, 60));
    let report = GuardJob::new(store.clone()).pass(START + 4 * HOUR_MS).await.unwrap();
    assert!(report.to_string().contains("60 observations"), "{report}");
    assert!(report.to_string().contains("without a version"), "{report}");
    score(&store, START + 6 * DAY_MS).await;
    GuardJob::new(store.clone()).pass(START + 15 * DAY_MS).await.unwrap();
    let watch = only(&store, Kind::Watch).await;
    assert_eq!(watch.status, Status::Inconclusive);
    let reason = watch.reason.unwrap();
    assert!(reason.contains("60 observations") && reason.contains("without a version"), "{reason}");
}

#[tokio::test]
async fn a_watched_version_that_leaves_out_costs_is_not_better_and_the_reason_says_so() {
    let store = seeded_store().await;
    watched(&store, 400, |version, _| {
        let named = format!("router-core@{version}");
        let mut document =
            json!({ "outcome": "success", "durationMs": 400, "policyVersion": named });
        if version == "1.0.0" {
            document["costUsd"] = json!(0.05);
        }
        document
    })
    .await;
    let known = history(&store, "router-core", START + 4 * HOUR_MS).await.unwrap().remove(0);
    assert_eq!(known.verdict.unwrap().effect, Effect::Unclear);
    GuardJob::new(store.clone()).pass(START + 15 * DAY_MS).await.unwrap();
    let watch = only(&store, Kind::Watch).await;
    assert_eq!(watch.status, Status::Inconclusive);
    let reason = watch.reason.unwrap();
    assert!(reason.contains("1.0.1 states a cost for 0% of its observations"), "{reason}");
}

#[tokio::test]
async fn the_duration_of_a_test_is_estimated_from_the_traffic() {
    let store = seeded_store().await;
    let key = draft(&store, "1.0.1", "1.0.0").await;
    let request = ExperimentRequest::default();
    assert_eq!(store.estimate_experiment(&key, &request).await.unwrap(), None);
    observe(&store, "1.0.0", 1, 7, START - 58 * MINUTE_MS).await;
    observe(&store, "1.0.0", 600, 7, START).await;
    let estimate = store.estimate_experiment(&key, &request).await.unwrap().unwrap();
    assert!((600.0..620.0).contains(&estimate.traffic.per_hour), "{estimate:?}");
    let hours: Vec<Option<f64>> = estimate.durations.iter().map(|it| it.hours).collect();
    let hours: Vec<f64> = hours.into_iter().flatten().collect();
    assert_eq!(hours.len(), 4, "{estimate:?}");
    assert!(hours.is_sorted_by(|a, b| a > b), "a larger gain takes less time: {hours:?}");
    assert!(hours[0] > 24.0 && hours[0] < 14.0 * 24.0, "{estimate:?}");
}
