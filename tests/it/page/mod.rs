//! The pages: who may see and change what, that each decision is the one that the page showed, and
//! that nothing from the store changes a page.

mod browser;
mod configuration;
mod decisions;
mod envelopes;
mod size;

use std::time::Duration;

use f0_learning_core::document::FlagChanges;
use f0_learning_core::intent::Intent;
use f0_learning_core::observation::Outcome;
use f0_learning_core::time::HOUR_MS;
use serde_json::json;

use crate::collection;
use crate::credentials::{KEY, KeyServer, claims};
use crate::jwt::sign;
use crate::support::http::{Service, TOKEN};
use crate::support::{
    START, draft, fields, put, put_arm, record, score, seeded_store, server, tune,
};
use browser::{Browser, attribute, hidden, tags};
use f0_learning::store::Store;
use firestore_kit::Connection;

/// The pages that an admin reads.
const PAGES: [&str; 18] = [
    "/",
    "/?range=week",
    "/policies",
    "/policies/router-core",
    "/policies/router-core/override",
    "/policies/router-core/decide?action=activate&version=1.0.1",
    "/experiments",
    "/flags?flag=learning.enabled&to=false",
    "/components",
    "/quarantine",
    "/audit",
    "/configuration",
    "/configuration/reward_config",
    "/configuration/tuning",
    "/configuration/tuning?as=json",
    "/policies/router-core/envelope",
    "/policies/router-core/test?version=1.0.1",
    "/components/router%3Agpt-5",
];

/// A store with something to show on every page.
async fn busy_store() -> Store {
    let store = seeded_store().await;
    for (arm, reward) in [("gpt-5", 0.45), ("gemini", 0.8), ("claude", 0.75)] {
        put_arm(&store, arm, reward, 1_000).await;
    }
    tune(&store, START).await;
    store
}

#[tokio::test]
async fn a_page_needs_a_session() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    let mut browser = Browser::new(&service);
    for path in PAGES.into_iter().chain(["/page/events"]) {
        let page = browser.get_with(path, &[("hx-request", "true")]).await;
        assert_eq!((page.status, page.header("hx-redirect")), (401, "/login"), "{path}");
    }
    let page = browser.get("/").await;
    assert_eq!((page.status, page.header("location")), (303, "/login"));
    assert!(browser.ok("/login").await.contains("Admin token"));
    for path in ["/flags", "/policies/router-core/decide", "/quarantine", "/logout"] {
        assert_eq!(browser.post(path, &[]).await.status, 303, "{path}");
    }

    let refused = browser.log_in("not the token").await;
    assert_eq!(refused.status, 401);
    assert!(refused.html.contains("the token is not valid") && browser.cookie.is_none());
    let accepted = browser.log_in(TOKEN).await;
    assert_eq!((accepted.status, accepted.header("location")), (303, "/"));
    let cookie = accepted.header("set-cookie");
    assert!(cookie.contains("HttpOnly; SameSite=Strict") && !cookie.contains("Secure"), "{cookie}");
    let overview = browser.ok("/").await;
    assert!(overview.contains("Ada · admin"), "{overview}");

    let csrf = attribute(tags(&overview, "input")[0], "value").unwrap();
    let left = browser.post("/logout", &[("csrf".to_owned(), csrf)]).await;
    assert_eq!((left.status, left.header("location")), (303, "/login"));
    assert!(left.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(browser.get("/").await.status, 303, "a copy of the cookie");
}

#[tokio::test]
async fn wrong_tokens_in_the_login_form_are_throttled_and_right_ones_are_not() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    let mut browser = Browser::new(&service);
    for _ in 0..10 {
        assert_eq!(browser.log_in("wrong").await.status, 401);
    }
    let throttled = browser.log_in("wrong").await;
    assert_eq!((throttled.status, throttled.header("retry-after")), (429, "6"));
    assert_eq!(browser.log_in(TOKEN).await.status, 303);
}

