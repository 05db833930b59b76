//! The range of each weight, and the weights within it that are nearest to the wanted ones.

use crate::number::{Lossy, whole_u16};
use crate::policy::WEIGHT_STEPS;

const ONE: f64 = WEIGHT_STEPS as f64;
/// Rounding errors of weights that were written as decimal fractions.
const SLACK: f64 = 1e-9;

/// The limits that a weight must keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The current weight.
    pub held: f64,
    /// The approved range.
    pub min: f64,
    pub max: f64,
}

/// The lowest and the highest weight of each arm, in steps of 1/1024.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges {
    low: Vec<u16>,
    high: Vec<u16>,
}

fn up(weight: f64) -> u16 {
    whole_u16((weight * ONE - SLACK).ceil().clamp(0.0, ONE))
}

fn down(weight: f64) -> u16 {
    whole_u16((weight * ONE + SLACK).floor().clamp(0.0, ONE))
}

fn sum(steps: &[u16]) -> u32 {
    steps.iter().map(|it| u32::from(*it)).sum()
}

impl Ranges {
    /// `None` if no weights within the limits sum to 1. An arm whose maximum is 0 stays at 0. An arm
    /// outside of its range moves towards it, by at most `step`; if the others cannot give that much at
    /// once, it moves as near as they allow.
    pub fn new(arms: &[Limits], floor: f64, step: f64) -> Option<Self> {
        let range = |arm: &Limits| {
            if arm.max <= 0.0 {
                return (0, 0, 0);
            }
            let (least, most) =
                (up(arm.held - step), down(arm.held + step).max(up(arm.held - step)));
            let high = down(arm.max);
            let low = up(arm.min.max(floor)).min(high);
            let (low, high) = (low.clamp(least, most), high.clamp(least, most));
            (low, high, least.max(down(arm.held)).min(low))
        };
        let ranges: Vec<(u16, u16, u16)> = arms.iter().map(range).collect();
        let mut low: Vec<u16> = ranges.iter().map(|it| it.0).collect();
        let high: Vec<u16> = ranges.iter().map(|it| it.1).collect();
        // Arms that move up to their minimum wait for the others, the largest move first.
        while sum(&low) > WEIGHT_STEPS.into() {
            let at = (0..low.len()).max_by_key(|at| low[*at] - ranges[*at].2)?;
            if low[at] == ranges[at].2 {
                return None;
            }
            low[at] -= 1;
        }
        (sum(&high) >= WEIGHT_STEPS.into()).then_some(Self { low, high })
    }

    /// The weights `clamp(c x want, low, high)` for the one `c` that makes their sum 1, rounded to
    /// steps. They are the nearest in relative entropy: what the leader may not have goes to the next
    /// best arm.
    pub fn project(&self, want: &[f64]) -> Vec<f64> {
        let scaled = |ln_scale: f64| -> Vec<f64> {
            let scale = libm::exp(ln_scale) * ONE;
            let ranges = self.low.iter().zip(&self.high);
            let scaled = want.iter().zip(ranges).map(|(want, (low, high))| {
                (want.max(LEAST) * scale).clamp(f64::from(*low), f64::from(*high))
            });
            scaled.collect()
        };
        let (mut below, mut above) = (-40.0_f64, 40.0_f64);
        for _ in 0..64 {
            let middle = below.midpoint(above);
            if scaled(middle).iter().sum::<f64>() < ONE {
                below = middle;
            } else {
                above = middle;
            }
        }
        let steps = round_to_steps(&scaled(below), &self.high);
        steps.into_iter().map(|it| f64::from(it) / ONE).collect()
    }
}

/// Rounds by largest remainder: every weight, given in steps, is rounded down, then the remaining steps go
/// to the weights with the largest remainders, up to `high`. Ties go to the earlier arm.
pub(crate) fn round_to_steps(exact: &[f64], high: &[u16]) -> Vec<u16> {
    let mut steps: Vec<u16> = exact.iter().map(|it| whole_u16(it.floor())).collect();
    let mut by_loss: Vec<usize> = (0..exact.len()).collect();
    by_loss.sort_by(|a, b| exact[*b].fract().total_cmp(&exact[*a].fract()));
    let mut left = u32::from(WEIGHT_STEPS).saturating_sub(sum(&steps));
    // One round is sufficient unless some weights are at their upper bound.
    while left > 0 {
        let before = left;
        for at in &by_loss {
            if left > 0 && steps[*at] < high[*at] {
                steps[*at] += 1;
                left -= 1;
            }
        }
        if left == before {
            break;
        }
    }
    steps
}

/// A wanted weight counts as at least this, so that every weight can be scaled.
const LEAST: f64 = 1e-12;

/// Equal wanted weights.
pub(super) fn equal(arms: usize) -> Vec<f64> {
    vec![1.0 / arms.max(1).to_f64(); arms]
}
