//! Arms whose durations or costs have another scale than before, or than the other arms.
//!
//! An arm that records seconds as milliseconds looks a thousand times faster. An arm whose median
//! differs by a factor of 100 or more cannot gain weight until an admin confirms its scale.

use serde::{Deserialize, Serialize};

use super::{Check, Hold};
use crate::estimate::{Grid, Sample};
use crate::stats::{Samples, Timeline};
use crate::tuning::TuningInput;

/// Medians that differ by this factor have another scale. Units differ by 1,000 or more (seconds,
/// milliseconds and microseconds; dollars and micro-dollars), and arms rarely by 10.
pub const SCALE_FACTOR: f64 = 100.0;

/// The fewest observations of a median.
const MIN_OBSERVATIONS: f64 = 20.0;

/// A quantity with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quantity {
    Duration,
    Cost,
}

/// A change of scale within the observations of one arm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    pub quantity: Quantity,
    /// The smallest and the largest median of a part of the observations.
    pub lowest: f64,
    pub highest: f64,
}

impl Quantity {
    const ALL: [Self; 2] = [Self::Duration, Self::Cost];

    fn median(self, samples: &Samples) -> Option<f64> {
        match self {
            Self::Duration => median(&samples.latency),
            Self::Cost => median(&samples.cost),
        }
    }

    fn n(self, samples: &Samples) -> f64 {
        match self {
            Self::Duration => samples.latency.n(),
            Self::Cost => samples.cost.n(),
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Duration => "durations",
            Self::Cost => "costs",
        }
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::Duration => "durationMs is in milliseconds",
            Self::Cost => "costUsd is in US dollars",
        }
    }

    fn show(self, value: f64) -> String {
        let digits = match value {
            value if value >= 100.0 => format!("{value:.0}"),
            value if value >= 0.01 => format!("{value:.2}"),
            value => format!("{value:.1e}"),
        };
        match self {
            Self::Duration => format!("{digits} ms"),
            Self::Cost => format!("${digits}"),
        }
    }
}

impl Shift {
    /// The changes of scale of an arm since `start` (epoch milliseconds). The medians of consecutive
    /// parts of the timeline, each with enough observations, are compared.
    pub fn within(timeline: &Timeline, start: i64) -> Vec<Self> {
        let shift = |quantity: Quantity| {
            let mut medians = Vec::new();
            let mut part = Samples::default();
            for (_, samples) in timeline.buckets().filter(|(begins, _)| *begins >= start) {
                part.merge(samples);
                if quantity.n(&part) >= MIN_OBSERVATIONS {
                    medians.extend(quantity.median(&part));
                    part = Samples::default();
                }
            }
            let lowest = medians.iter().copied().fold(f64::INFINITY, f64::min);
            let highest = medians.iter().copied().fold(0.0, f64::max);
            (highest >= lowest * SCALE_FACTOR).then_some(Self { quantity, lowest, highest })
        };
        Quantity::ALL.into_iter().filter_map(shift).collect()
    }
}

/// The weighted median; `None` with too few observations, or if it is 0, which has no scale.
fn median<G: Grid>(sample: &Sample<G>) -> Option<f64> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    let mut n = 0.0;
    for (weight, value, count) in sample.points() {
        points.push((value, weight * count));
        n += count;
    }
    // The sum of parts of observations may be below their number by a rounding error.
    if n < MIN_OBSERVATIONS - 1e-6 {
        return None;
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = points.iter().map(|(_, mass)| mass).sum::<f64>() / 2.0;
    let mut sum = 0.0;
    let middle = points.into_iter().find(|(_, mass)| {
        sum += mass;
        sum >= half
    });
    middle.map(|(value, _)| value).filter(|value| *value > 0.0)
}

pub(super) fn holds(input: &TuningInput) -> Vec<Hold> {
    Quantity::ALL.into_iter().flat_map(|quantity| holds_of(input, quantity)).collect()
}

fn holds_of(input: &TuningInput, quantity: Quantity) -> Vec<Hold> {
    let is_confirmed = |arm: &str| input.config.confirmed_scales.iter().any(|it| it == arm);
    let hold = |arm: &str, what: String| Hold {
        arm: arm.to_owned(),
        why: format!(
            "{what}: {arm} gains no weight until you correct the unit ({}), or add {arm:?} to \
             confirmedScales in config/tuning if it is right",
            quantity.unit()
        ),
    };
    let shift = |arm: &str| {
        let shifts = input.signals.shifts.get(arm)?;
        shifts.iter().find(|it| it.quantity == quantity).copied()
    };
    let used = input.weights.iter().filter(|(arm, weight)| **weight > 0.0 && !is_confirmed(arm));
    let (mut holds, mut medians) = (Vec::new(), Vec::new());
    for (arm, _) in used {
        if let Some(Shift { lowest, highest, .. }) = shift(arm) {
            let (low, high) = (quantity.show(lowest), quantity.show(highest));
            let noun = quantity.noun();
            holds.push(hold(arm, format!("the median {noun} of {arm} range from {low} to {high}")));
        } else if let Some(median) = input.arms.get(arm).and_then(|it| quantity.median(&it.samples))
        {
            medians.push((arm, median));
        }
    }
    for (arm, own) in &medians {
        let peers = || medians.iter().filter(|(other, _)| other != arm);
        let is_off = |other: f64| other >= own * SCALE_FACTOR || *own >= other * SCALE_FACTOR;
        let off = || peers().filter(|(_, other)| is_off(*other));
        // With two arms of different scales, either may be the wrong one.
        if let Some((other, example)) = off().next()
            && 2 * off().count() > peers().count()
        {
            let (own, example) = (quantity.show(*own), quantity.show(*example));
            let noun = quantity.noun();
            let what =
                format!("the median of the {noun} is {own} for {arm} and {example} for {other}");
            holds.push(hold(arm, what));
        }
    }
    holds
}

/// Whether durations and costs have the same scale in all arms, now and before.
pub(in crate::tuning) fn consistent(input: &TuningInput) -> Check {
    let name = "scales".to_owned();
    let holds = holds(input);
    if holds.is_empty() {
        let detail =
            format!("no median of durations or costs is off by a factor of {SCALE_FACTOR}");
        return Check { name, passed: Some(true), detail };
    }
    let detail: Vec<String> = holds.into_iter().map(|it| it.why).collect();
    Check { name, passed: Some(false), detail: detail.join("; ") }
}
