//! Invariants 3 and 4 under concurrent changes and crashes: exactly one version is active at every
//! moment, and the audit trail gives the status of every version.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::collection;
use f0_learning::jobs::tune::{TuneJob, TuneOptions};
use f0_learning::store::{ChangeError, OverrideParams, PolicyFilter, Store};
use f0_learning_core::document::FlagChanges;
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::PolicyStatus;
use firestore::gcloud_sdk::google::firestore::v1::value::ValueType;
use firestore_kit::PageRequest;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use std::time::Duration;

use crate::support::{
    START, ada, assert_sound, crash_after, draft, key, put_arm, seeded_store, statuses,
};

const TASKS: u64 = 8;
const OPERATIONS: u64 = 2_000;
const SEED: u64 = 36;
const POLICY: &str = "router-core";

/// Whether a change was made. A refusal or a lost race is allowed, because the checks look at what
/// it left behind; any other error is a bug.
fn is_done<T>(outcome: Result<T, ChangeError>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(ChangeError::Store(error)) => {
            assert!(error.is_conflict(), "{error}");
            false
        }
        Err(
            ChangeError::Refused { .. }
            | ChangeError::Stale(_)
            | ChangeError::NothingBefore(_)
            | ChangeError::Params { .. },
        ) => false,
        Err(other) => panic!("{other}"),
    }
}

/// A version with this status, as an admin would pick it from a list that may be stale.
async fn pick(store: &Store, status: PolicyStatus, rng: &mut StdRng) -> Option<semver::Version> {
    let filter = PolicyFilter { id: Some(POLICY.to_owned()), status: Some(status) };
    let page = PageRequest { limit: 10, after: None };
    let mut found = store.policies_page(&filter, &page).await.unwrap().items;
    let chosen = rng.random_range(0..10).min(found.len().saturating_sub(1));
    (!found.is_empty()).then(|| found.swap_remove(chosen).version)
}

/// One random change; whether it was made.
async fn operate(store: &Store, rng: &mut StdRng) -> bool {
    match rng.random_range(0..10) {
        0..=3 => {
            let Some(version) = pick(store, PolicyStatus::Draft, rng).await else { return false };
            let name = key(&format!("{POLICY}@{version}"));
            if rng.random_bool(0.2) {
                return is_done(store.reject(&name, &ada()).await);
            }
            is_done(store.activate(&name, rng.random_bool(0.5), &ada()).await)
        }
        4 => {
            let version = pick(store, PolicyStatus::Archived, rng).await;
            is_done(store.roll_back(POLICY, version.as_ref(), &ada()).await)
        }
        5 => is_done(store.roll_back(POLICY, None, &ada()).await),
        6 => {
            let cooldown = rng.random_range(0..1_000_000);
            let set = OverrideParams::Set(vec![("cooldownMs".to_owned(), json!(cooldown))]);
            is_done(store.override_policy(POLICY, &set, None, &ada()).await)
        }
        7 => {
            let changes = FlagChanges {
                auto_activate_policies: Some(rng.random_bool(0.5)),
                enabled: Some(rng.random_bool(0.9)),
            };
            is_done(store.set_flags(changes, &ada()).await)
        }
        _ => {
            put_arm(store, "gpt-5", rng.random_range(0.3..0.9), 1_000).await;
            put_arm(store, "gemini", rng.random_range(0.3..0.9), 1_000).await;
            put_arm(store, "claude", 0.6, 1_000).await;
            let options = TuneOptions { policies_ttl: Duration::ZERO, stats_ttl: Duration::ZERO };
            match TuneJob::with_options(store.clone(), options).pass(START).await {
                Ok(_) => true,
                Err(error) if error.is_conflict() => false,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Reads the active versions repeatedly with one raw query each, because one query sees one moment.
/// Gives the number of reads.
async fn watch(store: Store, stop: Arc<AtomicBool>) -> u64 {
    let db = store.db().clone().into_inner();
    let mut reads = 0;
    while !stop.load(Ordering::Relaxed) {
        let found = db
            .fluent()
            .select()
            .from(collection::POLICIES)
            .filter(|it| it.field("status").eq(PolicyStatus::Active.as_str()))
            .query()
            .await
            .unwrap();
        let versions: Vec<_> = found
            .iter()
            .filter_map(|found| match found.fields["version"].value_type.as_ref()? {
                ValueType::StringValue(version) => Some(version.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(versions.len(), 1, "{versions:?}");
        reads += 1;
        // Without a pause the reader would only slow down the writers.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    reads
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_random_changes_keep_one_active_version_and_a_consistent_trail() {
    let store = seeded_store().await;
    let stop = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn(watch(store.clone(), stop.clone()));
    let rivals = (0..TASKS).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut rng = StdRng::seed_from_u64(SEED * 1_000 + task);
            let mut done = 0;
            for _ in 0..OPERATIONS / TASKS {
                done += u64::from(operate(&store, &mut rng).await);
            }
            done
        })
    });
    let mut done = 0;
    for rival in rivals.collect::<Vec<_>>() {
        done += rival.await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let reads = reader.await.unwrap();
    assert!(reads > 100, "the reader read only {reads} times");
    assert!(done > OPERATIONS / 10, "only {done} of {OPERATIONS} operations changed something");
    assert_sound(&store, POLICY, &format!("seed {SEED}, {done} operations")).await;
}

/// Crashes a transition after each possible number of polls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transition_that_crashes_at_any_await_leaves_the_old_state_or_the_new_one_with_its_entry()
{
    let (mut old, mut new) = (0, 0);
    for polls in 0..60 {
        let store = seeded_store().await;
        let first = draft(&store, "1.0.1", "1.0.0").await;
        let intent = Intent::new("ada", START);
        let set = OverrideParams::Set(vec![("cooldownMs".to_owned(), json!(polls))]);
        match polls % 3 {
            0 => {
                let _ = crash_after(polls, store.activate(&first, false, &intent)).await;
            }
            1 => {
                store.activate(&first, false, &intent).await.unwrap();
                let _ = crash_after(polls, store.roll_back(POLICY, None, &intent)).await;
            }
            _ => {
                let change = store.override_policy(POLICY, &set, None, &intent);
                let _ = crash_after(polls, change).await;
            }
        }
        // A commit that was sent before the crash may still arrive.
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_sound(&store, POLICY, &format!("crashed after {polls} polls")).await;
        let all = statuses(&store, POLICY).await;
        let first = PolicyStatus::Active == all[&semver::Version::new(1, 0, 0)];
        let replaced = if polls % 3 == 1 { first } else { !first };
        *if replaced { &mut new } else { &mut old } += 1;
    }
    assert!(old >= 5 && new >= 5, "crashes before and after the commit: {old} and {new}");
}