#[tokio::test]
async fn without_credentials_the_login_says_how_to_configure_them() {
    let store = seeded_store().await;
    let service = Service::start(&store, None).await;
    let mut browser = Browser::new(&service);
    let login = browser.ok("/login").await;
    assert!(login.contains("ADMIN_TOKEN") && tags(&login, "form").is_empty(), "{login}");
    assert_eq!(browser.log_in(TOKEN).await.status, 401);
}

#[tokio::test]
async fn a_session_ends_after_eight_hours() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    let confirmation = "/flags?flag=learning.enabled&to=false";
    let form = hidden(&browser.ok(confirmation).await);
    service.advance(8 * HOUR_MS - 1);
    browser.ok("/").await;
    service.advance(1);
    assert_eq!(browser.get("/").await.status, 303);
    assert_eq!(browser.post("/flags", &form).await.status, 303);
    assert!(store.flags().await.unwrap().tuning_enabled());
}

#[tokio::test]
async fn a_form_of_another_session_or_of_another_site_changes_nothing() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    let (browser, other) = (Browser::admin(&service).await, Browser::admin(&service).await);
    let confirmation = "/flags?flag=learning.enabled&to=false";
    let (form, foreign) =
        (hidden(&browser.ok(confirmation).await), hidden(&other.ok(confirmation).await));
    let without: Vec<_> = form.iter().filter(|(name, _)| name != "csrf").cloned().collect();
    for form in [&foreign, &without] {
        let refused = browser.post("/flags", form).await;
        assert_eq!(refused.status, 403);
        assert!(refused.html.contains("not of this session"), "{}", refused.html);
    }
    for origin in ["http://evil.example", "null"] {
        let refused = browser.post_with("/flags", &form, &[("origin", origin)]).await;
        assert_eq!(refused.status, 403, "{origin}");
        let login = [("token".to_owned(), TOKEN.to_owned())];
        let refused = browser.post_with("/login", &login, &[("origin", origin)]).await;
        assert_eq!((refused.status, refused.header("set-cookie")), (403, ""), "{origin}");
    }
    let refused = browser.get_with("/", &[("host", "evil.example")]).await;
    assert_eq!(refused.status, 421);
    assert!(store.flags().await.unwrap().tuning_enabled());
    assert_eq!(browser.post("/flags", &form).await.status, 303);
    assert!(!store.flags().await.unwrap().tuning_enabled());
}

#[tokio::test]
async fn a_service_reads_and_changes_nothing() {
    let store = busy_store().await;
    let keys = KeyServer::start().await;
    let service = Service::start(&store, Some(keys.credentials())).await;
    let token = sign(&claims(service.now(), Some("service")), "k1", KEY);
    let browser = Browser::with_token(&service, &token).await;
    for path in ["/", "/policies", "/policies/router-core", "/experiments", "/quarantine"] {
        let html = browser.ok(path).await;
        assert_eq!(tags(&html, "form").len(), 1, "only the form to log out: {path}");
        for part in ["decide?", "/override", "/flags?", "/audit"] {
            assert!(!html.contains(part), "{part} in {path}");
        }
    }
    browser.ok("/components").await;
    for path in ["/audit", PAGES[4], PAGES[5], PAGES[7]] {
        assert_eq!(browser.get(path).await.status, 403, "{path}");
    }
    let html = browser.ok("/").await;
    let csrf = attribute(tags(&html, "input")[0], "value").unwrap();
    let form = [("csrf", csrf.as_str()), ("flag", "learning.enabled"), ("to", "false")];
    let form = form.map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(browser.post("/flags", &form).await.status, 403);
    assert!(store.flags().await.unwrap().tuning_enabled());

    let person = sign(&claims(service.now(), Some("admin")), "k1", KEY);
    let person = Browser::with_token(&service, &person).await;
    assert_eq!(person.decide(PAGES[7], "a test").await.status, 303);
    let trail = store.audit(&Default::default(), 1).await.unwrap();
    assert_eq!(trail[0].entry.actor, "firebase:uid-of-ada");
}

