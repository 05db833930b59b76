//! Which of several means is the highest, as far as one can believe today.

use super::capital::Cells;

/// What is believed of a mean: normal, which a mean of many is, after Thompson's rule for rewards
/// in 0..1 of any shape. Before the first observation it is that of a uniform value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Belief {
    pub mean: f64,
    pub deviation: f64,
}

/// The belief before anything was seen weighs as much as so many observations.
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

/// What is believed of a mean beside others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// How probable it is to be the highest. Of all means they sum to 1.
    pub probability: f64,
    /// By how much the highest is expected to exceed it: what is lost by taking it for the best.
    pub expected_loss: f64,
}

/// Points at which the integral is taken.
const POINTS: usize = 400;
/// Deviations on either side of what is integrated over.
const REACH: f64 = 6.0;

/// How each mean stands.
pub fn best(beliefs: &[Belief]) -> Vec<Best> {
    let low = beliefs.iter().map(|it| it.mean - REACH * it.deviation).fold(f64::INFINITY, f64::min);
    let high =
        beliefs.iter().map(|it| it.mean + REACH * it.deviation).fold(f64::NEG_INFINITY, f64::max);
    // Below what the best reaches for sure nothing can be the highest.
    let floor = beliefs.iter().map(|it| it.mean - REACH * it.deviation).fold(low, f64::max);
    let step = (high - floor) / POINTS as f64;
    let mut before: Vec<f64> = beliefs.iter().map(|it| share_below(it, floor)).collect();
    // What lies below the floor belongs to whoever is left there; it is next to nothing.
    let mut shares = vec![0.0; beliefs.len()];
    let (mut highest, mut mass) = (0.0, 0.0);
    for index in 1..=POINTS {
        let x = floor + step * index as f64;
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

/// The normal distribution function, to within 1.2e-7 (Numerical Recipes, 6.2: erfc).
fn normal_cdf(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x);
    const COEFFICIENTS: [f64; 10] = [
        0.170_872_77,
        -0.822_152_23,
        1.488_515_87,
        -1.135_203_98,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_68,
        -1.265_512_23,
    ];
    let sum = COEFFICIENTS.iter().fold(0.0, |sum, c| sum * t + c);
    let erfc = t * (-x * x + sum).exp();
    if z > 0.0 { 1.0 - 0.5 * erfc } else { 0.5 * erfc }
}
