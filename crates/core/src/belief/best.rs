//! The probability of each arm to have the highest mean.

use super::special::beta_cdf;

/// A beta distribution with its share of a mixture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Component {
    pub weight: f64,
    pub a: f64,
    pub b: f64,
}

impl Component {
    /// The beta distribution with this mean and variance.
    pub fn of_moments(weight: f64, mean: f64, variance: f64) -> Self {
        let mean = mean.clamp(1e-4, 1.0 - 1e-4);
        let size = (mean * (1.0 - mean) / variance - 1.0).max(2.0);
        Self { weight, a: mean * size, b: (1.0 - mean) * size }
    }

    pub fn mean(&self) -> f64 {
        self.a / (self.a + self.b)
    }

    pub fn variance(&self) -> f64 {
        let mean = self.mean();
        mean * (1.0 - mean) / (self.a + self.b + 1.0)
    }

    fn reach(&self) -> (f64, f64) {
        let (mean, far) = (self.mean(), REACH * self.variance().sqrt());
        (mean - far, mean + far)
    }
}

/// What is believed of the mean of an arm.
pub(super) type Mixture = Vec<Component>;

const CELLS: usize = 200;
/// The range of the integral, in standard deviations on either side.
const REACH: f64 = 7.0;
/// A component with a smaller share is left out.
const LEAST: f64 = 1e-5;

/// The probability of each arm to have the highest mean, by numerical integration. They sum to 1.
pub(super) fn best(arms: &[Mixture]) -> Vec<f64> {
    let used = |arm: &Mixture| -> Vec<Component> {
        arm.iter().copied().filter(|it| it.weight > LEAST).collect()
    };
    let arms: Vec<Mixture> = arms.iter().map(used).collect();
    let low = |arm: &Mixture| arm.iter().map(|it| it.reach().0).fold(1.0, f64::min);
    let high = |arm: &Mixture| arm.iter().map(|it| it.reach().1).fold(0.0, f64::max);
    // A mean below what some arm certainly exceeds cannot be the highest.
    let from = arms.iter().map(low).fold(0.0, f64::max);
    let to = arms.iter().map(high).fold(0.0, f64::max).min(1.0).max(from + 1e-6);
    let rivals: Vec<usize> = (0..arms.len()).filter(|arm| high(&arms[*arm]) > from).collect();
    let mut shares = vec![0.0; arms.len()];
    let cell = (to - from) / f64::from(u16::try_from(CELLS).unwrap_or(u16::MAX));
    let mut before: Vec<f64> = rivals.iter().map(|arm| cdf(&arms[*arm], from)).collect();
    let mut edge = from;
    for _ in 0..CELLS {
        edge += cell;
        let now: Vec<f64> = rivals.iter().map(|arm| cdf(&arms[*arm], edge)).collect();
        let middle = |at: usize| f64::midpoint(before[at], now[at]);
        let zeros = (0..rivals.len()).filter(|at| middle(*at) <= 0.0).count();
        let product: f64 = (0..rivals.len()).map(middle).filter(|it| *it > 0.0).product();
        for (at, arm) in rivals.iter().enumerate() {
            let others = match (zeros, middle(at) <= 0.0) {
                (0, _) => product / middle(at),
                (1, true) => product,
                _ => 0.0,
            };
            shares[*arm] += (now[at] - before[at]).max(0.0) * others;
        }
        before = now;
    }
    let sum: f64 = shares.iter().sum();
    match sum > 0.0 {
        true => shares.iter_mut().for_each(|it| *it /= sum),
        false => shares.iter_mut().for_each(|it| *it = 1.0),
    }
    shares
}

fn cdf(arm: &Mixture, x: f64) -> f64 {
    let (share, all) = arm.iter().fold((0.0, 0.0), |(share, all), it| {
        (share + it.weight * beta_cdf(it.a, it.b, x), all + it.weight)
    });
    if all > 0.0 { share / all } else { 1.0 }
}

pub(super) fn mean(arm: &Mixture) -> f64 {
    let all: f64 = arm.iter().map(|it| it.weight).sum();
    arm.iter().map(|it| it.weight * it.mean()).sum::<f64>() / all
}

pub(super) fn deviation(arm: &Mixture) -> f64 {
    let (all, center): (f64, f64) = (arm.iter().map(|it| it.weight).sum(), mean(arm));
    let about = |it: &Component| it.weight * (it.variance() + (it.mean() - center).powi(2));
    (arm.iter().map(about).sum::<f64>() / all).sqrt()
}
