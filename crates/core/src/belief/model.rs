//! What the observations of a segment say of an arm: its likelihood and the posterior of its mean.

use super::best::Component;
use super::history::{History, Sums};
use super::settings::Settings;
use super::special::{ln_add, ln_beta};

/// The prior of the mean of every segment: a beta distribution, and the dispersion of rewards.
///
/// The dispersion is the variance of rewards relative to that of rewards of 0 and 1 with the same
/// mean. Counts are divided by it (Wedderburn, "Quasi-likelihood functions, generalized linear models,
/// and the Gauss-Newton method", Biometrika 61, 1974): the less rewards vary, the more each says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Prior {
    pub a: f64,
    pub b: f64,
    pub dispersion: f64,
    ln_norm: f64,
}

impl Prior {
    /// From the current segment of each arm.
    pub fn of(segments: &[Sums], size: f64) -> Self {
        let seen = || segments.iter().filter(|it| it.n > 0.0);
        let count = f64::from(u32::try_from(seen().count()).unwrap_or(u32::MAX)).max(1.0);
        let center = seen().map(|it| (it.sum + 0.5) / (it.n + 1.0)).sum::<f64>() / count;
        let center = if seen().next().is_none() { 0.5 } else { center.clamp(0.05, 0.95) };
        let square = |it: &Sums| it.mean() * it.sum;
        let within: f64 = seen().map(|it| (it.squares - square(it)).max(0.0)).sum();
        let of_binary: f64 = seen().map(|it| (it.sum - square(it)).max(0.0)).sum();
        let dispersion = ((within + 2.0) / (of_binary + 2.0)).clamp(0.02, 1.0);
        let (a, b) = (size * center, size * (1.0 - center));
        Self { a, b, dispersion, ln_norm: ln_beta(a, b) }
    }

    pub fn posterior(&self, data: Sums) -> (f64, f64) {
        let failures = (data.n - data.sum).max(0.0);
        (self.a + data.sum / self.dispersion, self.b + failures / self.dispersion)
    }

    /// The logarithm of the marginal likelihood of a constant mean.
    pub fn ln_marginal(&self, data: Sums) -> f64 {
        let (a, b) = self.posterior(data);
        ln_beta(a, b) - self.ln_norm
    }

    pub fn mean(&self, data: Sums) -> f64 {
        (data.sum + self.a) / (data.n + self.a + self.b)
    }

    /// The variance of one reward of an arm with this mean.
    pub fn variance(&self, mean: f64) -> f64 {
        self.dispersion * (mean * (1.0 - mean)).max(0.01)
    }
}

/// Sums of one arm up to each cell, with the moments of time that a trend needs.
#[derive(Clone, Debug, Default)]
pub(super) struct Cumulative {
    /// One more than there are cells.
    pub sums: Vec<Sums>,
    /// Sums of `n t`, `n t²` and `sum t`.
    moments: Vec<[f64; 3]>,
}

impl Cumulative {
    pub fn new(history: &History, row: &[Sums]) -> Self {
        let mut all = Self { sums: vec![Sums::default()], moments: vec![[0.0; 3]] };
        let (mut sums, mut moments) = (Sums::default(), [0.0; 3]);
        for (cell, data) in history.cells.iter().zip(row) {
            sums = sums + *data;
            moments[0] += data.n * cell.at;
            moments[1] += data.n * cell.at * cell.at;
            moments[2] += data.sum * cell.at;
            all.sums.push(sums);
            all.moments.push(moments);
        }
        all
    }

    pub fn end(&self) -> usize {
        self.sums.len() - 1
    }

    pub fn between(&self, from: usize, to: usize) -> Sums {
        self.sums[to] - self.sums[from]
    }

