//! The rules, behind one interface.

use std::collections::BTreeMap;

use semver::Version;

use super::{Options, Rule};
use crate::belief::{
    ArmInput, BeliefInput, BeliefState, Bucket, Limits, Ranges, Sums, allocate, probability_best,
};
use crate::number::Lossy;
use crate::observation::{Malformed, Observation, Outcome};
use crate::reward::{Reward, RewardConfig, score};
use crate::stats::Series;
use crate::time::HOUR_MS;
use crate::tuning::blocks::Block;
use crate::tuning::memory::Memory;
use crate::tuning::{
    self, Decision, PolicyTuning, Signals, TuningInput, budget, decide, max_weight,
};

/// The start of a period of the budget, so that results do not depend on the wall clock.
const START: i64 = 687 * budget::PERIOD_MS;

pub(super) trait Decider {
    /// The rewards of a batch, by arm, which arrive later.
    fn record(&mut self, _batch: usize, _rewards: Vec<(usize, f64)>) {}

    /// The rewards of batch `batch` arrive at the end of batch `now`.
    fn observe(&mut self, batch: usize, data: &[Sums], now: usize);

    /// The weights after batch `now`; `None` keeps those that are held.
    fn weights(&mut self, held: &[f64], now: usize) -> Option<Vec<f64>>;
}

pub(super) fn decider(rule: Rule, arms: &[String], options: &Options) -> Box<dyn Decider> {
    match rule {
        Rule::Belief => Box::new(Belief::new(arms, options)),
        Rule::Proof => Box::new(Proof::new(arms, options)),
        Rule::Thompson => {
            let sums = vec![Sums::default(); arms.len()];
            Box::new(Thompson { sums, floor: options.floor, step: options.step })
        }
        Rule::Uniform => Box::new(Uniform),
    }
}

fn at(batch: usize) -> i64 {
    START + i64::try_from(batch).unwrap_or(i64::MAX / HOUR_MS) * HOUR_MS
}

struct Uniform;

impl Decider for Uniform {
    fn observe(&mut self, _: usize, _: &[Sums], _: usize) {}

    fn weights(&mut self, _: &[f64], _: usize) -> Option<Vec<f64>> {
        None
    }
}

struct Thompson {
    sums: Vec<Sums>,
    floor: f64,
    step: f64,
}

impl Decider for Thompson {
    fn observe(&mut self, _: usize, data: &[Sums], _: usize) {
        for (sum, data) in self.sums.iter_mut().zip(data) {
            *sum = *sum + *data;
        }
    }

    fn weights(&mut self, held: &[f64], _: usize) -> Option<Vec<f64>> {
        let limits: Vec<Limits> =
            held.iter().map(|held| Limits { held: *held, min: 0.0, max: 1.0 }).collect();
        let ranges = Ranges::new(&limits, self.floor, self.step)?;
        Some(ranges.project(&probability_best(&self.sums)))
    }
}

/// [`crate::belief`] with its state.
struct Belief {
    names: Vec<String>,
    state: BeliefState,
    input: BeliefInput,
}

impl Belief {
    fn new(arms: &[String], options: &Options) -> Self {
        let arm = ArmInput { buckets: Vec::new(), held: 0.0, min: 0.0, max: 1.0 };
        let named = arms.iter().map(|name| (name.clone(), arm.clone())).collect();
        let (floor, step) = (options.floor, options.step);
        let input = BeliefInput { arms: named, floor, step, now: 0 };
        Self { names: arms.to_vec(), state: BeliefState::default(), input }
    }
}

impl Decider for Belief {
    fn observe(&mut self, batch: usize, data: &[Sums], _: usize) {
        let (from, to) = (at(batch), at(batch + 1));
        for (name, sums) in self.names.iter().zip(data) {
            if let Some(arm) = self.input.arms.get_mut(name) {
                arm.buckets.push(Bucket { from, to, sums: *sums });
            }
        }
    }

    fn weights(&mut self, held: &[f64], now: usize) -> Option<Vec<f64>> {
        for (name, held) in self.names.iter().zip(held) {
            if let Some(arm) = self.input.arms.get_mut(name) {
                arm.held = *held;
            }
        }
        self.input.now = at(now + 1);
        let found = allocate(&self.input, &self.state);
        self.state = found.state;
        let weights = found.weights;
        found.publish.then(|| self.names.iter().map(|name| weights[name]).collect())
    }
}

