//! The common effect: what all arms gain or lose together within an hour.
//!
//! It is removed from each arm by what the *other* arms show (a baseline that all arms share, as in
//! Krishnamurthy et al., "Semiparametric contextual bandits", arXiv 1803.04204). Where the effect is
//! uncertain, an hour counts for fewer observations.

use super::history::{History, Sums};
use super::model::{Cumulative, Prior};
use super::settings::Settings;
use crate::number::Lossy;

/// What is expected of each arm: the mean of its current segment, and before it.
#[derive(Clone, Copy, Debug)]
struct Expected {
    first: usize,
    before: (f64, f64),
    after: (f64, f64),
}

/// The residual of an arm in a cell: its precision and value, and the variance of one reward.
#[derive(Clone, Copy, Debug, Default)]
struct Residual {
    precision: f64,
    value: f64,
    noise: f64,
}

/// The history without the common effect, and the variance of the effect.
pub(super) fn removed(
    settings: &Settings,
    history: &History,
    first: &[usize],
    prior: &Prior,
) -> (Vec<Vec<Sums>>, f64) {
    let residuals = residuals(history, first, prior);
    let variance = level_variance(settings, history, &residuals)
        .max(shared_variance(settings, history, &residuals));
    if variance <= 0.0 || history.arms.len() < 2 {
        return (history.arms.clone(), 0.0);
    }
    let mut rows = history.arms.clone();
    for cell in 0..history.cells.len() {
        let (precision, surprise) =
            residuals.iter().fold((0.0, 0.0), |(precision, surprise), row| {
                let it = row[cell];
                (precision + it.precision, surprise + it.precision * it.value)
            });
        for (row, residuals) in rows.iter_mut().zip(&residuals) {
            let own = residuals[cell];
            if row[cell].n > 0.0 {
                let others = (precision - own.precision).max(0.0);
                let left = 1.0 / (others + 1.0 / variance);
                let shift = left * (surprise - own.precision * own.value);
                row[cell] = corrected(row[cell], shift, left / own.noise);
            }
        }
    }
    (rows, variance)
}

fn corrected(data: Sums, shift: f64, doubt: f64) -> Sums {
    let mean = data.mean();
    let moved = (mean - shift).clamp(0.0, 1.0);
    let n = data.n / (1.0 + data.n * doubt);
    let square = (data.squares / data.n - mean * mean + moved * moved).clamp(0.0, 1.0);
    Sums { n, sum: n * moved, squares: n * square }
}

fn residuals(history: &History, first: &[usize], prior: &Prior) -> Vec<Vec<Residual>> {
    let of = |(row, first): (&Vec<Sums>, &usize)| {
        let sums = Cumulative::new(history, row);
        let known = |from, to| {
            let data = sums.between(from, to);
            (prior.mean(data), data.n)
        };
        let before = known(0, *first);
        let expected = Expected { first: *first, before, after: known(*first, sums.end()) };
        row.iter().enumerate().map(|(at, data)| residual(&expected, prior, at, *data)).collect()
    };
    history.arms.iter().zip(first).map(of).collect()
}

fn residual(expected: &Expected, prior: &Prior, at: usize, data: Sums) -> Residual {
    let (mean, n) = if at < expected.first { expected.before } else { expected.after };
    let noise = prior.variance(mean);
    if data.n <= 0.0 {
        return Residual { noise, ..Residual::default() };
    }
    let precision = 1.0 / (noise / data.n + noise / n.max(1.0));
    Residual { precision, value: data.mean() - mean, noise }
}

/// The first cell of the last `hours`.
fn recent(history: &History, hours: f64) -> usize {
    let end = history.cells.last().map_or(0.0, |it| it.at);
    history.cells.partition_point(|it| it.at <= end - hours)
}

/// The common level of a cell: the mean residual, its sampling variance, and the observations.
#[derive(Clone, Copy, Debug)]
struct Level {
    at: f64,
    value: f64,
    noise: f64,
    n: f64,
}

