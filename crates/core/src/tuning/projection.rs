//! The weights that the evidence calls for, brought within bounds.

use super::WEIGHT_STEPS;
use super::bounds::{Bounds, sum};

/// The point within the bounds that sums to 1 and is nearest to `target` in relative entropy: `clamp(c x target, low, high)` for the one `c`
/// that makes the sum right. Then rounded to whole steps within the same bounds.
pub(super) fn project(target: &[f64], bounds: &Bounds) -> Vec<u16> {
    let scaled = |ln_c: f64| -> Vec<f64> {
        let scale = ln_c.exp() * f64::from(WEIGHT_STEPS);
        let clamped = target.iter().zip(bounds.low.iter().zip(&bounds.high));
        clamped.map(|(it, (low, high))| (it * scale).clamp((*low).into(), (*high).into())).collect()
    };
    // Targets lie between a step and 1: beyond these ends everything sits at its lower, respectively
    // its upper bound.
    let (mut below, mut above) = (-20.0_f64, 20.0_f64);
    // Halving the range 64 times leaves less than a double can tell apart.
    for _ in 0..64 {
        let middle = below.midpoint(above);
        if scaled(middle).iter().sum::<f64>() < f64::from(WEIGHT_STEPS) {
            below = middle;
        } else {
            above = middle;
        }
    }
    round(&scaled(below), bounds)
}

/// Largest remainders: every weight is rounded down, then the steps left over go to those that
/// lost most by it. Ties go to the earlier arm.
fn round(exact: &[f64], bounds: &Bounds) -> Vec<u16> {
    let mut steps: Vec<u16> = exact.iter().map(|it| it.floor() as u16).collect();
    let mut by_loss: Vec<usize> = (0..exact.len()).collect();
    by_loss.sort_by(|a, b| exact[*b].fract().total_cmp(&exact[*a].fract()));
    let mut left = u32::from(WEIGHT_STEPS).saturating_sub(sum(&steps));
    // Once round is enough but for arms that stand at their bound.
    while left > 0 {
        let before = left;
        for at in &by_loss {
            if left > 0 && steps[*at] < bounds.high[*at] {
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
