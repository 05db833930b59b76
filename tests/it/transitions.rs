//! Invariants 3 and 4, one transition at a time: every change of a policy, allowed and refused, as
//! the stored documents show it.

use crate::collection;
use f0_learning::jobs::check::CheckReport;
use f0_learning::store::{AuditFilter, ChangeError, Changed, OverrideParams, Store};
use f0_learning_core::document::Policy;
use f0_learning_core::intent::InvalidLength;
use f0_learning_core::intent::{IdempotencyKey, Intent};
use f0_learning_core::policy::PolicyStatus::{Active, Archived, Draft, Rejected};
use f0_learning_core::policy::{ParamsError, PolicyStatus, lifecycle::Refusal};
use serde_json::{Value, json};

use crate::support::{
    START, ada, assert_sound, document, draft, empty_store, fields, key, put, seeded_store,
    statuses,
};

async fn status(store: &Store, version: &str) -> PolicyStatus {
    stored(store, version).await.status
}

async fn stored(store: &Store, version: &str) -> Policy {
    store.policy(&key(&format!("router-core@{version}"))).await.unwrap().unwrap()
}

fn refusal(outcome: Result<Changed, ChangeError>) -> Refusal {
    match outcome.unwrap_err() {
        ChangeError::Refused { refusal, .. } => refusal,
        ChangeError::Stale(stale) => stale.refusal,
        other => panic!("{other}"),
    }
}

/// Changes a version as an admin would in the Firestore console.
async fn set_by_hand(store: &Store, version: &str, change: Value) {
    let id = format!("router-core@{version}");
    let mut found = document(store, collection::POLICIES, &id).await.unwrap();
    for (name, value) in change.as_object().unwrap() {
        found.insert(name.clone(), value.clone());
    }
    put(store, collection::POLICIES, &id, fields(&json!(found))).await;
}

#[tokio::test]
async fn activating_a_draft_archives_the_previous_version_and_audits_it_in_the_same_commit() {
    let store = seeded_store().await;
    let key = draft(&store, "1.0.1", "1.0.0").await;
    let changed = store.activate(&key, false, &ada()).await.unwrap();
    assert_eq!((status(&store, "1.0.0").await, status(&store, "1.0.1").await), (Archived, Active));
    let active = stored(&store, "1.0.1").await;
    assert_eq!(active.activated_by.as_deref(), Some("ada"));
    assert_eq!(active.previous_version, Some("1.0.0".parse().unwrap()));
    let entry = &changed.entry;
    assert_eq!((entry.actor.as_str(), entry.action.as_str()), ("ada", "activate"));
    assert_eq!((entry.from.as_deref(), entry.to.as_deref()), (Some("1.0.0"), Some("1.0.1")));
    assert_eq!(entry.reason.as_deref(), Some("a test"));
    assert_sound(&store, "router-core", "after an activation").await;

    let db = store.db().clone().into_inner();
    let read = async |collection: &str, id: &str| {
        db.fluent().select().by_id_in(collection).one(id).await.unwrap().unwrap()
    };
    let audit = read(collection::AUDIT, &changed.audit_id).await;
    for version in ["router-core@1.0.0", "router-core@1.0.1"] {
        let policy = read(collection::POLICIES, version).await;
        assert_eq!(policy.update_time, audit.create_time, "{version}");
    }
}

#[tokio::test]
async fn the_params_of_a_version_never_change() {
    let store = seeded_store().await;
    let key = draft(&store, "1.0.1", "1.0.0").await;
    let before = stored(&store, "1.0.1").await.params;
    store.activate(&key, false, &ada()).await.unwrap();
    store.roll_back("router-core", None, &ada()).await.unwrap();
    store.roll_back("router-core", None, &ada()).await.unwrap();
    assert_eq!(stored(&store, "1.0.1").await.params, before);
    assert_eq!(status(&store, "1.0.1").await, Active);
}

#[tokio::test]
async fn a_rejected_draft_stays_rejected() {
    let store = seeded_store().await;
    let key = draft(&store, "1.0.1", "1.0.0").await;
    let changed = store.reject(&key, &ada()).await.unwrap();
    assert_eq!((changed.entry.from.as_deref(), changed.entry.to), (Some("1.0.1"), None));
    assert_eq!(stored(&store, "1.0.1").await.rejected_by.as_deref(), Some("ada"));
    for outcome in [
        store.activate(&key, true, &ada()).await,
        store.reject(&key, &ada()).await,
        store.roll_back("router-core", Some(&key.version), &ada()).await,
    ] {
        assert!(matches!(refusal(outcome), Refusal::WrongStatus { status: Rejected, .. }));
    }
    assert_sound(&store, "router-core", "after a rejection").await;
}

