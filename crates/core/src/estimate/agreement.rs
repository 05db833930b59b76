//! Agreement with independent implementations in another language: the bounds in
//! `tests/agreement/intervals.json` and the values in `tests/agreement/off_policy.json`. The scripts
//! in the same folder compute them.

use serde::Deserialize;

use super::*;
use crate::observation::Weight;

#[derive(Deserialize)]
struct Case {
    name: String,
    alpha: f64,
    /// (weight, value, count)
    cells: Vec<(f64, f64, u32)>,
    low: f64,
    high: f64,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../../tests/agreement/intervals.json")).unwrap()
}

/// The precision of bounds, which are rounded outwards.
const SEARCHED: f64 = 2e-7;

#[test]
fn intervals_agree_with_another_implementation() {
    let cases = cases();
    assert!(cases.len() >= 7);
    for case in cases {
        let mut sample = Sample::<RewardScore>::default();
        for (weight, value, n) in &case.cells {
            (0..*n).for_each(|_| sample.add(*value, Weight::from_sample_rate(1.0 / weight)));
        }
        let found = mean_interval(&Cells::of(&sample), case.alpha);
        let Case { name, low, high, .. } = case;
        assert!((0.0..SEARCHED).contains(&(low - found.low + 1e-10)), "{name}: {found:?} {low}");
        assert!((0.0..SEARCHED).contains(&(found.high - high + 1e-10)), "{name}: {found:?} {high}");
    }
}

/// At the bounds, the capital equals `1 / alpha` to within 1e-9: apart from the precision of the
/// search, the implementations agree.
#[test]
fn capitals_agree_with_another_implementation() {
    for case in cases() {
        let points = case.cells.iter().map(|(weight, value, n)| (*weight, *value, f64::from(*n)));
        let cells = Cells::from_points(points);
        for (side, bound) in [(Side::Above, case.low), (Side::Below, case.high)] {
            if bound > 0.0 && bound < 1.0 {
                let required = -(case.alpha / 2.0_f64).ln();
                let apart = cells.log_capital(side, bound) - required;
                assert!(apart.abs() < 1e-9, "{}: {apart}", case.name);
            }
        }
    }
}

/// The value of a log under a proposal, computed by the Open Bandit Pipeline.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Valued {
    name: String,
    alpha: f64,
    ips: f64,
    snips: f64,
    dr: f64,
    effective_n: f64,
    low: f64,
    high: f64,
    /// The mean reward of the proposal's own log.
    truth: f64,
    /// (propensity, proposed, successes, failures)
    arms: Vec<(f64, f64, u32, u32)>,
}

impl Valued {
    fn all() -> Vec<Self> {
        serde_json::from_str(include_str!("../../tests/agreement/off_policy.json")).unwrap()
    }

    fn found(&self) -> OffPolicy {
        let sample = |ones: u32, zeros: u32| {
            let mut sample = Sample::<RewardScore>::default();
            (0..ones).for_each(|_| sample.add(1.0, Weight::ONE));
            (0..zeros).for_each(|_| sample.add(0.0, Weight::ONE));
            sample
        };
        let samples: Vec<_> = self.arms.iter().map(|arm| sample(arm.2, arm.3)).collect();
        let log: Vec<_> = self
            .arms
            .iter()
            .zip(&samples)
            .map(|(arm, rewards)| Logged {
                chosen: vec![Chosen { propensity: arm.0, rewards }],
                proposed: arm.1,
            })
            .collect();
        off_policy(&log, Expected::default(), self.alpha).unwrap()
    }
}

#[test]
fn off_policy_values_agree_with_the_open_bandit_pipeline() {
    let cases = Valued::all();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let found = case.found();
        let pairs = [
            ("ips", found.ips, case.ips),
            ("snips", found.snips, case.snips),
            ("dr", found.dr, case.dr),
            ("effective n", found.effective_n / case.effective_n, 1.0),
        ];
        for (what, ours, theirs) in pairs {
            assert!((ours - theirs).abs() < 1e-9, "{}: {what} {ours} {theirs}", case.name);
        }
        // The precision of bounds is relative to the largest ratio.
        let largest = case.arms.iter().map(|arm| arm.1 / arm.0).fold(0.0, f64::max);
        let outwards = [case.low - found.interval.low, found.interval.high - case.high];
        for apart in outwards {
            assert!((0.0..SEARCHED * largest).contains(&(apart + 1e-9)), "{}: {apart}", case.name);
        }
    }
}

#[test]
fn the_interval_of_thompson_sampling_from_the_random_log_contains_its_reward() {
    for case in Valued::all() {
        let interval = case.found().interval;
        assert!(interval.contains(case.truth), "{}: {interval:?} {}", case.name, case.truth);
        // The interval is informative although rewards are rare: it excludes ten times the value.
        assert!(interval.low > 0.0 && interval.high < 10.0 * case.truth, "{interval:?}");
    }
}

/// An observation between points is split, which can only widen an interval. Splitting adds up to
/// 1/4096 to the variance, which is 1/12 here, and thus up to 0.15% to the width.
#[test]
fn an_interval_from_split_observations_contains_the_exact_one_and_is_hardly_wider() {
    for n in [10_u32, 100, 1_000, 10_000] {
        let values: Vec<f64> = (0..n).map(|i| (f64::from(i) * 0.618_033_988_75).fract()).collect();
        let exact = Cells::from_points(values.iter().map(|value| (1.0, *value, 1.0)));
        let mut sample = Sample::<RewardScore>::default();
        values.iter().for_each(|value| sample.add(*value, Weight::ONE));
        let (exact, found) =
            (mean_interval(&exact, 0.05), mean_interval(&Cells::of(&sample), 0.05));
        let slack = RewardScore::RESOLUTION + SEARCHED;
        assert!(found.low <= exact.low + slack && found.high >= exact.high - slack);
        let wider = found.width() - exact.width();
        assert!(wider <= 0.002 * exact.width() + 2.0 * slack, "{n}: {wider}");
    }
}
