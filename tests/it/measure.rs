//! What waits, and who changed what, as `/metrics` shows it.

use f0_learning::jobs::JobReport;
use f0_learning::jobs::measure::MeasureJob;
use f0_learning::observability::health::Health;
use f0_learning::observability::metrics::Waiting;
use f0_learning::store::Store;
use f0_learning_core::document::FlagChanges;
use f0_learning_core::intent::Intent;
use f0_learning_core::observation::Outcome;
use serde_json::json;

use crate::collection;
use crate::support::{START, ada, draft, fields, job, key, put, record, score, seeded_store};
use tokio_util::sync::CancellationToken;

const MINUTE: i64 = 60_000;

async fn measured(job: &mut MeasureJob, health: &Health, now: i64) -> String {
    job.pass(now).await.unwrap().observe(health);
    health.metrics().text(true)
}

fn assert_has(text: &str, expected: &[&str]) {
    for line in expected {
        assert!(text.lines().any(|it| it == *line), "{line}:\n{text}");
    }
}

#[tokio::test]
async fn what_waits_is_counted_with_the_age_of_the_oldest_observation() {
    let store = seeded_store().await;
    for n in 0..3 {
        record(&store, "c", Outcome::Success, 10.0, START + n * MINUTE).await;
    }
    draft(&store, "1.0.1", "1.0.0").await;
    let quarantined = json!({ "ts": START, "obsTs": START, "field": "outcome", "reason": "x" });
    put(&store, collection::QUARANTINE, "q", fields(&quarantined)).await;
    let mut job = MeasureJob::new(store.clone(), 10_000);
    let waiting = job.pass(START + 2 * MINUTE).await.unwrap().waiting;
    let expected = Waiting {
        backlog: 2,
        backlog_age_ms: 2 * MINUTE - 10_000,
        quarantined: 1,
        drafts: 1,
        experiments: 0,
        ..waiting
    };
    assert_eq!(waiting, expected, "the third is not due yet");
    score(&store, START + 3 * MINUTE).await;
    let waiting = job.pass(START + 3 * MINUTE).await.unwrap().waiting;
    assert_eq!((waiting.backlog, waiting.backlog_age_ms), (0, 0));
}

#[tokio::test]
async fn changes_are_counted_from_the_beginning_of_the_trail_once_by_every_worker() {
    let store = seeded_store().await;
    let key_of = draft(&store, "1.0.1", "1.0.0").await;
    let health = Health::default();
    let mut first = MeasureJob::new(store.clone(), 0);
    measured(&mut first, &health, START + MINUTE).await;
    store.activate(&key_of, false, &ada()).await.unwrap();
    let text = measured(&mut first, &health, START + 2 * MINUTE).await;
    assert_has(
        &text,
        &[
            r#"f0_policy_changes_total{action="propose",by="tuner"} 1"#,
            r#"f0_policy_changes_total{action="activate",by="person"} 1"#,
            r#"f0_policy_changes_total{action="override",by="person"} 0"#,
        ],
    );
    for minute in 3..20 {
        measured(&mut first, &health, START + minute * MINUTE).await;
    }
    let again = health.metrics().text(true);
    assert_has(&again, &[r#"f0_policy_changes_total{action="activate",by="person"} 1"#]);
    // A process that starts now knows the same.
    let late = Health::default();
    let text = measured(&mut MeasureJob::new(store, 0), &late, START + 30 * MINUTE).await;
    assert_has(
        &text,
        &[
            r#"f0_policy_changes_total{action="propose",by="tuner"} 1"#,
            r#"f0_policy_changes_total{action="activate",by="person"} 1"#,
        ],
    );
}

#[tokio::test]
async fn the_kill_switch_is_shown_and_flags_that_cannot_be_read_count_as_off() {
    let store = seeded_store().await;
    let enabled = async |store: &Store| {
        MeasureJob::new(store.clone(), 0).pass(START).await.unwrap().waiting.learning_enabled
    };
    let set = |on| FlagChanges { enabled: Some(on), ..FlagChanges::default() };
    store.set_flags(set(true), &Intent::new("ada", START)).await.unwrap();
    assert!(enabled(&store).await);
    store.set_flags(set(false), &Intent::new("ada", START)).await.unwrap();
    assert!(!enabled(&store).await);
    put(&store, collection::CONFIG, "flags", fields(&json!({ "learning": "on" }))).await;
    assert!(!enabled(&store).await);
}

#[tokio::test]
async fn a_pass_of_scoring_reports_volume_and_the_last_hour_of_its_components() {
    let store = seeded_store().await;
    record(&store, "good", Outcome::Success, 500.0, START).await;
    record(&store, "bad", Outcome::Failure, 1_500.0, START).await;
    let health = Health::default();
    let scored = job(&store, 100).pass(START + 1, &CancellationToken::new(), &|_| ()).await;
    scored.unwrap().observe(&health);
    let text = health.metrics().text(true);
    assert_has(
        &text,
        &[
            r#"f0_observations_scored_total{component="bad",outcome="failure"} 1"#,
            r#"f0_observations_duration_seconds_total{component="bad"} 1.5"#,
            r#"f0_component_below_acceptable{component="bad"} 1"#,
            r#"f0_component_below_acceptable{component="good"} 0"#,
            r#"f0_component_success_ratio{component="good"} 1.0"#,
        ],
    );
    // When the observations have left the window, so has the component.
    score(&store, START + 2).await;
    let later = START + 120 * MINUTE;
    let scored = job(&store, 100).pass(later, &CancellationToken::new(), &|_| ()).await;
    scored.unwrap().observe(&health);
    assert!(!health.metrics().text(true).contains("f0_component_reward_mean{"));
}

#[tokio::test]
async fn requests_are_counted_as_firestore_bills_them() {
    let store = seeded_store().await;
    let before = store.used();
    store.policy(&key("router-core@1.0.0")).await.unwrap();
    store.policy(&key("router-core@9.9.9")).await.unwrap();
    store.open_drafts(5).await.unwrap();
    store.quarantine_count(5).await.unwrap();
    draft(&store, "1.0.1", "1.0.0").await;
    let after = store.used();
    assert_eq!(after.writes - before.writes, 2, "the draft and its audit entry");
    assert!(after.reads - before.reads >= 4, "{before:?} {after:?}");
    for n in 0..7 {
        record(&store, "c", Outcome::Success, 10.0, START + n).await;
    }
    let before = store.used();
    score(&store, START + MINUTE).await;
    let after = store.used();
    assert!((7..30).contains(&(after.reads - before.reads)), "{before:?} {after:?}");
    assert!((7..30).contains(&(after.writes - before.writes)), "seven rewards and statistics");
}
