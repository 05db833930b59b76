//! Other learners, after their papers: Thompson's rule for successes with or without forgetting (Raj
//! and Kalyani, arXiv 1707.09727), for any rewards with or without a window (Garivier and Moulines,
//! arXiv 0805.3415), and with a level that moves at random, whose speed is learned (Kalman).

use f0_learning_core::belief::Sums;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Limits;
use super::learners::Learner;

/// A learner without limits of its own.
pub trait Policy {
    fn observe(&mut self, data: &[Sums]);
    fn shares(&mut self) -> Vec<f64>;
}

/// A learner whose weights are brought within the limits.
pub struct Rival<P>(pub P);

impl<P: Policy> Learner for Rival<P> {
    fn observe(&mut self, _: usize, data: &[Sums]) {
        self.0.observe(data);
    }

    fn weights(&mut self, held: &[f64], limits: Limits, _: usize) -> Option<Vec<f64>> {
        let shares = self.0.shares();
        let within: Vec<f64> = match limits.floor > 0.0 || limits.step < 1.0 {
            true => nearest(&shares, held, limits),
            false => shares,
        };
        let kept: Vec<f64> =
            within.into_iter().map(|it| if it < 0.5 / 1024.0 { 0.0 } else { it }).collect();
        let sum: f64 = kept.iter().sum();
        Some(kept.into_iter().map(|it| it / sum).collect())
    }
}

/// The nearest weights within the limits: the better of a shift by a constant and a scale.
fn nearest(shares: &[f64], held: &[f64], limits: Limits) -> Vec<f64> {
    let low: Vec<f64> = held.iter().map(|it| (it - limits.step).max(limits.floor)).collect();
    let high: Vec<f64> =
        held.iter().zip(&low).map(|(it, low)| (it + limits.step).max(*low)).collect();
    let shifted = |by: f64| -> Vec<f64> {
        let ends = low.iter().zip(&high);
        shares.iter().zip(ends).map(|(it, (low, high))| (it + by).clamp(*low, *high)).collect()
    };
    let (mut left, mut right) = (-2.0_f64, 2.0_f64);
    for _ in 0..50 {
        let middle = left.midpoint(right);
        match shifted(middle).iter().sum::<f64>() < 1.0 {
            true => left = middle,
            false => right = middle,
        }
    }
    shifted(right)
}

/// A standard normal number.
pub fn normal(random: &mut StdRng) -> f64 {
    let (u, v): (f64, f64) = (random.random(), random.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// A gamma number with shape 1 or more (Marsaglia and Tsang, 2000).
fn gamma(shape: f64, random: &mut StdRng) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(random);
        let v = (1.0 + c * x).powi(3);
        let u: f64 = random.random();
        if v > 0.0 && (1.0 - u).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// How often each arm has the largest of `count` draws.
fn largest(arms: usize, count: usize, mut draw: impl FnMut(usize) -> f64) -> Vec<f64> {
    let mut wins = vec![0.0; arms];
    for _ in 0..count {
        let (mut best, mut most) = (0, f64::NEG_INFINITY);
        for arm in 0..arms {
            let value = draw(arm);
            if value > most {
                (best, most) = (arm, value);
            }
        }
        wins[best] += 1.0 / count as f64;
    }
    wins
}

/// Beta(1, 1) prior; each observation of an arm leaves `keep` of the earlier ones.
pub struct Beta {
    counts: Vec<(f64, f64)>,
    keep: f64,
    random: StdRng,
}

impl Beta {
    pub fn new(arms: usize, keep: f64, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed ^ 0xB37A);
        Self { counts: vec![(0.0, 0.0); arms], keep, random }
    }
}

impl Policy for Beta {
    fn observe(&mut self, data: &[Sums]) {
        for (count, data) in self.counts.iter_mut().zip(data) {
            let keep = self.keep.powf(data.n);
            *count = (count.0 * keep + data.sum, count.1 * keep + data.n - data.sum);
        }
    }

    fn shares(&mut self) -> Vec<f64> {
        let random = &mut self.random;
        let counts = &self.counts;
        largest(counts.len(), 300, |arm| {
            let (a, b) = (gamma(1.0 + counts[arm].0, random), gamma(1.0 + counts[arm].1, random));
            a / (a + b)
        })
    }
}

/// A normal posterior from the mean and the variance of the last `window` hours; 0 is all.
pub struct Gauss {
    hours: Vec<Vec<Sums>>,
    sums: Vec<Sums>,
    window: usize,
    random: StdRng,
}

impl Gauss {
    pub fn new(arms: usize, window: usize, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed ^ 0x6A55);
        Self { hours: Vec::new(), sums: vec![Sums::default(); arms], window, random }
    }
}

