//! Decisions through the pages: each does what its confirmation showed, and is audited.

use f0_learning_core::observation::Outcome;
use f0_learning_core::policy::PolicyStatus;
use serde_json::json;

use super::browser::{Browser, hidden, tags};
use super::busy_store;
use crate::collection;
use crate::support::http::Service;
use crate::support::{
    START, assert_sound, document, draft, fields, put, record, score, seeded_store, statuses,
};
use f0_learning::store::{AuditFilter, Store};

const POLICY: &str = "/policies/router-core";

async fn status(store: &Store, version: &str) -> PolicyStatus {
    statuses(store, "router-core").await[&version.parse().unwrap()]
}

/// The latest entry of the audit trail: action, actor's name and reason.
async fn latest(store: &Store) -> (String, Option<String>, Option<String>) {
    let page = store.audit(&AuditFilter::default(), 50).await.unwrap();
    let last = page.into_iter().max_by_key(|it| it.committed_us).unwrap().entry;
    (last.action, last.actor_name, last.reason)
}

fn entry(action: &str, reason: &str) -> (String, Option<String>, Option<String>) {
    (action.to_owned(), Some("Ada".to_owned()), Some(reason.to_owned()))
}

#[tokio::test]
async fn a_decision_that_is_not_possible_has_no_form() {
    let store = seeded_store().await;
    let key = draft(&store, "1.0.1", "1.0.0").await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    let ada = f0_learning_core::intent::Intent::new("ada", START);
    store.start_experiment(&key, &Default::default(), &ada).await.unwrap();
    let activate = format!("{POLICY}/decide?action=activate&version=1.0.1");
    let confirmation = browser.ok(&activate).await;
    assert!(confirmation.contains("stops the test without a result"), "{confirmation}");
    store.reject(&key, &ada).await.unwrap();
    for action in ["activate", "reject", "rollback"] {
        let refused = browser.get(&format!("{POLICY}/decide?action={action}&version=1.0.1")).await;
        assert_eq!(refused.status, 409, "{action}");
        assert!(refused.html.contains("1.0.1 is rejected"), "{action}: {}", refused.html);
        assert!(!refused.html.contains("name=\"reason\""), "{action}: {}", refused.html);
    }
    let shown = browser.ok(POLICY).await;
    assert!(
        !shown.contains("Measured</dt>"),
        "a version that was never active has no effect: {shown}"
    );
}

