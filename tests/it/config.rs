//! `/ops/config`: whole documents of `config`, checked, previewed and changed once.

use f0_learning::store::{AuditFilter, ChangeError, ConfigDocument, Store};
use f0_learning_core::observation::Outcome;
use f0_learning_core::time::DAY_MS;
use reqwest::Method;
use serde_json::{Value, json};

use crate::collection;
use crate::support::http::{Answer, Service, TOKEN, answer};
use crate::support::{START, ada, document, fields, put, put_arm, record, score, seeded_store};

async fn change(service: &Service, path: &str, body: &Value) -> Answer {
    let path = format!("/ops/config/{path}");
    let request = service.request(Method::PUT, &path).bearer_auth(TOKEN);
    answer(request.body(body.to_string())).await
}

/// The content of a document, and the name of its state.
async fn shown(service: &Service, name: &str) -> (Value, String) {
    let found = service.get(&format!("/ops/config/{name}")).await.ok();
    (found["content"].clone(), found["seen"].as_str().unwrap().to_owned())
}

async fn trail(store: &Store) -> Vec<(String, String)> {
    let found = store.audit(&AuditFilter::default(), 10).await.unwrap();
    found.into_iter().map(|it| (it.entry.action, it.entry.id)).collect()
}

#[tokio::test]
async fn a_preview_of_young_data_samples_all_of_its_time() {
    let store = seeded_store().await;
    // Two hundred observations in a few minutes: more than the first fifty of one part of a week.
    for n in 0..200 {
        let component = if n < 100 { "router:gpt-5" } else { "router:claude" };
        record(&store, component, Outcome::Success, 0.0, START - (200 - n) * 1_000).await;
    }
    let service = Service::with_token(&store).await;
    let (content, seen) = shown(&service, "reward_config").await;
    let asked = json!({ "content": content, "seen": seen });
    let found = change(&service, "reward_config?preview=true", &asked).await.ok();
    let rewards = &found["preview"]["rewards"];
    let components = rewards["components"].as_array().unwrap();
    let of =
        |name: &str| components.iter().find(|it| it["component"] == name).unwrap()["n"].as_u64();
    assert!(of("router:gpt-5").unwrap() > 90 && of("router:claude").unwrap() > 90, "{found}");
    assert_eq!(rewards["since"], START - 200_000);
}

#[tokio::test]
async fn a_preview_scores_the_last_week_again_and_changes_nothing() {
    let store = seeded_store().await;
    for hours in [1, 20, 6 * 24, 8 * 24] {
        record(&store, "router:gpt-5", Outcome::Success, 0.0, START - hours * DAY_MS / 24).await;
    }
    record(&store, "router:claude", Outcome::Failure, 0.0, START - DAY_MS).await;
    score(&store, START).await;
    let service = Service::with_token(&store).await;
    let (mut content, seen) = shown(&service, "reward_config").await;
    content["weights"]["success"] = json!(0.35);
    let body = json!({ "content": content, "seen": seen });
    let found = change(&service, "reward_config?preview=true", &body).await.ok();
    let preview = &found["preview"];
    assert_eq!(preview["changes"][0]["path"], "weights.success");
    assert_eq!(
        (&preview["changes"][0]["from"], &preview["changes"][0]["to"]),
        (&json!(0.6), &json!(0.35))
    );
    assert_eq!(preview["rewards"]["n"], 4, "the fifth is older than a week");
    let of = |name: &str| {
        let all = preview["rewards"]["components"].as_array().unwrap();
        all.iter().find(|it| it["component"] == name).unwrap().clone()
    };
    let (gpt, claude) = (of("router:gpt-5"), of("router:claude"));
    assert_eq!((&gpt["n"], &gpt["before"], &gpt["after"]), (&json!(3), &json!(0.85), &json!(0.6)));
    assert_eq!((&claude["before"], &claude["after"]), (&json!(0.0), &json!(0.0)));
    let notes = preview["notes"].to_string();
    assert!(notes.contains("starts again") && notes.contains("Rewards record only the version"));
    assert!(found.get("auditId").is_none());
    assert_eq!(shown(&service, "reward_config").await.1, seen);
    assert_eq!(trail(&store).await.len(), 1, "only the seed's entry");
}

#[tokio::test]
async fn a_preview_of_tuning_decides_again_under_both_configurations() {
    let store = seeded_store().await;
    for (arm, reward) in [("gpt-5", 0.45), ("gemini", 0.8), ("claude", 0.75)] {
        put_arm(&store, arm, reward, 1_000).await;
    }
    let service = Service::with_token(&store).await;
    let (mut content, _) = shown(&service, "tuning").await;
    content["policies"]["router-core"]["stepBound"] = json!(0.2);
    let found = change(&service, "tuning?preview=true", &json!({ "content": content })).await.ok();
    let policy = &found["preview"]["tuning"]["policies"][0];
    assert_eq!((&policy["policy"], &policy["version"]), (&json!("router-core"), &json!("1.0.0")));
    let fall = |side: &str| {
        policy["weights"]["gpt-5"].as_f64().unwrap()
            - policy[side]["weights"]["gpt-5"].as_f64().unwrap()
    };
    assert!((0.09..=0.1).contains(&fall("before")), "{policy}");
    assert!((0.19..=0.2).contains(&fall("after")), "{policy}");
    content["policies"]["router-core"]["minSamples"] = json!(100_000);
    let found = change(&service, "tuning?preview=true", &json!({ "content": content })).await.ok();
    let after = &found["preview"]["tuning"]["policies"][0]["after"];
    assert!(after["reason"].as_str().unwrap().contains("too few"), "{after}");
    content["policies"] = json!({});
    let found = change(&service, "tuning?preview=true", &json!({ "content": content })).await.ok();
    assert_eq!(found["preview"]["tuning"]["policies"][0]["after"]["reason"], "it is not tuned");
}

