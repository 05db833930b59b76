//! Where each weight may go, in whole steps of 1/1024.

use super::WEIGHT_STEPS;

const ONE: u16 = WEIGHT_STEPS;

/// An arm's current weight, and whether it may not gain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    pub weight: f64,
    pub capped: bool,
}

/// For each arm the lowest and the highest weight it may have.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bounds {
    pub low: Vec<u16>,
    pub high: Vec<u16>,
}

pub(super) fn to_weight(steps: u16) -> f64 {
    f64::from(steps) / f64::from(ONE)
}

impl Bounds {
    /// `None` when no weights within the bounds add up to 1.
    ///
    /// An arm below the floor (written by hand, or new) moves up to it, by no more than the step.
    /// Where the others cannot give that much at once, it comes as near as they can.
    pub(super) fn new(arms: &[Current], floor: f64, step: f64) -> Option<Self> {
        if arms.len() as f64 * floor > 1.0 {
            return None;
        }
        let mut low: Vec<u16> = arms.iter().map(|arm| lowest(arm.weight, floor, step)).collect();
        let high = arms.iter().zip(&low).map(|(arm, low)| {
            let high = highest(arm.weight, step);
            let cap = if arm.capped { last_up_to(|it| to_weight(it) <= arm.weight) } else { high };
            high.min(cap).max(*low)
        });
        let high: Vec<u16> = high.collect();
        give_way(&mut low, arms, floor);
        (sum(&low) <= ONE.into() && sum(&high) >= ONE.into()).then_some(Self { low, high })
    }
}

fn lowest(weight: f64, floor: f64, step: f64) -> u16 {
    if weight >= floor {
        first_from(|it| to_weight(it) >= floor && weight - to_weight(it) <= step)
    } else {
        first_from(|it| to_weight(it) >= floor).min(highest(weight, step))
    }
}

fn highest(weight: f64, step: f64) -> u16 {
    last_up_to(|it| to_weight(it) - weight <= step)
}

/// The bounds are found by asking each of the few steps rather than by rounding a quotient, so
/// that they hold exactly as a reader would check them.
fn first_from(holds: impl Fn(u16) -> bool) -> u16 {
    (0..=ONE).find(|it| holds(*it)).unwrap_or(ONE)
}

fn last_up_to(holds: impl Fn(u16) -> bool) -> u16 {
    (0..=ONE).rev().find(|it| holds(*it)).unwrap_or(0)
}

/// Lets arms that are on their way up to the floor stop short of it, those that would move
/// furthest first, until there is room for everybody.
fn give_way(low: &mut [u16], arms: &[Current], floor: f64) {
    let least: Vec<u16> = arms
        .iter()
        .zip(&*low)
        .map(|(arm, low)| match arm.weight < floor {
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