#[tokio::test]
async fn an_unknown_path_is_a_page_for_a_browser_and_a_problem_for_others() {
    let service = Service::with_token(&seeded_store().await).await;
    let browser = Browser::admin(&service).await;
    let accept = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";
    let page = browser.get_with("/nosuch", &[("accept", accept)]).await;
    assert_eq!((page.status, page.header("content-type")), (404, "text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    assert!(page.html.contains("unknown path /nosuch"), "{}", page.html);
    for accept in ["*/*", "application/json"] {
        let problem = browser.get_with("/nosuch", &[("accept", accept)]).await;
        assert_eq!(problem.header("content-type"), "application/problem+json", "{accept}");
    }
}

#[tokio::test]
async fn each_decision_changes_the_store_and_the_audit_trail() {
    let store = busy_store().await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;

    let shown = browser.ok(POLICY).await;
    assert!(shown.contains("Draft: 1.0.1") && shown.contains("Expected gain"), "{shown}");
    let activate = format!("{POLICY}/decide?action=activate&version=1.0.1");
    let confirmation = browser.ok(&activate).await;
    for part in ["modelWeights.gpt-5", "is watched", "router-core@1.0.1 replaces 1.0.0"] {
        assert!(confirmation.contains(part), "{part} in {confirmation}");
    }
    let done = browser.decide(&activate, "it is better").await;
    assert_eq!(
        (done.status, done.header("location")),
        (303, "/policies/router-core?done=activate")
    );
    assert_eq!(status(&store, "1.0.1").await, PolicyStatus::Active);
    assert_eq!(latest(&store).await, entry("activate", "it is better"));
    assert!(browser.ok("/policies/router-core?done=activate").await.contains("role=\"status\""));

    let rollback = format!("{POLICY}/decide?action=rollback&version=1.0.0");
    assert_eq!(browser.decide(&rollback, "too soon").await.status, 303);
    assert_eq!(status(&store, "1.0.0").await, PolicyStatus::Active);
    assert_eq!(latest(&store).await, entry("rollback", "too soon"));
    // A version that the guard rolled back is not what the next rollback restores, and a person is
    // warned.
    let mut worse = document(&store, collection::POLICIES, "router-core@1.0.1").await.unwrap();
    worse.insert("rolledBackAt".to_owned(), json!(START));
    put(&store, collection::POLICIES, "router-core@1.0.1", fields(&json!(worse))).await;
    let again = format!("{POLICY}/decide?action=rollback&version=1.0.1");
    let button = format!("class=\"button\" href=\"{}\"", again.replace('&', "&amp;"));
    assert!(!browser.ok(POLICY).await.contains(&button));
    assert!(browser.ok(&again).await.contains("The guard rolled this version back at"));

    draft(&store, "1.0.5", "1.0.0").await;
    let reject = format!("{POLICY}/decide?action=reject&version=1.0.5");
    assert_eq!(browser.decide(&reject, "no").await.status, 303);
    assert_eq!(status(&store, "1.0.5").await, PolicyStatus::Rejected);
    assert_eq!(latest(&store).await, entry("reject", "no"));

    let pin = format!("{POLICY}/decide?action=pin");
    assert_eq!(browser.decide(&pin, "").await.status, 422, "a pin needs a reason");
    assert_eq!(browser.decide(&pin, "a launch").await.status, 303);
    assert!(browser.ok(POLICY).await.contains("a launch"));
    assert_eq!(latest(&store).await, entry("pin", "a launch"));
    assert_eq!(browser.decide(&format!("{POLICY}/decide?action=unpin"), "over").await.status, 303);
    assert_eq!(latest(&store).await, entry("unpin", "over"));
    assert_sound(&store, "router-core", "after the decisions of this test").await;
}

#[tokio::test]
async fn weights_written_by_hand_must_add_up_to_one() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    let form = browser.ok(&format!("{POLICY}/override")).await;
    assert_eq!(tags(&form, "input").iter().filter(|it| it.contains("type=\"number\"")).count(), 3);
    let path = |gemini: &str| {
        format!(
            "{POLICY}/decide?action=override&parent=1.0.0&weight%3Agpt-5=0.25&\
             weight%3Agemini={gemini}&weight%3Aclaude=0.25"
        )
    };
    for wrong in ["0.6", "-0.5", "many", "NaN"] {
        assert_eq!(browser.get(&path(wrong)).await.status, 422, "{wrong}");
    }
    let confirmation = browser.ok(&path("0.5")).await;
    assert!(confirmation.contains("modelWeights.gemini"), "{confirmation}");
    assert_eq!(browser.decide(&path("0.5"), "by hand").await.status, 303);
    assert_eq!(latest(&store).await, entry("override", "by hand"));
    let active = store.active_policies().await.unwrap().remove(0);
    assert_eq!(active.params.model_weights().unwrap().unwrap()["gemini"], 0.5);

    // The form was made for 1.0.0, which another version replaced.
    assert_eq!(browser.get(&path("0.5")).await.status, 422, "nothing would change");
    let other = path("0.5").replace("gpt-5=0.25", "gpt-5=0.3").replace("claude=0.25", "claude=0.2");
    let stale = browser.decide(&other, "again").await;
    assert_eq!(stale.status, 409, "{}", stale.html);
    assert!(stale.html.contains("expected 1.0.0"), "{}", stale.html);
}

#[tokio::test]
async fn a_form_that_is_sent_twice_changes_one_thing_once() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    let form = hidden(&browser.ok("/flags?flag=learning.enabled&to=false").await);
    for _ in 0..2 {
        let done = browser.post("/flags", &form).await;
        assert_eq!((done.status, done.header("location")), (303, "/?done=flags"));
    }
    let filter = AuditFilter { action: Some("flags".to_owned()), ..AuditFilter::default() };
    assert_eq!(store.audit(&filter, 10).await.unwrap().len(), 1);
    let other: Vec<_> = form
        .into_iter()
        .map(|(name, value)| if name == "to" { (name, "true".to_owned()) } else { (name, value) })
        .collect();
    assert_eq!(browser.post("/flags", &other).await.status, 422, "the key is of another form");
    assert!(!store.flags().await.unwrap().tuning_enabled());
    assert!(browser.ok("/").await.contains("Turn on"));
}