#[tokio::test]
async fn every_page_is_protected_and_can_be_used_with_a_keyboard() {
    let store = busy_store().await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    for path in PAGES.into_iter().chain(["/login", "/policies/nothing"]) {
        let page = browser.get(path).await;
        let csp = page.header("content-security-policy");
        assert!(
            csp.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"),
            "{csp}"
        );
        assert!(!csp.contains("unsafe"), "{csp}");
        assert_eq!(page.header("cache-control"), "no-store", "{path}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        let html = &page.html;
        assert!(html.contains("<html lang=\"en\">") && html.contains("<title>"), "{path}");
        assert_eq!(tags(html, "h1").len(), 1, "{path}");
        for part in [" style=", "<style", " onclick=", "http://", "https://", "javascript:"] {
            assert!(!html.contains(part), "{part} in {path}");
        }
        for script in tags(html, "script") {
            assert!(script.contains("src=\"/page/assets/"), "{script}");
        }
        for input in tags(html, "input") {
            if input.contains("type=\"hidden\"") || input.contains("type=\"checkbox\"") {
                continue;
            }
            let id = attribute(input, "id").unwrap();
            assert!(html.contains(&format!("for=\"{id}\"")), "{input} in {path}");
        }
        assert!(!html.contains("\"></button>") && !html.contains("\"></a>"), "{path}");
        for svg in tags(html, "svg") {
            assert!(svg.contains("role=\"img\"") && svg.contains("aria-label"), "{svg}");
        }
    }
    let html = browser.ok("/").await;
    let assets = tags(&html, "script").into_iter().map(|it| attribute(it, "src").unwrap());
    let sheet = tags(&html, "link").into_iter().filter_map(|it| attribute(it, "href"));
    for path in assets.chain(sheet.filter(|it| it.starts_with('/'))) {
        let asset = browser.get(&path).await;
        assert_eq!(asset.status, 200, "{path}");
        assert!(asset.header("cache-control").contains("immutable"), "{path}");
    }
    assert_eq!(browser.get("/page/assets/SHA256SUMS").await.status, 404);
}

#[tokio::test]
async fn names_from_the_store_are_shown_as_text() {
    let store = busy_store().await;
    let name = "<script>alert(1)</script>\"'&\u{202e}";
    record(&store, name, Outcome::Success, 100.0, START).await;
    let evil = &format!("{name}\u{1b}[2K");
    let invalid = json!({ "ts": START, "component": evil, "outcome": evil, "durationMs": 1 });
    put(&store, collection::OBSERVATIONS, "<i>evil", fields(&invalid)).await;
    score(&store, START + 1_000).await;
    let intent = Intent::new("<b>actor</b>", START).because("<b>reason</b>");
    let off = FlagChanges { auto_activate_policies: Some(false), ..FlagChanges::default() };
    store.set_flags(off, &intent).await.unwrap();
    let hostile = json!({
        "id": "router-core", "version": "1.0.9", "status": "draft", "createdAt": START,
        "createdBy": evil, "notes": evil, "parentVersion": "1.0.0",
        "params": { "modelWeights": { "<b>arm</b>": 0.5, "b\u{202e}": 0.5 }, "<b>key</b>": evil },
    });
    put(&store, collection::POLICIES, "router-core@1.0.9", fields(&hostile)).await;

    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    let confirm = "/policies/router-core/decide?action=activate&version=1.0.9";
    let mut seen = 0;
    for path in PAGES.into_iter().chain([confirm, "/audit?id=%3Cb%3E"]) {
        let html = browser.ok(path).await;
        for part in ["<script>", "<b>", "<i>", "\u{202e}", "\u{1b}"] {
            assert!(!html.contains(part), "{part:?} in {path}");
        }
        seen += html.matches("&lt;script&gt;alert(1)").count();
        seen += html.matches("&lt;b&gt;").count();
    }
    assert!(seen > 12, "{seen}");
    let components = browser.ok("/components").await;
    assert!(components.contains("&amp;\\u{202e}"), "{components}");
    assert!(browser.ok("/policies/router-core").await.contains("\\u{202e}\\u{1b}[2K"));
    assert!(browser.ok("/quarantine").await.contains("&lt;i&gt;evil"));
}

#[tokio::test]
async fn a_broken_configuration_is_named_and_hides_nothing_else() {
    let store = busy_store().await;
    put(&store, collection::CONFIG, "tuning", fields(&json!({ "polices": {} }))).await;
    put(&store, collection::CONFIG, "reward_config", fields(&json!({ "weights": "<b>" }))).await;
    put(&store, collection::CONFIG, "flags", fields(&json!({ "learning": {} }))).await;
    let service = Service::with_token(&store).await;
    service.health.pass_failed("tune", &"config/tuning");
    service.health.set_irregular_policies(vec!["canary has no active version".to_owned()]);
    let browser = Browser::admin(&service).await;
    let html = browser.ok("/").await;
    for part in [
        "config/tuning polices",
        "config/reward_config",
        "config/flags is malformed",
        "canary has no active version",
        "the last pass failed: tune",
        "router-core 1.0.1",
        "router:gemini",
    ] {
        assert!(html.contains(part), "{part} in {html}");
    }
    assert!(browser.ok("/configuration").await.contains("did you mean `policies`?"));
    let html = browser.ok("/policies/router-core").await;
    assert!(html.contains("What the versions did is unknown: "), "{html}");
    assert!(html.contains("/policies/router-core/override"), "{html}");
}

#[tokio::test]
async fn a_change_is_reported_to_the_pages_that_are_open() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    let mut stream = browser.stream("/page/events").await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    // The first look may come after the change if it were made at once.
    let mut text = String::new();
    for round in 0..20 {
        let intent = Intent::new("ada", START + round);
        let on = FlagChanges { enabled: Some(round % 2 == 1), ..FlagChanges::default() };
        store.set_flags(on, &intent).await.unwrap();
        match tokio::time::timeout(Duration::from_secs(6), stream.chunk()).await {
            Ok(chunk) => text.push_str(&String::from_utf8_lossy(&chunk.unwrap().unwrap())),
            Err(_) => continue,
        }
        if text.contains("event: changed") {
            return;
        }
    }
    panic!("no change was reported: {text}");
}

