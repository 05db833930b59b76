//! How many observations are needed to prove the best arm, compared with an A/B test with equal shares.
//!
//! The A/B test makes a wrong claim in 5% of cases and misses the best arm in 5%, over all pairs
//! (Bonferroni), by the normal approximation for two proportions. Its size is computed twice: for the
//! true difference, which is unknown beforehand, and for a difference of two points, which would be
//! worth finding. The claims of the learner are wrong in at most 5% of cases as well: half of its
//! budget of 10% is for intervals, which the test does not have.

use std::collections::BTreeMap;
use std::process::ExitCode;

use f0_learning_core::observation::Outcome;
use f0_learning_core::reward::{Reward, RewardConfig, score};
use f0_learning_core::stats::Samples;
use f0_learning_core::time::HOUR_MS;
use f0_learning_core::tuning::memory::{ArmMemory, Memory};
use f0_learning_core::tuning::{
    ArmInput, Decision, PolicyTuning, TuningInput, arm_evidence, decide,
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
/// Observations per arm and hour.
const BATCH: usize = 100;
const MOST_HOURS: i64 = 700;

pub fn run(runs: u64) -> ExitCode {
    println!(
        "{:>4} {:>5} {:>7} | {:>9} {:>9} {:>9} | {:>12} {:>12} {:>12} | {:>5}",
        "arms",
        "gap",
        "others",
        "learning",
        "A/B true",
        "A/B 0.02",
        "% vs true",
        "% vs 0.02",
        "% vs equal",
        "wrong"
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
    let (mut wrong, mut sums) = (0, [0.0; 2]);
    for seed in 0..runs {
        for (sum, moves) in sums.iter_mut().zip([true, false]) {
            let (best, observations) = search(truth, moves, seed);
            wrong += u32::from(best.is_some_and(|it| it != truth.len() - 1));
            *sum += observations as f64;
        }
    }
    let [learning, equal] = sums.map(|sum| sum / runs as f64);
    let tests = [ab_test(truth, None), ab_test(truth, Some(WORTH_FINDING))];
    let fewer = |than: f64| (1.0 - learning / than) * 100.0;
    println!(
        "{:>4} {gap:>5.2} {:>7} | {learning:>9.0} {:>9.0} {:>9.0} | {:>12.0} {:>12.0} {:>12.0} | {wrong:>5}",
        truth.len(),
        if is_graded { "graded" } else { "equal" },
        tests[0],
        tests[1],
        fewer(tests[0]),
        fewer(tests[1]),
        fewer(equal),
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

/// The arm that is proven to be better than all others, and after how many observations. The weights
/// change each hour, or stay equal.
fn search(truth: &[f64], moves: bool, seed: u64) -> (Option<usize>, usize) {
    let mut random = StdRng::seed_from_u64(seed);
    let names: Vec<String> = (0..truth.len()).map(|arm| format!("arm-{arm:02}")).collect();
    let mut weights = vec![1.0 / truth.len() as f64; truth.len()];
    let mut samples = vec![Samples::default(); truth.len()];
    let (mut observations, mut versions) = (0, Versions::default());
    // A proof at any look is final.
    let mut out = vec![false; truth.len()];
    for hour in 1..=MOST_HOURS {
        for _ in 0..BATCH * truth.len() {
            let arm = worlds::pick(&weights, &mut random);
            let is_success = random.random_bool(truth[arm]);
            let outcome = if is_success { Outcome::Success } else { Outcome::Failure };
            let observation = worlds::observation(START, outcome);
            let reward = score(&RewardConfig::default(), &observation);
            let reward = Reward { score: f64::from(u8::from(is_success)), ..reward };
            samples[arm].add(&observation, &reward);
            versions.add(&names, &weights, arm, (&observation, reward.score));
        }
        observations += BATCH * truth.len();
        let arm =
            |samples: &Samples| ArmInput { memory: ArmMemory::default(), samples: samples.clone() };
        let arms: BTreeMap<_, _> = names.iter().cloned().zip(samples.iter().map(arm)).collect();
        let input = TuningInput {
            weights: names.iter().cloned().zip(weights.iter().copied()).collect(),
            blocks: versions.blocks(&Memory::default(), &names),
            config: PolicyTuning {
                alpha: 2.0 * ERROR,
                exploration_floor: 0.0,
                step_bound: 1.0,
                retrain_step_bound: 1.0,
                ..PolicyTuning::default()
            },
            ..worlds::input(arms, START + hour * HOUR_MS)
        };
        let standing = arm_evidence(&input);
        for (out, standing) in out.iter_mut().zip(&standing) {
            *out |= !standing.beaten_by.is_empty();
        }
        let unbeaten: Vec<usize> = (0..truth.len()).filter(|arm| !out[*arm]).collect();
        if let [best] = unbeaten[..] {
            return (Some(best), observations);
        }
        if let (true, Decision::Propose(proposal)) = (moves, decide(&input)) {
            weights = names.iter().map(|arm| proposal.weights[arm]).collect();
        }
    }
    (None, observations)
}
