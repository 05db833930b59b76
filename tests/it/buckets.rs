//! Archives in a bucket of Google Cloud Storage: the binary against a small copy of its XML API.

use f0_learning_core::time::DAY_MS;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::collection;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::{AUTHORIZATION, ETAG, LAST_MODIFIED};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::put;
use f0_learning::archive::{Manifest, read_keys};
use f0_learning::store::Store;
use f0_learning_core::observation::Outcome;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::retention::documents_left;
use crate::support::process::{run_on, text};
use crate::support::{START, record, score, seeded_store};

const KEY: &str = include_str!("keys/issuer.pem");
const KEY_SET: &str = include_str!("keys/issuer.jwks.json");
const ACCOUNT: &str = "f0-learning@f0-test.example";

/// Cloud Storage with one bucket, `archive`. Every fourth request is answered 503; a request whose
/// bearer token [`ACCOUNT`] did not sign is refused.
#[derive(Clone, Default)]
struct Bucket {
    objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
    requests: Arc<AtomicUsize>,
    is_forbidden: bool,
}

impl Bucket {
    async fn start(self) -> String {
        let router = axum::Router::new()
            .route("/archive/{object}", put(write).get(read).delete(remove))
            .layer(DefaultBodyLimit::disable())
            .with_state(self);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn admit(&self, headers: &HeaderMap) -> Result<(), StatusCode> {
        if self.requests.fetch_add(1, Ordering::Relaxed) % 4 == 3 {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        let bearer = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
        let token = bearer.and_then(|it| it.strip_prefix("Bearer "));
        if self.is_forbidden || !token.is_some_and(is_signed) {
            return Err(StatusCode::FORBIDDEN);
        }
        Ok(())
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        let objects = self.objects.lock().unwrap();
        objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
    }
}

fn is_signed(token: &str) -> bool {
    f0_learning::http::auth::rs256::install();
    let keys: JwkSet = serde_json::from_str(KEY_SET).unwrap();
    let key = DecodingKey::from_jwk(&keys.keys[0]).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_issuer(&[ACCOUNT]);
    jsonwebtoken::decode::<Value>(token, &key, &validation).is_ok()
}

type Answer = Result<Response, StatusCode>;

async fn write(
    State(bucket): State<Bucket>,
    Path(object): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    bucket.admit(&headers)?;
    bucket.objects.lock().unwrap().insert(object, body);
    Ok([(ETAG, "\"1\"")].into_response())
}

async fn read(
    State(bucket): State<Bucket>,
    Path(object): Path<String>,
    headers: HeaderMap,
) -> Answer {
    bucket.admit(&headers)?;
    let found = bucket.objects.lock().unwrap().get(&object).cloned();
    let headers = [(ETAG, "\"1\""), (LAST_MODIFIED, "Tue, 24 Nov 2026 00:00:00 GMT")];
    found.map(|bytes| (headers, bytes).into_response()).ok_or(StatusCode::NOT_FOUND)
}

async fn remove(
    State(bucket): State<Bucket>,
    Path(object): Path<String>,
    headers: HeaderMap,
) -> Answer {
    bucket.admit(&headers)?;
    let removed = bucket.objects.lock().unwrap().remove(&object);
    removed.map(|_| StatusCode::NO_CONTENT.into_response()).ok_or(StatusCode::NOT_FOUND)
}

/// Runs `f0-learning retain` with a service account's credentials and the storage at `base`.
async fn retain(store: &Store, base: &str) -> std::process::Output {
    let folder = TempDir::new().unwrap();
    let credentials = folder.path().join("account.json");
    let account = json!({
        "type": "service_account", "client_email": ACCOUNT, "private_key_id": "k1",
        "private_key": KEY,
    });
    std::fs::write(&credentials, account.to_string()).unwrap();
    let environment = [
        ("GOOGLE_APPLICATION_CREDENTIALS", credentials.to_str().unwrap()),
        ("GOOGLE_BASE_URL", base),
        ("ARCHIVE_URL", "gs://archive/of/years"),
    ];
    run_on(store, &["retain"], &environment).await
}

async fn store_with_old_observations() -> Store {
    let store = seeded_store().await;
    for n in 0..40 {
        record(&store, "c", Outcome::Success, 100.0, START - 400 * DAY_MS + n).await;
    }
    score(&store, START).await;
    store
}

#[tokio::test]
async fn a_bucket_with_intermittent_errors_gets_every_document_once() {
    let store = store_with_old_observations().await;
    let bucket = Bucket::default();
    let base = bucket.clone().start().await;
    let output = retain(&store, &base).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("80 documents archived"), "{}", text(&output.stdout));
    assert_eq!(documents_left(&store, collection::OBSERVATIONS).await, 0);
    assert_eq!(bucket.names("of/years/staging/"), Vec::<String>::new());
    for table in ["observations", "rewards"] {
        let files = bucket.names(&format!("of/years/{table}/day="));
        let manifests = bucket.names(&format!("of/years/manifests/{table}/day="));
        assert_eq!((files.len(), manifests.len()), (1, 1), "{table}");
        let objects = bucket.objects.lock().unwrap();
        let manifest: Manifest = serde_json::from_slice(&objects[&manifests[0]]).unwrap();
        assert_eq!(format!("of/years/{}", manifest.path), files[0]);
        let mut ids: Vec<_> =
            read_keys(objects[&files[0]].clone()).unwrap().into_iter().map(|key| key.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((ids.len(), manifest.count), (40, 40), "{table}");
    }
}

#[tokio::test]
async fn a_bucket_that_denies_access_is_a_one_line_error_and_nothing_is_deleted() {
    let store = store_with_old_observations().await;
    let bucket = Bucket { is_forbidden: true, ..Bucket::default() };
    let base = bucket.clone().start().await;
    let output = retain(&store, &base).await;
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert_eq!(error.trim().lines().count(), 1, "{error}");
    assert!(error.contains("staging/") && error.contains("403"), "{error}");
    assert_eq!(documents_left(&store, collection::OBSERVATIONS).await, 40);
}