/// The variance of the common level by cell without its trend, less the sampling variance and some
/// standard errors, so that it is 0 until a common movement is plain.
fn level_variance(settings: &Settings, history: &History, residuals: &[Vec<Residual>]) -> f64 {
    let recent = recent(history, settings.common_hours);
    let mut levels: Vec<Level> = Vec::new();
    for cell in recent..history.cells.len() {
        let (mut n, mut sum, mut noise) = (0.0, 0.0, 0.0);
        for (row, residuals) in history.arms.iter().zip(residuals) {
            let own = row[cell].n;
            n += own;
            sum += own * residuals[cell].value;
            noise += own * residuals[cell].noise;
        }
        if n > 0.0 {
            levels.push(Level {
                at: history.cells[cell].at,
                value: sum / n,
                noise: noise / (n * n),
                n,
            });
        }
    }
    if levels.len() < settings.common_buckets {
        return 0.0;
    }
    let count = levels.len().to_f64();
    let usual = levels.iter().map(|it| it.n).sum::<f64>() / count;
    let weight: Vec<f64> = levels.iter().map(|it| it.n / (it.n + usual)).collect();
    let all: f64 = weight.iter().sum();
    let average = |of: &dyn Fn(&Level) -> f64| {
        levels.iter().zip(&weight).map(|(it, weight)| weight * of(it)).sum::<f64>() / all
    };
    let (center, middle) = (average(&|it| it.at), average(&|it| it.value));
    let spread = average(&|it| (it.at - center).powi(2)).max(1e-12);
    let slope = average(&|it| (it.at - center) * (it.value - middle)) / spread;
    let off = |it: &Level| it.value - middle - slope * (it.at - center);
    let noise = average(&|it| it.noise);
    let mut found = 0.0;
    // Outliers are cut at three deviations, which depend on the result.
    for _ in 0..4 {
        let known = found;
        let squares = average(&|it| off(it).powi(2).min(9.0 * (it.noise + known + 1e-6)));
        let error =
            levels.iter().zip(&weight).map(|(it, weight)| (weight * (it.noise + known)).powi(2));
        let error = (2.0 * error.sum::<f64>()).sqrt() / all;
        let excess = squares / (1.0 - 2.0 / count) - noise - settings.common_errors * error;
        found = excess.max(0.0);
    }
    found
}

/// The variance of what the arms share, from the products of the residuals of different arms, whose
/// sampling errors are independent. Unlike [`level_variance`], it also finds slow movements of all arms, and
/// none of a movement of one arm.
fn shared_variance(settings: &Settings, history: &History, residuals: &[Vec<Residual>]) -> f64 {
    let recent = recent(history, settings.shared_hours);
    let mut found = 0.0;
    // The weight of an hour depends on the result: beyond it, more observations say no more.
    for _ in 0..4 {
        let known: f64 = found;
        let (mut products, mut weights, mut cells) = (0.0, 0.0, Vec::new());
        for cell in recent..history.cells.len() {
            let (mut sum, mut weight, mut squares) = (0.0, 0.0, (0.0, 0.0));
            for it in residuals.iter().map(|row| row[cell]).filter(|it| it.precision > 0.0) {
                let spread = 1.0 / it.precision + known;
                let precision = 1.0 / spread;
                // Outliers are cut at three deviations.
                let most = 3.0 * (spread + 1e-6).sqrt();
                let value = precision * it.value.clamp(-most, most);
                sum += value;
                weight += precision;
                squares = (squares.0 + value * value, squares.1 + precision * precision);
            }
            let (product, pairs) = (sum * sum - squares.0, weight * weight - squares.1);
            if pairs > 0.0 {
                products += product;
                weights += pairs;
                cells.push((product, pairs));
            }
        }
        if cells.len() < settings.common_buckets || weights <= 0.0 {
            return 0.0;
        }
        let estimate = products / weights;
        let error = cells.iter().map(|(product, pairs)| (product - estimate * pairs).powi(2));
        let error = error.sum::<f64>().sqrt() / weights;
        found = (estimate - settings.shared_errors * error).max(0.0);
    }
    found
}
