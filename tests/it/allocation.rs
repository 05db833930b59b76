//! Allocation by belief: weights follow what is believed, claims still need proof, and an open draft
//! is renewed in place.

use f0_learning::jobs::tune::replay::replay;
use f0_learning::jobs::tune::{TuneOutcome, TuneReport};
use f0_learning::store::{ChangeError, EnvelopeTerms, Store};
use f0_learning_client::{NewObservation, record_observation};
use f0_learning_core::document::{FlagChanges, Policy};
use f0_learning_core::intent::Intent;
use f0_learning_core::observation::Outcome;
use f0_learning_core::policy::{PolicyStatus, draw_arm};
use f0_learning_core::time::HOUR_MS;
use f0_learning_core::tuning::envelope::WeightRange;
use serde_json::{Value, json};

use crate::collection;
use crate::support::{
    START, ada, assert_sound, document, empty_store, fields, key, put, score, tune,
};

/// A seeded store with the default allocation.
pub async fn believing_store(change: impl FnOnce(&mut Value)) -> Store {
    let store = empty_store().await;
    store.seed(START).await.unwrap();
    let mut tuning = document(&store, collection::CONFIG, "tuning").await.unwrap();
    let policy = tuning["policies"].get_mut("router-core").unwrap();
    assert_eq!(policy["allocation"], "belief", "the default");
    change(policy);
    put(&store, collection::CONFIG, "tuning", fields(&Value::Object(tuning))).await;
    store
}

/// The weights of the active version.
pub async fn active(store: &Store) -> Policy {
    store.active_policies().await.unwrap().remove(0)
}

pub fn weight(policy: &Policy, arm: &str) -> f64 {
    policy.params.model_weights().unwrap().unwrap()[arm]
}

