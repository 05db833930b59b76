//! The recorder of the client library: which observations it writes, samples, drops and rejects.

use std::time::Duration;

use f0_learning_client::{
    NewObservation, RecordError, Recorder, RecorderOptions, WhenFull, record_observation,
};
use f0_learning_core::Clock;
use f0_learning_core::observation::Outcome;

use crate::support::{START, empty_store};

fn success() -> NewObservation {
    NewObservation::new("c", Outcome::Success, 10.0)
}

fn failure() -> NewObservation {
    NewObservation::new("c", Outcome::Failure, 10.0)
}

fn clock() -> Clock {
    Clock::from_fn(|| START)
}

#[tokio::test]
async fn a_recorded_observation_gets_an_id_and_the_time() {
    let store = empty_store().await;
    let id = record_observation(store.db(), success(), START).await.unwrap();
    let stored = store.latest_observations(None, 10).await.unwrap();
    assert_eq!(stored.len(), 1);
    assert_eq!((stored[0]["id"].as_str(), stored[0]["ts"].as_i64()), (Some(&*id), Some(START)));
}

#[tokio::test]
async fn an_observation_that_scoring_would_reject_is_rejected_when_recorded() {
    let store = empty_store().await;
    let invalid = NewObservation::new("c", Outcome::Success, f64::NAN);
    let error = record_observation(store.db(), invalid, START).await.unwrap_err();
    assert!(matches!(&error, RecordError::Invalid(_)), "{error}");
    assert!(error.to_string().contains("durationMs"), "{error}");
    assert!(store.latest_observations(None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn successes_are_sampled_with_their_rate_and_all_failures_are_kept() {
    let store = empty_store().await;
    let recorder = Recorder::start(store.db().clone(), RecorderOptions::default(), clock());
    for _ in 0..1_000 {
        recorder.record(success()).await.unwrap();
    }
    for _ in 0..50 {
        assert!(recorder.record(failure()).await.unwrap());
    }
    let report = recorder.close().await;
    assert_eq!(report.written + report.sampled_out, 1_050);
    assert_eq!((report.dropped, report.failed), (0, 0));
    let stored = store.latest_observations(None, 2_000).await.unwrap();
    assert_eq!(stored.len() as u64, report.written, "close wrote what was queued");
    let rate = |outcome: &str| -> Vec<Option<f64>> {
        let of = stored.iter().filter(|stored| stored["outcome"] == outcome);
        of.map(|stored| stored.get("sampleRate").and_then(serde_json::Value::as_f64)).collect()
    };
    assert_eq!(rate("failure"), [None; 50]);
    let successes = rate("success");
    assert!(successes.iter().all(|rate| *rate == Some(0.1)));
    // 100 are expected, with a standard deviation of 9.5: the bounds are five of them away.
    assert!((50..150).contains(&successes.len()), "{}", successes.len());
}

#[tokio::test]
async fn a_full_queue_drops_and_counts_or_makes_the_caller_wait_as_configured() {
    let store = empty_store().await;
    let options = |when_full| RecorderOptions {
        queue: 5,
        batch: 1,
        linger: Duration::ZERO,
        when_full,
        ..RecorderOptions::default()
    };
    // The writer does not run before the first await that yields, so that the queue fills up.
    let recorder = Recorder::start(store.db().clone(), options(WhenFull::Drop), clock());
    let mut taken = 0;
    for _ in 0..20 {
        taken += u64::from(recorder.record(failure()).await.unwrap());
    }
    let report = recorder.close().await;
    assert_eq!((report.written, report.dropped), (taken, 20 - taken));
    assert!(report.dropped > 0);

    let recorder = Recorder::start(store.db().clone(), options(WhenFull::Wait), clock());
    for _ in 0..20 {
        assert!(recorder.record(failure()).await.unwrap());
    }
    let report = recorder.close().await;
    assert_eq!((report.written, report.dropped), (20, 0));
}

#[tokio::test]
async fn the_recorder_rejects_invalid_observations_and_keeps_all_timeouts() {
    let store = empty_store().await;
    let recorder = Recorder::start(store.db().clone(), RecorderOptions::default(), clock());
    let error = recorder.record(NewObservation::new("", Outcome::Failure, 1.0)).await.unwrap_err();
    assert!(matches!(&error, RecordError::Invalid(_)), "{error}");
    assert!(error.to_string().contains("component"), "{error}");
    for _ in 0..20 {
        let timeout = NewObservation::new("c", Outcome::Timeout, 5_000.0);
        assert!(recorder.record(timeout).await.unwrap());
    }
    let report = recorder.close().await;
    assert_eq!((report.written, report.sampled_out, report.dropped), (20, 0, 0));
    assert_eq!(store.latest_observations(None, 100).await.unwrap().len(), 20);
}