#[tokio::test]
async fn a_draft_that_was_renewed_since_it_was_shown_is_not_activated() {
    let store = busy_store().await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    let path = format!("{POLICY}/decide?action=activate&version=1.0.1");
    let form = hidden(&browser.ok(&path).await);
    let id = "router-core@1.0.1";
    let mut renewed = document(&store, collection::POLICIES, id).await.unwrap();
    renewed["evidence"]["digest"] = json!("another");
    put(&store, collection::POLICIES, id, fields(&json!(renewed))).await;
    let refused = browser.post(&format!("{POLICY}/decide"), &form).await;
    assert_eq!(refused.status, 409);
    assert!(refused.html.contains("was renewed since it was shown"), "{}", refused.html);
    assert_eq!(status(&store, "1.0.1").await, PolicyStatus::Draft);
}

#[tokio::test]
async fn a_draft_of_another_parent_is_activated_only_if_the_admin_insists() {
    let store = seeded_store().await;
    for version in ["1.0.1", "1.0.2"] {
        draft(&store, version, "1.0.0").await;
    }
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    let path = |version: &str| format!("{POLICY}/decide?action=activate&version={version}");
    assert_eq!(browser.decide(&path("1.0.1"), "first").await.status, 303);
    let page = browser.ok(&path("1.0.2")).await;
    assert!(page.contains("Activate it although its parent 1.0.0"), "{page}");
    assert_eq!(browser.decide(&path("1.0.2"), "second").await.status, 409);
    let mut form = hidden(&page);
    form.push(("force".to_owned(), "yes".to_owned()));
    assert_eq!(browser.post(&format!("{POLICY}/decide"), &form).await.status, 303);
    assert_eq!(status(&store, "1.0.2").await, PolicyStatus::Active);
}

#[tokio::test]
async fn an_experiment_is_stopped_and_observations_are_requeued() {
    let store = busy_store().await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    let activate = format!("{POLICY}/decide?action=activate&version=1.0.1");
    assert_eq!(browser.decide(&activate, "watch it").await.status, 303);
    let id = store.open_experiments().await.unwrap().remove(0).id;
    assert!(browser.ok("/experiments").await.contains(&format!("/experiments/{id}/stop")));
    assert_eq!(browser.decide(&format!("/experiments/{id}/stop"), "enough").await.status, 303);
    assert!(store.open_experiments().await.unwrap().is_empty());
    assert_eq!(browser.get("/experiments/none/stop").await.status, 404);

    let invalid = json!({ "ts": START, "component": "a", "outcome": "maybe", "durationMs": 1 });
    put(&store, collection::OBSERVATIONS, "o1", fields(&invalid)).await;
    record(&store, "a", Outcome::Success, 100.0, START).await;
    score(&store, START + 1_000).await;
    let page = browser.ok("/quarantine").await;
    assert!(page.contains("o1") && page.contains("1 observation on this page"), "{page}");
    let still = browser.decide("/quarantine", "").await;
    assert_eq!(still.header("location"), "/quarantine?requeued=0&of=1");
    let valid = json!({ "ts": START, "component": "a", "outcome": "success", "durationMs": 1 });
    put(&store, collection::OBSERVATIONS, "o1", fields(&valid)).await;
    let released = browser.decide("/quarantine", "").await;
    assert_eq!(released.header("location"), "/quarantine?requeued=1&of=1");
    assert!(browser.ok("/quarantine").await.contains("No observation is in quarantine"));
}