    /// The slope of the mean within a range of cells by weighted least squares.
    pub fn slope(&self, from: usize, to: usize) -> Option<Slope> {
        let data = self.between(from, to);
        let moments = [0, 1, 2].map(|it| self.moments[to][it] - self.moments[from][it]);
        if data.n <= 0.0 {
            return None;
        }
        let center = moments[0] / data.n;
        let spread = moments[1] - moments[0] * center;
        let product = moments[2] - data.sum * center;
        (spread > data.n).then(|| Slope { slope: product / spread, spread, center })
    }
}

/// An estimated slope: reward an hour, the sum of squared times about their center, and that center.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slope {
    pub slope: f64,
    pub spread: f64,
    pub center: f64,
}

/// A steady rise or fall of the mean of an arm within a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trend {
    /// Reward an hour.
    pub slope: f64,
    variance: f64,
    center: f64,
    /// The logarithm of the Bayes factor against a constant mean.
    pub ln_factor: f64,
}

/// The model of the arms at one pass.
#[derive(Debug)]
pub(super) struct Model<'a> {
    pub settings: &'a Settings,
    pub history: &'a History,
    pub prior: Prior,
    pub arms: Vec<Cumulative>,
}

impl Model<'_> {
    /// The trend within cells of an arm; `None` if they are too short to tell it from a daily rhythm.
    pub fn trend(&self, arm: usize, from: usize, to: usize) -> Option<Trend> {
        let settings = self.settings;
        let cells = self.history.cells.get(from..to)?;
        let length = super::history::hours(cells.first()?.from, cells.last()?.to);
        if settings.trend_odds <= 0.0 || length < settings.trend_hours {
            return None;
        }
        let found = self.arms[arm].slope(from, to)?;
        let data = self.arms[arm].between(from, to);
        let noise = self.prior.variance(self.prior.mean(data)) / found.spread;
        let scale = settings.trend_scale * settings.trend_scale;
        let share = scale / (noise + scale);
        let ln_factor =
            0.5 * libm::log(1.0 - share) + 0.5 * found.slope * found.slope / noise * share;
        Some(Trend {
            slope: found.slope * share,
            variance: noise * share,
            center: found.center,
            ln_factor: ln_factor + libm::log(settings.trend_odds),
        })
    }

    /// The logarithm of the marginal likelihood of the cells, whether the mean is constant or has a
    /// trend.
    pub fn ln_marginal(&self, arm: usize, from: usize, to: usize) -> f64 {
        let constant = self.prior.ln_marginal(self.arms[arm].between(from, to));
        match self.trend(arm, from, to) {
            Some(trend) => constant + ln_add(0.0, trend.ln_factor),
            None => constant,
        }
    }

    /// The posterior of the mean at the end of the cells, with a share of `weight`.
    pub fn posterior(&self, arm: usize, from: usize, to: usize, weight: f64) -> Vec<Component> {
        let data = self.arms[arm].between(from, to);
        let (a, b) = self.prior.posterior(data);
        let Some(trend) = self.trend(arm, from, to) else {
            return vec![Component { weight, a, b }];
        };
        let share = super::special::logistic(trend.ln_factor);
        let level = self.prior.mean(data);
        // A trend is not continued beyond the middle of the last data: the arm may have settled.
        let ahead = self.latest(arm, from, to) - trend.center;
        let variance = self.prior.variance(level) / (data.n + 1.0) + trend.variance * ahead * ahead;
        let moved = level + trend.slope * ahead;
        vec![
            Component { weight: weight * (1.0 - share), a, b },
            Component::of_moments(weight * share, moved, variance),
        ]
    }

    /// The mean of the posterior at the end of the cells.
    pub fn level(&self, arm: usize, from: usize, to: usize) -> f64 {
        super::best::mean(&self.posterior(arm, from, to, 1.0))
    }

    /// The middle of the last cell in which the arm had data.
    fn latest(&self, arm: usize, from: usize, to: usize) -> f64 {
        let sums = &self.arms[arm].sums;
        let last = (from..to).rev().find(|at| sums[at + 1].n > sums[*at].n);
        last.map_or(0.0, |at| self.history.cells[at].at)
    }
}
