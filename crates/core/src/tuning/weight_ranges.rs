//! The range of each weight in the next version, in whole steps of 1/1024.

use super::WEIGHT_STEPS;
use crate::number::Lossy;

const ONE: u16 = WEIGHT_STEPS;

/// The current weight of an arm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    pub weight: f64,
    /// Whether the weight must not rise.
    pub capped: bool,
}

/// The lowest and the highest weight of each arm.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WeightRanges {
    pub low: Vec<u16>,
    pub high: Vec<u16>,
}

pub(super) fn to_weight(steps: u16) -> f64 {
    f64::from(steps) / f64::from(ONE)
}

impl WeightRanges {
    /// `None` if no weights within the ranges add up to 1.
    ///
    /// An arm at 0 stays at 0: a person has decided that it is not used. An arm above 0 and below the
    /// floor (written by hand) moves up to it, by at most the step. If the other arms cannot give that
    /// much at once, it moves as near to the floor as they allow.
    pub(super) fn new(arms: &[Current], floor: f64, step: f64) -> Option<Self> {
        let used = arms.iter().filter(|arm| arm.weight > 0.0).count();
        if used.to_f64() * floor > 1.0 {
            return None;
        }
        let mut low: Vec<u16> = arms.iter().map(|arm| lowest(arm.weight, floor, step)).collect();
        let high = arms.iter().zip(&low).map(|(arm, low)| {
            let high = highest(arm.weight, step);
            let cap = if arm.capped { last_up_to(|it| to_weight(it) <= arm.weight) } else { high };
            if arm.weight > 0.0 { high.min(cap).max(*low) } else { 0 }
        });
        let high: Vec<u16> = high.collect();
        lower_rising_arms(&mut low, arms, floor);
        (sum(&low) <= ONE.into() && sum(&high) >= ONE.into()).then_some(Self { low, high })
    }
}

fn lowest(weight: f64, floor: f64, step: f64) -> u16 {
    if weight <= 0.0 {
        0
    } else if weight >= floor {
        first_from(|it| to_weight(it) >= floor && weight - to_weight(it) <= step)
    } else {
        first_from(|it| to_weight(it) >= floor).min(highest(weight, step))
    }
}

fn highest(weight: f64, step: f64) -> u16 {
    last_up_to(|it| to_weight(it) - weight <= step)
}

/// The first step for which `holds`. The few steps are tried one by one rather than computed by
/// rounding a quotient, so that the bounds hold exactly as a reader would check them.
fn first_from(holds: impl Fn(u16) -> bool) -> u16 {
    (0..=ONE).find(|it| holds(*it)).unwrap_or(ONE)
}

/// The last step for which `holds`.
fn last_up_to(holds: impl Fn(u16) -> bool) -> u16 {
    (0..=ONE).rev().find(|it| holds(*it)).unwrap_or(0)
}

/// Lowers the lower bounds of arms that move up to the floor, the largest move first, until the sum
/// of all lower bounds is at most 1.
fn lower_rising_arms(low: &mut [u16], arms: &[Current], floor: f64) {
    let least: Vec<u16> = arms
        .iter()
        .zip(&*low)
        .map(|(arm, low)| match arm.weight > 0.0 && arm.weight < floor {
            true => first_from(|it| to_weight(it) >= arm.weight).min(*low),
            false => *low,
        })
        .collect();
    for _ in u32::from(ONE)..sum(low) {
        let Some(at) = (0..low.len()).max_by_key(|at| low[*at] - least[*at]) else {
            return;
        };
        if low[at] == least[at] {
            return;
        }
        low[at] -= 1;
    }
}

pub(super) fn sum(steps: &[u16]) -> u32 {
    steps.iter().map(|it| u32::from(*it)).sum()
}
