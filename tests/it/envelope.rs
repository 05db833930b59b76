//! An envelope: what a person approves once, and what the tuner still leaves to people.

use std::collections::BTreeMap;

use f0_learning::jobs::guard::GuardJob;
use f0_learning::jobs::tune::replay::replay;
use f0_learning::jobs::tune::{TuneJob, TuneOutcome, TuneReport};
use f0_learning::store::{EnvelopeTerms, OverrideParams, Store};
use f0_learning_client::{NewObservation, record_observation};
use f0_learning_core::document::{FlagChanges, Policy};
use f0_learning_core::experiment::{Kind, Status};
use f0_learning_core::intent::Intent;
use f0_learning_core::observation::Outcome;
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::time::HOUR_MS;
use f0_learning_core::tuning::envelope::ApprovedGuardrails;
use f0_learning_core::tuning::memory::PRESSED_HOURS;
use serde_json::{Value, json};

use crate::allocation::{active, approve, arm_range, believing_store, draft, hour, weight};
use crate::support::http::Service;
use crate::support::{START, ada, assert_sound, key, score, tune};

const LOSER: [(&str, i64); 3] = [("gpt-5", 2), ("gemini", 9), ("claude", 5)];

async fn auto(store: &Store, on: bool) {
    let changes = FlagChanges { auto_activate_policies: Some(on), ..FlagChanges::default() };
    store.set_flags(changes, &ada()).await.unwrap();
}

fn evidence(policy: &Policy) -> Value {
    policy.evidence.clone().unwrap()["belief"].clone()
}

async fn drafts(store: &Store) -> usize {
    let all = store.policies(Some("router-core")).await.unwrap();
    all.iter().filter(|it| it.status == PolicyStatus::Draft).count()
}

/// The outcome of a pass of this job for the only policy.
async fn pass(job: &mut TuneJob, now: i64) -> TuneOutcome {
    match job.pass(now).await.unwrap() {
        TuneReport::Decided(mut outcomes) => outcomes.remove(0).1,
        report @ TuneReport::SwitchedOff(_) => panic!("{report:?}"),
    }
}

#[tokio::test]
async fn a_version_that_the_job_activates_is_watched_by_the_approved_limits() {
    let store = believing_store(|_| ()).await;
    let guardrails = ApprovedGuardrails {
        success_rate: Some(0.005),
        cost_usd: Some(1.1),
        ..ApprovedGuardrails::default()
    };
    let terms = EnvelopeTerms { alpha: Some(0.01), guardrails, ..EnvelopeTerms::default() };
    approve(&store, terms).await;
    hour(&store, 0, &LOSER).await;
    let watch = store.open_experiments().await.unwrap().remove(0);
    let config = store.tuning_config().await.unwrap().guard;
    assert_eq!((watch.kind, watch.candidate.to_string().as_str()), (Kind::Watch, "1.0.1"));
    assert_eq!(watch.guard.alpha, 0.01);
    let rails = watch.guard.guardrails;
    assert_eq!((rails.success_rate, rails.cost_usd), (0.005, 1.1));
    assert_eq!(rails.p95_latency, config.guardrails.p95_latency, "as the config says");
    // What a person activates is watched as the config says.
    let set = [("cooldownMs".to_owned(), json!(1))].into_iter().collect();
    store.override_policy("router-core", &OverrideParams::Set(set), None, &ada()).await.unwrap();
    let watch = store.open_experiments().await.unwrap().remove(0);
    assert_eq!(watch.guard, config);
    // The cause is in the trail.
    let trail = store.trail("router-core", None).await.unwrap();
    let activation = trail.iter().find(|it| it.entry.action == "activate").unwrap();
    let why = activation.entry.reason.as_deref().unwrap();
    assert_eq!(why, "learn: more is known of the arms, within envelope router-core@1");
}

