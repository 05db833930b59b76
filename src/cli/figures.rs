//! Figures with their intervals, as cells of tables: where there is no room, the interval alone.

use f0_learning_core::estimate::{Interval, Measured};

use super::format;
use super::output::Cell;

/// Digits of an interval where there is no room for more.
const FEW_DIGITS: usize = 3;

pub fn measured(it: Measured, digits: usize) -> Cell {
    let Measured { low, high, .. } = it;
    let few = if high < 0.1 { digits } else { digits.min(FEW_DIGITS) };
    Cell::from(format::measured(it, digits))
        .or(format::interval(Interval { low, high }, few))
        .whole()
}

pub fn difference(it: Measured, digits: usize) -> Cell {
    let few = if it.high.abs() < 0.1 { digits } else { digits.min(FEW_DIGITS) };
    let short = format::signed_interval(it.low, it.high, few);
    Cell::from(format::difference(it, digits)).or(short).whole()
}
