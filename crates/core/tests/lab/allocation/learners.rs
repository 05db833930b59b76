//! What every learner offers, and ours.

use std::collections::BTreeMap;

use f0_learning_core::belief::{
    ArmInput, BeliefInput, BeliefState, Bucket, Settings, Sums, allocate_with,
};
use f0_learning_core::time::HOUR_MS;

use super::rivals::{Beta, Gauss, Kalman, Rival};
use super::{Limits, settings};

pub trait Learner {
    /// The rewards of an hour, by arm. An hour may be observed late.
    fn observe(&mut self, hour: usize, data: &[Sums]);

    /// New weights within the limits, or `None` to keep those that are held.
    fn weights(&mut self, held: &[f64], limits: Limits, hour: usize) -> Option<Vec<f64>>;
}

pub fn named(name: &str, arms: usize, seed: u64) -> Box<dyn Learner> {
    match name {
        "BetaTS" => Box::new(Rival(Beta::new(arms, 1.0, seed))),
        "Beta.999" => Box::new(Rival(Beta::new(arms, 0.999, seed))),
        "GaussTS" => Box::new(Rival(Gauss::new(arms, 0, seed))),
        "SW48" => Box::new(Rival(Gauss::new(arms, 48, seed))),
        "Kalman" => Box::new(Rival(Kalman::new(arms))),
        _ if name.starts_with("belief") => Box::new(Belief::new(arms, settings(name))),
        _ => panic!("unknown learner {name}"),
    }
}

struct Belief {
    settings: Settings,
    state: BeliefState,
    input: BeliefInput,
}

impl Belief {
    fn new(arms: usize, settings: Settings) -> Self {
        let arm = ArmInput { buckets: Vec::new(), held: 0.0, min: 0.0, max: 1.0 };
        let arms: BTreeMap<String, ArmInput> =
            (0..arms).map(|it| (format!("arm-{it:02}"), arm.clone())).collect();
        let input = BeliefInput { arms, floor: 0.0, step: 1.0, now: 0 };
        Self { settings, state: BeliefState::default(), input }
    }
}

impl Learner for Belief {
    fn observe(&mut self, hour: usize, data: &[Sums]) {
        let from = hour as i64 * HOUR_MS;
        for (arm, sums) in self.input.arms.values_mut().zip(data) {
            arm.buckets.push(Bucket { from, to: from + HOUR_MS, sums: *sums });
        }
    }

    fn weights(&mut self, held: &[f64], limits: Limits, hour: usize) -> Option<Vec<f64>> {
        for (arm, held) in self.input.arms.values_mut().zip(held) {
            arm.held = *held;
        }
        self.input.floor = limits.floor;
        self.input.step = limits.step;
        self.input.now = hour as i64 * HOUR_MS;
        let found = allocate_with(&self.settings, &self.input, &self.state);
        self.state = found.state;
        found.publish.then(|| found.weights.into_values().collect())
    }
}
