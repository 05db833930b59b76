//! What every learner offers, and ours.

use std::collections::BTreeMap;

use f0_learning_core::belief::{ArmInput, BeliefInput, BeliefState, Bucket, Sums, allocate_with};
use f0_learning_core::time::HOUR_MS;

use super::papers::{Budget, Dal, Pareto};
use super::rivals::{Beta, Gauss, Kalman, Rival};
use super::worlds::World;
use super::{Arrival, Limits, Options, options};

pub trait Learner {
    /// The rewards of an hour, by arm. An hour may be observed late.
    fn observe(&mut self, hour: usize, data: &[Sums]);

    /// New weights within the limits, or `None` to keep those that are held.
    fn weights(&mut self, held: &[f64], limits: Limits, hour: usize) -> Option<Vec<f64>>;
}

pub fn named(name: &str, world: &World, arrival: Arrival, seed: u64) -> Box<dyn Learner> {
    let (arms, batch) = (world.arms(), arrival.batch);
    match name {
        "BetaTS" => Box::new(Rival(Beta::new(arms, 1.0, seed))),
        "Beta.999" => Box::new(Rival(Beta::new(arms, 0.999, seed))),
        "GaussTS" => Box::new(Rival(Gauss::new(arms, 0, seed))),
        "SW48" => Box::new(Rival(Gauss::new(arms, 48, seed))),
        "Kalman" => Box::new(Rival(Kalman::new(arms))),
        "DAL" => Box::new(Rival(Dal::new(arms, batch, 1.0, seed))),
        "DAL.1" => Box::new(Rival(Dal::new(arms, batch, 0.1, seed))),
        "Pareto" => Box::new(Rival(Pareto::new(arms, batch, None))),
        "ParetoPaced" => {
            let budget = Budget { prices: world.prices(), ceiling: 0.25 };
            Box::new(Rival(Pareto::new(arms, batch, Some(budget))))
        }
        _ if name.starts_with("belief") => Box::new(Belief::new(arms, options(name))),
        _ => panic!("unknown learner {name}"),
    }
}

struct Belief {
    options: Options,
    state: BeliefState,
    input: BeliefInput,
    /// The hours of each arm.
    hours: Vec<Vec<Bucket>>,
}

impl Belief {
    fn new(arms: usize, options: Options) -> Self {
        let arm = ArmInput { buckets: Vec::new(), held: 0.0, min: 0.0, max: 1.0 };
        let named: BTreeMap<String, ArmInput> =
            (0..arms).map(|it| (format!("arm-{it:02}"), arm.clone())).collect();
        let input = BeliefInput { arms: named, floor: 0.0, step: 1.0, now: 0 };
        let hours = vec![Vec::new(); arms];
        Self { options, state: BeliefState::default(), input, hours }
    }
}

impl Learner for Belief {
    fn observe(&mut self, hour: usize, data: &[Sums]) {
        let from = hour as i64 * HOUR_MS;
        for (hours, sums) in self.hours.iter_mut().zip(data) {
            hours.push(Bucket { from, to: from + HOUR_MS, sums: *sums });
        }
    }

    fn weights(&mut self, held: &[f64], limits: Limits, hour: usize) -> Option<Vec<f64>> {
        let now = hour as i64 * HOUR_MS;
        let arms = self.input.arms.values_mut();
        for ((arm, held), hours) in arms.zip(held).zip(&self.hours) {
            arm.held = *held;
            arm.buckets = merged(hours, self.options.merges, now);
        }
        self.input.floor = limits.floor;
        self.input.step = limits.step;
        self.input.now = now;
        let found = allocate_with(&self.options.settings, &self.input, &self.state);
        self.state = found.state;
        found.publish.then(|| found.weights.into_values().collect())
    }
}

/// Hours as a timeline keeps them: single hours up to the first age, six hours up to the second, then
/// days. `None` keeps all hours.
fn merged(hours: &[Bucket], merges: Option<[i64; 2]>, now: i64) -> Vec<Bucket> {
    let Some(ages) = merges else { return hours.to_vec() };
    let aligned = |ts: i64, hours: i64| ts - ts.rem_euclid(hours * HOUR_MS);
    let starts = [(ages[0], 1), (ages[1], 6)].map(|(age, step)| aligned(now - age * HOUR_MS, step));
    let mut found: Vec<Bucket> = Vec::new();
    for hour in hours {
        let (step, end) = match hour.from {
            from if from >= starts[0] => (1, i64::MAX),
            from if from >= starts[1] => (6, starts[0]),
            _ => (24, starts[1]),
        };
        let from = aligned(hour.from, step);
        match found.last_mut().filter(|it| it.from == from) {
            Some(last) => last.sums = last.sums + hour.sums,
            None => {
                let to = (from + step * HOUR_MS).min(end);
                found.push(Bucket { from, to, sums: hour.sums });
            }
        }
    }
    found
}
