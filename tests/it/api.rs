//! The API over HTTP: every transition, allowed and refused, and bad input of all kinds.

use crate::collection;
use f0_learning::jobs::JobReport;
use f0_learning::jobs::check::CheckReport;
use f0_learning::store::{AuditFilter, Store};
use f0_learning_core::policy::PolicyStatus;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::http::{Service, TOKEN, answer};
use crate::support::{START, assert_sound, draft, fields, key, put, seeded_store, statuses};

async fn status(store: &Store, version: &str) -> PolicyStatus {
    statuses(store, "router-core").await[&version.parse().unwrap()]
}

async fn entries(store: &Store) -> usize {
    store.audit(&AuditFilter::default(), 1_000).await.unwrap().len()
}

#[tokio::test]
async fn every_transition_answers_with_the_new_state_and_its_audit_id() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    for (version, parent) in [("1.0.1", "1.0.0"), ("1.0.2", "1.0.0")] {
        draft(&store, version, parent).await;
    }
    let asked = json!({ "id": "router-core", "version": "1.0.1", "reason": "it is better" });
    let done = service.post("/ops/policies/activate", &asked).await.ok();
    assert_eq!((&done["from"], &done["to"]), (&json!("1.0.0"), &json!("1.0.1")));
    assert_eq!(done["policy"]["status"], "active");
    let audit_id = done["auditId"].as_str().unwrap();
    let trail = store.audit(&AuditFilter::default(), 1).await.unwrap().remove(0);
    assert_eq!((trail.audit_id.as_str(), trail.entry.actor.as_str()), (audit_id, "admin-token"));
    assert_eq!(trail.entry.reason.as_deref(), Some("it is better"));

    let stale = json!({ "id": "router-core", "version": "1.0.2" });
    let problem = service.post("/ops/policies/activate", &stale).await.problem(409);
    assert!(problem.contains("gpt-5 0.6 → 0.5") && problem.contains("force"), "{problem}");
    let rejected = service.post("/ops/policies/reject", &stale).await.ok();
    assert_eq!(rejected["policy"]["status"], "rejected");
    service.post("/ops/policies/reject", &stale).await.problem(409);

    let asked =
        json!({ "id": "router-core", "set": { "cooldownMs": 1 }, "parentVersion": "1.0.1" });
    let done = service.post("/ops/policies/override", &asked).await.ok();
    assert_eq!(done["policy"]["params"]["cooldownMs"], 1);
    assert_eq!(done["policy"]["createdBy"], "admin-token");
    service.post("/ops/policies/override", &asked).await.problem(409);

    let pin = json!({ "id": "router-core", "reason": "a launch" });
    let done = service.post("/ops/policies/pin", &pin).await.ok();
    assert_eq!(done["policy"]["pinReason"], "a launch");
    service.post("/ops/policies/pin", &pin).await.problem(409);
    let named = json!({ "id": "router-core" });
    service.post("/ops/policies/unpin", &named).await.ok();
    service.post("/ops/policies/unpin", &named).await.problem(409);

    let done = service.post("/ops/policies/rollback", &named).await.ok();
    assert_eq!((&done["action"], &done["to"]), (&json!("rollback"), &json!("1.0.1")));
    service.post("/ops/policies/repair", &named).await.problem(409);
    let forced = json!({ "id": "router-core", "version": "1.0.4", "force": true });
    draft(&store, "1.0.4", "1.0.1").await;
    service.post("/ops/policies/rollback", &named).await.ok();
    let done = service.post("/ops/policies/activate", &forced).await.ok();
    assert_eq!(done["to"], "1.0.4");
    assert_sound(&store, "router-core", "after every transition over HTTP").await;
}

