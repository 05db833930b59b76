//! A request is answered as a repetition only if the service carried it out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use f0_learning::store::{AuditFilter, ChangeError, Changed, Store};
use f0_learning_core::Clock;
use f0_learning_core::document::{FlagChanges, FlagsState};
use f0_learning_core::intent::{IdempotencyKey, Intent};
use firestore::gcloud_sdk::google::firestore::v1::firestore_client::FirestoreClient;
use firestore::gcloud_sdk::google::firestore::v1::{
    CreateDocumentRequest, Document, GetDocumentRequest,
};
use firestore::gcloud_sdk::tonic::{Code, Request};
use firestore_kit::{Connection, value};
use firestore_local::Running;
use reqwest::Method;
use ring::hmac;
use serde_json::{Value, json};
use uuid::{Builder, Uuid};

use crate::collection;
use crate::support::http::{Service, TOKEN, answer};
use crate::support::process::run_on;
use crate::support::{self, START, ada, document, fields, put, seeded_store};

/// The id that earlier versions gave the entry of a key: everyone can compute it.
fn old_id(actor: &str, key: &str) -> String {
    let namespace = Uuid::from_u128(0x5b8e_0f6e_6f0b_4d0f_9c0a_36f0_1ea5_0036);
    Uuid::new_v5(&namespace, format!("{actor}\n{key}").as_bytes()).to_string()
}

/// The id of an entry as who knows the secret can compute it.
async fn new_id(store: &Store, actor: &str, key: &str) -> String {
    let db = store.db();
    let found = db.get(collection::STATE, "audit_key").await.unwrap().unwrap();
    let secret = value::as_bytes(&found.fields, "secret").unwrap();
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    context.update(&(actor.len() as u64).to_le_bytes());
    context.update(format!("{actor}{key}").as_bytes());
    let id: [u8; 16] = context.sign().as_ref()[..16].try_into().unwrap();
    Builder::from_custom_bytes(id).into_uuid().to_string()
}

fn keyed(key: &str) -> Intent {
    let key = IdempotencyKey { key: key.to_owned(), fingerprint: "of the request".to_owned() };
    Intent { key: Some(key), ..ada() }
}

const OFF: FlagChanges = FlagChanges { enabled: Some(false), auto_activate_policies: None };

async fn switch_off(store: &Store, key: &str) -> Result<Changed, ChangeError> {
    store.set_flags(OFF, &keyed(key)).await.map(|changed| changed.expect("the flags were on"))
}

async fn is_on(store: &Store) -> bool {
    let flags = store.flags().await.unwrap();
    assert!(matches!(flags, FlagsState::Set(_)), "{flags}");
    flags.tuning_enabled()
}

/// An entry as `switch_off` writes it.
fn entry() -> Value {
    json!({ "ts": START, "actor": ada().actor, "action": "flags", "id": "flags",
        "request": "of the request", "to": "learning.enabled=false" })
}

/// A local Firestore that enforces the rules, with a seeded store that has the rights of a server.
async fn ruled() -> (Running, Store) {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/firestore.rules");
    let running = support::server().rules(Some(rules.into())).start().await.unwrap();
    let connection = Connection::local("demo-ruled".to_owned(), running.addr());
    let store = Store::connect(&connection).await.unwrap();
    store.seed(START).await.unwrap();
    (running, store)
}

/// The token of a user of the project, as an app has it.
fn token_of(uid: &str, role: &str) -> String {
    let now = Clock::system().now() / 1_000;
    let claims = json!({ "sub": uid, "role": role, "aud": "demo-ruled", "exp": now + 3_600,
        "component": "router" });
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}.", encode(&json!({ "alg": "none" })), encode(&claims))
}

fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

#[tokio::test]
async fn an_entry_that_a_user_creates_under_a_guessed_key_stands_for_no_change() {
    let (running, store) = ruled().await;
    let url = format!("http://{}", running.addr());
    let mut user = FirestoreClient::connect(url).await.unwrap();
    let parent = "projects/demo-ruled/databases/(default)/documents".to_owned();
    let entry = json!({ "ts": Clock::system().now(), "actor": "firebase:mallory", "action": "flags",
        "id": "flags", "reason": "looks like the kill switch" });
    let token = token_of("mallory", "admin");
    let create = CreateDocumentRequest {
        parent: parent.clone(),
        collection_id: collection::AUDIT.to_owned(),
        document_id: old_id("admin-token", "stop-now"),
        document: Some(Document { fields: fields(&entry), ..Document::default() }),
        ..CreateDocumentRequest::default()
    };
    user.create_document(with_token(create, &token)).await.unwrap();

    let service = Service::with_token(&store).await;
    let body = json!({ "learning": { "enabled": false } }).to_string();
    let send = || async {
        let request = service.request(Method::POST, "/ops/flags").bearer_auth(TOKEN);
        answer(request.header("idempotency-key", "stop-now").body(body.clone())).await.ok()
    };
    let first = send().await;
    assert_eq!(first["replayed"], json!(false), "{first}");
    assert!(!is_on(&store).await, "the kill switch works although the entry exists");
    let again = send().await;
    assert_eq!((&again["replayed"], &again["auditId"]), (&json!(true), &first["auditId"]));

    // Who cannot read the secret cannot compute the id.
    for role in ["admin", "service"] {
        let name = format!("{parent}/ops_state/audit_key");
        let get = GetDocumentRequest { name, ..GetDocumentRequest::default() };
        let refused = user.get_document(with_token(get, &token_of("mallory", role))).await;
        assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    }
}

