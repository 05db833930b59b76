//! Properties of the estimates, and how often they are wrong.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::number::Lossy;
use crate::observation::Weight;

fn sample_of<G: Grid>(values: &[f64]) -> Sample<G> {
    let mut sample = Sample::default();
    values.iter().for_each(|value| sample.add(*value, Weight::ONE));
    sample
}

fn cells(values: &[f64]) -> Cells {
    Cells::of(&sample_of::<RewardScore>(values))
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(0.0..=1.0_f64, 0..60)
}

#[test]
fn nothing_is_known_before_the_first_observation() {
    let none = cells(&[]);
    assert_eq!(mean_interval(&none, 0.05), Interval::UNIT);
    assert_eq!(difference(&none, &cells(&[1.0; 9]), 0.05), Interval { low: -1.0, high: 1.0 });
    assert!(!is_greater(&none, &none, -0.5, 0.05));
    assert_eq!(quantile_interval(&Sample::default(), 1.0, 0.5, 0.05), None);
}

#[test]
fn a_hundred_successes_in_a_row_lead_to_a_narrow_interval() {
    let interval = mean_interval(&cells(&[1.0; 100]), 0.05);
    assert_eq!(interval.high, 1.0);
    assert!(interval.low > 0.92, "{interval:?}");
}

#[test]
fn a_clear_difference_is_proven_and_an_unclear_one_is_not() {
    let coin = |share: usize, n: usize| -> Vec<f64> {
        (0..n).map(|i| f64::from(u8::from(i * 7 % 10 < share))).collect()
    };
    let (good, bad) = (cells(&coin(8, 400)), cells(&coin(5, 400)));
    assert!(is_greater(&good, &bad, 0.0, 0.05));
    assert!(!is_greater(&bad, &good, 0.0, 0.05));
    assert!(!is_greater(&cells(&coin(8, 20)), &cells(&coin(5, 20)), 0.0, 0.05));
    let apart = difference(&good, &bad, 0.05);
    assert!(apart.low > 0.15 && apart.high < 0.45 && apart.contains(0.3), "{apart:?}");
}

#[test]
fn quantile_intervals_contain_the_true_quantiles() {
    let durations: Vec<f64> = (0..4_000).map(|i| 100.0 + f64::from(i % 1_000)).collect();
    let sample = sample_of::<Latency>(&durations);
    let median = quantile_interval(&sample, 1.0, 0.5, 0.05).unwrap();
    assert!(median.contains(600.0) && median.low > 500.0 && median.high < 720.0, "{median:?}");
    let p95 = quantile_interval(&sample, 1.0, 0.95, 0.05).unwrap();
    assert!(p95.contains(1_050.0) && p95.low > 900.0 && p95.high < 1_300.0, "{p95:?}");
}

proptest! {
    #[test]
    fn an_interval_is_never_empty_and_stays_within_its_range(values in values(), alpha in 0.001..0.5_f64) {
        let interval = mean_interval(&cells(&values), alpha);
        prop_assert!(0.0 <= interval.low && interval.low <= interval.high && interval.high <= 1.0);
        if !values.is_empty() {
            prop_assert!(interval.contains(values.iter().sum::<f64>() / values.len().to_f64()));
        }
    }

    #[test]
    fn a_smaller_error_leads_to_a_wider_interval(values in values(), alpha in 0.001..0.4_f64) {
        let (strict, loose) = (mean_interval(&cells(&values), alpha), mean_interval(&cells(&values), alpha * 2.0));
        prop_assert!(strict.low <= loose.low && strict.high >= loose.high);
    }

    #[test]
    fn twice_the_same_observations_lead_to_a_narrower_interval(values in proptest::collection::vec(0.0..=1.0_f64, 5..60)) {
        let once = mean_interval(&cells(&values), 0.05);
        let twice = mean_interval(&cells(&[values.clone(), values].concat()), 0.05);
        prop_assert!(twice.width() <= once.width() + 1e-6, "{once:?} {twice:?}");
    }

    /// Splitting between points understates the capital, so that intervals are never narrower than
    /// without a grid.
    #[test]
    fn a_grid_never_narrows_an_interval(values in proptest::collection::vec(0.0..=1.0_f64, 1..60)) {
        let exact = Cells::from_points(values.iter().map(|value| (1.0, *value, 1.0)));
        let (grid, exact) = (mean_interval(&cells(&values), 0.05), mean_interval(&exact, 0.05));
        let slack = RewardScore::RESOLUTION + 1e-6;
        prop_assert!(grid.low <= exact.low + slack && grid.high >= exact.high - slack, "{grid:?} {exact:?}");
        prop_assert!(grid.width() <= exact.width() * 1.1 + 0.01, "{grid:?} {exact:?}");
    }

    #[test]
    fn the_probabilities_of_being_the_best_sum_to_one(
        arms in proptest::collection::vec((0.0..=1.0_f64, 0.001..0.3_f64), 1..12),
    ) {
        let beliefs: Vec<_> = arms.iter().map(|(mean, deviation)| Belief { mean: *mean, deviation: *deviation }).collect();
        let found = best(&beliefs);
        let sum: f64 = found.iter().map(|it| it.probability).sum();
        prop_assert!((sum - 1.0).abs() < 1e-9, "{found:?}");
        prop_assert!(found.iter().all(|it| (0.0..=1.0).contains(&it.probability)));
        // The expected loss of the best is positive, and at most the sum of all deviations.
        let unsure: f64 = beliefs.iter().map(|it| it.deviation).sum();
        let least = found.iter().map(|it| it.expected_loss).fold(f64::INFINITY, f64::min);
        prop_assert!((0.0..=unsure).contains(&least), "{found:?}");
    }
}