#[tokio::test]
async fn experiments_are_started_shown_and_stopped() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    draft(&store, "1.0.1", "1.0.0").await;
    let asked = json!({ "id": "router-core", "version": "1.0.1", "minEffect": 0.05 });
    let done = service.post("/ops/experiments/start", &asked).await.ok();
    let id = done["experiment"].as_str().unwrap();
    let active = service.get("/ops/policies/router-core").await.ok();
    assert_eq!(active["active"]["candidate"]["experiment"], json!(id));
    assert_eq!(active["active"]["candidate"]["share"], 0.1);
    service.post("/ops/experiments/start", &asked).await.problem(409);
    let shown = service.get(&format!("/ops/experiments/{id}")).await.ok();
    assert_eq!(shown["experiment"]["guard"]["minEffect"], 0.05);
    assert_eq!(shown["comparison"]["candidateN"], 0);
    let listed = service.get("/ops/experiments?policy=router-core").await.ok();
    assert_eq!(listed["items"][0]["id"], json!(id));
    let stop = json!({ "experiment": id, "reason": "enough" });
    service.post("/ops/experiments/stop", &stop).await.ok();
    service.post("/ops/experiments/stop", &stop).await.problem(409);
    service.post("/ops/experiments/stop", &json!({ "experiment": "none" })).await.problem(404);
    service.get("/ops/experiments/none").await.problem(404);

    let unguarded = json!({ "id": "router-core", "version": "1.0.1", "guard": "off" });
    service.post("/ops/policies/activate", &unguarded).await.ok();
    let activations = AuditFilter { action: Some("activate".to_owned()), ..AuditFilter::default() };
    let trail = store.audit(&activations, 1).await.unwrap().remove(0);
    assert_eq!(trail.entry.guard.as_deref(), Some("off"));
    let history = service.get("/ops/policies/router-core/history").await.ok();
    assert_eq!(history["items"][0]["version"], "1.0.1");
    assert_sound(&store, "router-core", "after a test over HTTP").await;
}

#[tokio::test]
async fn the_curl_command_of_the_specification_rolls_back() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    for (version, parent) in [("1.0.1", "1.0.0"), ("1.0.2", "1.0.1")] {
        let id = draft(&store, version, parent).await;
        store.activate(&id, false, &crate::support::ada()).await.unwrap();
    }
    // `curl -d` sends the content type of a form.
    let request = service.request(Method::POST, "/ops/policies/rollback").bearer_auth(TOKEN);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    answer(request.body(r#"{"id":"router-core","version":"1.0.1"}"#)).await.ok();
    assert_eq!(status(&store, "1.0.1").await, PolicyStatus::Active);
    assert_eq!(status(&store, "1.0.2").await, PolicyStatus::Archived);
}

#[tokio::test]
async fn probes_report_two_active_versions_until_repair_archives_one() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    let second = json!({
        "id": "router-core", "version": "1.0.1", "status": "active", "params": {},
    });
    put(&store, collection::POLICIES, "router-core@1.0.1", fields(&second)).await;
    service.health.pass_succeeded("score");
    CheckReport::take(&store).await.unwrap().observe(&service.health);
    let ready = service.get("/readyz").await.ok();
    assert_eq!(
        service.get("/ready").await.ok(),
        ready,
        "under the name that Cloud Run lets through"
    );
    assert_eq!(service.get("/health").await.status, 200);
    assert!(ready["policies"][0].as_str().unwrap().contains("2 active versions"), "{ready}");
    let metrics = service.get("/metrics").await.body;
    let line = r#"f0_policy_active_versions{policy="router-core"} 2"#;
    assert!(metrics.as_str().unwrap().contains(line), "{metrics}");
    let shown = service.get("/ops/policies/router-core").await.ok();
    assert_eq!(
        (&shown["active"]["version"], &shown["alsoActive"]),
        (&json!("1.0.1"), &json!(["1.0.0"]))
    );

    service.post("/ops/policies/repair", &json!({ "id": "router-core" })).await.ok();
    assert_eq!(status(&store, "1.0.0").await, PolicyStatus::Archived);
    CheckReport::take(&store).await.unwrap().observe(&service.health);
    assert_eq!(service.get("/readyz").await.ok()["policies"], json!([]));
}

#[tokio::test]
async fn changing_flags_writes_an_audit_entry() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    let asked = json!({ "learning": { "enabled": false }, "reason": "night" });
    let done = service.post("/ops/flags", &asked).await.ok();
    let off = json!({ "enabled": false, "autoActivatePolicies": false });
    assert_eq!(done["flags"]["learning"], off);
    assert_eq!(service.get("/ops/flags").await.ok()["learning"], off);
    let entry = service.get("/ops/audit?action=flags").await.ok();
    assert_eq!(entry["items"][0]["auditId"], done["auditId"]);
    assert_eq!(entry["items"][0]["reason"], "night");
    let again = service.post("/ops/flags", &asked).await.ok();
    assert_eq!((again.get("auditId"), &again["flags"]["learning"]), (None, &off));
    let entries = service.get("/ops/audit?action=flags").await.ok();
    assert_eq!(entries["items"].as_array().unwrap().len(), 1, "nothing is written");
    service.post("/ops/flags", &json!({ "learning": {} })).await.problem(422);
    service.post("/ops/flags", &json!({ "learning": { "enabled": "no" } })).await.problem(400);
    put(&store, collection::CONFIG, "flags", fields(&json!({ "learning": 7 }))).await;
    let shown = service.get("/ops/flags").await.ok();
    assert!(shown["problem"].as_str().unwrap().contains("malformed"), "{shown}");
}