#[tokio::test]
async fn the_limits_of_a_watch_are_approved_and_shown_over_http() {
    let store = believing_store(|_| ()).await;
    let service = Service::with_token(&store).await;
    let asked = json!({
        "id": "router-core", "alpha": 0.02,
        "guardrails": { "successRate": 0.01, "p95Latency": 1.2 },
    });
    service.post("/ops/policies/envelope", &asked).await.ok();
    let shown = service.get("/ops/policies/router-core/envelope").await.ok();
    assert_eq!(shown["alpha"], 0.02);
    assert_eq!(shown["guardrails"], json!({ "successRate": 0.01, "p95Latency": 1.2 }));
    let trail = store.trail("router-core", None).await.unwrap();
    let approved = trail.iter().find(|it| it.entry.action == "envelopeApprove").unwrap();
    assert_eq!(approved.entry.evidence.as_ref().unwrap()["guardrails"]["successRate"], 0.01);
    let refused = async |guardrails: Value, status: u16| {
        let asked = json!({ "id": "router-core", "guardrails": guardrails });
        service.post("/ops/policies/envelope", &asked).await.problem(status)
    };
    let why = refused(json!({ "costUsd": 0.5 }), 422).await;
    assert!(why.contains("guardrails.costUsd is 0.5, must be between 1"), "{why}");
    let why = refused(json!({ "reward": 0.5 }), 400).await;
    assert!(why.contains("reward"), "{why}");
    service.post("/ops/policies/envelope", &json!({ "id": "router-core" })).await.ok();
    let shown = service.get("/ops/policies/router-core/envelope").await.ok();
    assert_eq!((shown.get("alpha"), shown.get("guardrails")), (None, None), "the config's");
}

#[tokio::test]
async fn every_version_within_an_envelope_replays() {
    let store = believing_store(|_| ()).await;
    let guardrails = ApprovedGuardrails { cost_usd: Some(1.1), ..ApprovedGuardrails::default() };
    approve(&store, EnvelopeTerms { guardrails, ..EnvelopeTerms::default() }).await;
    for number in 0..4 {
        hour(&store, number, &LOSER).await;
    }
    let mut replayed = 0;
    for policy in store.policies(Some("router-core")).await.unwrap() {
        if let Some(input) = store.decision(&key(&policy.name())).await.unwrap() {
            assert_eq!(replay(&policy, &input), Vec::<String>::new(), "{}", policy.name());
            assert_eq!(evidence(&policy)["envelope"], 1);
            replayed += 1;
        }
    }
    assert!(replayed >= 2, "{replayed} versions");
}

/// A store in which belief wants less of gpt-5 than the approved minimum, after `hours`.
async fn pressed_store(hours: i64) -> Store {
    let store = believing_store(|policy| policy["minHoursBetweenSteps"] = json!(0)).await;
    let arms = [("gpt-5".to_owned(), arm_range(0.4, 0.7))].into();
    approve(&store, EnvelopeTerms { arms, ..EnvelopeTerms::default() }).await;
    for number in 0..hours {
        hour(&store, number, &LOSER).await;
        let held = weight(&active(&store).await, "gpt-5");
        assert!(held >= 0.4, "{held} in hour {number}");
    }
    store
}

#[tokio::test]
async fn a_bound_that_is_in_the_way_for_hours_is_put_to_a_person() {
    let least = i64::from(PRESSED_HOURS);
    let store = pressed_store(least - 1).await;
    assert_eq!(drafts(&store).await, 0, "too early");
    for number in least - 1..least + 4 {
        // Each pass is one of another process: what it knows is stored.
        hour(&store, number, &LOSER).await;
    }
    let first = draft(&store).await;
    let belief = evidence(&first);
    assert_eq!(belief["cause"], "bound", "{belief}");
    let bound = &belief["bounds"][0];
    assert_eq!((&bound["arm"], &bound["side"]), (&json!("gpt-5"), &json!("min")), "{belief}");
    assert_eq!(bound["approved"], 0.4);
    assert!(bound["wish"].as_f64().unwrap() < 0.1, "{bound}");
    assert!(weight(&first, "gpt-5") < 0.4, "one step beyond the bound");
    let notes = first.notes.clone().unwrap();
    assert!(notes.contains("beyond its approved minimum 0.400"), "{notes}");
    assert!(weight(&active(&store).await, "gpt-5") >= 0.4, "a person decides");
    let stored = store.decision(&key(&first.name())).await.unwrap().unwrap();
    assert_eq!(replay(&first, &stored), Vec::<String>::new());
    // The same draft follows what is believed, and what is within the bounds still moves.
    let before = active(&store).await;
    let other = [("gpt-5", 2), ("gemini", 4), ("claude", 9)];
    let mut after = before.clone();
    for number in least + 4..least + 40 {
        hour(&store, number, &other).await;
        assert!(drafts(&store).await <= 1, "one draft");
        after = active(&store).await;
        if weight(&after, "claude") > weight(&before, "claude") && drafts(&store).await == 1 {
            break;
        }
    }
    assert!(after.version > before.version, "{} to {}", before.name(), after.name());
    assert!(weight(&after, "gpt-5") >= 0.4);
    let asked = draft(&store).await;
    assert_eq!(evidence(&asked)["cause"], "bound");
    assert_eq!(asked.parent_version, Some(after.version), "it asks about today");
    // A person says yes.
    store.activate(&key(&asked.name()), false, &ada()).await.unwrap();
    assert!(weight(&active(&store).await, "gpt-5") < 0.4);
    assert_sound(&store, "router-core", "after a draft beyond a bound").await;
}