#[tokio::test]
async fn a_draft_with_a_stale_parent_is_refused_with_the_difference_unless_forced() {
    let store = seeded_store().await;
    let first = draft(&store, "1.0.1", "1.0.0").await;
    let second = draft(&store, "1.0.2", "1.0.0").await;
    store.activate(&first, false, &ada()).await.unwrap();
    let refused = store.activate(&second, false, &ada()).await.unwrap_err();
    let error = refused.to_string();
    for part in ["1.0.0 is no longer the active version", "1.0.1 is", "by ada", "gpt-5 0.6 → 0.5"]
    {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert_eq!(status(&store, "1.0.2").await, Draft);
    let forced = store.activate(&second, true, &ada()).await.unwrap();
    assert!(forced.entry.forced);
    assert_sound(&store, "router-core", "after a forced activation").await;
}

#[tokio::test]
async fn a_draft_with_invalid_weights_is_never_activated() {
    let store = seeded_store().await;
    let key = draft(&store, "1.0.1", "1.0.0").await;
    set_by_hand(&store, "1.0.1", json!({ "params": { "modelWeights": { "a": 0.5 } } })).await;
    let refused = refusal(store.activate(&key, true, &ada()).await);
    assert!(matches!(refused, Refusal::Params(ParamsError::Sum { .. })), "{refused}");
    assert_eq!(status(&store, "1.0.0").await, Active);
}

#[tokio::test]
async fn a_rollback_without_a_version_returns_to_the_previously_active_one() {
    let store = seeded_store().await;
    let refused = store.roll_back("router-core", None, &ada()).await.unwrap_err();
    assert!(matches!(refused, ChangeError::NothingBefore(_)), "{refused}");
    for (version, parent) in [("1.0.1", "1.0.0"), ("1.0.2", "1.0.1")] {
        let key = draft(&store, version, parent).await;
        store.activate(&key, false, &ada()).await.unwrap();
    }
    store.roll_back("router-core", None, &ada()).await.unwrap();
    assert_eq!(status(&store, "1.0.1").await, Active);
    let oldest = "1.0.0".parse().unwrap();
    store.roll_back("router-core", Some(&oldest), &ada()).await.unwrap();
    assert_eq!(status(&store, "1.0.0").await, Active);
    store.roll_back("router-core", None, &ada()).await.unwrap();
    assert_eq!(
        status(&store, "1.0.1").await,
        Active,
        "the one active before, not the next higher version"
    );
    let again = store.roll_back("router-core", Some(&"1.0.1".parse().unwrap()), &ada()).await;
    assert!(matches!(refusal(again), Refusal::WrongStatus { status: Active, .. }));
    assert_sound(&store, "router-core", "after rollbacks").await;
}

#[tokio::test]
async fn an_override_creates_an_active_version_that_names_its_parent() {
    let store = seeded_store().await;
    draft(&store, "1.0.1", "1.0.0").await;
    let set = |weights: &[(&str, f64)]| {
        let path = |arm: &str| format!("modelWeights.{arm}");
        OverrideParams::Set(weights.iter().map(|(arm, to)| (path(arm), json!(to))).collect())
    };
    let params = set(&[("gpt-5", 0.5), ("gemini", 0.35)]);
    let changed = store.override_policy("router-core", &params, None, &ada()).await.unwrap();
    assert_eq!(changed.entry.to.as_deref(), Some("1.0.2"), "1.0.1 is taken");
    let new = stored(&store, "1.0.2").await;
    assert_eq!((new.status, new.created_by.as_str()), (Active, "ada"));
    assert_eq!(new.parent_version, Some("1.0.0".parse().unwrap()));
    assert_eq!(new.params.0["modelWeights"], json!({"gpt-5": 0.5, "gemini": 0.35, "claude": 0.15}));
    assert_eq!(new.params.0["cooldownMs"], json!(30_000));

    let expected = "1.0.0".parse().unwrap();
    let moved = store.override_policy("router-core", &params, Some(&expected), &ada()).await;
    assert!(matches!(moved.unwrap_err(), ChangeError::Moved { .. }));
    let refused = store.override_policy("router-core", &set(&[("gpt-5", 0.9)]), None, &ada()).await;
    assert!(matches!(refused.unwrap_err(), ChangeError::Params { .. }));
    let same = store.override_policy("router-core", &params, None, &ada()).await;
    assert!(matches!(same.unwrap_err(), ChangeError::Params { .. }), "nothing would change");
    assert_sound(&store, "router-core", "after overrides").await;
}

#[tokio::test]
async fn a_pin_moves_with_the_active_version_until_it_is_removed() {
    let store = seeded_store().await;
    let key = draft(&store, "1.0.1", "1.0.0").await;
    let bare = Intent::new("ada", START);
    assert!(matches!(store.pin("router-core", &bare).await, Err(ChangeError::NoReason)));
    store.pin("router-core", &ada()).await.unwrap();
    let again = store.pin("router-core", &ada()).await.unwrap_err();
    assert!(again.to_string().contains("a test"), "{again}");
    store.activate(&key, false, &ada()).await.unwrap();
    let pinned = stored(&store, "1.0.1").await;
    assert_eq!(pinned.pin_reason_text(), Some("a test"));
    assert_eq!(pinned.pin.pinned_by.as_deref(), Some("ada"));
    assert!(!stored(&store, "1.0.0").await.pinned);
    store.roll_back("router-core", None, &ada()).await.unwrap();
    assert!(stored(&store, "1.0.0").await.pinned);
    store.unpin("router-core", &ada()).await.unwrap();
    let after = document(&store, collection::POLICIES, "router-core@1.0.0").await.unwrap();
    assert!(!after.keys().any(|name| name.starts_with("pin")), "{after:?}");
    assert!(matches!(store.unpin("router-core", &ada()).await, Err(ChangeError::NotPinned(_))));
    assert_sound(&store, "router-core", "after pins").await;
}

#[tokio::test]
async fn two_active_versions_are_reported_and_repair_keeps_the_highest() {
    let store = seeded_store().await;
    let first = draft(&store, "1.0.1", "1.0.0").await;
    store.activate(&first, false, &ada()).await.unwrap();
    let refused = refusal(store.repair("router-core", &ada()).await);
    assert_eq!(refused, Refusal::NothingToRepair);
    set_by_hand(&store, "1.0.0", json!({ "status": "active" })).await;

    let irregular = CheckReport::take(&store).await.unwrap().irregular();
    assert!(irregular[0].to_string().contains("2 active versions"), "{}", irregular[0]);
    let changed = store.repair("router-core", &ada()).await.unwrap();
    assert_eq!(changed.entry.action, "repair");
    assert_eq!((status(&store, "1.0.0").await, status(&store, "1.0.1").await), (Archived, Active));
    assert_eq!(CheckReport::take(&store).await.unwrap().irregular(), []);
}

#[tokio::test]
async fn a_rollback_archives_the_second_active_version_set_by_hand() {
    let store = seeded_store().await;
    let first = draft(&store, "1.0.1", "1.0.0").await;
    store.activate(&first, false, &ada()).await.unwrap();
    set_by_hand(&store, "1.0.0", json!({ "status": "active" })).await;
    store.roll_back("router-core", None, &ada()).await.unwrap();
    assert_eq!((status(&store, "1.0.0").await, status(&store, "1.0.1").await), (Active, Archived));
}

#[tokio::test]
async fn repair_restores_the_last_active_version_if_none_is_active() {
    let store = seeded_store().await;
    for (version, parent) in [("1.0.1", "1.0.0"), ("1.0.2", "1.0.1")] {
        let key = draft(&store, version, parent).await;
        let now = Intent::new("ada", START + i64::from(version == "1.0.2"));
        store.activate(&key, false, &now).await.unwrap();
    }
    set_by_hand(&store, "1.0.2", json!({ "status": "archived", "archivedAt": START + 9 })).await;
    let irregular = CheckReport::take(&store).await.unwrap().irregular();
    assert!(irregular[0].to_string().contains("no active version"), "{}", irregular[0]);
    let set = OverrideParams::Set(vec![("cooldownMs".to_owned(), json!(1))]);
    let refused = store.override_policy("router-core", &set, None, &ada()).await;
    assert_eq!(refusal(refused), Refusal::NoneActive);
    store.repair("router-core", &ada()).await.unwrap();
    assert_eq!(status(&store, "1.0.2").await, Active);
}

#[tokio::test]
async fn unknown_policies_and_versions_are_refused_and_nothing_is_written() {
    let store = seeded_store().await;
    let missing = key("router-core@9.9.9");
    let none = OverrideParams::Set(vec![("a".to_owned(), json!(1))]);
    for outcome in [
        store.activate(&missing, true, &ada()).await,
        store.reject(&missing, &ada()).await,
        store.roll_back("router-core", Some(&missing.version), &ada()).await,
        store.roll_back("unknown", None, &ada()).await,
        store.repair("unknown", &ada()).await,
        store.pin("unknown", &ada()).await,
        store.override_policy("unknown", &none, None, &ada()).await,
    ] {
        let error = outcome.unwrap_err();
        let unknown =
            matches!(error, ChangeError::UnknownVersion(_) | ChangeError::UnknownPolicy(_));
        assert!(unknown, "{error}");
    }
    for id in ["", "../x", "a/b", "__x__", "ä", ".."] {
        for outcome in [store.repair(id, &ada()).await, store.roll_back(id, None, &ada()).await] {
            assert!(matches!(outcome.unwrap_err(), ChangeError::PolicyId(..)), "{id}");
        }
    }
    let long = ada().because("x".repeat(100_000));
    let refused = store.pin("router-core", &long).await.unwrap_err();
    assert!(
        matches!(refused, ChangeError::Length(InvalidLength { field: "reason", .. })),
        "{refused}"
    );
    let entries = store.audit(&AuditFilter::default(), 10).await.unwrap();
    assert_eq!(entries.len(), 1, "only the entry of the seed: {entries:?}");
}

#[tokio::test]
async fn a_request_repeated_with_its_idempotency_key_is_carried_out_once() {
    let store = seeded_store().await;
    let first = draft(&store, "1.0.1", "1.0.0").await;
    let keyed = |fingerprint: &str| Intent {
        key: Some(IdempotencyKey { key: "k".to_owned(), fingerprint: fingerprint.to_owned() }),
        ..ada()
    };
    let done = store.activate(&first, false, &keyed("a")).await.unwrap();
    assert!(!done.replayed);
    store.roll_back("router-core", None, &ada()).await.unwrap();
    let again = store.activate(&first, false, &keyed("a")).await.unwrap();
    assert!(again.replayed);
    assert_eq!((again.audit_id, &again.entry), (done.audit_id.clone(), &done.entry));
    assert_eq!(status(&store, "1.0.0").await, Active, "the repeated request changed nothing");
    let other = store.repair("router-core", &keyed("b")).await.unwrap_err();
    assert!(matches!(other, ChangeError::KeyReused), "{other}");
    // The same key of another actor is another key.
    let bob = Intent { actor: "bob".to_owned(), ..keyed("b") };
    let outcome = store.roll_back("router-core", None, &bob).await.unwrap();
    assert_ne!(outcome.audit_id, done.audit_id);
    assert_sound(&store, "router-core", "after repeated requests").await;
}

#[tokio::test]
async fn a_malformed_document_does_not_hide_the_others() {
    let store = seeded_store().await;
    put(
        &store,
        collection::POLICIES,
        "malformed@1.0.0",
        fields(&json!({ "id": 7, "status": "active" })),
    )
    .await;
    put(&store, collection::POLICIES, "no-id", fields(&json!({ "status": "active" }))).await;
    assert_eq!(store.active_policies().await.unwrap().len(), 1);
    assert_eq!(statuses(&store, "router-core").await.len(), 1);
    let refused = store.activate(&key("malformed@1.0.0"), false, &ada()).await.unwrap_err();
    assert!(refused.to_string().contains("ops_policies/malformed@1.0.0"), "{refused}");
}

#[tokio::test]
async fn an_empty_project_has_no_irregularities() {
    let store = empty_store().await;
    assert_eq!(CheckReport::take(&store).await.unwrap(), CheckReport::default());
    put(&store, collection::POLICIES, "b@1.0.0", fields(&json!({ "id": "b" }))).await;
    put(&store, collection::POLICIES, "a@1.0.0", fields(&json!({ "id": "a" }))).await;
    put(&store, collection::POLICIES, "a@1.0.1", fields(&json!({ "id": "a" }))).await;
    let ids: Vec<_> = store.policy_ids().await.unwrap().into_iter().collect();
    assert_eq!(ids, ["a", "b"]);
}
