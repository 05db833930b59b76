//! What a gambler would own by now who has bet against a mean.

use super::sample::{Grid, Sample};

/// One point: the weight as a share of the largest, the value from 0 to 1, and how many
/// observations are there.
#[derive(Clone, Copy, Debug)]
struct Cell {
    weight: f64,
    value: f64,
    n: f64,
}

/// Observations of a quantity between 0 and 1, ready to be bet on.
///
/// An observation with the sample rate r stands for w = 1 / r actions. Where the share of actions
/// that is kept is r, w (x - m) has the mean zero exactly if m is the mean over all actions, so
/// that is what is bet on. Bets must be small enough for the largest weight, before it comes: that
/// is the largest of the sample, or what [`Cells::within`] says.
#[derive(Clone, Debug)]
pub struct Cells {
    cells: Vec<Cell>,
    total: f64,
    mean: f64,
    effective: f64,
    variance: f64,
    /// What the weights of the cells are shares of.
    max_weight: f64,
}

/// The bets of the mixture, as shares of the largest that cannot ruin: 12 in equal parts, each
/// half of the one before. The best constant bet shrinks as one over the root of the number of
/// observations, so that these serve from a dozen to ten million, at the price of a factor of 12
/// (2.5 in the logarithm) and of never being off the best by more than a factor of the root of 2.
pub(super) const BETS: usize = 12;
const LARGEST_BET: f64 = 0.96;

/// The logarithms of what each bet of the mixture has made of 1.
pub(super) type LogCapitals = [f64; BETS];

/// Which way the mean is claimed to be off.
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

    /// The same of values between 0 and `most`; anything above counts as `most`, which should be a
    /// point of the grid.
    pub fn scaled<G: Grid>(sample: &Sample<G>, most: f64) -> Self {
        Self::mapped(sample, |value| (value / most).min(1.0))
    }

    /// The same of what `value` makes of each point, between 0 and 1.
    pub(super) fn mapped<G: Grid>(sample: &Sample<G>, value: impl Fn(f64) -> f64) -> Self {
        Self::from_points(sample.points().map(|(weight, point, n)| (weight, value(point), n)))
    }

    /// Of (weight, value, number) with values between 0 and 1.
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

    /// The same where observations may weigh as much as `max_weight`, even if none that is here does.
    ///
    /// Where one in ten successes is kept, twenty failures in a row are no wonder before the first
    /// success. Who bets as if nothing weighed more than a failure takes them for a proof.
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

    /// The weighted mean; NaN of nothing.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// The weighted variance of single values; NaN of nothing.
    pub fn variance(&self) -> f64 {
        self.variance
    }

    /// How many actions the observations stand for.
    pub fn population(&self) -> f64 {
        self.total
    }

    /// How many observations of equal weight would say as much (Kish): no more than there are.
    pub fn effective_n(&self) -> f64 {
        if self.cells.is_empty() { 0.0 } else { self.effective }
    }

    /// Whether the mean is proven to lie on this side of `m`: said in error, at any look, with a
    /// probability of at most `alpha`.
    pub fn refutes(&self, side: Side, m: f64, alpha: f64) -> bool {
        self.log_capital(side, m) >= -alpha.ln()
    }

    /// The logarithm of what a gambler owns who began with 1 and bet that the mean lies above, or
    /// below, `m`. It falls as `m` moves the way that was bet on.
    pub(super) fn log_capital(&self, side: Side, m: f64) -> f64 {
        log_mean_exp(&self.log_capitals(side, m))
    }

    /// The same of each bet alone, the largest first.
    pub(super) fn log_capitals(&self, side: Side, m: f64) -> LogCapitals {
        let odds = |value: f64| match side {
            Side::Above => value / m - 1.0,
            Side::Below => (1.0 - value) / (1.0 - m) - 1.0,
        };
        let (impossible, certain) = match side {
            Side::Above => (m <= 0.0, m >= 1.0),
            Side::Below => (m >= 1.0, m <= 0.0),
        };
        // A mean of 0 is refuted by any value above it, and by nothing else.
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
    largest + (sum / logs.len() as f64).ln()
}
