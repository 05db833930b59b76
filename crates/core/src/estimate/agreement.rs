//! What other implementations, in another language, have worked out: the bounds of
//! `tests/agreement/intervals.json` and the values of `tests/agreement/off_policy.json`. The
//! scripts beside those files say how.

use serde::Deserialize;

use super::*;
use crate::observation::Weight;

#[derive(Deserialize)]
struct Case {
    name: String,
    alpha: f64,
    /// (weight, value, number)
    cells: Vec<(f64, f64, u32)>,
    low: f64,
    high: f64,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../../tests/agreement/intervals.json")).unwrap()
}

/// The width to which bounds are searched, outwards.
const SEARCHED: f64 = 2e-7;

#[test]
fn intervals_are_those_of_another_implementation() {
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

/// At the bounds the capitals are what was staked for, to 1e-9: the search aside, the two agree.
#[test]
fn capitals_are_those_of_another_implementation() {
    for case in cases() {
        let points = case.cells.iter().map(|(weight, value, n)| (*weight, *value, f64::from(*n)));
        let cells = Cells::from_points(points);
        for (side, bound) in [(Side::Above, case.low), (Side::Below, case.high)] {
            if bound > 0.0 && bound < 1.0 {
                let staked = -(case.alpha / 2.0_f64).ln();
                let apart = cells.log_capital(side, bound) - staked;
                assert!(apart.abs() < 1e-9, "{}: {apart}", case.name);
            }
        }
    }
}

/// What the Open Bandit Pipeline says that a log is worth under a proposal.
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
    /// What the proposal's own log earned.
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
fn off_policy_values_are_those_of_the_open_bandit_pipeline() {
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
        // Bounds are searched in units of the largest ratio.
        let largest = case.arms.iter().map(|arm| arm.1 / arm.0).fold(0.0, f64::max);
        let outwards = [case.low - found.interval.low, found.interval.high - case.high];
        for apart in outwards {
            assert!((0.0..SEARCHED * largest).contains(&(apart + 1e-9)), "{}: {apart}", case.name);
        }
    }
}

#[test]
fn the_value_of_thompson_sampling_from_the_random_policys_log_covers_what_it_earned() {
    for case in Valued::all() {
        let interval = case.found().interval;
        assert!(interval.contains(case.truth), "{}: {interval:?} {}", case.name, case.truth);
        // Of so rare a reward it says something: a value ten times as great is excluded.
        assert!(interval.low > 0.0 && interval.high < 10.0 * case.truth, "{interval:?}");
    }
}

/// Off the grid an observation is split between points, which only ever widens. It adds up to 1/4096
/// to a variance, here of 1/12, and so up to 0.15% to a width.
#[test]
fn off_the_grid_an_interval_contains_the_exact_one_and_is_hardly_wider() {
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
