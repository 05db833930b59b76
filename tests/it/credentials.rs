//! Who may call the API: the static token, Firebase ID tokens, and nobody else.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::StatusCode;
use axum::routing::get;
use f0_learning::http::Credentials;
use f0_learning::store::AuditFilter;
use f0_learning_core::time::MINUTE_MS;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answer, Service, TOKEN, answer};
use crate::support::{draft, seeded_store};

const PROJECT: &str = "f0-test";
/// A key made for these tests alone.
const KEY: &str = include_str!("keys/issuer.pem");
const OTHER_KEY: &str = include_str!("keys/other.pem");
const KEY_SET: &str = include_str!("keys/issuer.jwks.json");

/// Google's key server, in small: counts how often it is asked, and may fail.
struct KeyServer {
    url: String,
    asked: Arc<AtomicUsize>,
    failing: Arc<std::sync::atomic::AtomicBool>,
}

impl KeyServer {
    async fn start() -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let failing = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (count, fail) = (asked.clone(), failing.clone());
        let keys = move || {
            count.fetch_add(1, Ordering::Relaxed);
            let status = match fail.load(Ordering::Relaxed) {
                true => StatusCode::INTERNAL_SERVER_ERROR,
                false => StatusCode::OK,
            };
            async move { (status, [("cache-control", "public, max-age=600")], KEY_SET) }
        };
        let router = axum::Router::new().route("/keys", get(keys));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, asked, failing }
    }

    fn credentials(&self) -> Credentials {
        let variable = |name: &str| match name {
            "ADMIN_TOKEN" => Some(TOKEN.to_owned()),
            "FIREBASE_PROJECT_ID" => Some(PROJECT.to_owned()),
            "FIREBASE_JWKS_URL" => Some(self.url.clone()),
            _ => None,
        };
        Credentials::from_env(variable).unwrap().unwrap()
    }
}

fn claims(now_ms: i64, role: Option<&str>) -> Value {
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

fn sign(claims: &Value, kid: &str, key: &str) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::RS256) };
    encode(&header, claims, &EncodingKey::from_rsa_pem(key.as_bytes()).unwrap()).unwrap()
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
    let nobody = sign(&claims(service.now(), None), "k1", KEY);

    read(&service, &reader).await.ok();
    change(&service, &reader).await.problem(403);
    answer(service.request(Method::GET, "/ops/audit").bearer_auth(&reader)).await.problem(403);
    read(&service, &nobody).await.problem(403);
    let body = json!({ "learning": { "enabled": false } }).to_string();
    let request = service.request(Method::POST, "/ops/flags").bearer_auth(&admin);
    answer(request.header("x-actor", "mallory").body(body)).await.ok();
    let entry = store.audit(&AuditFilter::default(), 1).await.unwrap().remove(0).entry;
    assert_eq!((entry.actor.as_str(), entry.actor_name), ("uid-of-ada", None));
    read(&service, TOKEN).await.ok();
    assert_eq!(keys.asked.load(Ordering::Relaxed), 1, "the key set is kept");
}

#[tokio::test]
async fn a_token_that_is_not_wholly_right_is_refused_without_a_word_why() {
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
    let symmetric = {
        // The public key as an HMAC secret: the classic confusion of algorithms.
        let header = Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::HS256) };
        encode(&header, &good, &EncodingKey::from_secret(KEY_SET.as_bytes())).unwrap()
    };
    let none = {
        let signed = sign(&good, "k1", KEY);
        let body = signed.split('.').nth(1).unwrap().to_owned();
        // {"alg":"none","kid":"k1"}
        format!("eyJhbGciOiJub25lIiwia2lkIjoiazEifQ.{body}.")
    };
    let mut told = Vec::new();
    for (what, token) in [
        ("expired", with(json!({ "exp": now - 61 }))),
        ("issued in the future", with(json!({ "iat": now + 120 }))),
        ("authenticated in the future", with(json!({ "auth_time": now + 120 }))),
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
        told.push(answered.problem(401));
        service.advance(MINUTE_MS / 8);
    }
    told.dedup();
    assert_eq!(told.len(), 1, "the answers tell apart what was wrong: {told:?}");
    // Within the skew of clocks a token is good.
    let late = sign(
        &json!({ "exp": service.now() / 1_000 - 30, "iat": now, "sub": "a", "role": "admin",
        "aud": PROJECT, "iss": format!("https://securetoken.google.com/{PROJECT}") }),
        "k1",
        KEY,
    );
    change(&service, &late).await.ok();
}

#[tokio::test]
async fn names_of_keys_that_are_made_up_do_not_make_us_fetch_each_time() {
    let store = seeded_store().await;
    let keys = KeyServer::start().await;
    let service = Service::start(&store, Some(keys.credentials())).await;
    for n in 0..5 {
        let token = sign(&claims(service.now(), Some("admin")), &format!("made-up-{n}"), KEY);
        read(&service, &token).await.problem(401);
    }
    assert_eq!(keys.asked.load(Ordering::Relaxed), 1);
    service.advance(700_000);
    read(&service, &sign(&claims(service.now(), Some("admin")), "k1", KEY)).await.ok();
    assert_eq!(keys.asked.load(Ordering::Relaxed), 2, "the keys had expired");
}

#[tokio::test]
async fn where_the_keys_cannot_be_had_nobody_is_let_in_on_trust() {
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
    change(&service, &token).await.ok();
}

#[tokio::test]
async fn failures_are_throttled_and_valid_credentials_are_not() {
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
async fn without_a_credential_configured_nothing_can_be_changed_or_read() {
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
    assert_eq!(actions.len(), 2, "what the seed and the draft left: {actions:?}");
}

#[tokio::test]
async fn before_firestore_is_reached_the_api_says_so() {
    use f0_learning::http::{AdminToken, Api, Server};
    use f0_learning::observability::health::Health;
    use f0_learning_core::Clock;
    let token = AdminToken::new(TOKEN.to_owned()).unwrap();
    let api =
        Api::new(Arc::new(Health::default()), Clock::system(), Some(Credentials::token(token)));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = Server::start(address, api).await.unwrap();
    let url = format!("http://{}/ops/policies", server.address());
    answer(reqwest::Client::new().get(url).bearer_auth(TOKEN)).await.problem(503);
}
