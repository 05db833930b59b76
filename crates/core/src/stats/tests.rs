//! Properties of the statistics as a whole.

use proptest::prelude::*;

use super::*;
use crate::number::{Lossy, whole_u64};
use crate::observation::{Observation, Outcome, Weight};
use crate::reward::{RewardConfig, score};
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS};

const NOW: i64 = 1_734_000_123_456;

fn observation(ts: i64, outcome: Outcome, duration_ms: f64) -> Observation {
    Observation {
        component: "router:gpt-5".to_owned(),
        duration_ms: Some(duration_ms),
        tokens_in: Some(150),
        ..Observation::at(ts, outcome)
    }
}

fn any_observation(ts: impl Strategy<Value = i64>) -> impl Strategy<Value = Observation> {
    let outcome = prop::sample::select(&Outcome::ALL[..]);
    let rate = prop_oneof![Just(1.0), Just(0.1), 1e-6..=1.0];
    let cost = prop::option::of(0.0..=1_000_000.0);
    let tokens = prop::option::of(0_u64..=1_000_000_000_000);
    (ts, outcome, any_duration(), rate, cost, tokens).prop_map(
        |(ts, outcome, duration_ms, sample_rate, cost_usd, tokens_out)| Observation {
            sample_rate,
            cost_usd,
            tokens_out,
            ..observation(ts, outcome, duration_ms)
        },
    )
}

/// Evenly spread by order of magnitude, over the whole range and a little below.
fn any_duration() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), (-4.0..=8.78_f64).prop_map(|exponent| 10_f64.powf(exponent))]
}

fn bucket_of(observations: &[Observation]) -> Bucket {
    let mut bucket = Bucket::default();
    for observation in observations {
        bucket.add(observation, &score(&RewardConfig::default(), observation));
    }
    bucket
}

fn merged<'a>(buckets: impl IntoIterator<Item = &'a Bucket>) -> Bucket {
    let mut sum = Bucket::default();
    buckets.into_iter().for_each(|bucket| sum.merge(bucket));
    sum
}

fn record(series: &mut Series, observation: &Observation, now: i64) -> Placement {
    series.record(observation, &score(&RewardConfig::default(), observation), now)
}

/// The quantile by its definition, from all values.
fn exact_quantile(values: &[(f64, Weight)], q: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: u64 = values.iter().map(|(_, weight)| weight.units()).sum();
    let target = whole_u64((q * total.to_f64()).ceil());
    let mut reached = 0;
    let found = values.iter().find(|(_, weight)| {
        reached += weight.units();
        reached >= target
    });
    found.or(values.last()).unwrap().0
}

#[test]
fn rates_and_means_are_weighted_by_the_sample_rate() {
    // One of 100 actions failed; ten of the 99 successes were kept.
    let mut kept: Vec<_> = (0..10)
        .map(|_| Observation {
            sample_rate: 10.0 / 99.0,
            cost_usd: Some(0.02),
            ..observation(NOW, Outcome::Success, 800.0)
        })
        .collect();
    kept.push(observation(NOW, Outcome::Failure, 4000.0));
    let stats = bucket_of(&kept).stats(7);
    assert_eq!((stats.n, stats.window_start), (11, 7));
    assert!((stats.population - 100.0).abs() < 1e-4);
    assert!((stats.success_rate - 0.99).abs() < 1e-6);
    assert!((stats.failure_rate - 0.01).abs() < 1e-6);
    assert_eq!(stats.timeout_rate, 0.0);
    assert!((stats.avg_reward - 0.99 * 0.76).abs() < 1e-6, "{}", stats.avg_reward);
    assert!((stats.avg_cost_usd.unwrap() - 0.02).abs() < 1e-9);
    assert!((stats.p95_latency / 800.0 - 1.0).abs() <= Sketch::ALPHA);
    assert!((stats.tokens_in - 15_000.0).abs() < 0.01);
}

