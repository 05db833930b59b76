//! How fast one CPU core scores observations and adds them to statistics.
//!
//! Run `cargo bench -p f0-learning-core --bench domain` and read the items per second.

#![expect(
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "counts of a bench are far below 2^31"
)]

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use f0_learning_core::observation::{Malformed, Observation, Outcome};
use f0_learning_core::reward::{RewardConfig, score};
use f0_learning_core::stats::{Series, Window};
use f0_learning_core::time::MINUTE_MS;

const NOW: i64 = 1_734_000_123_456;
const OBSERVATIONS: usize = 10_000;

fn main() {
    divan::main();
}

/// The same observations on every run: durations over three orders of magnitude, one failure in twenty,
/// and a tenth of the successes sampled.
fn observations(span_ms: i64) -> Vec<Observation> {
    let observation = |i: usize| {
        let spread = ((i * 7919) % OBSERVATIONS) as f64 / OBSERVATIONS as f64;
        let failed = i.is_multiple_of(20);
        Observation {
            id: i.to_string(),
            ts: NOW - span_ms + span_ms * i as i64 / OBSERVATIONS as i64,
            component: "router:gpt-5".to_owned(),
            outcome: if failed { Outcome::Failure } else { Outcome::Success },
            duration_ms: Some(20.0 * 1000_f64.powf(spread * spread)),
            tokens_in: Some(150),
            tokens_out: Some(500),
            cost_usd: Some(0.001 + spread * 0.1),
            policy_version: None,
            error_code: None,
            sample_rate: if failed { 1.0 } else { 0.1 },
            propensity: None,
            malformed: Malformed::default(),
        }
    };
    (0..OBSERVATIONS).map(observation).collect()
}

/// A page of recent observations, as they arrive.
#[divan::bench]
fn score_and_record_recent(bencher: Bencher<'_, '_>) {
    score_and_record(bencher, MINUTE_MS);
}

/// A backlog of a week: every observation may belong to another bucket.
#[divan::bench]
fn score_and_record_backlog(bencher: Bencher<'_, '_>) {
    score_and_record(bencher, Window::SevenDays.span_ms());
}

fn score_and_record(bencher: Bencher<'_, '_>, span_ms: i64) {
    let (config, observations) = (RewardConfig::default(), observations(span_ms));
    bencher.counter(ItemsCount::new(OBSERVATIONS)).with_inputs(Series::default).bench_refs(
        |series| {
            for observation in &observations {
                let reward = score(&config, black_box(observation));
                black_box(series.record(observation, &reward, NOW));
            }
        },
    );
}

/// The work once per page: all three windows of one component.
#[divan::bench]
fn windows_of_a_busy_week(bencher: Bencher<'_, '_>) {
    let (config, mut series) = (RewardConfig::default(), Series::default());
    for observation in observations(Window::SevenDays.span_ms()) {
        black_box(series.record(&observation, &score(&config, &observation), NOW));
    }
    bencher.bench(|| black_box(&series).windows());
}
