//! Replays the learning loop on a table in which the reward of every arm is known for every request.
//!
//! Teams have such a table when they evaluated every model on every prompt. Requests are drawn from it
//! with replacement. Each batch is one hour and one pass of a [`Rule`], whose weights decide which arm
//! serves the next batch. The mean regret a request shows which rule would have lost least.

mod rules;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantNames};

pub use table::{Table, TableError};

use crate::belief::Sums;
use crate::number::Lossy;
use crate::policy::draw_index;

/// What decides on weights.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Rule {
    /// [`crate::belief`].
    Belief,
    /// [`crate::tuning`]: weights move when a difference is proven.
    Proof,
    /// Thompson's rule on all observations: arms are assumed not to change.
    Thompson,
    /// Equal weights.
    Uniform,
}

impl Rule {
    pub const ALL: [Self; 4] = [Self::Belief, Self::Proof, Self::Thompson, Self::Uniform];
}

/// How a table is replayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Requests a batch.
    pub batch: usize,
    pub batches: usize,
    pub floor: f64,
    pub step: f64,
    /// Half way, the columns of these two arms are exchanged.
    pub swap: Option<(usize, usize)>,
    /// The share of rewards that are recorded.
    pub sample_rate: f64,
    /// After how many batches a reward is recorded.
    pub delay: usize,
}

/// The result of one run of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The mean regret a request, against the arm with the highest mean of each half.
    pub regret: [f64; 2],
    /// How often weights changed.
    pub versions: u32,
    /// By batch and arm.
    pub weights: Vec<Vec<f64>>,
}

/// The mean of several runs of a rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    pub regret_first_half: f64,
    pub regret_second_half: f64,
    /// Versions a run.
    pub versions: f64,
    /// The mean weights of each batch, by arm.
    pub weights: Vec<BTreeMap<String, f64>>,
}

/// The means of the arms in each half, after the exchange of columns in the second.
pub fn means(table: &Table, swap: Option<(usize, usize)>) -> [Vec<f64>; 2] {
    let first = table.means();
    let mut second = first.clone();
    if let Some((a, b)) = swap {
        second.swap(a, b);
    }
    [first, second]
}

/// Runs a rule once. The same random numbers give the same requests to every rule.
pub fn run(table: &Table, options: &Options, rule: Rule, random: &mut impl Rng) -> Run {
    let count = table.arms().len();
    let means = means(table, options.swap);
    let best = means.each_ref().map(|it| it.iter().copied().fold(0.0, f64::max));
    let mut decider = rules::decider(rule, table.arms(), options);
    let mut held = vec![1.0 / count.to_f64(); count];
    let mut run = Run { regret: [0.0; 2], versions: 0, weights: Vec::new() };
    let mut pending: Vec<Vec<Sums>> = Vec::new();
    let mut seen = [0.0; 2];
    for batch in 0..options.batches {
        let half = usize::from(batch * 2 >= options.batches);
        let mut data = vec![Sums::default(); count];
        let mut rewards: Vec<(usize, f64)> = Vec::new();
        for _ in 0..options.batch {
            let (request, arm, kept): (f64, f64, f64) =
                (random.random(), random.random(), random.random());
            let row = table.row_at(request);
            let arm = draw_index(held.iter().copied(), arm).unwrap_or_default();
            let column = match options.swap {
                Some((a, b)) if half == 1 && arm == a => b,
                Some((a, b)) if half == 1 && arm == b => a,
                _ => arm,
            };
            run.regret[half] += best[half] - means[half][arm];
            seen[half] += 1.0;
            if kept < options.sample_rate {
                let reward = row[column];
                data[arm] = data[arm] + Sums { n: 1.0, sum: reward, squares: reward * reward };
                rewards.push((arm, reward));
            }
        }
        run.weights.push(held.clone());
        pending.push(data);
        decider.record(batch, rewards);
        if let Some(arrived) = batch.checked_sub(options.delay) {
            decider.observe(arrived, &pending[arrived], batch);
        }
        if let Some(next) = decider.weights(&held, batch).filter(|it| *it != held)
            && batch + 1 < options.batches
        {
            run.versions += 1;
            held = next;
        }
    }
    for (regret, seen) in run.regret.iter_mut().zip(seen) {
        *regret /= f64::max(seen, 1.0);
    }
    run
}

/// The mean of runs.
pub fn summary(table: &Table, runs: &[Run]) -> Outcome {
    let n = runs.len().max(1).to_f64();
    let mean = |of: &dyn Fn(&Run) -> f64| runs.iter().map(of).sum::<f64>() / n;
    let batches = runs.first().map_or(0, |it| it.weights.len());
    let weights = (0..batches).map(|batch| {
        let arms = table.arms().iter().enumerate();
        arms.map(|(arm, name)| (name.clone(), mean(&|it| it.weights[batch][arm]))).collect()
    });
    Outcome {
        regret_first_half: mean(&|it| it.regret[0]),
        regret_second_half: mean(&|it| it.regret[1]),
        versions: mean(&|it| f64::from(it.versions)),
        weights: weights.collect(),
    }
}