#[tokio::test]
async fn an_idempotency_key_runs_one_request_once() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    draft(&store, "1.0.1", "1.0.0").await;
    let send = async |path: &str, body: Value, key: &str| {
        let request = service.request(Method::POST, path).bearer_auth(TOKEN);
        answer(request.header("idempotency-key", key).body(body.to_string())).await
    };
    let asked = json!({ "id": "router-core", "version": "1.0.1" });
    let first = send("/ops/policies/activate", asked.clone(), "k-1").await.ok();
    let again = send("/ops/policies/activate", asked.clone(), "k-1").await.ok();
    assert_eq!((&first["replayed"], &again["replayed"]), (&json!(false), &json!(true)));
    assert_eq!(first["auditId"], again["auditId"]);
    send("/ops/policies/rollback", json!({ "id": "router-core" }), "k-1").await.problem(422);
    send("/ops/policies/activate", asked.clone(), "k-2").await.problem(409);
    send("/ops/policies/activate", asked.clone(), "k\t3").await.problem(400);
    send("/ops/policies/activate", asked, &"k".repeat(300)).await.problem(400);
    assert_eq!(status(&store, "1.0.1").await, PolicyStatus::Active);
}

#[tokio::test]
async fn the_x_actor_header_is_recorded_as_the_actor_name() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    let body = json!({ "id": "router-core", "reason": "a launch" }).to_string();
    let request = service.request(Method::POST, "/ops/policies/pin").bearer_auth(TOKEN);
    let with_tab = request.try_clone().unwrap().header("x-actor", "Z\to");
    answer(with_tab.body(body.clone())).await.problem(400);
    answer(request.header("x-actor", "Zoë".as_bytes()).body(body)).await.ok();
    let entry = store.audit(&AuditFilter::default(), 1).await.unwrap().remove(0).entry;
    assert_eq!((entry.actor.as_str(), entry.actor_name.as_deref()), ("admin-token", Some("Zoë")));
}

#[tokio::test]
async fn paging_returns_every_item_exactly_once() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    for patch in 1..=7 {
        draft(&store, &format!("1.0.{patch}"), "1.0.0").await;
    }
    for n in 0..5 {
        let outcome = f0_learning_core::observation::Outcome::Success;
        // Two have the same time: the document's id decides their order.
        crate::support::record(&store, "c", outcome, 1.0, START + n / 2).await;
    }
    crate::support::score(&store, START + 1_000).await;
    for (path, expected) in [
        ("/ops/policies?id=router-core", 8),
        ("/ops/policies?status=draft", 7),
        ("/ops/audit?id=router-core", 8),
        ("/ops/audit?action=propose&actor=policy-updater", 7),
        ("/ops/observations?component=c", 5),
        ("/ops/stats?component=c", 3),
    ] {
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let mut url = format!("{path}&limit=2");
            if let Some(cursor) = &cursor {
                url = format!("{url}&cursor={cursor}");
            }
            let page = service.get(&url).await.ok();
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= 2);
            seen.extend(items.iter().map(ToString::to_string));
            match page["nextCursor"].as_str() {
                Some(next) => cursor = Some(next.replace('|', "%7C")),
                None => break,
            }
        }
        assert_eq!(seen.len(), expected, "{path}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), expected, "{path} repeats an item");
    }
    let recent = service.get(&format!("/ops/audit?since={}", START + 1)).await.ok();
    assert_eq!(recent["items"], json!([]));
}