#[test]
fn an_observation_without_a_usable_duration_counts_except_in_the_latencies() {
    let document = serde_json::json!({"ts": NOW, "component": "c", "outcome": "failure",
        "durationMs": "slow", "errorCode": {"code": 503}});
    let invalid = Observation::parse("o", document.as_object().unwrap()).unwrap();
    let mut series = Series::default();
    record(&mut series, &observation(NOW, Outcome::Success, 800.0), NOW);
    record(&mut series, &invalid, NOW);
    let hour = series.window(Window::OneHour);
    assert_eq!((hour.n, hour.malformed, hour.success_rate), (2, 2, 0.5));
    assert!((hour.p50_latency / 800.0 - 1.0).abs() <= Sketch::ALPHA, "{hour:?}");
    let samples = series.timeline().since(0);
    assert!((samples.success.n() - 2.0).abs() < 1e-9 && (samples.latency.n() - 1.0).abs() < 1e-9);
    let stored = Series::decode(&series.encode()).unwrap();
    assert_eq!(stored, series);
    assert_eq!(stored.window(Window::SevenDays).malformed, 2);
}

#[test]
fn rejected_documents_are_a_share_of_the_documents_of_an_arm_as_long_as_its_evidence_counts() {
    let mut series = Series::default();
    for n in 0..30 {
        record(&mut series, &observation(NOW - n * DAY_MS, Outcome::Success, 800.0), NOW);
        let _ = series.reject(Some(NOW - n * DAY_MS), NOW);
    }
    let share = |series: &Series, days: i64| {
        let samples = series.timeline().since(NOW - days * DAY_MS);
        (samples.rejected, samples.documents(), samples.rejected_share())
    };
    assert_eq!(share(&series, 60), (30, 60, 0.5));
    assert_eq!(share(&series, 3).2, 0.5);
    let mut stored = Series::decode(&series.encode()).unwrap();
    assert_eq!(stored, series);
    stored.merge(&series);
    assert_eq!(share(&stored, 60), (60, 120, 0.5));
}

/// Bytes that the version before wrote, which counted rejected documents in the windows only.
#[test]
fn a_series_of_the_version_before_is_read_and_its_rejected_documents_count() {
    let bytes = include_bytes!("../../tests/fixtures/rejected/series.3");
    let series = Series::decode(bytes).unwrap();
    let [hour, day, week] = series.windows().map(|(_, stats)| stats.rejected);
    assert_eq!([hour, day, week], [5, 8, 12]);
    let samples = series.timeline().since(0);
    assert_eq!((samples.n(), samples.rejected), (600, 12));
    let day_of_evidence = series.timeline().since(series.now() - DAY_MS);
    assert_eq!(day_of_evidence.rejected, 8);
    assert_eq!(Series::decode(&series.encode()).unwrap(), series);
}

/// Both versions may run at the same time.
#[test]
fn the_version_before_reads_what_this_one_writes() {
    let bytes = include_bytes!("../../tests/fixtures/rejected/series.3");
    let written = Series::decode(bytes).unwrap().encode();
    assert_eq!(written[..bytes.len()], *bytes, "what follows is ignored by earlier versions");
    let bytes = include_bytes!("../../tests/fixtures/rejected/tally.4");
    let written = Tally::decode(bytes).unwrap().encode();
    assert_eq!(written[..bytes.len()], *bytes);
}

#[test]
fn rejected_documents_of_a_version_are_a_share_of_what_was_observed_since_they_are_counted() {
    let bytes = include_bytes!("../../tests/fixtures/rejected/tally.4");
    let mut tally = Tally::decode(bytes).unwrap();
    assert_eq!((tally.stats().n, tally.samples().documents()), (1_200, 0));
    let more = observation(NOW, Outcome::Success, 800.0);
    tally.add(&more, &score(&RewardConfig::default(), &more));
    tally.reject();
    let stored = Tally::decode(&tally.encode()).unwrap();
    assert_eq!(stored, tally);
    assert_eq!((stored.stats().rejected, stored.samples().rejected_share()), (1, 0.5));
}

