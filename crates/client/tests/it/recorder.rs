//! Recording observations.

use std::sync::Arc;
use std::time::Duration;

use f0_learning_client::{
    Clock, NewObservation, Outcome, RecordError, Recorder, RecorderOptions, SamplingPolicy, choose,
    record_observation,
};
use firestore_kit::Query;
use serde_json::json;

use crate::support::{Local, NOW};

fn success() -> NewObservation {
    NewObservation::new("router:a", Outcome::Success, 10.0)
}

fn start(local: &Local, options: RecorderOptions) -> Recorder {
    Recorder::start(local.db.clone(), options, Clock::from_fn(|| NOW))
}

fn keep_all() -> RecorderOptions {
    RecorderOptions { sampling: SamplingPolicy::KEEP_ALL, ..RecorderOptions::default() }
}

#[tokio::test]
async fn an_observation_is_written_with_its_policy_version_and_defaults() {
    let local = Local::start().await;
    local.put_policy("1.0.0", "active", json!({})).await;
    let policy = f0_learning_client::ActivePolicy::follow(
        local.db.clone(),
        "router-core",
        f0_learning_client::DEFAULT_REFRESH,
    );
    let active = policy.await.unwrap().current().unwrap();
    let observation = success().under(&choose(&active, "unit"));
    let id = record_observation(&local.db, observation, NOW).await.unwrap();
    let expected = json!({
        "id": id, "ts": NOW, "component": "router:a", "outcome": "success", "durationMs": 10.0,
        "policyVersion": "router-core@1.0.0",
    });
    assert_eq!(local.observations().await, [expected.as_object().unwrap().clone()]);
}

#[tokio::test]
async fn observations_of_many_tasks_are_written_in_batches() {
    let local = Local::start().await;
    let options = RecorderOptions { batch: 100, linger: Duration::from_secs(60), ..keep_all() };
    let recorder = Arc::new(start(&local, options));
    let task = |_| {
        let recorder = recorder.clone();
        tokio::spawn(async move {
            for _ in 0..50 {
                recorder.record(success()).await.unwrap();
            }
        })
    };
    let tasks: Vec<_> = (0..5).map(task).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let report = recorder.close().await;
    assert_eq!((report.written, report.sampled_out, report.dropped, report.failed), (250, 0, 0, 0));
    assert_eq!(local.observations().await.len(), 250);
}

#[tokio::test]
async fn a_batch_is_written_when_it_is_full_or_has_waited_long_enough() {
    let local = Local::start().await;
    let recorder = start(&local, RecorderOptions { batch: 2, ..keep_all() });
    for _ in 0..3 {
        recorder.record(success()).await.unwrap();
    }
    while recorder.report().written < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(local.observations().await.len(), 3);
}

#[tokio::test]
async fn a_closed_recorder_accepts_nothing_and_reports_again() {
    let local = Local::start().await;
    let recorder = start(&local, keep_all());
    recorder.record(success()).await.unwrap();
    let report = recorder.close().await;
    assert_eq!(report.written, 1);
    let error = recorder.record(success()).await.unwrap_err();
    assert!(matches!(error, RecordError::Closed), "{error}");
    assert_eq!(recorder.close().await, report);
}

#[tokio::test]
async fn the_same_id_is_stored_once() {
    let local = Local::start().await;
    let recorder = start(&local, keep_all());
    for _ in 0..2 {
        let observation = NewObservation { id: Some("order-1".to_owned()), ..success() };
        recorder.record(observation).await.unwrap();
        recorder.record(success()).await.unwrap();
    }
    recorder.close().await;
    let stored = local.observations().await;
    assert_eq!(stored.len(), 3);
}

#[tokio::test]
async fn sampled_successes_have_their_rate_and_shards_follow_the_id() {
    let local = Local::start().await;
    let sampling = SamplingPolicy { success_rate: 0.5 };
    let recorder =
        start(&local, RecorderOptions { sampling, shards: 8, ..RecorderOptions::default() });
    for _ in 0..400 {
        recorder.record(success()).await.unwrap();
    }
    let report = recorder.close().await;
    assert_eq!(report.written + report.sampled_out, 400);
    assert!((100..300).contains(&report.written), "{report:?}");
    let stored = local.observations().await;
    assert!(stored.iter().all(|stored| stored["sampleRate"] == json!(0.5)));
    assert!(stored.iter().all(|stored| stored["shard"].as_u64().unwrap() < 8));
}

#[tokio::test]
async fn an_invalid_observation_is_rejected_with_the_name_of_its_field() {
    let local = Local::start().await;
    let recorder = start(&local, keep_all());
    let invalid = NewObservation { cost_usd: Some(-1.0), ..success() };
    let error = recorder.record(invalid).await.unwrap_err();
    assert!(matches!(error, RecordError::Invalid(_)), "{error}");
    assert!(error.to_string().contains("costUsd"), "{error}");
    assert_eq!(recorder.close().await.written, 0);
}

#[tokio::test]
async fn an_id_that_is_not_the_id_of_a_document_is_refused_by_name() {
    let local = Local::start().await;
    let recorder = start(&local, keep_all());
    for id in ["a/b/c", "a/b", "", ".", "..", "__x__"] {
        let observation = || NewObservation { id: Some(id.to_owned()), ..success() };
        let error = recorder.record(observation()).await.unwrap_err();
        assert!(matches!(error, RecordError::Id { .. }), "{error}");
        assert!(error.to_string().contains(&format!("invalid id {id:?}")), "{error}");
        let error = record_observation(&local.db, observation(), NOW).await.unwrap_err();
        assert!(matches!(error, RecordError::Id { .. }), "{error}");
        let raw = json!({ "id": id, "ts": NOW, "component": "a" });
        let good = json!({ "id": format!("good{}", id.len()), "ts": NOW, "component": "a" });
        let batch = [raw, good].map(|it| it.as_object().unwrap().clone());
        let created = f0_learning_client::create_observations(&local.db, &batch).await.unwrap();
        assert_eq!(created.refused.len(), 1, "{created:?}");
        assert_eq!(created.refused[0].0, 0, "{created:?}");
        assert!(created.refused[0].1.message().contains("invalid id"), "{created:?}");
    }
    let report = recorder.close().await;
    assert_eq!((report.written, report.failed), (0, 0));
    let subcollection = Query::of("b").ascending("__name__").build();
    assert_eq!(local.db.query_all("b", subcollection).await.unwrap().len(), 0);
}

#[tokio::test]
async fn an_id_twice_in_a_batch_is_stored_once_with_its_first_content() {
    let local = Local::start().await;
    let batch = [("x", 1), ("y", 2), ("x", 3), ("z", 4)].map(|(id, n)| {
        json!({ "id": id, "ts": NOW, "component": "a", "durationMs": n })
            .as_object()
            .unwrap()
            .clone()
    });
    let created = f0_learning_client::create_observations(&local.db, &batch).await.unwrap();
    assert_eq!((created.created, created.existing, created.existing_at), (3, 1, vec![2]));
    let stored: Vec<_> =
        local.observations().await.into_iter().map(|it| it["durationMs"].clone()).collect();
    assert_eq!(stored, [1, 2, 4]);
}
