//! The bundled Azure trace, through conversion, import, scoring and tuning.

use std::collections::BTreeMap;

use f0_learning::store::Store;
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::stats::Window;
use firestore_kit::MAX_BATCH;
use serde_json::{Map, Value};

use crate::support::{START, score, seeded_store, tune};

#[expect(dead_code, reason = "the example's own main and options")]
#[path = "../../examples/azure_trace.rs"]
pub mod azure_trace;

/// The trace as observations, the last of which is at `START`.
fn converted() -> Vec<Map<String, Value>> {
    let object = |observation| match observation {
        Value::Object(object) => object,
        other => panic!("expected an object, got {other}"),
    };
    azure_trace::bundled_router_trace(START).unwrap().into_iter().map(object).collect()
}

async fn import(store: &Store, observations: &[Map<String, Value>]) -> usize {
    let mut created = 0;
    for batch in observations.chunks(MAX_BATCH) {
        created +=
            f0_learning_client::create_all_observations(store.db(), batch).await.unwrap().created;
    }
    created
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_observation_of_the_trace_is_scored_and_counted_and_the_better_arm_gains() {
    let store = seeded_store().await;
    let observations = converted();
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for observation in &observations {
        *expected.entry(observation["component"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(observations.len(), 28_185);
    assert_eq!(import(&store, &observations).await, 28_185);
    assert_eq!(import(&store, &observations).await, 0, "a second import stores nothing");

    let report = score(&store, START).await;
    assert_eq!((report.scored, report.quarantined), (28_185, 0));
    assert_eq!(store.counts().await.unwrap(), (28_185, 0));
    for window in [Window::OneDay, Window::SevenDays] {
        let components: Vec<_> = expected.keys().cloned().collect();
        let stats = store.stats_of(&components, window).await.unwrap();
        let counted = stats.into_iter().map(|stats| (stats.component, stats.stats.n)).collect();
        assert_eq!(expected, counted, "{window}");
    }

    let report = tune(&store, START).await;
    let policies = store.policies(Some("router-core")).await.unwrap();
    let draft = policies.iter().find(|policy| policy.status == PolicyStatus::Draft);
    let draft = draft.unwrap_or_else(|| panic!("{report}"));
    let weights = draft.params.model_weights().unwrap().unwrap();
    assert!(weights["gemini"] > 0.25, "the fastest and cheapest arm must gain: {weights:?}");
}
