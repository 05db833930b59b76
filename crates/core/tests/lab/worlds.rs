//! Shared by the labs: the start time, observations, and the input of a decision.

use std::collections::BTreeMap;

use f0_learning_core::observation::{Observation, Outcome};
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::simulation::{Action, Scenario};
use f0_learning_core::tuning::blocks::{Block, Blocks};
use f0_learning_core::tuning::memory::Memory;
use f0_learning_core::tuning::{ArmInput, PolicyTuning, Signals, TuningInput, budget};
use rand::RngExt;
use rand::rngs::StdRng;

/// The start of a period of the budget.
pub const START: i64 = 687 * budget::PERIOD_MS;

pub fn named(scenario: &str) -> Scenario {
    Scenario::named(scenario).unwrap()
}

/// A random index with these probabilities, which sum to 1.
pub fn pick(shares: &[f64], random: &mut StdRng) -> usize {
    let mut left: f64 = random.random();
    for (index, share) in shares.iter().enumerate() {
        left -= share;
        if left < 0.0 {
            return index;
        }
    }
    shares.len() - 1
}

pub fn observation(ts: i64, outcome: Outcome) -> Observation {
    let action = Action { outcome, duration_ms: 100.0, cost_usd: 0.0 };
    Observation { cost_usd: None, ..action.observation("", ts, 1.0) }
}

/// What is counted of each version. Versions with equal weights are one block, so that one stands for
/// all of them.
#[derive(Debug, Default)]
pub struct Versions(BTreeMap<String, Block>);

impl Versions {
    /// The logs of the version with these weights, in the order of `arms`.
    pub fn add(&mut self, arms: &[String], weights: &[f64], arm: usize, act: (&Observation, f64)) {
        let shares: Vec<String> = weights.iter().map(f64::to_string).collect();
        let block = self.0.entry(shares.join(" ")).or_insert_with(|| Block {
            weights: arms.iter().cloned().zip(weights.iter().copied()).collect(),
            ..Block::default()
        });
        let (observation, reward) = act;
        block.logs.entry(arms[arm].clone()).or_default().add(observation, reward);
    }

    pub fn counted(&self) -> &BTreeMap<String, Block> {
        &self.0
    }

    /// What the arms are compared by.
    pub fn blocks(&self, memory: &Memory, arms: &[String]) -> Option<Blocks> {
        Some(memory.blocks(arms, self.0.clone()))
    }
}

/// The input of a decision on arms with equal weights and without sampling.
pub fn input(arms: BTreeMap<String, ArmInput>, now: i64) -> TuningInput {
    let weight = 1.0 / arms.len() as f64;
    TuningInput {
        policy_id: "p".to_owned(),
        parent: semver::Version::new(1, 0, 0),
        weights: arms.keys().map(|arm| (arm.clone(), weight)).collect(),
        arms,
        max_weight: 1.0,
        routed: None,
        rewards: RewardConfig::default(),
        config: PolicyTuning::default(),
        tuning_version: String::new(),
        last_draft: None,
        as_of: now,
        signals: Signals::default(),
        blocks: None,
        belief: None,
    }
}
