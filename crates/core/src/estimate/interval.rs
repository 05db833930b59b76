//! The interval of a mean.

use serde::{Deserialize, Serialize};

use super::capital::{Cells, Side};

/// A range from `low` to `high`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

impl Interval {
    pub const UNIT: Self = Self { low: 0.0, high: 1.0 };

    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    pub fn width(&self) -> f64 {
        self.high - self.low
    }

    #[must_use]
    pub fn scaled(self, by: f64) -> Self {
        Self { low: self.low * by, high: self.high * by }
    }
}

/// An estimate and its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    pub estimate: f64,
    pub low: f64,
    pub high: f64,
}

impl Measured {
    /// A mean and its interval, multiplied by `scale`; `None` without observations.
    pub fn of(cells: &Cells, alpha: f64, scale: f64) -> Option<Self> {
        if cells.is_empty() {
            return None;
        }
        let Interval { low, high } = mean_interval(cells, alpha).scaled(scale);
        Some(Self { estimate: cells.mean() * scale, low, high })
    }
}

/// The precision of bounds, which are rounded outwards.
const PRECISION: f64 = 1e-7;

/// The interval of the mean over all actions. The probability that it is wrong at any look, whatever
/// determines the number of observations, is at most `alpha`.
pub fn mean_interval(cells: &Cells, alpha: f64) -> Interval {
    if cells.is_empty() {
        return Interval::UNIT;
    }
    let refuted = |side, m| cells.refutes(side, m, alpha / 2.0);
    let mean = cells.mean();
    Interval {
        low: last_refuted(0.0, mean, PRECISION, |m| refuted(Side::Above, m)),
        high: last_refuted(1.0, mean, PRECISION, |m| refuted(Side::Below, m)),
    }
}

/// The value nearest to `to` that is still refuted, to within `precision`. `to` must not be refuted, and
/// `from` must be refuted if any value is.
pub(super) fn last_refuted(
    from: f64,
    to: f64,
    precision: f64,
    refuted: impl Fn(f64) -> bool,
) -> f64 {
    let (mut outer, mut inner) = (from, to);
    while (inner - outer).abs() > precision {
        let middle = f64::midpoint(outer, inner);
        if refuted(middle) {
            outer = middle;
        } else {
            inner = middle;
        }
    }
    outer
}
