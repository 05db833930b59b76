//! Projecting the target weights onto the allowed ranges.

use super::WEIGHT_STEPS;
use super::weight_ranges::WeightRanges;
use crate::belief::round_to_steps;

/// The weights within the ranges that sum to 1 and are nearest to `target` in relative entropy,
/// rounded to whole steps within the same ranges.
///
/// Before rounding they are `clamp(c x target, low, high)`, for the one `c` that makes the sum right.
pub(super) fn project(target: &[f64], ranges: &WeightRanges) -> Vec<u16> {
    let scaled = |ln_c: f64| -> Vec<f64> {
        let scale = ln_c.exp() * f64::from(WEIGHT_STEPS);
        let clamped = target.iter().zip(ranges.low.iter().zip(&ranges.high));
        clamped.map(|(it, (low, high))| (it * scale).clamp((*low).into(), (*high).into())).collect()
    };
    // Targets lie between a step and 1. Beyond these ends, every weight is at its lower or its upper
    // bound.
    let (mut below, mut above) = (-20.0_f64, 20.0_f64);
    // After 64 halvings the range is narrower than the resolution of a double.
    for _ in 0..64 {
        let middle = below.midpoint(above);
        if scaled(middle).iter().sum::<f64>() < f64::from(WEIGHT_STEPS) {
            below = middle;
        } else {
            above = middle;
        }
    }
    round_to_steps(&scaled(below), &ranges.high)
}
