//! The capital of a gambler who bets against a mean.

use super::sample::{Grid, Sample};
use crate::number::Lossy;

/// One point: the weight as a share of the largest weight, the value from 0 to 1, and the number of
/// observations.
#[derive(Clone, Copy, Debug)]
struct Cell {
    weight: f64,
    value: f64,
    n: f64,
}

/// Observations of a quantity between 0 and 1, ready to be bet on.
///
/// An observation with the sample rate r represents w = 1 / r actions. If m is the mean over all
/// actions, w (x - m) has the mean zero, so the bets are on w (x - m). Bets must be small enough for
/// the largest possible weight before it is observed: the largest weight of the sample, or the one
/// given to [`Cells::within`].
#[derive(Clone, Debug)]
pub struct Cells {
    cells: Vec<Cell>,
    total: f64,
    mean: f64,
    effective: f64,
    variance: f64,
    /// The weight that the weights of the cells are shares of.
    max_weight: f64,
}

/// The number of bets in the mixture. Each bet gets an equal part of the capital and is half of the
/// one before, as a share of the largest bet that cannot lose everything. The best constant bet
/// shrinks with the square root of the number of observations, so that 12 bets cover a dozen to ten
/// million observations. The cost is a factor of 12 in the capital (2.5 in its logarithm), and a bet
/// that differs from the best by at most a factor of the square root of 2.
pub(super) const BETS: usize = 12;
const LARGEST_BET: f64 = 0.96;

/// The logarithm of the capital of each bet of the mixture, starting from 1.
pub(super) type LogCapitals = [f64; BETS];

/// The side of a value on which a mean is claimed to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Above,
    Below,
}

impl Cells {
    /// The observations of a sample whose values lie between 0 and 1.
    pub fn of<G: Grid>(sample: &Sample<G>) -> Self {
        Self::scaled(sample, 1.0)
    }

    /// The observations of a sample whose values are divided by `most`. Values above `most`, which should
    /// be a point of the grid, count as `most`.
    pub fn scaled<G: Grid>(sample: &Sample<G>, most: f64) -> Self {
        Self::mapped(sample, |value| (value / most).min(1.0))
    }

    /// The observations of a sample, with `value` mapping each point to a value between 0 and 1.
    pub(super) fn mapped<G: Grid>(sample: &Sample<G>, value: impl Fn(f64) -> f64) -> Self {
        Self::from_points(sample.points().map(|(weight, point, n)| (weight, value(point), n)))
    }

    /// Observations as (weight, value, count), with values between 0 and 1.
    pub fn from_points(points: impl IntoIterator<Item = (f64, f64, f64)>) -> Self {
        let mut cells: Vec<Cell> =
            points.into_iter().map(|(weight, value, n)| Cell { weight, value, n }).collect();
        cells.sort_by(|a, b| a.weight.total_cmp(&b.weight).then(a.value.total_cmp(&b.value)));
        cells.dedup_by(|later, kept| {
            let same = kept.weight == later.weight && kept.value == later.value;
            if same {
                kept.n += later.n;
            }
            same
        });
        let largest = cells.iter().map(|cell| cell.weight).fold(0.0, f64::max);
        let total: f64 = cells.iter().map(|cell| cell.weight * cell.n).sum();
        let mean = cells.iter().map(|cell| cell.weight * cell.n * cell.value).sum::<f64>() / total;
        let squares: f64 = cells.iter().map(|cell| cell.weight * cell.weight * cell.n).sum();
        let spread = |cell: &Cell| cell.weight * cell.n * (cell.value - mean) * (cell.value - mean);
        let variance = cells.iter().map(spread).sum::<f64>() / total;
        let effective = total * total / squares;
        cells.iter_mut().for_each(|cell| cell.weight /= largest);
        let mean = mean.clamp(0.0, 1.0);
        Self { cells, total, mean, effective, variance, max_weight: largest }
    }

    /// The same observations, if the largest possible weight is `max_weight` although none here has it.
    ///
    /// If only one in ten successes is kept, twenty failures in a row before the first success are not
    /// surprising. Bets that assume that no observation weighs more than a failure would treat them
    /// as a proof.
    #[must_use]
    pub fn within(mut self, max_weight: f64) -> Self {
        let max_weight = max_weight.max(self.max_weight);
        let share = self.max_weight / max_weight;
        self.cells.iter_mut().for_each(|cell| cell.weight *= share);
        Self { max_weight, ..self }
    }

    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The weighted mean; NaN without observations.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// The weighted variance of single values; NaN without observations.
    pub fn variance(&self) -> f64 {
        self.variance
    }

    /// The number of actions that the observations represent.
    pub fn population(&self) -> f64 {
        self.total
    }

    /// The number of observations of equal weight with the same certainty (Kish): at most the actual
    /// number.
    pub fn effective_n(&self) -> f64 {
        if self.cells.is_empty() { 0.0 } else { self.effective }
    }

    /// Whether the mean is proven to be on this side of `m`. The probability that this is wrong at any look
    /// is at most `alpha`.
    pub fn refutes(&self, side: Side, m: f64, alpha: f64) -> bool {
        self.log_capital(side, m) >= -alpha.ln()
    }

    /// The logarithm of the capital of a gambler who started with 1 and bet that the mean is above, or
    /// below, `m`. It falls as `m` moves to the side of the bet.
    pub(super) fn log_capital(&self, side: Side, m: f64) -> f64 {
        log_mean_exp(&self.log_capitals(side, m))
    }

    /// The logarithm of the capital of each bet, the largest bet first.
    pub(super) fn log_capitals(&self, side: Side, m: f64) -> LogCapitals {
        let odds = |value: f64| match side {
            Side::Above => value / m - 1.0,
            Side::Below => (1.0 - value) / (1.0 - m) - 1.0,
        };
        let (impossible, certain) = match side {
            Side::Above => (m <= 0.0, m >= 1.0),
            Side::Below => (m >= 1.0, m <= 0.0),
        };
        // Exactly the values above 0 refute a mean of 0.
        if impossible {
            let refuted = self.cells.iter().any(|cell| match side {
                Side::Above => cell.value > 0.0,
                Side::Below => cell.value < 1.0,
            });
            return [if refuted { f64::INFINITY } else { 0.0 }; BETS];
        }
        let mut logs = [0.0; BETS];
        if certain && self.cells.is_empty() {
            return logs;
        }
        let mut bet = LARGEST_BET;
        for log in &mut logs {
            *log = self
                .cells
                .iter()
                .map(|cell| cell.n * (bet * cell.weight * odds(cell.value)).ln_1p())
                .sum();
            bet /= 2.0;
        }
        logs
    }
}

pub(super) fn log_mean_exp(logs: &[f64]) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest.is_infinite() {
        return largest;
    }
    let sum: f64 = logs.iter().map(|log| (log - largest).exp()).sum();
    largest + (sum / logs.len().to_f64()).ln()
}