/// The arm and the reward of each request of a batch.
type Drawn = Vec<(usize, f64)>;

/// [`crate::tuning`] with its statistics and memory.
struct Proof {
    names: Vec<String>,
    series: Vec<Series>,
    memory: Memory,
    config: PolicyTuning,
    sample_rate: f64,
    /// The weights that the next batch is drawn by.
    held: Vec<f64>,
    /// By batch until they arrive: the weights, and the arm and the reward of each request.
    pending: BTreeMap<usize, (Vec<f64>, Drawn)>,
    /// What was counted for each vector of weights: versions with equal weights are one block.
    versions: BTreeMap<String, Block>,
}

impl Proof {
    fn new(arms: &[String], options: &Options) -> Self {
        let usual = PolicyTuning::default();
        let config = PolicyTuning {
            exploration_floor: options.floor,
            step_bound: options.step,
            retrain_step_bound: options.step.max(usual.retrain_step_bound),
            min_sample_rate: options.sample_rate,
            ..usual
        };
        Self {
            names: arms.to_vec(),
            series: vec![Series::default(); arms.len()],
            memory: Memory::default(),
            config,
            sample_rate: options.sample_rate,
            held: vec![1.0 / arms.len().to_f64(); arms.len()],
            pending: BTreeMap::new(),
            versions: BTreeMap::new(),
        }
    }

    fn observation(&self, ts: i64) -> Observation {
        Observation {
            id: String::new(),
            ts,
            component: String::new(),
            outcome: Outcome::Success,
            duration_ms: None,
            tokens_in: None,
            tokens_out: None,
            cost_usd: None,
            policy_version: None,
            error_code: None,
            sample_rate: self.sample_rate,
            propensity: None,
            malformed: Malformed::default(),
        }
    }
}

impl Decider for Proof {
    fn record(&mut self, batch: usize, rewards: Vec<(usize, f64)>) {
        self.pending.insert(batch, (self.held.clone(), rewards));
    }

    fn observe(&mut self, batch: usize, _: &[Sums], now: usize) {
        let observation = self.observation(at(batch));
        let scored = score(&RewardConfig::default(), &observation);
        let (weights, rewards) = self.pending.remove(&batch).unwrap_or_default();
        let name: Vec<String> = weights.iter().map(f64::to_string).collect();
        let block = self.versions.entry(name.join(" ")).or_insert_with(|| Block {
            weights: self.names.iter().cloned().zip(weights).collect(),
            ..Block::default()
        });
        for (arm, reward) in rewards {
            block.logs.entry(self.names[arm].clone()).or_default().add(&observation, reward);
            let reward = Reward { score: reward, ..scored };
            let _ = self.series[arm].record(&observation, &reward, at(now + 1) - 1);
        }
    }

    fn weights(&mut self, held: &[f64], now: usize) -> Option<Vec<f64>> {
        let as_of = at(now + 1) - 1;
        self.series.iter_mut().for_each(|it| it.advance(as_of));
        let timelines: BTreeMap<_, _> = self
            .names
            .iter()
            .cloned()
            .zip(self.series.iter().map(|it| it.timeline().clone()))
            .collect();
        let max_weight = max_weight(&timelines, self.sample_rate);
        self.memory = self.memory.advanced(&timelines, &self.versions, max_weight, as_of);
        let input = TuningInput {
            policy_id: "replay".to_owned(),
            parent: Version::new(1, 0, 0),
            weights: self.names.iter().cloned().zip(held.iter().copied()).collect(),
            arms: tuning::ArmInput::of_all(&timelines, &self.memory),
            max_weight,
            routed: None,
            rewards: RewardConfig::default(),
            config: self.config.clone(),
            tuning_version: String::new(),
            last_draft: None,
            as_of,
            signals: Signals::default(),
            blocks: Some(self.memory.blocks(&self.names, self.versions.clone())),
            belief: None,
        };
        self.held = held.to_vec();
        match decide(&input) {
            Decision::Propose(proposal) => {
                self.held = self.names.iter().map(|name| proposal.weights[name]).collect();
                Some(self.held.clone())
            }
            Decision::None(_) => None,
        }
    }
}