#[test]
fn an_empty_window_has_no_figures() {
    let stats = Series::default().window(Window::OneDay);
    assert_eq!(stats, WindowStats { window_start: Window::OneDay.start(0), ..Default::default() });
}

#[test]
fn stats_serialize_with_the_documented_names() {
    let json = serde_json::to_value(bucket_of(&[]).stats(0)).unwrap();
    for field in ["n", "successRate", "p50Latency", "p95Latency", "avgCostUsd", "avgReward"] {
        assert!(json.get(field).is_some(), "{field}");
    }
}

#[test]
fn an_observation_counts_until_its_bucket_leaves_the_window() {
    let mut series = Series::default();
    record(&mut series, &observation(NOW, Outcome::Success, 1.0), NOW);
    let leaves = series.next_change(NOW).unwrap();
    assert_eq!(leaves, NOW - NOW % 300_000 + 300_000 + HOUR_MS);
    series.advance(leaves - 1);
    assert_eq!(series.window(Window::OneHour).n, 1);
    series.advance(leaves);
    assert_eq!(series.window(Window::OneHour).n, 0);
    assert_eq!(series.window(Window::OneDay).n, 1);
}

#[test]
fn advancing_from_change_to_change_ends_with_an_empty_series() {
    let mut series = Series::default();
    for minutes in 0..120 {
        let ts = NOW - minutes * MINUTE_MS;
        record(&mut series, &observation(ts, Outcome::Success, 1.0), NOW);
    }
    let mut now = NOW;
    let mut steps = 0;
    while let Some(change) = series.next_change(now) {
        let counted = |it: &Series| (it.windows().map(|it| it.1.n), it.timeline().is_empty());
        let before = counted(&series);
        series.advance(change - 1);
        assert_eq!(counted(&series), before);
        series.advance(change);
        assert_ne!(counted(&series), before);
        now = change;
        steps += 1;
    }
    assert!(series.is_empty());
    assert!((3..60).contains(&steps), "{steps}");
}

#[test]
fn an_observation_of_last_month_counts_in_no_window() {
    let mut series = Series::default();
    let older = observation(NOW - 63 * DAY_MS, Outcome::Success, 1.0);
    assert_eq!(record(&mut series, &older, NOW), Placement::TooOld);
    assert!(series.is_empty());
    let old = observation(NOW - 30 * DAY_MS, Outcome::Success, 1.0);
    assert_eq!(record(&mut series, &old, NOW), Placement::TooOld);
    assert!(series.windows().iter().all(|(_, stats)| stats.n == 0));
    assert!(
        (series.timeline().since(0).reward.n() - 1.0).abs() < 1e-9,
        "the timeline reaches back further"
    );
}

#[test]
fn a_clock_far_ahead_does_not_create_unlimited_buckets() {
    let mut series = Series::default();
    for days in 0..1000 {
        let ahead = observation(NOW + days * DAY_MS, Outcome::Success, 1.0);
        assert_eq!(record(&mut series, &ahead, NOW), Placement::Counted);
    }
    assert_eq!(series.window(Window::OneHour).n, 1000);
    assert!(series.buckets() <= 2);
}

/// A busy component: a week with one observation every 2 s, latencies over two orders of magnitude.
fn busy_week() -> Series {
    let mut series = Series::default();
    let start = NOW - 7 * DAY_MS;
    for i in 0..(7 * DAY_MS / 2_000) {
        let spread = ((i * 7919) % 1000).to_f64() / 1000.0;
        let duration_ms = 100.0 * 100_f64.powf(spread * spread);
        let outcome = if i % 20 == 0 { Outcome::Failure } else { Outcome::Success };
        let ts = start + i * 2_000;
        record(&mut series, &observation(ts, outcome, duration_ms), ts);
    }
    series
}

#[test]
fn memory_and_storage_stay_small() {
    let series = busy_week();
    assert!(series.buckets() <= 70, "{} buckets", series.buckets());
    let bytes = series.encode().len();
    assert!(bytes < 64 * 1024, "{bytes} bytes");
    let mut quiet = Series::default();
    for i in 0..50 {
        record(&mut quiet, &observation(NOW, Outcome::Success, 100.0 + f64::from(i)), NOW);
    }
    let bytes = quiet.encode().len();
    assert!(bytes < 250, "{bytes} bytes");
}

