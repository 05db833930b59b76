//! Envelopes, A/B tests and repairs from the page of a policy.

use f0_learning::store::AuditFilter;
use f0_learning_core::policy::PolicyStatus;
use serde_json::{Value, json};

use super::browser::{Browser, attribute, hidden, tags};
use super::busy_store;
use crate::collection;
use crate::support::http::Service;
use crate::support::{document, draft, fields, put, seeded_store, statuses};

const POLICY: &str = "/policies/router-core";

/// The confirmation of an envelope with the values of the form, and some of them changed.
async fn confirmation(browser: &Browser<'_>, changed: &[(&str, &str)]) -> String {
    let html = browser.ok(&format!("{POLICY}/envelope")).await;
    let mut form = hidden(&html);
    for input in tags(&html, "input").into_iter().filter(|it| it.contains("type=\"number\"")) {
        let name = attribute(input, "name").unwrap();
        let value =
            changed.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned());
        form.push((name, value.unwrap_or_else(|| attribute(input, "value").unwrap())));
    }
    form.retain(|(name, _)| name != "csrf" && name != "key");
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form).finish();
    format!("{POLICY}/decide?{query}")
}

#[tokio::test]
async fn an_envelope_is_approved_changed_frozen_and_unfrozen() {
    let store = busy_store().await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    assert!(browser.ok(POLICY).await.contains("Approve an envelope"));
    let approve = confirmation(&browser, &[("max:gpt-5", "0.7"), ("holdback", "0.1")]).await;
    let shown = browser.ok(&approve).await;
    assert!(shown.contains("0.020–0.700"), "{shown}");
    assert_eq!(browser.decide(&approve, "a range").await.status, 303);
    let envelope = store.envelope("router-core").await.unwrap().unwrap();
    assert_eq!((envelope.number, envelope.arms["gpt-5"].max, envelope.holdback), (1, 0.7, 0.1));
    assert_eq!(envelope.regret_budget, None, "an empty field is absent");
    let stale = browser.decide(&approve, "again").await;
    assert_eq!(stale.status, 409);
    assert!(stale.html.contains("was changed since it was shown"), "{}", stale.html);

    // The entries are told apart by their times.
    service.advance(1_000);
    let freeze = format!("{POLICY}/decide?action=freeze");
    assert_eq!(browser.decide(&freeze, "").await.status, 422, "a freeze needs a reason");
    assert_eq!(browser.decide(&freeze, "a launch").await.status, 303);
    let shown = browser.ok(POLICY).await;
    assert!(shown.contains("is frozen: a launch") && shown.contains("Unfreeze"), "{shown}");
    let again = confirmation(&browser, &[]).await;
    service.advance(1_000);
    assert_eq!(browser.decide(&again, "after the launch").await.status, 303);
    let envelope = store.envelope("router-core").await.unwrap().unwrap();
    assert_eq!((envelope.number, envelope.arms["gpt-5"].max, envelope.frozen), (2, 0.7, None));
    let found = store.audit(&AuditFilter::of("router-core"), 3).await.unwrap();
    let actions: Vec<_> = found.iter().map(|it| it.entry.action.as_str()).collect();
    assert_eq!(actions, ["envelopeApprove", "envelopeFreeze", "envelopeApprove"]);
}

#[tokio::test]
async fn terms_that_no_weights_respect_are_refused() {
    let store = busy_store().await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    for (changed, why) in [
        ([("max:gpt-5", "0.1"), ("max:gemini", "0.1"), ("max:claude", "0.1")], "no weights fit"),
        ([("floor", "0.9"), ("stepBound", "1"), ("hours", "1")], "floor is 0.9"),
    ] {
        let refused = browser.decide(&confirmation(&browser, &changed).await, "").await;
        assert_eq!(refused.status, 422, "{why}");
        assert!(refused.html.contains(why), "{}", refused.html);
    }
    let invalid = confirmation(&browser, &[("floor", "little")]).await;
    assert_eq!(browser.get(&invalid).await.status, 422);
    assert_eq!(store.envelope("router-core").await.unwrap(), None);
}

#[tokio::test]
async fn a_test_shows_what_it_is_expected_to_need_and_starts() {
    let store = busy_store().await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    let path = format!("{POLICY}/test?version=1.0.1&metric=successRate&minSamples=50");
    let shown = browser.ok(&path).await;
    assert!(shown.contains("Expected duration"), "{shown}");
    let started = browser.decide(&path, "to be sure").await;
    assert_eq!(started.header("location"), "/experiments?done=start", "{}", started.html);
    let found = store.experiments_list(None).await.unwrap().items;
    assert_eq!(found[0].guard.min_samples, 50);
    assert_eq!(
        (found[0].candidate.to_string(), found[0].metric.as_str()),
        ("1.0.1".to_owned(), "successRate")
    );
    let second = browser.decide(&path, "again").await;
    assert_eq!(second.status, 409, "the policy has a test");
    let cost = browser.decide(&format!("{POLICY}/test?version=1.0.1&metric=costUsd"), "").await;
    assert_eq!(cost.status, 422, "a test of costs needs minEffect");
    assert_eq!(browser.get(&format!("{POLICY}/test?version=1.0.1&metric=speed")).await.status, 422);
}

#[tokio::test]
async fn a_test_of_a_policy_whose_version_no_observation_names_is_warned_of() {
    let store = seeded_store().await;
    draft(&store, "1.0.1", "1.0.0").await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    let shown = browser.ok(&format!("{POLICY}/test?version=1.0.1")).await;
    assert!(shown.contains("candidate gets no units"), "{shown}");
}

#[tokio::test]
async fn a_policy_with_several_active_versions_is_repaired() {
    let store = busy_store().await;
    let mut second = document(&store, collection::POLICIES, "router-core@1.0.0").await.unwrap();
    second["version"] = json!("1.0.7");
    put(&store, collection::POLICIES, "router-core@1.0.7", fields(&Value::Object(second))).await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    assert!(browser.ok(POLICY).await.contains("Several versions are active"));
    let done = browser.decide(&format!("{POLICY}/decide?action=repair"), "two of them").await;
    assert_eq!(done.status, 303, "{}", done.html);
    let statuses = statuses(&store, "router-core").await;
    assert_eq!(statuses[&"1.0.7".parse().unwrap()], PolicyStatus::Active);
    assert_eq!(statuses[&"1.0.0".parse().unwrap()], PolicyStatus::Archived);
    assert!(!browser.ok(POLICY).await.contains("needs a repair"));
}

#[tokio::test]
async fn an_active_version_that_cannot_be_read_is_named_and_replaced_by_a_rollback() {
    let store = busy_store().await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    let activate = format!("{POLICY}/decide?action=activate&version=1.0.1");
    assert_eq!(browser.decide(&activate, "").await.status, 303);
    let mut broken = document(&store, collection::POLICIES, "router-core@1.0.1").await.unwrap();
    broken["createdAt"] = json!("yesterday");
    put(&store, collection::POLICIES, "router-core@1.0.1", fields(&Value::Object(broken))).await;
    let shown = browser.ok(POLICY).await;
    for part in [
        "router-core@1.0.1 is active but cannot be read",
        "cannot be read, so that nothing is tuned",
        "Roll back to 1.0.0",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let back = format!("{POLICY}/decide?action=rollback&version=1.0.0");
    let done = browser.decide(&back, "it is damaged").await;
    assert_eq!(done.status, 303, "{}", done.html);
    assert!(browser.ok(POLICY).await.contains("Active: 1.0.0"));
}
