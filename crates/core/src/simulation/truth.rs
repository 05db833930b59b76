//! The true properties of an arm at one time.

use rand::{Rng, RngExt};

use crate::observation::{Malformed, Observation, Outcome};
use crate::reward::{RewardConfig, score};

/// How often an arm succeeds, how long its actions take (log-normal), and what they cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    /// 0 to 1.
    pub success: f64,
    /// In milliseconds.
    pub median_ms: f64,
    /// The standard deviation of the logarithm of durations: 0.4 is usual, 1.5 has a heavy tail.
    pub spread: f64,
    pub cost_usd: f64,
}

/// The result of one action.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Action {
    pub outcome: Outcome,
    pub duration_ms: f64,
    pub cost_usd: f64,
}

/// Longer durations are cut off, as by a timeout.
const LONGEST_MS: f64 = 60_000.0;

impl Truth {
    pub const USUAL: Self = Self { success: 0.9, median_ms: 800.0, spread: 0.4, cost_usd: 0.01 };

    /// A random action of the arm.
    pub fn act(&self, random: &mut impl Rng) -> Action {
        let success = random.random_bool(self.success.clamp(0.0, 1.0));
        let duration_ms = self.duration(normal(random));
        let outcome = if success { Outcome::Success } else { Outcome::Failure };
        Action { outcome, duration_ms, cost_usd: self.cost_usd }
    }

    fn duration(&self, deviations: f64) -> f64 {
        (self.median_ms * (self.spread * deviations).exp()).min(LONGEST_MS)
    }

    /// The true mean reward, 0 to 1.
    pub fn reward(&self, config: &RewardConfig) -> f64 {
        // The normal distribution in steps of a twentieth of a deviation, up to five deviations.
        let steps = (-100..=100).map(|step| f64::from(step) / 20.0);
        let weighed = steps.map(|z| {
            let weight = (-z * z / 2.0).exp();
            let of = |outcome| {
                let duration_ms = self.duration(z);
                Action { outcome, duration_ms, cost_usd: self.cost_usd }.reward(config)
            };
            let mean =
                self.success * of(Outcome::Success) + (1.0 - self.success) * of(Outcome::Failure);
            (weight, weight * mean)
        });
        let sums = weighed.fold((0.0, 0.0), |sums, it| (sums.0 + it.0, sums.1 + it.1));
        sums.1 / sums.0
    }
}

impl Action {
    /// An observation of the action, without optional fields except for the cost.
    pub fn observation(&self, component: &str, ts: i64, sample_rate: f64) -> Observation {
        Observation {
            id: String::new(),
            ts,
            component: component.to_owned(),
            outcome: self.outcome,
            duration_ms: Some(self.duration_ms),
            tokens_in: None,
            tokens_out: None,
            cost_usd: Some(self.cost_usd),
            policy_version: None,
            error_code: None,
            sample_rate,
            propensity: None,
            malformed: Malformed::default(),
        }
    }

    fn reward(&self, config: &RewardConfig) -> f64 {
        score(config, &self.observation("", 0, 1.0)).score
    }
}

/// A standard normal number (Box and Muller, 1958).
fn normal(random: &mut impl Rng) -> f64 {
    let (u, v): (f64, f64) = (random.random(), random.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn the_mean_reward_is_the_average_of_many_actions() {
        let config = RewardConfig::default();
        let mut random = StdRng::seed_from_u64(5);
        for truth in [
            Truth::USUAL,
            Truth { spread: 1.5, median_ms: 2_000.0, ..Truth::USUAL },
            Truth { success: 0.02, ..Truth::USUAL },
        ] {
            let n = 40_000;
            let sum: f64 = (0..n).map(|_| truth.act(&mut random).reward(&config)).sum();
            let mean = sum / f64::from(n);
            // Four standard errors of a reward that may lie anywhere in 0..1.
            let error = (mean - truth.reward(&config)).abs();
            assert!(error < 4.0 * 0.5 / f64::from(n).sqrt(), "{truth:?}: {error}");
        }
    }
}