#[test]
fn another_format_is_rejected_by_its_number() {
    let mut bytes = busy_week().encode();
    bytes[0] = 9;
    assert!(matches!(Series::decode(&bytes), Err(DecodeError::Format { found: 9 })));
    assert!(matches!(Series::decode(&[]), Err(DecodeError::Inconsistent(_))));
}

proptest! {
    #[test]
    fn a_sketch_is_within_its_documented_error(
        values in prop::collection::vec((any_duration(), prop_oneof![Just(1.0), 0.001..=1.0]), 1..300),
        q in prop_oneof![Just(0.5), Just(0.95), 0.0..=1.0],
    ) {
        let values: Vec<_> =
            values.into_iter().map(|(value, rate)| (value, Weight::from_sample_rate(rate))).collect();
        let mut sketch = Sketch::default();
        values.iter().for_each(|(value, weight)| sketch.add(*value, *weight));
        let (estimate, exact) = (sketch.quantile(q).unwrap(), exact_quantile(&values, q));
        if exact < Sketch::MIN_VALUE {
            prop_assert_eq!(estimate, 0.0);
        } else {
            let error = (estimate - exact).abs() / exact;
            prop_assert!(error <= Sketch::ALPHA * (1.0 + 1e-9), "{estimate} for {exact}: {error}");
        }
    }

    #[test]
    fn a_reward_histogram_is_within_its_documented_error(
        scores in prop::collection::vec(0.0..=1.0, 1..300),
        q in 0.0..=1.0,
    ) {
        let scores: Vec<_> = scores.into_iter().map(|score| (score, Weight::ONE)).collect();
        let mut histogram = RewardHistogram::default();
        scores.iter().for_each(|(score, weight)| histogram.add(*score, *weight));
        let error = (histogram.quantile(q).unwrap() - exact_quantile(&scores, q)).abs();
        prop_assert!(error <= RewardHistogram::MAX_ERROR + 1e-12, "{error}");
    }

    #[test]
    fn merging_is_associative_and_commutative_and_equals_adding(
        observations in prop::collection::vec(any_observation(Just(NOW)), 0..60),
        cuts in prop::array::uniform2(0_usize..60),
    ) {
        let (first, second) = (cuts[0].min(cuts[1]), cuts[0].max(cuts[1]));
        let cut = |at: usize| at.min(observations.len());
        let a = bucket_of(&observations[..cut(first)]);
        let b = bucket_of(&observations[cut(first)..cut(second)]);
        let c = bucket_of(&observations[cut(second)..]);
        let all = bucket_of(&observations);
        prop_assert_eq!(&merged([&a, &b, &c]), &all);
        prop_assert_eq!(&merged([&a, &merged([&b, &c])]), &all);
        prop_assert_eq!(&merged([&c, &a, &b]), &all);
        prop_assert_eq!(&merged([&all, &Bucket::default()]), &all);
        prop_assert_eq!(&merged([&Bucket::default(), &all]), &all);
    }

    #[test]
    fn merging_sketches_equals_adding(
        values in prop::collection::vec((any_duration(), 1e-6..=1.0), 0..100),
        cut in 0_usize..100,
    ) {
        let sketch_of = |values: &[(f64, f64)]| {
            let mut sketch = Sketch::default();
            values.iter().for_each(|(it, rate)| sketch.add(*it, Weight::from_sample_rate(*rate)));
            sketch
        };
        let (left, right) = values.split_at(cut.min(values.len()));
        let (left, right) = (sketch_of(left), sketch_of(right));
        let (mut forth, mut back) = (left.clone(), right.clone());
        forth.merge(&right);
        back.merge(&left);
        prop_assert_eq!(&forth, &sketch_of(&values));
        prop_assert_eq!(&forth, &back);
    }

    /// In any order of times and clocks, the count of a window equals its definition.
    #[test]
    fn windows_count_what_a_recount_finds(
        events in prop::collection::vec(
            (prop_oneof![-9 * DAY_MS..HOUR_MS, -2 * DAY_MS..HOUR_MS, -3 * HOUR_MS..600_000], 0..9 * DAY_MS), 1..80),
        end in 0..3 * DAY_MS,
    ) {
        let mut series = Series::default();
        let mut seen = Vec::new();
        let mut latest = 0;
        for (age, now) in events {
            let ts = NOW + now + age;
            let now = NOW + now;
            latest = latest.max(now);
            record(&mut series, &observation(ts, Outcome::Success, 1.0), now);
            seen.push((ts.min(latest + MAX_AHEAD_MS), latest));
        }
        latest += end;
        series.advance(latest);
        prop_assert_eq!(series.now(), latest);
        for (window, stats) in series.windows() {
            // An observation that was too old for the week when it arrived is too old now.
            let start = window.start(latest);
            let recount = seen.iter().filter(|(ts, _)| *ts >= start).count();
            prop_assert_eq!(stats.n, recount as u64, "{}", window);
            prop_assert_eq!(stats.window_start, start);
            prop_assert_eq!(&series.window(window), &stats);
        }
        prop_assert!(series.buckets() <= 70);
        let again = Series::decode(&series.encode()).unwrap();
        prop_assert_eq!(again, series);
    }

    #[test]
    fn two_halves_of_a_stream_merge_into_the_whole(
        observations in prop::collection::vec(any_observation(NOW - 8 * DAY_MS..=NOW), 0..60),
        cut in 0_usize..60,
        now in NOW..NOW + 2 * DAY_MS,
    ) {
        let (left, right) = observations.split_at(cut.min(observations.len()));
        let series_of = |observations: &[Observation], now| {
            let mut series = Series::default();
            series.advance(now);
            for observation in observations {
                record(&mut series, observation, now);
            }
            series
        };
        let mut merged = series_of(left, NOW);
        merged.merge(&series_of(right, now));
        merged.advance(now);
        prop_assert_eq!(merged, series_of(&observations, now));
    }

    #[test]
    fn random_and_damaged_bytes_never_cause_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        flips in prop::collection::vec((any::<usize>(), any::<u8>()), 1..8),
        now: i64,
    ) {
        let mut bent = small_series().encode();
        for (at, byte) in flips {
            let at = at % bent.len();
            bent[at] = byte;
        }
        let formatted: Vec<u8> = std::iter::once(1).chain(bytes.iter().copied()).collect();
        for candidate in [bytes, formatted, bent] {
            let Ok(mut series) = Series::decode(&candidate) else { continue };
            let ts = NOW;
            record(&mut series, &observation(ts, Outcome::Failure, 5.0), now);
            series.advance(now.saturating_add(DAY_MS));
            series.next_change(now);
            for (_, stats) in series.windows() {
                prop_assert!(stats.avg_reward.is_finite() && stats.success_rate.is_finite());
            }
        }
    }
}

fn small_series() -> Series {
    let mut series = Series::default();
    for i in 0..20 {
        let ts = NOW - i * 2 * HOUR_MS;
        record(&mut series, &observation(ts, Outcome::Success, 50.0 * i.to_f64()), NOW);
    }
    series
}

#[test]
fn documents_that_name_no_version_are_counted_and_survive_storing_and_merging() {
    let mut series = Series::default();
    for n in 0..3 {
        series.reject(Some(NOW - n), NOW);
        series.add_unversioned(Some(NOW - n), NOW);
    }
    let stored = Series::decode(&series.encode()).unwrap();
    assert_eq!(stored, series);
    assert_eq!(stored.window(Window::SevenDays).unversioned, 3);
    let mut merged = stored.clone();
    merged.merge(&stored);
    merged.release_unversioned(NOW, NOW);
    assert_eq!(merged.window(Window::OneDay).unversioned, 5);
}
