//! How many observations are needed to prove the best arm, compared with an A/B test with equal shares.
//!
//! The A/B test makes a wrong claim in 5% of cases and misses the best arm in 5%, over all pairs
//! (Bonferroni), by the normal approximation for two proportions. Its size is computed twice: for the
//! true difference, which is unknown beforehand, and for a difference of two points, which would be
//! worth finding. The claims of the learner are wrong in at most 5% of cases as well, also if no arm is
//! better: half of its budget of 10% is for intervals, which the test does not have.
//!
//! The learner looks after every 20 observations an arm, and judges an arm from 20 observations on. Its weights are equal, or move by proof, or as
//! `goal: identify` asks for.

use std::collections::BTreeMap;
use std::process::ExitCode;

use f0_learning_core::belief::{Bucket, Settings, Sums};
use f0_learning_core::observation::Outcome;
use f0_learning_core::reward::{Reward, RewardConfig, score};
use f0_learning_core::stats::Samples;
use f0_learning_core::time::HOUR_MS;
use f0_learning_core::tuning::memory::{ArmMemory, Memory};
use f0_learning_core::tuning::{
    ArmInput, Basis, Decision, Goal, PolicyTuning, TuningInput, arm_evidence, assess,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::worlds::{self, START, Versions};

const ARMS: [usize; 4] = [2, 3, 5, 10];
const GAPS: [f64; 3] = [0.03, 0.06, 0.12];
const BEST: f64 = 0.9;
/// The difference that a test is designed for if the true difference is unknown.
const WORTH_FINDING: f64 = 0.02;
const ERROR: f64 = 0.05;
/// Observations per arm between two looks.
const BATCH: usize = 20;
/// Looks in an hour.
const LOOKS: i64 = 5;
const MOST_HOURS: i64 = 700;

/// How weights move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moves {
    Equal,
    Proof,
    Identify,
}

const MOVES: [Moves; 3] = [Moves::Equal, Moves::Proof, Moves::Identify];

pub fn run(runs: u64) -> ExitCode {
    println!(
        "arms   gap  others |  A/B true  A/B 0.02 |     equal %true |     proof %true %0.02 | \
         identify %true %0.02 versions | wrong"
    );
    for arms in ARMS {
        for gap in GAPS {
            for is_graded in [false, true] {
                if arms > 2 || !is_graded {
                    row(&truth(arms, gap, is_graded), gap, is_graded, runs);
                }
            }
        }
    }
    ExitCode::SUCCESS
}

/// The last arm is the best; the others are worse by the gap, or by one to three times the gap.
fn truth(arms: usize, gap: f64, is_graded: bool) -> Vec<f64> {
    let others = arms - 1;
    let worse = |arm: usize| match is_graded && others > 1 {
        true => gap * (1.0 + 2.0 * arm as f64 / (others - 1) as f64),
        false => gap,
    };
    (0..others).map(|arm| BEST - worse(arm)).chain([BEST]).collect()
}

fn row(truth: &[f64], gap: f64, is_graded: bool, runs: u64) {
    let (mut wrong, mut sums, mut versions) = (0, [0.0; MOVES.len()], 0);
    for seed in 0..runs {
        for (sum, moves) in sums.iter_mut().zip(MOVES) {
            let found = Search::new(truth, moves, seed).run();
            wrong += u32::from(found.best.is_some_and(|it| it != truth.len() - 1));
            *sum += found.observations as f64;
            versions += if moves == Moves::Identify { found.versions } else { 0 };
        }
    }
    let [equal, proof, identify] = sums.map(|sum| sum / runs as f64);
    let [known, worth] = [ab_test(truth, None), ab_test(truth, Some(WORTH_FINDING))];
    let fewer = |it: f64, than: f64| (1.0 - it / than) * 100.0;
    let others = if is_graded { "graded" } else { "equal" };
    println!(
        "{:>4} {gap:>5.2} {others:>7} | {known:>9.0} {worth:>9.0} | {equal:>9.0} {:>5.0} | \
         {proof:>9.0} {:>5.0} {:>5.0} | {identify:>8.0} {:>5.0} {:>5.0} {:>8.1} | {wrong:>5}",
        truth.len(),
        fewer(equal, known),
        fewer(proof, known),
        fewer(proof, worth),
        fewer(identify, known),
        fewer(identify, worth),
        f64::from(versions) / runs as f64,
    );
}

/// The total number of observations of a test with equal shares.
fn ab_test(truth: &[f64], found: Option<f64>) -> f64 {
    let (arms, best) = (truth.len() as f64, truth[truth.len() - 1]);
    let pairs = arms * (arms - 1.0) / 2.0;
    let z = quantile(1.0 - ERROR / pairs / 2.0) + quantile(1.0 - ERROR / (arms - 1.0));
    let of_one = |p: f64| {
        let gap = found.unwrap_or(best - p);
        let other = best - gap;
        z * z * (best * (1.0 - best) + other * (1.0 - other)) / (gap * gap)
    };
    let closest = truth[..truth.len() - 1].iter().copied().fold(0.0, f64::max);
    arms * of_one(closest).ceil()
}

