//! Two learners after recent papers, as far as their public texts describe them.
//!
//! DAL (Gerogiannis et al., arXiv 2501.19401): any learner for arms that do not change, with forced
//! exploration and a detector of changes; when it alarms, everything restarts. The learner here is
//! Thompson's rule. The abstract and the introduction were available; the detector, its threshold and
//! the rate of exploration are those of GLR-klUCB (Besson et al., arXiv 1902.01575), on which such
//! procedures are based.
//!
//! ParetoBandit (arXiv 2604.00136): upper confidence bounds with forgetting by the request, wider
//! bounds for arms that were not used for long, and a pacer that penalises cost while the mean cost
//! is above a ceiling. It was written from the abstract and the published description of its
//! components, without contexts and without priors from other data.

use f0_learning_core::belief::Sums;

use super::rivals::{Beta, Policy};
use super::worlds::HOURS;

/// Thompson's rule that restarts at each detected change.
pub struct Dal {
    base: Beta,
    seed: u64,
    /// The hours since the restart.
    hours: Vec<Vec<Sums>>,
    arms: usize,
    /// One more than there were restarts.
    period: f64,
    /// All actions that will be observed.
    horizon: f64,
    /// The scale of the forced exploration; 1 is the rate of the theory.
    scale: f64,
}

impl Dal {
    pub fn new(arms: usize, batch: usize, scale: f64, seed: u64) -> Self {
        Self {
            base: Beta::new(arms, 1.0, seed),
            seed,
            hours: Vec::new(),
            arms,
            period: 1.0,
            horizon: (batch * HOURS) as f64,
            scale,
        }
    }

    /// Whether the mean of an arm changed at the edge of an hour: the generalised likelihood ratio.
    fn has_changed(&self, arm: usize) -> bool {
        let all = self.hours.iter().fold(Sums::default(), |sum, hour| sum + hour[arm]);
        if all.n < 2.0 {
            return false;
        }
        // The allowed share of false alarms is one in the square root of the horizon.
        let threshold = 1.5 * all.n.ln() + 0.5 * self.horizon.ln();
        let mut before = Sums::default();
        self.hours.iter().any(|hour| {
            before = before + hour[arm];
            let after = all - before;
            let mean = |it: &Sums| it.sum / it.n.max(1e-9);
            before.n * divergence(mean(&before), mean(&all))
                + after.n * divergence(mean(&after), mean(&all))
                >= threshold
        })
    }
}

impl Policy for Dal {
    fn observe(&mut self, data: &[Sums]) {
        self.base.observe(data);
        self.hours.push(data.to_vec());
        if (0..self.arms).any(|arm| self.has_changed(arm)) {
            self.base = Beta::new(self.arms, 1.0, self.seed ^ self.hours.len() as u64);
            self.hours.clear();
            self.period += 1.0;
        }
    }

    fn shares(&mut self) -> Vec<f64> {
        let arms = self.arms as f64;
        let forced = (self.period * arms * self.horizon.ln() / self.horizon).sqrt() * self.scale;
        let forced = forced.min(1.0);
        let shares = self.base.shares().into_iter();
        shares.map(|it| it * (1.0 - forced) + forced / arms).collect()
    }
}

/// The Kullback-Leibler divergence of two Bernoulli distributions.
fn divergence(p: f64, q: f64) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q.max(1e-12)).ln() } else { 0.0 };
    part(p, q) + part(1.0 - p, 1.0 - q)
}

/// What is kept of each earlier request.
const KEEP: f64 = 0.997;
/// The width of the bounds.
const WIDTH: f64 = 0.1;
/// The prior precision, and the share of it below which it is renewed.
const PRIOR: f64 = 1.0;
const LEAST_PRIOR: f64 = 0.1;
/// The most by which an unused arm's variance grows.
const MOST_GROWTH: f64 = 200.0;
/// The pacer: the weight of a new cost in the mean, the rate of the multiplier and its maximum.
const COST_WEIGHT: f64 = 0.05;
const RATE: f64 = 0.05;
const MOST_PENALTY: f64 = 5.0;