#[tokio::test]
async fn a_question_about_a_bound_is_renewed_in_place_and_not_repeated_after_a_no() {
    let least = i64::from(PRESSED_HOURS);
    let store = pressed_store(least + 3).await;
    let first = draft(&store).await;
    assert_eq!(evidence(&first)["cause"], "bound");
    for number in least + 3..least + 6 {
        hour(&store, number, &[("gpt-5", 2), ("gemini", 7), ("claude", 8)]).await;
    }
    let renewed = draft(&store).await;
    assert_eq!(renewed.version, first.version);
    assert_ne!(renewed.evidence_digest(), first.evidence_digest());
    // The person decides on what the latest pass asks.
    let at = START + (least + 6) * HOUR_MS;
    tune(&store, at).await;
    store.reject(&key(&draft(&store).await.name()), &Intent::new("ada", at)).await.unwrap();
    for minute in 1..4 {
        let said = tune(&store, at + minute * 60_000).await.to_string();
        assert!(said.contains("does not move the weights in that direction again"), "{said}");
        let all = store.policies(Some("router-core")).await.unwrap();
        let asks = all
            .iter()
            .any(|it| it.status == PolicyStatus::Draft && evidence(it)["cause"] == "bound");
        assert!(!asks, "a person said no");
    }
}

#[tokio::test]
async fn an_arm_that_a_person_added_since_the_approval_is_left_to_people() {
    let store = believing_store(|_| ()).await;
    approve(&store, EnvelopeTerms::default()).await;
    let set = [("gpt-5", 0.5), ("gemini", 0.2), ("claude", 0.2), ("mistral", 0.1)];
    let set = set.map(|(arm, to)| (format!("modelWeights.{arm}"), json!(to))).into_iter().collect();
    store.override_policy("router-core", &OverrideParams::Set(set), None, &ada()).await.unwrap();
    let by_hand = active(&store).await.version;
    let mut said = String::new();
    for number in 0..3 {
        let rates = [("gpt-5", 2), ("gemini", 9), ("claude", 5), ("mistral", 9)];
        said += &hour(&store, number, &rates).await.to_string();
    }
    assert!(said.contains("mistral is not part of envelope router-core@1"), "{said}");
    assert_eq!(active(&store).await.version, by_hand);
    assert!(weight(&draft(&store).await, "mistral") > 0.0, "nobody takes the new arm out");
}

/// Records observations that name a version, of which `of_ten` in ten succeed.
async fn observe(store: &Store, version: &str, n: i64, of_ten: i64, start: i64) {
    for number in 0..n {
        let arm = ["gpt-5", "gemini", "claude"][usize::try_from(number % 3).unwrap()];
        let good = number / 3 % 10 < of_ten;
        let observation = NewObservation {
            ts: Some(start + number),
            policy_version: Some(format!("router-core@{version}")),
            ..NewObservation::new(
                format!("router:{arm}"),
                if good { Outcome::Success } else { Outcome::Failure },
                200.0,
            )
        };
        record_observation(store.db(), observation, start).await.unwrap();
    }
}

