//! What is simulated: a scenario, its size and its seed.

use f0_learning_core::reward::RewardConfig;
use f0_learning_core::simulation::Scenario;

/// A simulation to run.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub scenario: Scenario,
    pub seed: u64,
    pub hours: u32,
    pub arms: usize,
    pub per_hour: u32,
}

impl Setup {
    pub fn arm(&self, index: usize) -> String {
        format!("arm-{:0width$}", index + 1, width = if self.arms > 9 { 2 } else { 1 })
    }

    /// The weight of an arm when all are equal.
    #[expect(clippy::cast_precision_loss, reason = "at most 50 arms")]
    pub fn equal_weight(&self) -> f64 {
        1.0 / self.arms as f64
    }

    /// The true mean reward of each arm in an hour.
    pub fn means(&self, hour: u32, rewards: &RewardConfig) -> Vec<f64> {
        let hours = f64::from(self.hours);
        (0..self.arms)
            .map(|arm| {
                let truth = self.scenario.truth(arm, self.arms, f64::from(hour) + 0.5, hours);
                truth.reward(rewards)
            })
            .collect()
    }
}