#[tokio::test]
async fn versions_and_their_differences_are_shown() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    draft(&store, "1.0.1", "1.0.0").await;
    let shown = service.get("/ops/policies/router-core").await.ok();
    assert_eq!(shown["drafts"][0]["version"], "1.0.1");
    assert_eq!(shown["effectiveness"]["proposed"], 1);
    let version = service.get("/ops/policies/router-core/versions/1.0.1").await.ok();
    assert_eq!(version["parentVersion"], "1.0.0");
    let diff = service.get("/ops/policies/router-core/diff?to=1.0.1").await.ok();
    assert_eq!(diff["from"], "1.0.0");
    let weight = json!({ "path": "modelWeights.gpt-5", "from": 0.6, "to": 0.5 });
    assert!(diff["changes"].as_array().unwrap().contains(&weight), "{diff}");
    service.get("/ops/policies/unknown").await.problem(404);
    service.get("/ops/policies/router-core/versions/9.9.9").await.problem(404);
    service.get("/ops/policies/router-core/diff?to=9.9.9").await.problem(404);
}

#[tokio::test]
async fn bad_input_is_answered_with_a_problem_and_writes_nothing() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    draft(&store, "1.0.1", "1.0.0").await;
    let before = entries(&store).await;
    let id = "router-core";
    let weights = |weights: Value| json!({ "id": id, "params": { "modelWeights": weights } });
    for (path, body, status) in [
        ("activate", json!({ "id": "unknown", "version": "1.0.0" }), 404),
        ("activate", json!({ "id": id, "version": "1.0" }), 400),
        ("activate", json!({ "id": id }), 400),
        ("activate", json!({ "id": id, "version": "1.0.1", "forced": true }), 400),
        ("activate", json!([]), 400),
        ("rollback", json!({ "id": "../secrets" }), 422),
        ("rollback", json!({ "id": "a/b" }), 422),
        ("rollback", json!({ "id": "__x__" }), 422),
        ("rollback", json!({ "id": "" }), 422),
        ("rollback", json!({ "id": "роутер" }), 422),
        ("rollback", json!({ "id": "x".repeat(5_000) }), 422),
        ("pin", json!({ "id": id }), 400),
        ("pin", json!({ "id": id, "reason": "x".repeat(100_000) }), 422),
        ("pin", json!({ "id": id, "reason": "" }), 422),
        ("override", json!({ "id": id }), 422),
        ("override", json!({ "id": id, "set": {}, "params": {} }), 422),
        ("override", json!({ "id": id, "set": { "cooldownMs": "soon" } }), 422),
        ("override", json!({ "id": id, "set": { "no.such.path": 1 } }), 422),
        ("override", weights(json!({ "gpt-5": -0.5, "gemini": 1.5 })), 422),
        ("override", weights(json!({ "gpt-5": 0, "gemini": 0 })), 422),
        ("override", weights(json!({ "gpt-5": "NaN" })), 422),
        ("override", weights(json!({})), 422),
        ("override", weights(json!({ "x".repeat(1_501): 1 })), 422),
        ("override", json!({ "id": id, "params": {} }), 422),
    ] {
        let detail = service.post(&format!("/ops/policies/{path}"), &body).await.problem(status);
        assert!(!detail.is_empty() && detail.len() < 10_000, "{path}");
    }
    for (body, status) in [
        ("{\"id\": \"router-core\"".to_owned(), 400),
        (String::new(), 400),
        ("\u{0}".to_owned(), 400),
        ("{\"id\":\"router-core\",\"set\":{\"cooldownMs\":NaN}}".to_owned(), 400),
        ("{\"id\":\"router-core\",\"set\":{\"cooldownMs\":1e999}}".to_owned(), 400),
        (
            format!(
                "{{\"id\":\"router-core\",\"set\":{{\"x\":{}1{}}}}}",
                "[".repeat(200),
                "]".repeat(200)
            ),
            400,
        ),
        ("x".repeat(10 << 20), 413),
    ] {
        let request = service.request(Method::POST, "/ops/policies/override").bearer_auth(TOKEN);
        answer(request.body(body)).await.problem(status);
    }
    for path in [
        "/ops/policies?limit=0",
        "/ops/policies?limit=201",
        "/ops/policies?limit=many",
        "/ops/policies?status=odd",
        "/ops/policies?page=2",
        "/ops/policies?cursor=x",
        "/ops/policies?cursor=~a/b",
        "/ops/audit?cursor=nan~a",
        "/ops/audit?since=yesterday",
        "/ops/policies/router-core?days=0",
        "/ops/policies/..%2Fsecrets",
        "/ops/policies/a%2Fb",
        "/ops/policies/router-core/versions/1.0",
        "/ops/policies/router-core/diff",
        "/ops/policies/%FF",
    ] {
        service.get(path).await.problem(400);
    }
    service.get("/ops/nothing").await.problem(404);
    service.get("/ops/policies/activate/now").await.problem(404);
    service.post("/ops/stats", &json!({})).await.problem(405);
    assert_eq!(entries(&store).await, before);
    assert_eq!(status(&store, "1.0.1").await, PolicyStatus::Draft);
}