impl Policy for Gauss {
    fn observe(&mut self, data: &[Sums]) {
        for (sum, data) in self.sums.iter_mut().zip(data) {
            *sum = *sum + *data;
        }
        self.hours.push(data.to_vec());
        if self.window > 0 && self.hours.len() > self.window {
            for (sum, data) in self.sums.iter_mut().zip(self.hours.remove(0)) {
                *sum = *sum - data;
            }
        }
    }

    fn shares(&mut self) -> Vec<f64> {
        let random = &mut self.random;
        let of = |it: &Sums| {
            let mean = if it.n > 0.0 { it.sum / it.n } else { 0.5 };
            let spread = ((it.squares / it.n.max(1e-9) - mean * mean).max(1e-3) / it.n).sqrt();
            (mean, if it.n > 1.0 { spread } else { 0.5 })
        };
        let known: Vec<(f64, f64)> = self.sums.iter().map(of).collect();
        largest(known.len(), 300, |arm| known[arm].0 + known[arm].1 * normal(random))
    }
}

const DRIFTS: [f64; 7] = [0.0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2];

/// A level that walks at random; the variance of its steps is averaged over [`DRIFTS`] by evidence.
pub struct Kalman {
    /// By arm and drift: mean, variance and log evidence.
    levels: Vec<[(f64, f64, f64); 7]>,
    sums: Vec<(f64, f64)>,
    random: StdRng,
}

impl Kalman {
    pub fn new(arms: usize) -> Self {
        let start = |drift: usize| {
            let prior: f64 = if drift == 0 { 0.9 } else { 0.1 / 6.0 };
            (0.5, 0.25, prior.ln())
        };
        let levels = vec![std::array::from_fn(start); arms];
        Self { levels, sums: vec![(0.0, 0.0); arms], random: StdRng::seed_from_u64(0x4A1) }
    }
}

impl Policy for Kalman {
    fn observe(&mut self, data: &[Sums]) {
        for (arm, data) in data.iter().enumerate() {
            self.sums[arm].0 += data.n;
            self.sums[arm].1 += data.sum;
            let p = (self.sums[arm].1 + 1.0) / (self.sums[arm].0 + 2.0);
            for ((mean, variance, log), drift) in self.levels[arm].iter_mut().zip(DRIFTS) {
                *variance += drift;
                if data.n > 0.0 {
                    let total = *variance + (p * (1.0 - p)).max(0.01) / data.n;
                    let (error, gain) = (data.sum / data.n - *mean, *variance / total);
                    *log -= 0.5 * total.ln() + 0.5 * error * error / total;
                    *mean += gain * error;
                    *variance *= 1.0 - gain;
                }
            }
        }
    }

    fn shares(&mut self) -> Vec<f64> {
        let random = &mut self.random;
        let shares: Vec<Vec<f64>> = self
            .levels
            .iter()
            .map(|levels| {
                let most = levels.iter().map(|it| it.2).fold(f64::NEG_INFINITY, f64::max);
                let odds: Vec<f64> = levels.iter().map(|it| (it.2 - most).exp()).collect();
                let sum: f64 = odds.iter().sum();
                odds.into_iter().map(|it| it / sum).collect()
            })
            .collect();
        let levels = &self.levels;
        largest(levels.len(), 300, |arm| {
            let (mean, variance, _) = levels[arm][crate::worlds::pick(&shares[arm], random)];
            mean + variance.sqrt() * normal(random)
        })
    }
}
