//! Authentication of the API: the static token and Firebase ID tokens; everything else is refused.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::get;
use f0_learning::http::{self, Api, Credentials};
use f0_learning::observability::health::Health;
use f0_learning::store::AuditFilter;
use f0_learning_core::Clock;
use reqwest::Method;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::jwt::{sign, sign_hs256, sign_with};
use crate::support::http::{Answer, Service, TOKEN, answer};
use crate::support::{START, draft, seeded_store};

const PROJECT: &str = "f0-test";
/// A key that only these tests use.
pub const KEY: &str = include_str!("keys/issuer.pem");
const OTHER_KEY: &str = include_str!("keys/other.pem");
const KEY_SET: &str = include_str!("keys/issuer.jwks.json");

/// A copy of Google's key server that counts its requests and can be made to fail.
pub struct KeyServer {
    url: String,
    requests: Arc<AtomicUsize>,
    failing: Arc<AtomicBool>,
    delay_ms: Arc<AtomicU64>,
}

impl KeyServer {
    pub async fn start() -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let (failing, delay_ms) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (count, fail, delay) = (requests.clone(), failing.clone(), delay_ms.clone());
        let keys = move || {
            count.fetch_add(1, Ordering::Relaxed);
            let status = match fail.load(Ordering::Relaxed) {
                true => StatusCode::INTERNAL_SERVER_ERROR,
                false => StatusCode::OK,
            };
            let delay = Duration::from_millis(delay.load(Ordering::Relaxed));
            async move {
                tokio::time::sleep(delay).await;
                (status, [("cache-control", "public, max-age=600")], KEY_SET)
            }
        };
        let router = axum::Router::new().route("/keys", get(keys));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, requests, failing, delay_ms }
    }

    pub fn credentials(&self) -> Credentials {
        let variable = |name: &str| match name {
            "ADMIN_TOKEN" => Some(TOKEN.to_owned()),
            "FIREBASE_PROJECT_ID" => Some(PROJECT.to_owned()),
            "FIREBASE_JWKS_URL" => Some(self.url.clone()),
            _ => None,
        };
        Credentials::from_env(variable).unwrap().unwrap()
    }
}

pub fn claims(now_ms: i64, role: Option<&str>) -> Value {
    let now = now_ms / 1_000;
    let mut claims = json!({
        "iss": format!("https://securetoken.google.com/{PROJECT}"), "aud": PROJECT,
        "sub": "uid-of-ada", "iat": now - 10, "auth_time": now - 20, "exp": now + 3_600,
    });
    if let Some(role) = role {
        claims["role"] = json!(role);
    }
    claims
}

async fn read(service: &Service, token: &str) -> Answer {
    answer(service.request(Method::GET, "/ops/policies").bearer_auth(token)).await
}

async fn change(service: &Service, token: &str) -> Answer {
    let body = json!({ "learning": { "enabled": false } }).to_string();
    answer(service.request(Method::POST, "/ops/flags").bearer_auth(token).body(body)).await
}

#[tokio::test]
async fn a_firebase_token_acts_as_its_subject_and_within_its_role() {
    let store = seeded_store().await;
    let keys = KeyServer::start().await;
    let service = Service::start(&store, Some(keys.credentials())).await;
    let admin = sign(&claims(service.now(), Some("admin")), "k1", KEY);
    let reader = sign(&claims(service.now(), Some("service")), "k1", KEY);
    let without_role = sign(&claims(service.now(), None), "k1", KEY);

    read(&service, &reader).await.ok();
    change(&service, &reader).await.problem(403);
    answer(service.request(Method::GET, "/ops/audit").bearer_auth(&reader)).await.problem(403);
    read(&service, &without_role).await.problem(403);
    let body = json!({ "learning": { "enabled": false } }).to_string();
    let request = service.request(Method::POST, "/ops/flags").bearer_auth(&admin);
    answer(request.header("x-actor", "mallory").body(body)).await.ok();
    let entry = store.audit(&AuditFilter::default(), 1).await.unwrap().remove(0).entry;
    assert_eq!((entry.actor.as_str(), entry.actor_name), ("firebase:uid-of-ada", None));
    read(&service, TOKEN).await.ok();
    assert_eq!(keys.requests.load(Ordering::Relaxed), 1, "the key set is cached");
}