#[expect(clippy::cast_possible_truncation, reason = "a count of at most 200")]
fn whole(count: f64) -> i64 {
    count.round() as i64
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn share(part: i64, of: i64) -> f64 {
    part as f64 / of as f64
}

/// An hour of 200 actions that follow the weights of the active version, and then a pass of `score`
/// and `tune`. Of `of` actions of an arm, `success` succeed.
pub async fn hour(store: &Store, number: i64, success: &[(&str, i64)]) -> TuneOutcome {
    let policy = active(store).await;
    let start = START + number * HOUR_MS;
    let mut ts = start;
    for (arm, of_ten) in success {
        let n = whole(weight(&policy, arm) * 200.0);
        for action in 0..n {
            let good = action % 10 < *of_ten;
            let observation = NewObservation {
                ts: Some(ts),
                policy_version: Some(policy.name()),
                ..NewObservation::new(
                    format!("router:{arm}"),
                    if good { Outcome::Success } else { Outcome::Failure },
                    200.0,
                )
            };
            record_observation(store.db(), observation, ts).await.unwrap();
            ts += 1;
        }
    }
    let now = start + HOUR_MS - 1;
    score(store, now).await;
    match tune(store, now).await {
        TuneReport::Decided(mut outcomes) => outcomes.remove(0).1,
        report @ TuneReport::SwitchedOff(_) => panic!("{report:?}"),
    }
}

pub async fn draft(store: &Store) -> Policy {
    let all = store.policies(Some("router-core")).await.unwrap();
    let mut drafts: Vec<Policy> =
        all.into_iter().filter(|it| it.status == PolicyStatus::Draft).collect();
    assert_eq!(drafts.len(), 1, "one open draft");
    drafts.remove(0)
}

#[tokio::test]
async fn a_draft_by_belief_comes_before_proof_says_so_and_is_renewed_in_place() {
    let store = believing_store(|_| ()).await;
    let rates = [("gpt-5", 6), ("gemini", 8), ("claude", 7)];
    let first = hour(&store, 0, &rates).await;
    let TuneOutcome::Proposed { key: drafted, notes, .. } = &first else { panic!("{first:?}") };
    assert!(notes.contains("Belief, which moves weights and proves nothing"), "{notes}");
    assert!(notes.contains("gpt-5 0.600 → 0.5"), "{notes}");
    assert!(notes.contains("Proven: nothing yet."), "{notes}");
    let before = draft(&store).await;
    let belief = &before.evidence.as_ref().unwrap()["belief"];
    assert_eq!(belief["cause"], "learn");
    assert!(belief["arms"]["gemini"]["probabilityBest"].as_f64().unwrap() > 0.5, "{belief}");
    // Another arm turns out to be the best: the same draft follows.
    let rates = [("gpt-5", 6), ("gemini", 2), ("claude", 10)];
    for number in 1..4 {
        hour(&store, number, &rates).await;
    }
    let after = draft(&store).await;
    assert_eq!((&after.version, &after.created_by), (&drafted.version, &before.created_by));
    assert!(weight(&after, "claude") > weight(&before, "claude"), "{after:?}");
    let stored = store.decision(drafted).await.unwrap().unwrap();
    assert_eq!(replay(&after, &stored), Vec::<String>::new());
    // A person who saw the first draft does not activate the second one.
    let seen = |policy: &Policy| policy.evidence_digest().map(str::to_owned);
    let stale = ada().having_seen(seen(&before));
    let refused = store.activate(drafted, false, &stale).await.unwrap_err();
    assert!(matches!(refused, ChangeError::Renewed(_)), "{refused}");
    store.activate(drafted, false, &ada().having_seen(seen(&after))).await.unwrap();
    assert_eq!(weight(&active(&store).await, "claude"), weight(&after, "claude"));
    assert_sound(&store, "router-core", "after an activation of a renewed draft").await;
}

#[tokio::test]
async fn a_draft_that_a_person_changed_is_not_renewed() {
    let store = believing_store(|_| ()).await;
    hour(&store, 0, &[("gpt-5", 6), ("gemini", 8), ("claude", 7)]).await;
    let name = draft(&store).await.name();
    let mut by_hand = document(&store, collection::POLICIES, &name).await.unwrap();
    by_hand["params"]["modelWeights"] = json!({ "gpt-5": 0.2, "gemini": 0.4, "claude": 0.4 });
    put(&store, collection::POLICIES, &name, fields(&Value::Object(by_hand))).await;
    for number in 1..4 {
        hour(&store, number, &[("gpt-5", 6), ("gemini", 2), ("claude", 10)]).await;
    }
    assert_eq!(weight(&draft(&store).await, "gpt-5"), 0.2);
    store.reject(&key(&name), &Intent::new("ada", START + 5 * HOUR_MS)).await.unwrap();
}

#[tokio::test]
async fn with_the_flag_on_traffic_leaves_an_arm_that_fails_and_every_version_replays() {
    let store = believing_store(|policy| {
        policy["maxAutoActivationsPerDay"] = json!(24);
        policy["stepBound"] = json!(0.2);
    })
    .await;
    let changes = FlagChanges { auto_activate_policies: Some(true), ..FlagChanges::default() };
    store.set_flags(changes, &ada()).await.unwrap();
    for number in 0..6 {
        hour(&store, number, &[("gpt-5", 9), ("gemini", 5), ("claude", 6)]).await;
    }
    let best = weight(&active(&store).await, "gpt-5");
    assert!(best > 0.75, "{best}");
    for number in 6..12 {
        hour(&store, number, &[("gpt-5", 1), ("gemini", 5), ("claude", 6)]).await;
    }
    let left = active(&store).await;
    assert!(weight(&left, "gpt-5") < 0.3, "{:?}", left.params);
    let mut replayed = 0;
    for policy in store.policies(Some("router-core")).await.unwrap() {
        if let Some(input) = store.decision(&key(&policy.name())).await.unwrap() {
            assert_eq!(replay(&policy, &input), Vec::<String>::new(), "{}", policy.name());
            replayed += 1;
        }
    }
    assert!((3..=12).contains(&replayed), "{replayed} versions");
    let causes: Vec<Value> = store
        .policies(Some("router-core"))
        .await
        .unwrap()
        .iter()
        .filter_map(|it| Some(it.evidence.as_ref()?["belief"]["cause"].clone()))
        .collect();
    assert!(causes.contains(&json!("change")), "{causes:?}");
    assert_sound(&store, "router-core", "after twelve hours").await;
}

#[tokio::test]
async fn without_new_observations_weights_move_once() {
    let store = believing_store(|policy| policy["maxAutoActivationsPerDay"] = json!(24)).await;
    let changes = FlagChanges { auto_activate_policies: Some(true), ..FlagChanges::default() };
    store.set_flags(changes, &ada()).await.unwrap();
    hour(&store, 0, &[("gpt-5", 2), ("gemini", 9), ("claude", 2)]).await;
    let once = active(&store).await;
    for pass in 0..3 {
        tune(&store, START + HOUR_MS + pass).await;
    }
    assert_eq!(active(&store).await.version, once.version);
}

#[tokio::test]
async fn a_proof_is_required_where_config_says_so() {
    let store = believing_store(|policy| policy["allocation"] = json!("proof")).await;
    let outcome = hour(&store, 0, &[("gpt-5", 6), ("gemini", 8), ("claude", 7)]).await;
    let TuneOutcome::NoChange(reason) = &outcome else { panic!("{outcome:?}") };
    assert!(reason.to_string().contains("nothing proven"), "{reason}");
}

pub fn arm_range(min: f64, max: f64) -> WeightRange {
    WeightRange { min, max }
}

/// Approves an envelope around the active version, with auto-activation on.
pub async fn approve(store: &Store, terms: EnvelopeTerms) {
    let changes = FlagChanges { auto_activate_policies: Some(true), ..FlagChanges::default() };
    store.set_flags(changes, &ada()).await.unwrap();
    store.approve_envelope("router-core", &terms, &ada()).await.unwrap();
}

#[tokio::test]
async fn within_an_envelope_the_tuner_publishes_and_outside_it_drafts() {
    let store = believing_store(|policy| policy["maxAutoActivationsPerDay"] = json!(1)).await;
    let arms = [("gpt-5".to_owned(), arm_range(0.4, 0.7))].into();
    approve(&store, EnvelopeTerms { arms, step_bound: 0.2, ..EnvelopeTerms::default() }).await;
    let rates = [("gpt-5", 2), ("gemini", 9), ("claude", 5)];
    for number in 0..5 {
        hour(&store, number, &rates).await;
    }
    let held = active(&store).await;
    assert!((weight(&held, "gpt-5") - 0.4).abs() < 2e-3, "the minimum holds: {:?}", held.params);
    let notes = held.notes.clone().unwrap_or_default();
    assert!(notes.contains("gpt-5 is at its approved minimum 0.400"), "{notes}");
    let shown = store.envelope("router-core").await.unwrap().unwrap();
    assert_eq!((shown.number, shown.parent.as_str(), shown.frozen), (1, "1.0.0", None));
    // More than config/tuning allows in a day, and each with an audit entry of its own.
    let trail = store.trail("router-core", None).await.unwrap();
    let by_tuner = trail.iter().filter(|it| it.entry.action == "activate").count();
    assert!(by_tuner >= 2, "{by_tuner}");
    assert!(trail.iter().any(|it| it.entry.action == "envelopeApprove"));
    // Frozen, it only drafts.
    let frozen = Intent::new("ada", START + 5 * HOUR_MS).because("holidays");
    store.freeze_envelope("router-core", &frozen).await.unwrap();
    let version = held.version.clone();
    let outcome = hour(&store, 6, &[("gpt-5", 0), ("gemini", 9), ("claude", 9)]).await;
    assert!(outcome.to_string().contains("frozen: holidays"), "{outcome}");
    assert_eq!(active(&store).await.version, version);
    assert_sound(&store, "router-core", "after an envelope").await;
}

#[tokio::test]
async fn an_envelope_allows_so_many_versions_an_hour_and_expires() {
    let store = believing_store(|policy| policy["minHoursBetweenSteps"] = json!(0)).await;
    let terms = EnvelopeTerms { hours: 3, versions_a_day: 2, ..EnvelopeTerms::default() };
    approve(&store, terms).await;
    let rates = [("gpt-5", 2), ("gemini", 9), ("claude", 5)];
    let mut refusals = Vec::new();
    for number in 0..6 {
        refusals.push(hour(&store, number, &rates).await.to_string());
    }
    let refusals = refusals.join("\n");
    assert!(
        refusals.contains("in the last 24 hours, and the envelope allows no more"),
        "{refusals}"
    );
    assert!(refusals.contains("envelope router-core@1 expired"), "{refusals}");
}

#[tokio::test]
async fn a_spent_regret_budget_leaves_versions_to_people() {
    let store = believing_store(|_| ()).await;
    let budget = EnvelopeTerms { regret_budget: Some(5.0), ..EnvelopeTerms::default() };
    approve(&store, budget).await;
    let outcome = hour(&store, 0, &[("gpt-5", 2), ("gemini", 9), ("claude", 5)]).await.to_string();
    assert!(outcome.contains("the regret budget of envelope router-core@1 is spent"), "{outcome}");
    assert_eq!(active(&store).await.version.to_string(), "1.0.0");
}

#[tokio::test]
async fn a_holdback_stays_on_its_version_while_others_are_published() {
    let store = believing_store(|_| ()).await;
    approve(&store, EnvelopeTerms { holdback: 0.1, ..EnvelopeTerms::default() }).await;
    hour(&store, 0, &[("gpt-5", 2), ("gemini", 9), ("claude", 5)]).await;
    let published = active(&store).await;
    assert_eq!(published.version.to_string(), "1.0.1");
    let units: Vec<String> = (0..2_000).map(|unit| format!("user-{unit}")).collect();
    let held = units.iter().filter(|it| published.choose(it).0.to_string() == "1.0.0").count();
    assert!((150..=250).contains(&held), "{held} of 2,000 units stay");
    let (_, params) =
        published.choose(units.iter().find(|it| published.choose(it).0.patch == 0).unwrap());
    assert_eq!(params.model_weights().unwrap().unwrap()["gpt-5"], 0.6);
    // The field moves with a rollback, and ends with the next envelope.
    store.roll_back("router-core", None, &ada()).await.unwrap();
    assert!(active(&store).await.holdback.is_some());
    store.approve_envelope("router-core", &EnvelopeTerms::default(), &ada()).await.unwrap();
    assert_eq!(active(&store).await.holdback, None);
    assert_sound(&store, "router-core", "after a holdback").await;
}

#[tokio::test]
async fn an_envelope_that_no_weights_respect_is_refused() {
    let store = believing_store(|_| ()).await;
    let arms = [("gpt-6".to_owned(), arm_range(0.0, 0.5))].into();
    let terms = EnvelopeTerms { arms, ..EnvelopeTerms::default() };
    let refused = store.approve_envelope("router-core", &terms, &ada()).await.unwrap_err();
    assert!(refused.to_string().contains("gpt-6 is not an arm"), "{refused}");
    let freeze = ada().because("no reason to");
    let refused = store.freeze_envelope("router-core", &freeze).await.unwrap_err();
    assert!(refused.to_string().contains("router-core has no envelope"), "{refused}");
}

#[tokio::test]
async fn a_holdback_that_is_proven_to_earn_more_freezes_the_envelope() {
    let store = believing_store(|policy| policy["minHoursBetweenSteps"] = json!(0)).await;
    approve(&store, EnvelopeTerms { holdback: 0.1, ..EnvelopeTerms::default() }).await;
    hour(&store, 0, &[("gpt-5", 2), ("gemini", 9), ("claude", 5)]).await;
    // What was published fails for a reason that the weights do not show, and the holdback does not.
    let act = async |version: &str, n: i64, of_ten: i64, start: i64| {
        let policy = store.policy(&key(&format!("router-core@{version}"))).await.unwrap().unwrap();
        let weights = policy.params.model_weights().unwrap().unwrap();
        for number in 0..n {
            // Evenly spread, so that the arms follow the weights.
            let arm = draw_arm(&weights, share(number * 7 % n, n)).unwrap();
            let good = number % 10 < of_ten;
            let observation = NewObservation {
                ts: Some(start + number),
                policy_version: Some(format!("router-core@{version}")),
                ..NewObservation::new(
                    format!("router:{}", arm.name),
                    if good { Outcome::Success } else { Outcome::Failure },
                    200.0,
                )
            };
            record_observation(store.db(), observation, start).await.unwrap();
        }
    };
    act("1.0.0", 300, 9, START + HOUR_MS).await;
    act("1.0.1", 300, 3, START + HOUR_MS + 1_000).await;
    let outcome = hour(&store, 2, &[("gpt-5", 2), ("gemini", 9), ("claude", 5)]).await.to_string();
    assert!(outcome.contains("the holdback on 1.0.0 is proven to earn more"), "{outcome}");
    let frozen = store.envelope("router-core").await.unwrap().unwrap().frozen.unwrap();
    assert!(frozen.contains("proven to earn more than what was published"), "{frozen}");
    assert_eq!(active(&store).await.version.to_string(), "1.0.1");
    assert_sound(&store, "router-core", "after a freeze").await;
}
