//! The bounds of `tests/agreement/intervals.json`, which another implementation, in another
//! language, has worked out.

use serde::Deserialize;

use super::*;
use crate::domain::observation::Weight;

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
    serde_json::from_str(include_str!("../../../tests/agreement/intervals.json")).unwrap()
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
