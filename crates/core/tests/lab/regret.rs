//! The cost of learning: the reward lost compared with the best arm of each hour. Actions succeed or
//! fail, and hourly batches of 200 actions are routed by the weights.

use std::collections::BTreeMap;
use std::process::ExitCode;

use f0_learning_core::observation::{Observation, Outcome as Ended};
use f0_learning_core::reward::{Reward, RewardConfig, score};
use f0_learning_core::simulation::Scenario;
use f0_learning_core::stats::Series;
use f0_learning_core::time::HOUR_MS;
use f0_learning_core::tuning::memory::Memory;
use f0_learning_core::tuning::{ArmInput, Decision, PolicyTuning, TuningInput, decide, max_weight};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::worlds::{self, START, Versions};

/// Scenarios with the hour of a sudden change, from which the regret is also reported separately.
const SCENARIOS: [(&str, usize); 5] = [
    ("stationary", HOURS),
    ("close", HOURS),
    ("shift", HOURS / 2),
    ("drift", HOURS),
    ("dying", HOURS / 3),
];
const HOURS: usize = 14 * 24;
const BATCH: usize = 200;

/// The probability of success, by hour and arm.
type Truth = Vec<Vec<f64>>;

fn truth(scenario: &Scenario) -> Truth {
    let of = |arm, hour| {
        scenario.truth(arm, scenario.arms, hour as f64, HOURS as f64).success.clamp(0.0, 1.0)
    };
    (0..HOURS).map(|hour| (0..scenario.arms).map(|arm| of(arm, hour)).collect()).collect()
}

/// Prints the input of the other learners: the size of a batch, the probability of success by world,
/// hour and arm, and the hours of changes.
pub fn print_truths() -> ExitCode {
    let worlds: BTreeMap<&str, Truth> =
        SCENARIOS.into_iter().map(|(name, _)| (name, truth(&worlds::named(name)))).collect();
    let changes: BTreeMap<_, _> = SCENARIOS.into_iter().filter(|it| it.1 < HOURS).collect();
    println!("{}", json!({ "batch": BATCH, "worlds": worlds, "changes": changes }));
    ExitCode::SUCCESS
}

/// Prints, separated by tabs: the scenario, whether floor and step bound apply, the policy, the mean
/// regret with its standard error, and the regret after the change.
pub fn run(runs: u64) -> ExitCode {
    for (name, change) in SCENARIOS {
        let truth = truth(&worlds::named(name));
        let [all, after] = unavoidable(&truth, change);
        println!("{name}\tbounds\tan oracle\t{all:.1}\t0.0\t{after:.1}");
        for is_bounded in [true, false] {
            let outcomes: Vec<Outcome> =
                (0..runs).map(|seed| history(&truth, change, is_bounded, seed)).collect();
            let n = runs as f64;
            let mean = |of: &dyn Fn(&Outcome) -> f64| outcomes.iter().map(of).sum::<f64>() / n;
            let (all, after) = (mean(&|it| it.regret), mean(&|it| it.after));
            let spread = mean(&|it| (it.regret - all).powi(2));
            let error = (spread / (n - 1.0).max(1.0)).sqrt();
            let bounds = if is_bounded { "bounds" } else { "free" };
            println!("{name}\t{bounds}\tf0-learning\t{all:.1}\t{error:.1}\t{after:.1}");
            let versions = mean(&|it| it.versions);
            eprintln!("{name}, {bounds}: {versions:.1} versions a run");
        }
    }
    ExitCode::SUCCESS
}

/// The regret of an oracle that knows the best arm of each hour at its start, within floor and step
/// bound.
fn unavoidable(truth: &Truth, change: usize) -> [f64; 2] {
    let (floor, step) =
        (PolicyTuning::default().exploration_floor, PolicyTuning::default().step_bound);
    let mut weights = vec![1.0 / truth[0].len() as f64; truth[0].len()];
    let mut lost = [0.0; 2];
    for (hour, success) in truth.iter().enumerate() {
        let best = (0..success.len()).max_by(|a, b| success[*a].total_cmp(&success[*b])).unwrap();
        // The other arms, the worst first, give their weight to the best, as far as it may rise.
        let mut room = if hour > 0 { step } else { 0.0 };
        let mut others: Vec<usize> = (0..success.len()).filter(|arm| *arm != best).collect();
        others.sort_by(|a, b| success[*a].total_cmp(&success[*b]));
        for arm in others {
            let given = (weights[arm] - floor).min(step).min(room).max(0.0);
            weights[arm] -= given;
            weights[best] += given;
            room -= given;
        }
        let regret: f64 =
            weights.iter().zip(success).map(|(weight, it)| weight * (success[best] - it)).sum();
        lost[0] += regret * BATCH as f64;
        lost[1] += if hour >= change { regret * BATCH as f64 } else { 0.0 };
    }
    lost
}

fn tuning(is_bounded: bool) -> PolicyTuning {
    match is_bounded {
        true => PolicyTuning::default(),
        false => PolicyTuning {
            exploration_floor: 0.0,
            step_bound: 1.0,
            retrain_step_bound: 1.0,
            ..PolicyTuning::default()
        },
    }
}

/// The result of a run.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    regret: f64,
    /// The regret after the change.
    after: f64,
    versions: f64,
}

fn history(truth: &Truth, change: usize, is_bounded: bool, seed: u64) -> Outcome {
    let mut random = StdRng::seed_from_u64(seed);
    let count = truth[0].len();
    let arms: Vec<String> = (0..count).map(|arm| format!("arm-{arm:02}")).collect();
    let mut weights = vec![1.0 / count as f64; count];
    let mut series = vec![Series::default(); count];
    let (mut memory, mut outcome) = (Memory::default(), Outcome::default());
    let mut versions = Versions::default();
    for (hour, success) in truth.iter().enumerate() {
        let (best, start) = (success.iter().copied().fold(0.0, f64::max), hour as i64 * HOUR_MS);
        for n in 0..BATCH as i64 {
            let arm = worlds::pick(&weights, &mut random);
            outcome.regret += best - success[arm];
            outcome.after += if hour >= change { best - success[arm] } else { 0.0 };
            let (observation, reward) = act(START + start + n, random.random_bool(success[arm]));
            let _ = series[arm].record(&observation, &reward, observation.ts);
            versions.add(&arms, &weights, arm, (&observation, reward.score));
        }
        let now = START + start + HOUR_MS - 1;
        series.iter_mut().for_each(|it| it.advance(now));
        let timelines: BTreeMap<_, _> =
            arms.iter().cloned().zip(series.iter().map(|it| it.timeline().clone())).collect();
        let max_weight = max_weight(&timelines, 1.0);
        memory = memory.advanced(&timelines, versions.counted(), max_weight, now);
        let input = TuningInput {
            weights: arms.iter().cloned().zip(weights.iter().copied()).collect(),
            max_weight,
            config: tuning(is_bounded),
            blocks: versions.blocks(&memory, &arms),
            ..worlds::input(ArmInput::of_all(&timelines, &memory), now)
        };
        if let Decision::Propose(proposal) = decide(&input) {
            weights = arms.iter().map(|arm| proposal.weights[arm]).collect();
            outcome.versions += 1.0;
        }
    }
    outcome
}

fn act(ts: i64, is_success: bool) -> (Observation, Reward) {
    let outcome = if is_success { Ended::Success } else { Ended::Failure };
    let observation = worlds::observation(ts, outcome);
    let reward = score(&RewardConfig::default(), &observation);
    (observation, Reward { score: f64::from(u8::from(is_success)), ..reward })
}