#[test]
fn probabilities_and_expected_losses_agree_with_random_draws() {
    let beliefs = [(0.5, 0.05), (0.55, 0.1), (0.4, 0.02)];
    let beliefs = beliefs.map(|(mean, deviation)| Belief { mean, deviation });
    let found = best(&beliefs);
    let mut lost = [0.0; 3];
    let mut rng = StdRng::seed_from_u64(1);
    let mut wins = [0_u32; 3];
    let rounds = 200_000;
    for _ in 0..rounds {
        let normal = |rng: &mut StdRng| (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
        let draws = beliefs.map(|it| it.mean + it.deviation * normal(&mut rng));
        let winner = (0..3).max_by(|a, b| draws[*a].total_cmp(&draws[*b])).unwrap();
        wins[winner] += 1;
        for (lost, draw) in lost.iter_mut().zip(draws) {
            *lost += (draws[winner] - draw) / f64::from(rounds);
        }
    }
    for ((found, wins), lost) in found.iter().zip(wins).zip(lost) {
        let drawn = f64::from(wins) / f64::from(rounds);
        assert!((found.probability - drawn).abs() < 0.01, "{found:?} {drawn}");
        assert!((found.expected_loss - lost).abs() < 0.001, "{found:?} {lost}");
    }
}

/// How often an interval misses the truth at any of 60 looks at up to 3,000 observations. The intervals
/// are slightly conservative: about 3% at 5%. The probability to exceed the limit by chance is below one
/// in a million.
#[test]
fn intervals_miss_the_truth_at_most_as_often_as_documented() {
    let (mut rng, mut left, histories) = (StdRng::seed_from_u64(7), 0, 400);
    for _ in 0..histories {
        let mut sample = Sample::<RewardScore>::default();
        let mut other = Sample::<RewardScore>::default();
        let wrong = (0..60).any(|_| {
            for _ in 0..50 {
                // A mean of 0.3 over all actions; one in ten of the zeros is kept.
                let value = f64::from(u8::from(rng.random::<f64>() < 0.3));
                if value > 0.5 {
                    sample.add(value, Weight::ONE);
                } else if rng.random::<f64>() < 0.1 {
                    sample.add(value, Weight::from_sample_rate(0.1));
                }
                other.add(f64::from(u8::from(rng.random::<f64>() < 0.3)), Weight::ONE);
            }
            let (cells, others) = (Cells::of(&sample), Cells::of(&other));
            !mean_interval(&cells, 0.05 / 3.0).contains(0.3)
                || is_greater(&cells, &others, 0.0, 0.05 / 3.0)
                || is_greater(&others, &cells, 0.0, 0.05 / 3.0)
        });
        left += u32::from(wrong);
    }
    assert!(left <= 20 + 12, "{left} of {histories}");
}

proptest! {
    // Each case searches thousands of means.
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_difference_is_within_its_range_and_antisymmetric(a in values(), b in values()) {
        let (a, b) = (cells(&a), cells(&b));
        let apart = difference(&a, &b, 0.05);
        prop_assert!(-1.0 <= apart.low && apart.low <= apart.high && apart.high <= 1.0);
        let back = difference(&b, &a, 0.05);
        prop_assert!((apart.low + back.high).abs() < 1e-9 && (apart.high + back.low).abs() < 1e-9);
    }
}

/// The average capital after `n` observations of a gambler who bets that fewer than the share `success`
/// of all actions succeed, if exactly that share succeeds and one in ten successes is kept.
fn average_capital(success: f64, n: i32, cells: impl Fn(Cells) -> Cells) -> f64 {
    let kept = success * 0.1;
    let of_kept = kept / (kept + 1.0 - success);
    let mut ways = 1.0;
    let mut sum = 0.0;
    for successes in 0..=n {
        let failures = n - successes;
        let points = [(10.0, 1.0, f64::from(successes)), (1.0, 0.0, f64::from(failures))];
        let seen = cells(Cells::from_points(points.into_iter().filter(|it| it.2 > 0.0)));
        let probability = ways * of_kept.powi(successes) * (1.0 - of_kept).powi(failures);
        sum += probability * seen.log_capital(Side::Below, success).exp();
        ways *= f64::from(failures) / f64::from(successes + 1);
    }
    sum
}

#[test]
fn a_gambler_who_knows_the_largest_weight_wins_nothing_on_average() {
    for (success, n) in [(0.3, 5), (0.5, 25), (0.9, 40)] {
        let fair = average_capital(success, n, |cells| cells.within(10.0));
        assert!((fair - 1.0).abs() < 1e-9, "{success} {n}: {fair}");
        // Without knowing the largest weight, the gambler wins from the successes that were not kept.
        let unfair = average_capital(success, n, |cells| cells);
        assert!(unfair > 1.2, "{success} {n}: {unfair}");
    }
}