#[tokio::test]
async fn a_malformed_document_is_never_a_server_error() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    let malformed =
        json!({ "id": "router-core", "version": "1.0.7", "status": "draft", "params": 7 });
    put(&store, collection::POLICIES, "router-core@1.0.7", fields(&malformed)).await;
    put(&store, collection::OBSERVATIONS, "malformed", fields(&json!({ "ts": "late", "x": [1] })))
        .await;
    put(
        &store,
        collection::AUDIT,
        "malformed",
        fields(&json!({ "ts": START, "id": "router-core" })),
    )
    .await;
    put(&store, collection::STATS, "malformed", fields(&json!({ "n": -1 }))).await;
    for path in [
        "/ops/policies",
        "/ops/policies/router-core",
        "/ops/observations",
        "/ops/audit",
        "/ops/stats",
    ] {
        service.get(path).await.ok();
    }
    let asked = json!({ "id": "router-core", "version": "1.0.7" });
    let problem = service.post("/ops/policies/activate", &asked).await.problem(409);
    assert!(problem.contains("router-core@1.0.7"), "{problem}");
    assert!(store.policy(&key("router-core@1.0.7")).await.is_err());
}

#[tokio::test]
async fn versions_and_experiments_that_cannot_be_read_are_listed_with_the_reason() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    let broken = |status: Value| {
        let version = json!({
            "id": "router-core", "version": "1.0.7", "status": status, "createdAt": "yesterday",
            "params": {},
        });
        fields(&version)
    };
    put(&store, collection::POLICIES, "router-core@1.0.7", broken(json!("draft"))).await;
    put(&store, collection::POLICIES, "router-core@1.0.8", broken(json!(7))).await;
    let experiment =
        json!({ "id": "e", "policy": "router-core", "startedAt": START, "open": true });
    put(&store, collection::EXPERIMENTS, "e", fields(&experiment)).await;
    let documents = async |path: &str| {
        let listed = service.get(path).await.ok();
        let unreadable = listed["unreadable"].as_array().cloned().unwrap_or_default();
        let texts = unreadable.iter().map(|it| {
            assert!(it["action"].as_str().unwrap().contains("correct the document"), "{it}");
            assert!(!it["reason"].as_str().unwrap().is_empty(), "{it}");
            it["document"].as_str().unwrap().to_owned()
        });
        texts.collect::<Vec<_>>()
    };
    let both = ["ops_policies/router-core@1.0.7", "ops_policies/router-core@1.0.8"];
    assert_eq!(documents("/ops/policies").await, both);
    assert_eq!(documents("/ops/policies?id=router-core").await, both);
    assert_eq!(documents("/ops/policies?status=draft").await, both, "one has no readable status");
    assert_eq!(documents("/ops/policies?status=active").await, both[1..]);
    assert_eq!(documents("/ops/policies?id=other").await, [""; 0]);
    assert_eq!(documents("/ops/experiments").await, ["ops_experiments/e"]);
    let first = service.get("/ops/policies?limit=1").await.ok();
    assert!(first.get("unreadable").is_none(), "{first}");
    let next = format!("/ops/policies?limit=1&cursor={}", first["nextCursor"].as_str().unwrap());
    assert_eq!(documents(&next).await, both[..1]);

    let list = ["policies", "list"];
    let shown = crate::support::process::run_on(&store, &list, &[]).await;
    let shown = crate::support::process::text(&shown.stdout);
    for part in ["1.0.7", "draft, unreadable", "1.0.8", "createdAt", "correct the document"] {
        let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(part), "{part} in {shown}");
    }
    let json = crate::support::process::run_on(&store, &["policies", "list", "--json"], &[]).await;
    let rows: Value = serde_json::from_slice(&json.stdout).unwrap();
    let unreadable = rows.as_array().unwrap().iter().filter(|it| it["unreadable"].is_string());
    assert_eq!(unreadable.count(), 2, "{rows}");
}
