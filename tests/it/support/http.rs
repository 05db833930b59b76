//! The HTTP server on a port of its own, and an ordinary HTTP client for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use f0_learning::http::{AdminToken, Api, Credentials, Limits, Server};
use f0_learning::observability::health::Health;
use f0_learning::store::Store;
use f0_learning_core::Clock;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::START;

pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A server, its clock, and a client.
pub struct Service {
    server: Server,
    client: reqwest::Client,
    pub health: Arc<Health>,
    now: Arc<AtomicI64>,
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub kind: String,
    pub retry_after: Option<String>,
    pub body: Value,
}

impl Service {
    pub async fn start(store: &Store, credentials: Option<Credentials>) -> Self {
        Self::start_within(store, credentials, Limits::default()).await
    }

    pub async fn start_within(
        store: &Store,
        credentials: Option<Credentials>,
        limits: Limits,
    ) -> Self {
        let now = Arc::new(AtomicI64::new(START + 100));
        let (health, read) = (Arc::new(Health::default()), now.clone());
        let clock = Clock::from_fn(move || read.load(Ordering::Relaxed));
        let api = Api::new(health.clone(), clock.clone(), credentials);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::start_within(address, api.clone(), limits).await.unwrap();
        api.serve(store.clone(), clock);
        Self { server, client: reqwest::Client::new(), health, now }
    }

    /// With the static token.
    pub async fn with_token(store: &Store) -> Self {
        let token = AdminToken::new(TOKEN.to_owned()).unwrap();
        Self::start(store, Some(Credentials::token(token))).await
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub fn advance(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::Relaxed);
    }

    pub fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    /// A request without a credential.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.server.address()))
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path).bearer_auth(TOKEN)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).bearer_auth(TOKEN).body(body.to_string())).await
    }
}

pub async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let (status, kind) = (response.status().as_u16(), header("content-type").unwrap_or_default());
    let retry_after = header("retry-after");
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status, kind, retry_after, body }
}

impl Answer {
    /// The detail of a response that must be a problem with this status.
    pub fn problem(self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.kind, "application/problem+json", "{self:?}");
        assert_eq!(self.body["status"], status, "{self:?}");
        self.body["detail"].as_str().unwrap().to_owned()
    }

    /// The body of a response that must be a success.
    pub fn ok(self) -> Value {
        assert_eq!((self.status, self.kind.as_str()), (200, "application/json"), "{:?}", self.body);
        self.body
    }
}