#[tokio::test]
async fn a_forged_entry_under_a_guessable_id_is_ignored() {
    let store = seeded_store().await;
    switch_off(&store, "first").await.unwrap();
    store.set_flags(FlagChanges { enabled: Some(true), ..OFF }, &ada()).await.unwrap();
    put(&store, collection::AUDIT, &old_id(&ada().actor, "k"), fields(&entry())).await;
    let done = switch_off(&store, "k").await.unwrap();
    assert!(!done.replayed);
    assert!(!is_on(&store).await);
}

#[tokio::test]
async fn an_entry_that_does_not_record_the_request_never_answers_it() {
    let store = seeded_store().await;
    store.set_flags(FlagChanges { enabled: Some(true), ..OFF }, &keyed("first")).await.unwrap();
    let forgeries = [
        ("actor", json!("bob")),
        ("action", json!("pin")),
        ("id", json!("router-core")),
        ("request", json!("of another request")),
        ("request", Value::Null),
        ("ts", json!("not a time")),
    ];
    for (index, (field, value)) in forgeries.into_iter().enumerate() {
        let mut forged = entry();
        forged[field] = value;
        let key = format!("k{index}");
        let id = new_id(&store, &ada().actor, &key).await;
        put(&store, collection::AUDIT, &id, fields(&forged)).await;
        let error = switch_off(&store, &key).await.unwrap_err();
        let expected = match field {
            "request" if forged[field].is_string() => "used for another request",
            "ts" => "cannot read ops_audit/",
            _ => "does not record it; nothing was changed",
        };
        assert!(error.to_string().contains(expected), "{field}: {error}");
        assert!(is_on(&store).await, "{field}");
    }
    // Without the key the kill switch still works.
    assert!(
        run_on(&store, &["flags", "set", "learning.enabled=false"], &[]).await.status.success()
    );
    assert!(!is_on(&store).await);
}

#[tokio::test]
async fn a_foreign_entry_is_a_conflict_of_the_api() {
    let store = seeded_store().await;
    let service = Service::with_token(&store).await;
    let send = async |key: &str| {
        let request = service.request(Method::POST, "/ops/flags").bearer_auth(TOKEN);
        let body = json!({ "learning": { "enabled": false } }).to_string();
        answer(request.header("idempotency-key", key).body(body)).await
    };
    send("first").await.ok();
    let id = new_id(&store, "admin-token", "k").await;
    put(
        &store,
        collection::AUDIT,
        &id,
        fields(&json!({ "ts": 1, "actor": "x", "action": "flags",
        "id": "flags" })),
    )
    .await;
    let detail = send("k").await.problem(409);
    assert!(detail.contains(&id) && detail.contains("nothing was changed"), "{detail}");
}

#[tokio::test]
async fn a_request_of_an_earlier_version_is_still_recognised() {
    let store = seeded_store().await;
    let id = old_id(&ada().actor, "k");
    put(&store, collection::AUDIT, &id, fields(&entry())).await;
    let mut other = entry();
    other["action"] = json!("pin");
    put(&store, collection::AUDIT, &old_id(&ada().actor, "other"), fields(&other)).await;
    for _ in 0..2 {
        let again = switch_off(&store, "k").await.unwrap();
        assert_eq!((again.replayed, again.audit_id.as_str()), (true, id.as_str()));
        assert!(is_on(&store).await, "it was carried out before, not now");
        // Creates the secret: the entry is older.
        store.set_flags(FlagChanges { enabled: Some(true), ..OFF }, &keyed("x")).await.unwrap();
    }
    assert!(!switch_off(&store, "other").await.unwrap().replayed);
    assert!(!is_on(&store).await);
}

#[tokio::test]
async fn the_first_requests_with_keys_agree_on_one_secret() {
    let store = seeded_store().await;
    let keys: Vec<String> = (0..4).map(|n| format!("k{n}")).collect();
    let first = futures_of(&store, &keys).await;
    assert!(first.iter().all(|changed| !changed.replayed));
    let again = futures_of(&store, &keys).await;
    assert!(again.iter().all(|changed| changed.replayed));
    let entries = store.audit(&AuditFilter::of("flags"), 20).await.unwrap();
    assert_eq!(entries.len(), keys.len());
}

async fn futures_of(store: &Store, keys: &[String]) -> Vec<Changed> {
    let mut tasks = Vec::new();
    for key in keys {
        let (store, key) = (store.clone(), key.clone());
        tasks.push(tokio::spawn(async move { switch_off(&store, &key).await.unwrap() }));
    }
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.unwrap());
    }
    done
}

#[tokio::test]
async fn a_damaged_secret_fails_only_requests_with_a_key_and_is_replaced_by_its_repair() {
    let store = seeded_store().await;
    switch_off(&store, "k").await.unwrap();
    put(&store, collection::STATE, "audit_key", fields(&json!({ "secret": "short" }))).await;
    let error = switch_off(&store, "l").await.unwrap_err().to_string();
    assert!(error.contains("ops_state/audit_key") && !error.contains("short"), "{error}");
    let repair = ["rebuild", "--document", "ops_state/audit_key"];
    assert!(error.contains(&repair.join(" ")), "{error}");
    store.set_flags(OFF, &ada()).await.unwrap();
    assert!(run_on(&store, &repair, &[]).await.status.success());
    assert_eq!(document(&store, collection::STATE, "audit_key").await, None);
    assert!(!switch_off(&store, "l").await.unwrap().replayed);
    assert!(run_on(&store, &repair, &[]).await.status.success());
    assert!(switch_off(&store, "l").await.unwrap().replayed, "a readable secret is kept");
}