#[tokio::test]
async fn a_touched_guardrail_freezes_the_envelope_and_the_tuner_drafts() {
    let store = believing_store(|policy| policy["minHoursBetweenSteps"] = json!(0)).await;
    approve(&store, EnvelopeTerms::default()).await;
    hour(&store, 0, &LOSER).await;
    assert_eq!(active(&store).await.version.to_string(), "1.0.1");
    observe(&store, "1.0.0", 600, 9, START + HOUR_MS).await;
    observe(&store, "1.0.1", 600, 1, START + HOUR_MS + 1_000).await;
    score(&store, START + 2 * HOUR_MS).await;
    let report = GuardJob::new(store.clone()).pass(START + 2 * HOUR_MS).await.unwrap();
    assert_eq!(report.rolled_back(), 1, "{report}");
    let frozen = store.envelope("router-core").await.unwrap().unwrap().frozen.unwrap();
    assert!(frozen.contains("the guard rolled back 1.0.1"), "{frozen}");
    let watch = store.experiments(None).await.unwrap().remove(0);
    assert_eq!(watch.status, Status::Breached);
    let mut said = String::new();
    for number in 3..30 {
        said +=
            &hour(&store, number, &[("gpt-5", 1), ("gemini", 3), ("claude", 9)]).await.to_string();
    }
    assert!(said.contains("envelope router-core@1 is frozen: the guard rolled back"), "{said}");
    assert_eq!(active(&store).await.version.to_string(), "1.0.0");
    draft(&store).await;
    assert_sound(&store, "router-core", "after a frozen envelope").await;
}

#[tokio::test]
async fn a_budget_that_is_spent_since_a_draft_was_written_keeps_it_from_being_activated() {
    let store = believing_store(|_| ()).await;
    // Without the flag the draft waits, and its evidence knows of no budget.
    auto(&store, false).await;
    hour(&store, 0, &LOSER).await;
    assert!(evidence(&draft(&store).await).get("spent").is_none());
    let budget = EnvelopeTerms { regret_budget: Some(5.0), ..EnvelopeTerms::default() };
    approve(&store, budget).await;
    let report = tune(&store, START + HOUR_MS).await.to_string();
    assert!(report.contains("the regret budget of envelope router-core@1 is spent"), "{report}");
    assert_eq!(active(&store).await.version.to_string(), "1.0.0");
}

#[tokio::test]
async fn an_expired_envelope_leaves_a_draft_for_a_person() {
    let store = believing_store(|policy| policy["minHoursBetweenSteps"] = json!(0)).await;
    approve(&store, EnvelopeTerms { hours: 1, ..EnvelopeTerms::default() }).await;
    let said = hour(&store, 3, &LOSER).await.to_string();
    assert!(said.contains("envelope router-core@1 expired"), "{said}");
    assert_eq!(active(&store).await.version.to_string(), "1.0.0");
    draft(&store).await;
}

#[tokio::test]
async fn a_draft_of_an_earlier_envelope_is_not_activated_but_renewed_within_the_new_one() {
    let store = believing_store(|_| ()).await;
    approve(&store, EnvelopeTerms { step_bound: 0.2, ..EnvelopeTerms::default() }).await;
    auto(&store, false).await;
    hour(&store, 0, &LOSER).await;
    let wide = draft(&store).await;
    assert!(weight(&wide, "gpt-5") < 0.45, "{:?}", wide.params);
    // The job that decided knows the first envelope for some minutes yet.
    let mut job = TuneJob::new(store.clone());
    pass(&mut job, START + HOUR_MS).await;
    approve(&store, EnvelopeTerms { step_bound: 0.05, ..EnvelopeTerms::default() }).await;
    let said = pass(&mut job, START + HOUR_MS + 1).await.to_string();
    assert!(said.contains("allows a step of 0.050"), "{said}");
    assert_eq!(active(&store).await.version.to_string(), "1.0.0");
    pass(&mut job, START + HOUR_MS + 2).await;
    let published = active(&store).await;
    assert_eq!(published.version, wide.version);
    let moved = 0.6 - weight(&published, "gpt-5");
    assert!((0.0..=0.05 + 1e-9).contains(&moved), "{moved}");
    assert_eq!(evidence(&published)["envelope"], 2);
}

#[tokio::test]
async fn a_job_freezes_only_the_envelope_that_it_looked_at() {
    let store = believing_store(|_| ()).await;
    approve(&store, EnvelopeTerms::default()).await;
    approve(&store, EnvelopeTerms::default()).await;
    let intent = ada().because("the holdback earns more");
    let refused = store.freeze_numbered("router-core", 1, &intent).await.unwrap_err();
    assert!(refused.to_string().contains("frozen or replaced"), "{refused}");
    store.freeze_numbered("router-core", 2, &intent).await.unwrap();
    store.freeze_numbered("router-core", 2, &intent).await.unwrap_err();
    let known: BTreeMap<_, _> = store
        .trail("router-core", None)
        .await
        .unwrap()
        .into_iter()
        .map(|it| (it.entry.action, it.audit_id))
        .collect();
    assert!(known.contains_key("envelopeFreeze"), "{known:?}");
}