/// The standard normal quantile, by numerical integration of the density.
fn quantile(p: f64) -> f64 {
    let density = |x: f64| (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
    let (step, mut x, mut below) = (1e-4, 0.0, 0.5);
    while below < p {
        below += step * density(x + step / 2.0);
        x += step;
    }
    x
}

/// The end of a search: the arm that is proven to be the best, and after how many observations.
struct Found {
    best: Option<usize>,
    observations: usize,
    versions: u32,
}

/// A search for the best arm.
struct Search<'a> {
    truth: &'a [f64],
    moves: Moves,
    random: StdRng,
    names: Vec<String>,
    weights: Vec<f64>,
    samples: Vec<Samples>,
    /// By arm, the rewards by hour.
    buckets: Vec<Vec<Bucket>>,
    counted: Versions,
    memory: Memory,
}

impl<'a> Search<'a> {
    fn new(truth: &'a [f64], moves: Moves, seed: u64) -> Self {
        let arms = truth.len();
        Self {
            truth,
            moves,
            random: StdRng::seed_from_u64(seed),
            names: (0..arms).map(|arm| format!("arm-{arm:02}")).collect(),
            weights: vec![1.0 / arms as f64; arms],
            samples: vec![Samples::default(); arms],
            buckets: vec![Vec::new(); arms],
            counted: Versions::default(),
            memory: Memory::default(),
        }
    }

    fn run(mut self) -> Found {
        let (mut observations, mut versions) = (0, 0);
        // A proof at any look is final.
        let mut out = vec![false; self.truth.len()];
        for look in 1..=MOST_HOURS * LOOKS {
            observations += BATCH * self.truth.len();
            let now = START + look * HOUR_MS / LOOKS;
            self.observe(now);
            let input = self.input(now);
            let standing = arm_evidence(&input);
            for (out, standing) in out.iter_mut().zip(&standing) {
                *out |= !standing.beaten_by.is_empty();
            }
            let left: Vec<usize> = (0..out.len()).filter(|arm| !out[*arm]).collect();
            if let [best] = left[..] {
                return Found { best: Some(best), observations, versions };
            }
            versions += u32::from(self.moves != Moves::Equal && self.moves(input));
        }
        Found { best: None, observations, versions }
    }

    /// The actions until `now`.
    fn observe(&mut self, now: i64) {
        let hour = (now - 1).div_euclid(HOUR_MS) * HOUR_MS;
        for buckets in &mut self.buckets {
            if buckets.last().is_none_or(|it| it.from < hour) {
                buckets.push(Bucket { from: hour, to: hour + HOUR_MS, sums: Sums::default() });
            }
        }
        for _ in 0..BATCH * self.truth.len() {
            let arm = worlds::pick(&self.weights, &mut self.random);
            let is_success = self.random.random_bool(self.truth[arm]);
            let outcome = if is_success { Outcome::Success } else { Outcome::Failure };
            let observation = worlds::observation(START, outcome);
            let reward = score(&RewardConfig::default(), &observation);
            let earned = f64::from(u8::from(is_success));
            let reward = Reward { score: earned, ..reward };
            self.samples[arm].add(&observation, &reward);
            self.counted.add(&self.names, &self.weights, arm, (&observation, earned));
            let sums = &mut self.buckets[arm].last_mut().unwrap().sums;
            *sums = *sums + Sums { n: 1.0, sum: earned, squares: earned };
        }
        // No arm changes.
        self.memory = self.memory.advanced(&BTreeMap::new(), self.counted.counted(), 1.0, now);
    }

    fn input(&self, now: i64) -> TuningInput {
        let named = |weights: &[f64]| -> BTreeMap<String, f64> {
            self.names.iter().cloned().zip(weights.iter().copied()).collect()
        };
        let arm =
            |samples: &Samples| ArmInput { memory: ArmMemory::default(), samples: samples.clone() };
        let arms = self.names.iter().cloned().zip(self.samples.iter().map(arm)).collect();
        let basis = Basis {
            buckets: self.names.iter().cloned().zip(self.buckets.iter().cloned()).collect(),
            state: self.memory.belief.clone(),
            envelope: None,
            pressed: Vec::new(),
        };
        TuningInput {
            weights: named(&self.weights),
            blocks: self.counted.blocks(&self.memory, &self.names),
            belief: (self.moves == Moves::Identify).then_some(basis),
            config: PolicyTuning {
                alpha: 2.0 * ERROR,
                goal: if self.moves == Moves::Identify { Goal::Identify } else { Goal::Reward },
                min_samples: BATCH as u64,
                exploration_floor: 0.0,
                step_bound: 1.0,
                retrain_step_bound: 1.0,
                ..PolicyTuning::default()
            },
            ..worlds::input(arms, now)
        }
    }

    /// Whether a version with other weights follows.
    fn moves(&mut self, input: TuningInput) -> bool {
        let now = input.as_of;
        let mut assessed = assess(input);
        let state = assessed.belief().cloned();
        self.memory.belief = state.unwrap_or_default();
        let Decision::Propose(proposal) = assessed.decide(None) else { return false };
        self.weights = self.names.iter().map(|arm| proposal.weights[arm]).collect();
        self.memory.belief.published(&Settings::default(), now);
        true
    }
}