#[tokio::test]
async fn a_change_is_one_commit_with_its_entry_over_the_state_that_was_seen() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    let (mut content, seen) = shown(&service, "tuning").await;
    content["guard"]["watchHours"] = json!(48);
    let body = json!({ "content": content, "seen": seen, "reason": "longer watches" });
    let made = change(&service, "tuning", &body).await.ok();
    assert_eq!(store.tuning_config().await.unwrap().guard.watch_hours, 48);
    assert_eq!(made["config"]["content"]["guard"]["watchHours"], 48);
    let entry = &store.audit(&AuditFilter::default(), 1).await.unwrap()[0];
    assert_eq!(made["auditId"], entry.audit_id.as_str());
    assert_eq!(entry.entry.reason.as_deref(), Some("longer watches"));
    assert_eq!(trail(&store).await[0], ("config".to_owned(), "config/tuning".to_owned()));
    let evidence = entry.entry.evidence.clone().unwrap();
    let expected = json!([{ "path": "guard.watchHours", "from": 24, "to": 48 }]);
    assert_eq!(evidence["changes"], expected);

    content["guard"]["watchHours"] = json!(72);
    let body = json!({ "content": content, "seen": seen });
    for path in ["tuning", "tuning?preview=true"] {
        let stale = change(&service, path, &body).await.problem(409);
        assert!(stale.contains("config/tuning was changed since it was shown"), "{stale}");
    }
    let same = json!({ "content": made["config"]["content"] });
    assert!(change(&service, "tuning", &same).await.problem(409).contains("already has"));
    assert_eq!(store.tuning_config().await.unwrap().guard.watch_hours, 48);
}

#[tokio::test]
async fn a_repeated_request_with_a_key_changes_a_document_once() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    let (mut content, seen) = shown(&service, "tuning").await;
    content["version"] = json!("2");
    let body = json!({ "content": content, "seen": seen }).to_string();
    let send = || {
        let request = service.request(Method::PUT, "/ops/config/tuning").bearer_auth(TOKEN);
        answer(request.header("idempotency-key", "k").body(body.clone()))
    };
    let (first, second) = (send().await.ok(), send().await.ok());
    assert_eq!((&first["replayed"], &second["replayed"]), (&json!(false), &json!(true)));
    assert_eq!(first["auditId"], second["auditId"]);
}

#[tokio::test]
async fn what_the_service_could_not_read_is_refused_with_its_path() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    let before = shown(&service, "tuning").await.1;
    let broken =
        json!({ "content": { "policies": { "a": { "component": "x:{arm}", "stepBond": 1 } } } });
    for path in ["tuning", "tuning?preview=true"] {
        let why = change(&service, path, &broken).await.problem(422);
        assert!(why.contains("policies.a.stepBond") && why.contains("did you mean"), "{why}");
    }
    let rewards = json!({ "content": { "version": "1" } });
    change(&service, "reward_config", &rewards).await.problem(422);
    let shards = json!({ "content": { "shards": 1_001 } });
    change(&service, "scoring", &shards).await.problem(422);
    change(&service, "other", &broken).await.problem(404);
    assert_eq!(shown(&service, "tuning").await.1, before);
    assert_eq!(trail(&store).await.len(), 1);
}

#[tokio::test]
async fn a_document_that_cannot_be_read_is_shown_and_can_be_replaced() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    put(&store, collection::CONFIG, "flags", fields(&json!({ "learning": 1, "theirs": 2 }))).await;
    let found = service.get("/ops/config/flags").await.ok();
    assert!(found["problem"].as_str().unwrap().contains("invalid config/flags"), "{found}");
    let content = json!({
        "learning": { "enabled": true, "autoActivatePolicies": false }, "theirs": 2,
    });
    change(&service, "flags", &json!({ "content": content, "seen": found["seen"] })).await.ok();
    assert!(store.flags().await.unwrap().tuning_enabled());
    assert_eq!(trail(&store).await[0], ("flags".to_owned(), "flags".to_owned()));
    assert_eq!(document(&store, collection::CONFIG, "flags").await.unwrap()["theirs"], 2);
}

#[tokio::test]
async fn of_two_changes_from_the_same_state_one_is_made() {
    let store = seeded_store().await;
    let seen = store.config(ConfigDocument::Tuning).await.unwrap();
    let content = |hours: u32| {
        let mut content = seen.content.clone().unwrap();
        content["guard"]["watchHours"] = json!(hours);
        content
    };
    let (a, b) = (content(30), content(40));
    let (ada, second) = (ada(), ada());
    let made = tokio::join!(
        store.change_config(ConfigDocument::Tuning, &a, Some(&seen.seen), &ada),
        store.change_config(ConfigDocument::Tuning, &b, Some(&seen.seen), &second),
    );
    let ((Ok(_), Err(refused)) | (Err(refused), Ok(_))) = made else { panic!("{made:?}") };
    assert!(matches!(refused, ChangeError::ConfigMoved("config/tuning")), "{refused}");
    assert_eq!(trail(&store).await.len(), 2);
}