#[tokio::test]
async fn every_invalid_token_gets_the_same_answer() {
    let store = seeded_store().await;
    let keys = KeyServer::start().await;
    let service = Service::start(&store, Some(keys.credentials())).await;
    let now = service.now() / 1_000;
    let with = |change: Value| {
        let mut claims = claims(service.now(), Some("admin"));
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        sign(&claims, "k1", KEY)
    };
    let good = claims(service.now(), Some("admin"));
    // The public key as an HMAC secret: the algorithm confusion attack.
    let symmetric = sign_hs256(&good, "k1", KEY_SET);
    let none = {
        let signed = sign(&good, "k1", KEY);
        let body = signed.split('.').nth(1).unwrap().to_owned();
        // {"alg":"none","kid":"k1"}
        format!("eyJhbGciOiJub25lIiwia2lkIjoiazEifQ.{body}.")
    };
    let header = json!({ "alg": "RS256", "kid": "k1", "crit": ["exp"], "exp": now + 99 });
    let demanding = sign_with(&header, &good, KEY);
    let mut problems = Vec::new();
    for (what, token) in [
        ("expired", with(json!({ "exp": now - 61 }))),
        ("issued in the future", with(json!({ "iat": now + 120 }))),
        ("authenticated in the future", with(json!({ "auth_time": now + 120 }))),
        ("not valid yet", with(json!({ "nbf": now + 120 }))),
        ("a control character", with(json!({ "sub": "ada\u{1b}[2K" }))),
        ("demands an extension", demanding),
        ("another audience", with(json!({ "aud": "another" }))),
        ("another issuer", with(json!({ "iss": "https://securetoken.google.com/another" }))),
        ("no subject", with(json!({ "sub": "" }))),
        ("another key", sign(&good, "k1", OTHER_KEY)),
        ("HS256", symmetric),
        ("no algorithm", none),
        ("no token", String::new()),
    ] {
        let answered = change(&service, &token).await;
        assert_eq!(answered.status, 401, "{what}: {answered:?}");
        problems.push(answered.problem(401));
        service.advance(60_000 / 8);
    }
    problems.dedup();
    assert_eq!(problems.len(), 1, "the answers differ by what was wrong: {problems:?}");
    // A token that expired within the allowed clock skew is valid.
    let late = sign(
        &json!({ "exp": service.now() / 1_000 - 30, "iat": now, "sub": "a", "role": "admin",
        "aud": PROJECT, "iss": format!("https://securetoken.google.com/{PROJECT}") }),
        "k1",
        KEY,
    );
    change(&service, &late).await.ok();
}

#[tokio::test]
async fn unknown_key_ids_do_not_fetch_the_key_set_each_time() {
    let store = seeded_store().await;
    let keys = KeyServer::start().await;
    let service = Service::start(&store, Some(keys.credentials())).await;
    for n in 0..5 {
        let token = sign(&claims(service.now(), Some("admin")), &format!("made-up-{n}"), KEY);
        read(&service, &token).await.problem(401);
    }
    assert_eq!(keys.requests.load(Ordering::Relaxed), 1);
    service.advance(700_000);
    read(&service, &sign(&claims(service.now(), Some("admin")), "k1", KEY)).await.ok();
    assert_eq!(keys.requests.load(Ordering::Relaxed), 2, "the keys had expired");
}

#[tokio::test]
async fn firebase_tokens_are_refused_while_the_key_server_fails() {
    let store = seeded_store().await;
    let keys = KeyServer::start().await;
    keys.failing.store(true, Ordering::Relaxed);
    let service = Service::start(&store, Some(keys.credentials())).await;
    let token = sign(&claims(service.now(), Some("admin")), "k1", KEY);
    let answered = change(&service, &token).await;
    assert!(answered.retry_after.is_some());
    answered.problem(503);
    change(&service, TOKEN).await.ok();
    keys.failing.store(false, Ordering::Relaxed);
    service.advance(1_000);
    change(&service, &token).await.ok();
}

#[tokio::test]
async fn a_failed_fetch_of_the_keys_is_not_repeated_before_its_pause_is_over() {
    let store = seeded_store().await;
    let keys = KeyServer::start().await;
    keys.failing.store(true, Ordering::Relaxed);
    let service = Service::start(&store, Some(keys.credentials())).await;
    let token = sign(&claims(service.now(), Some("admin")), "k1", KEY);
    let requests = || keys.requests.load(Ordering::Relaxed);
    for _ in 0..20 {
        read(&service, &token).await.problem(503);
    }
    assert_eq!(requests(), 1);
    service.advance(1_000);
    for _ in 0..20 {
        read(&service, &token).await.problem(503);
    }
    assert_eq!(requests(), 2);
    service.advance(1_000);
    let answered = read(&service, &token).await;
    assert_eq!((requests(), answered.retry_after.as_deref()), (2, Some("1")), "the pause doubled");
}

#[tokio::test]
async fn a_thousand_callers_who_wait_for_the_keys_cause_one_fetch() {
    for fails in [false, true] {
        let store = seeded_store().await;
        let keys = KeyServer::start().await;
        keys.failing.store(fails, Ordering::Relaxed);
        keys.delay_ms.store(500, Ordering::Relaxed);
        let variable = |name: &str| match name {
            "FIREBASE_PROJECT_ID" => Some(PROJECT.to_owned()),
            "FIREBASE_JWKS_URL" => Some(keys.url.clone()),
            _ => None,
        };
        let credentials = Credentials::from_env(variable).unwrap().unwrap();
        let now = START + 100;
        let clock = Clock::from_fn(move || now);
        let api = Api::new(Arc::new(Health::default()), clock, Some(credentials));
        api.serve(store.clone(), store.clone());
        let router = http::router(api);
        let token = sign(&claims(now, Some("service")), "k1", KEY);
        // Without sockets, of which many systems allow a process 1,024.
        let ask = |_| {
            let request = axum::http::Request::get("/ops/policies");
            let request = request.header("authorization", format!("Bearer {token}"));
            router.clone().oneshot(request.body(axum::body::Body::empty()).unwrap())
        };
        let waiters: tokio::task::JoinSet<_> = (0..1_000).map(ask).collect();
        let answers = waiters.join_all().await;
        let expected = if fails { 503 } else { 200 };
        for answered in answers {
            assert_eq!(answered.unwrap().status(), expected);
        }
        assert_eq!(keys.requests.load(Ordering::Relaxed), 1, "fails: {fails}");
    }
}

