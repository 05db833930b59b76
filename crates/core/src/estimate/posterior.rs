//! The probability of each of several means to be the highest.

use super::capital::Cells;

/// The posterior distribution of a mean, approximated by a normal distribution, as in Thompson's rule
/// for rewards between 0 and 1 of any distribution. Before the first observation it has the mean and the
/// variance of a uniform value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Belief {
    pub mean: f64,
    pub deviation: f64,
}

/// The prior counts as this many observations.
const PRIOR_N: f64 = 1.0;
const PRIOR_MEAN: f64 = 0.5;
const PRIOR_VARIANCE: f64 = 1.0 / 12.0;

impl Belief {
    pub fn of(cells: &Cells) -> Self {
        let n = cells.effective_n();
        if n == 0.0 {
            return Self { mean: PRIOR_MEAN, deviation: PRIOR_VARIANCE.sqrt() };
        }
        let mean = (cells.mean() * n + PRIOR_MEAN * PRIOR_N) / (n + PRIOR_N);
        let spread = cells.mean() - PRIOR_MEAN;
        let variance = (cells.variance() * n + PRIOR_VARIANCE * PRIOR_N) / (n + PRIOR_N)
            + spread * spread * n * PRIOR_N / ((n + PRIOR_N) * (n + PRIOR_N));
        Self { mean, deviation: (variance / (n + PRIOR_N)).sqrt() }
    }
}

/// How a mean compares with the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// The probability that it is the highest. The probabilities of all means sum to 1.
    pub probability: f64,
    /// How much the highest is expected to exceed it: the loss if it is used as the best.
    pub expected_loss: f64,
}

/// The number of points of the numerical integral.
const POINTS: u32 = 400;
/// The range of the integral, in deviations on either side.
const REACH: f64 = 6.0;

/// Compares the means with each other.
pub fn best(beliefs: &[Belief]) -> Vec<Best> {
    let low = beliefs.iter().map(|it| it.mean - REACH * it.deviation).fold(f64::INFINITY, f64::min);
    let high =
        beliefs.iter().map(|it| it.mean + REACH * it.deviation).fold(f64::NEG_INFINITY, f64::max);
    // A value below what the best certainly exceeds cannot be the highest.
    let floor = beliefs.iter().map(|it| it.mean - REACH * it.deviation).fold(low, f64::max);
    let step = (high - floor) / f64::from(POINTS);
    let mut before: Vec<f64> = beliefs.iter().map(|it| share_below(it, floor)).collect();
    let mut shares = vec![0.0; beliefs.len()];
    let (mut highest, mut mass) = (0.0, 0.0);
    for index in 1..=POINTS {
        let x = floor + step * f64::from(index);
        let now: Vec<f64> = beliefs.iter().map(|it| share_below(it, x)).collect();
        let middles: Vec<f64> =
            before.iter().zip(&now).map(|(a, b)| f64::midpoint(*a, *b)).collect();
        let zeros = middles.iter().filter(|it| **it <= 0.0).count();
        let product: f64 = middles.iter().filter(|it| **it > 0.0).product();
        for (arm, share) in shares.iter_mut().enumerate() {
            let others = match (zeros, middles[arm] <= 0.0) {
                (0, _) => product / middles[arm],
                (1, true) => product,
                _ => 0.0,
            };
            *share += (now[arm] - before[arm]) * others;
        }
        let all_below = |shares: &[f64]| shares.iter().product::<f64>();
        let here = all_below(&now) - all_below(&before);
        highest += (x - step / 2.0) * here;
        mass += here;
        before = now;
    }
    let sum: f64 = shares.iter().sum();
    if sum > 0.0 {
        shares.iter_mut().for_each(|share| *share /= sum);
    }
    let highest = if mass > 0.0 { highest / mass } else { floor };
    let of = |(belief, probability): (&Belief, f64)| Best {
        probability,
        expected_loss: (highest - belief.mean).max(0.0),
    };
    beliefs.iter().zip(shares).map(of).collect()
}

fn share_below(belief: &Belief, x: f64) -> f64 {
    normal_cdf((x - belief.mean) / belief.deviation)
}

/// The standard normal distribution function.
fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, tables 26.1 and 26.2.
    #[test]
    fn the_normal_distribution_function_has_the_published_values() {
        for (z, expected) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_543),
            (2.0, 0.977_249_868_051_821),
            (3.0, 0.998_650_101_968_370),
        ] {
            assert!((normal_cdf(z) - expected).abs() < 1e-14, "{z}");
            assert!((normal_cdf(-z) - (1.0 - expected)).abs() < 1e-14, "{z}");
        }
    }

    #[test]
    fn the_better_of_two_means_is_the_highest_with_the_probability_of_their_difference() {
        let beliefs = [(0.5, 0.03), (0.55, 0.04)];
        let beliefs = beliefs.map(|(mean, deviation)| Belief { mean, deviation });
        // The difference has the mean 0.05 and the deviation 0.05.
        assert!((best(&beliefs)[1].probability - 0.841_345).abs() < 1e-3);
    }
}
