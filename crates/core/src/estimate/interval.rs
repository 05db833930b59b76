//! Where a mean lies.

use serde::{Deserialize, Serialize};

use super::capital::{Cells, Side};

/// From `low` to `high`, both included.
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

/// A figure and where the truth lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    pub estimate: f64,
    pub low: f64,
    pub high: f64,
}

impl Measured {
    /// A mean in units of `scale`, and its interval; `None` of nothing.
    pub fn of(cells: &Cells, alpha: f64, scale: f64) -> Option<Self> {
        if cells.is_empty() {
            return None;
        }
        let Interval { low, high } = mean_interval(cells, alpha).scaled(scale);
        Some(Self { estimate: cells.mean() * scale, low, high })
    }
}

/// Bounds are found to within this, outwards.
const PRECISION: f64 = 1e-7;

/// Where the mean of the population lies. Whoever looks however often, however the observations
/// came to be as many, is wrong about it with a probability of at most `alpha`.
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

/// The furthest on the way from `from`, which is refuted if anything is, to `to`, which is not,
/// that is still refuted, to within `precision`.
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