#[tokio::test]
async fn made_up_key_ids_do_not_delay_callers_whose_key_is_known() {
    let store = seeded_store().await;
    let keys = KeyServer::start().await;
    let service = Service::start(&store, Some(keys.credentials())).await;
    let good = sign(&claims(service.now(), Some("service")), "k1", KEY);
    read(&service, &good).await.ok();
    service.advance(61_000);
    keys.delay_ms.store(60_000, Ordering::Relaxed);
    let made_up = sign(&claims(service.now(), Some("service")), "made-up", KEY);
    let mut delayed = std::pin::pin!(read(&service, &made_up));
    let is_waiting = tokio::time::timeout(Duration::from_millis(500), &mut delayed).await.is_err();
    assert!(is_waiting && keys.requests.load(Ordering::Relaxed) == 2);
    let answered = tokio::time::timeout(Duration::from_secs(2), read(&service, &good)).await;
    answered.unwrap().ok();
}

#[tokio::test]
async fn a_firebase_user_cannot_pose_as_the_static_token() {
    let store = seeded_store().await;
    let keys = KeyServer::start().await;
    let service = Service::start(&store, Some(keys.credentials())).await;
    let mut forged = claims(service.now(), Some("admin"));
    forged["sub"] = json!("admin-token");
    let body = json!({ "learning": { "enabled": false } }).to_string();
    let request = service.request(Method::POST, "/ops/flags").header("x-actor", "Grace");
    answer(request.bearer_auth(sign(&forged, "k1", KEY)).body(body)).await.ok();
    let entry = store.audit(&AuditFilter::default(), 1).await.unwrap().remove(0).entry;
    assert_eq!((entry.actor.as_str(), entry.actor_name), ("firebase:admin-token", None));
}

#[tokio::test]
async fn a_reason_with_a_control_character_is_refused_and_changes_nothing() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    for reason in ["a\nb", "\u{1b}[31mred", "a\u{9b}b", "a\u{7f}"] {
        let asked = json!({ "learning": { "enabled": false }, "reason": reason });
        let detail = service.post("/ops/flags", &asked).await.problem(422);
        assert!(detail.contains("invalid reason"), "{detail}");
    }
    assert_eq!(service.get("/ops/flags").await.ok()["learning"]["enabled"], json!(true));
}

#[tokio::test]
async fn failed_authentications_are_throttled_and_valid_ones_are_not() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    for _ in 0..10 {
        read(&service, "wrong").await.problem(401);
    }
    let throttled = read(&service, "wrong").await;
    assert!(throttled.retry_after.is_some(), "{throttled:?}");
    throttled.problem(429);
    read(&service, TOKEN).await.ok();
    service.advance(7_000);
    read(&service, "wrong").await.problem(401);
}

#[tokio::test]
async fn without_configured_credentials_nothing_can_be_changed_or_read() {
    let store = seeded_store().await;
    let service = Service::start(&store, None).await;
    draft(&store, "1.0.1", "1.0.0").await;
    let asked = json!({ "id": "router-core", "version": "1.0.1" });
    for path in ["activate", "reject", "rollback", "override", "pin", "unpin", "repair"] {
        let answered = service.post(&format!("/ops/policies/{path}"), &asked).await;
        assert!(matches!(answered.status, 404 | 405), "{path}: {answered:?}");
    }
    assert!(matches!(service.post("/ops/flags", &json!({})).await.status, 404 | 405));
    service.get("/ops/policies").await.problem(401);
    let described = service.get("/openapi.json").await.ok();
    let paths = described["paths"].as_object().unwrap();
    assert!(paths.values().all(|path| path.get("post").is_none()), "{paths:?}");
    assert_eq!(service.request(Method::GET, "/healthz").send().await.unwrap().status(), 200);
    let all = store.audit(&AuditFilter::default(), 9).await.unwrap();
    let actions: Vec<_> = all.iter().map(|record| record.entry.action.as_str()).collect();
    assert_eq!(actions.len(), 2, "only those of the seed and the draft: {actions:?}");
}

#[tokio::test]
async fn the_api_answers_503_until_firestore_is_reached() {
    use f0_learning::http::{AdminToken, Server};
    let token = AdminToken::new(TOKEN.to_owned()).unwrap();
    let api =
        Api::new(Arc::new(Health::default()), Clock::system(), Some(Credentials::token(token)));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = Server::start(address, api).await.unwrap();
    let url = format!("http://{}/ops/policies", server.address());
    answer(reqwest::Client::new().get(url).bearer_auth(TOKEN)).await.problem(503);
}