#[tokio::test]
async fn pages_cost_few_reads_and_the_overview_is_read_once_for_all() {
    let server = server().start().await.unwrap();
    let store = Store::connect(&Connection::local("demo-page", server.addr())).await.unwrap();
    store.seed(START).await.unwrap();
    for (arm, reward) in [("gpt-5", 0.45), ("gemini", 0.8), ("claude", 0.75)] {
        put_arm(&store, arm, reward, 1_000).await;
        record(&store, &format!("router:{arm}"), Outcome::Success, 100.0, START).await;
    }
    draft(&store, "1.0.1", "1.0.0").await;
    score(&store, START + 50).await;
    let service = Service::with_token(&store).await;
    let browser = Browser::admin(&service).await;
    let mut costs = Vec::new();
    for (path, most) in [
        ("/", 25),
        ("/?range=week", 0),
        ("/policies", 2),
        ("/policies/router-core", 9),
        ("/experiments", 2),
        ("/components", 9),
        ("/quarantine", 1),
        ("/audit", 3),
        ("/configuration", 4),
    ] {
        server.reset_meter();
        browser.ok(path).await;
        let reads = server.meter().total.reads;
        costs.push(format!("{path} {reads}"));
        assert!(reads <= most, "{path}: {reads} reads\n{}", server.meter());
    }
    println!("{}", costs.join("\n"));
}
