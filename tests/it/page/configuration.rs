//! The configuration is changed in three steps: a form, a preview, and the change.

use f0_learning::store::{AuditFilter, ConfigDocument, Store};
use f0_learning_core::observation::Outcome;
use serde_json::json;

use super::browser::{Browser, Form, Page, attribute, hidden, tags};
use super::busy_store;
use crate::collection;
use crate::support::http::Service;
use crate::support::{START, fields, put, record, score, seeded_store};

const REWARDS: &str = "/configuration/reward_config";
const TUNING: &str = "/configuration/tuning";

/// The form of a document with these values entered.
async fn filled(browser: &Browser<'_>, path: &str, values: &[(&str, &str)]) -> Form {
    let html = browser.ok(path).await;
    let mut form = hidden(&html);
    let inputs = tags(&html, "input").into_iter().filter(|it| !it.contains("type=\"hidden\""));
    for input in inputs {
        form.push((attribute(input, "name").unwrap(), attribute(input, "value").unwrap()));
    }
    for (name, value) in values {
        form.retain(|(it, _)| it != name);
        form.push(((*name).to_owned(), (*value).to_owned()));
    }
    form
}

async fn preview(browser: &Browser<'_>, path: &str, values: &[(&str, &str)]) -> Page {
    let form = filled(browser, path, values).await;
    let path = path.split('?').next().unwrap();
    browser.post(&format!("{path}/preview"), &form).await
}

/// Sends the form of a preview.
async fn save(browser: &Browser<'_>, path: &str, preview: &Page, reason: &str) -> Page {
    assert_eq!(preview.status, 200, "{}", preview.html);
    let mut form = hidden(&preview.html);
    form.push(("reason".to_owned(), reason.to_owned()));
    browser.post(path, &form).await
}

async fn entries(store: &Store) -> Vec<(String, String, Option<String>)> {
    let found = store.audit(&AuditFilter::default(), 10).await.unwrap();
    found.into_iter().map(|it| (it.entry.action, it.entry.id, it.entry.reason)).collect()
}

#[tokio::test]
async fn a_reward_configuration_is_saved_after_its_effect_was_shown() {
    let store = seeded_store().await;
    record(&store, "router:gpt-5", Outcome::Success, 0.0, START - 1_000).await;
    score(&store, START).await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    let values = [("value:/weights/success", "0.35"), ("value:/version", "2.0.0")];
    let shown = preview(&browser, REWARDS, &values).await;
    for part in ["weights.success", "0.850", "0.600", "-0.250", "1 observation", "starts again"] {
        assert!(shown.html.contains(part), "{part} in {}", shown.html);
    }
    assert_eq!(store.reward_config().await.unwrap().version, "1.0.0", "a preview changes nothing");
    let done = save(&browser, REWARDS, &shown, "cheaper").await;
    assert_eq!((done.status, done.header("location")), (303, "/configuration?done=config"));
    let saved = store.reward_config().await.unwrap();
    assert_eq!((saved.version.as_str(), saved.weights.success), ("2.0.0", 0.35));
    let expected =
        ("config".to_owned(), "config/reward_config".to_owned(), Some("cheaper".to_owned()));
    assert_eq!(entries(&store).await[0], expected);
    assert!(browser.ok("/configuration").await.contains("2.0.0"));
}

#[tokio::test]
async fn the_tuner_decides_again_before_tuning_is_saved() {
    let store = busy_store().await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    let values = [("value:/policies/router-core/stepBound", "0.2")];
    let shown = preview(&browser, TUNING, &values).await;
    for part in
        ["What the tuner would propose now", "0.501", "0.401", "policies.router-core.stepBound"]
    {
        assert!(shown.html.contains(part), "{part} in {}", shown.html);
    }
    assert_eq!(save(&browser, TUNING, &shown, "").await.status, 303);
    let config = store.tuning_config().await.unwrap();
    assert_eq!(config.policies["router-core"].step_bound, 0.2);
}

#[tokio::test]
async fn what_someone_else_changed_meanwhile_is_not_overwritten() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    let values = [("value:/guard/watchHours", "30")];
    let (first, second) =
        (preview(&browser, TUNING, &values).await, preview(&browser, TUNING, &values).await);
    let late = filled(&browser, TUNING, &[("value:/guard/watchHours", "40")]).await;
    assert_eq!(save(&browser, TUNING, &first, "mine").await.status, 303);
    let refused = save(&browser, TUNING, &second, "also mine").await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.html.contains("config/tuning was changed since it was shown"),
        "{}",
        refused.html
    );
    let refused = browser.post(&format!("{TUNING}/preview"), &late).await;
    assert_eq!(refused.status, 409);
    assert_eq!(store.tuning_config().await.unwrap().guard.watch_hours, 30);
}

#[tokio::test]
async fn an_invalid_value_is_named_and_what_was_entered_is_kept() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    let refused = preview(&browser, REWARDS, &[("value:/weights/cost", "-7")]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.html.contains("weights.cost is -7, must be between"), "{}", refused.html);
    assert!(refused.html.contains("value=\"-7\""), "{}", refused.html);
    let by_json = format!("{TUNING}?as=json");
    for (text, why) in [("{", "invalid JSON"), ("{\"guard\":{\"alpha\":7}}", "guard.alpha is 7")] {
        let refused = preview(&browser, &by_json, &[("content", text)]).await;
        assert_eq!(refused.status, 422, "{text}");
        assert!(refused.html.contains(why), "{}", refused.html);
    }
    assert_eq!(entries(&store).await.len(), 1, "only the seed's");
}

#[tokio::test]
async fn flags_that_cannot_be_read_are_repaired_as_json() {
    let store = seeded_store().await;
    put(&store, collection::CONFIG, "flags", fields(&json!({ "learning": 1 }))).await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    let html = browser.ok("/configuration/flags").await;
    assert!(html.contains("invalid config/flags") && html.contains("<textarea"), "{html}");
    let text = r#"{"learning":{"enabled":false,"autoActivatePolicies":false}}"#;
    let shown = preview(&browser, "/configuration/flags", &[("content", text)]).await;
    assert!(shown.html.contains("All tuning is off"), "{}", shown.html);
    assert_eq!(save(&browser, "/configuration/flags", &shown, "").await.status, 303);
    let found = store.config(ConfigDocument::Flags).await.unwrap();
    assert_eq!(found.problem, None);
}