#[derive(Clone, Copy, Debug)]
struct Known {
    precision: f64,
    sum: f64,
    prior: f64,
    used: f64,
}

impl Known {
    fn age(&mut self, requests: f64) {
        let keep = KEEP.powf(requests.min(1_000.0));
        self.precision *= keep;
        self.sum *= keep;
        self.prior *= keep;
        if self.prior < PRIOR * LEAST_PRIOR {
            self.precision += PRIOR - self.prior;
            self.prior = PRIOR;
        }
    }
}

/// Prices by hour and arm, and the ceiling of the mean price of an action.
#[derive(Clone, Debug)]
pub struct Budget {
    pub prices: Vec<Vec<f64>>,
    pub ceiling: f64,
}

pub struct Pareto {
    arms: Vec<Known>,
    batch: f64,
    requests: f64,
    budget: Option<Budget>,
    /// The mean cost and the multiplier of the pacer.
    cost: f64,
    penalty: f64,
    hour: usize,
}

impl Pareto {
    pub fn new(arms: usize, batch: usize, budget: Option<Budget>) -> Self {
        let known = Known { precision: PRIOR, sum: 0.0, prior: PRIOR, used: 0.0 };
        let cost = budget.as_ref().map_or(0.0, |it| it.ceiling);
        let batch = batch as f64;
        Self {
            arms: vec![known; arms],
            batch,
            requests: batch,
            budget,
            cost,
            penalty: 0.0,
            hour: 0,
        }
    }

    fn price(&self, arm: usize) -> f64 {
        let prices = self.budget.as_ref().and_then(|it| it.prices.get(self.hour));
        prices.map_or(0.0, |it| it[arm])
    }
}

impl Policy for Pareto {
    fn observe(&mut self, data: &[Sums]) {
        // The observations of an hour are spread evenly over its requests.
        let kept = (1.0 - KEEP.powf(self.batch)) / (1.0 - KEEP) / self.batch;
        for (arm, data) in self.arms.iter_mut().zip(data) {
            arm.age(self.batch);
            arm.precision += data.n * kept;
            arm.sum += data.sum * kept;
        }
        self.hour += 1;
    }

    /// What it would choose request by request, if each reward were as expected.
    fn shares(&mut self) -> Vec<f64> {
        let steps = self.batch.min(1_000.0) as usize;
        let mut arms = self.arms.clone();
        let mut chosen = vec![0.0; arms.len()];
        for _ in 0..steps {
            self.requests += 1.0;
            let score = |at: usize| {
                let it: &Known = &arms[at];
                let unused = (self.requests - it.used).min(1_000.0);
                let growth = (1.0 / KEEP.powf(unused)).min(MOST_GROWTH);
                let spread = (growth / it.precision).sqrt();
                it.sum / it.precision + WIDTH * spread - self.penalty * self.price(at)
            };
            let scores: Vec<f64> = (0..arms.len()).map(score).collect();
            let best = (0..arms.len()).rev().max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
            let best = best.unwrap();
            let mean = arms[best].sum / arms[best].precision;
            let unused = self.requests - arms[best].used;
            arms[best].age(unused.min(self.batch));
            arms[best].precision += 1.0;
            arms[best].sum += mean;
            arms[best].used = self.requests;
            chosen[best] += 1.0 / steps as f64;
            if let Some(ceiling) = self.budget.as_ref().map(|it| it.ceiling) {
                self.cost += COST_WEIGHT * (self.price(best) - self.cost);
                let over = self.cost / ceiling - 1.0;
                self.penalty = (self.penalty + RATE * over).clamp(0.0, MOST_PENALTY);
            }
        }
        for (known, after) in self.arms.iter_mut().zip(&arms) {
            known.used = after.used;
        }
        chosen
    }
}
