//! Arms that do not differ.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use f0_learning::domain::estimate::{Cells, Side, is_greater};
use f0_learning::domain::observation::{Observation, Outcome};
use f0_learning::domain::reward::{Reward, RewardConfig, score};
use f0_learning::domain::stats::Series;
use f0_learning::domain::tuning::memory::Memory;
use f0_learning::domain::tuning::{ArmInput, Decision, TuningConfig, TuningInput, budget, decide};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::kayenta;

const HOUR_MS: i64 = 3_600_000;
const HOURS: i64 = 30 * 24;
/// The start of a period of the budget.
const START: i64 = 687 * budget::PERIOD_MS;
const THREADS: u64 = 2;

/// What rewards can be.
const VALUES: [f64; 5] = [0.0, 0.35, 0.6, 0.75, 0.85];

/// What was seen in one history.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    proposal: bool,
    left: bool,
    kayenta: bool,
    restarts: u64,
}

#[derive(Debug, Default)]
struct Sum {
    proposals: AtomicU64,
    left: AtomicU64,
    kayenta: AtomicU64,
    restarts: AtomicU64,
}

pub fn run(histories: u64, first: u64) -> ExitCode {
    let (sum, next) = (Sum::default(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= histories {
                        return;
                    }
                    let seen = history(first + number);
                    let count = |counter: &AtomicU64, more: u64| {
                        counter.fetch_add(more, Ordering::Relaxed);
                    };
                    count(&sum.proposals, seen.proposal.into());
                    count(&sum.left, seen.left.into());
                    count(&sum.kayenta, seen.kayenta.into());
                    count(&sum.restarts, seen.restarts);
                    if (number + 1).is_multiple_of(500) {
                        eprintln!("{} of {histories} histories", number + 1);
                    }
                }
            });
        }
    });
    report(histories, &sum)
}

fn report(histories: u64, sum: &Sum) -> ExitCode {
    let share = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64 / histories as f64;
    let restarts = sum.restarts.load(Ordering::Relaxed);
    println!("{histories} histories of 30 days in which no arm is better, looked at each hour");
    println!(
        "  any proposal                     {:>7.2}%   at most 5",
        share(&sum.proposals) * 100.0
    );
    println!("  any interval that left the truth {:>7.2}%   at most 5", share(&sum.left) * 100.0);
    println!("  Mann-Whitney at 98%, each look   {:>7.2}%", share(&sum.kayenta) * 100.0);
    println!("  arms begun anew                  {restarts:>7}");
    // Beyond 5% by more than luck: the budget allows 5% of histories, give or take.
    let most = 0.05 + 3.0 * (0.05 * 0.95 / histories as f64).sqrt();
    let is_kept = share(&sum.proposals) <= most && share(&sum.left) <= most;
    if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The same for every arm: how probable each value is, and how each outcome is sampled.
struct Truth {
    shares: Vec<f64>,
    mean: f64,
    /// The share of rewards above 0 that is kept; the others are all kept.
    rate: f64,
}

impl Truth {
    fn draw(rng: &mut StdRng) -> Self {
        let raw: Vec<f64> = VALUES.iter().map(|_| rng.random_range(0.02..1.0)).collect();
        let sum: f64 = raw.iter().sum();
        let shares: Vec<f64> = raw.iter().map(|it| it / sum).collect();
        let mean = shares.iter().zip(VALUES).map(|(share, value)| share * value).sum();
        let rate = if rng.random_bool(0.3) { 0.1 } else { 1.0 };
        Self { shares, mean, rate }
    }

    fn value(&self, rng: &mut StdRng) -> usize {
        let mut left: f64 = rng.random();
        for (index, share) in self.shares.iter().enumerate() {
            left -= share;
            if left < 0.0 {
                return index;
            }
        }
        VALUES.len() - 1
    }
}

fn history(seed: u64) -> Seen {
    let mut rng = StdRng::seed_from_u64(seed);
    let truth = Truth::draw(&mut rng);
    let count = rng.random_range(2..=4);
    let arms: Vec<String> = (0..count).map(|arm| format!("arm-{arm}")).collect();
    let each = rng.random_range(5..40);
    let mut series: Vec<Series> = vec![Series::default(); count];
    let mut counts = vec![vec![0_u64; VALUES.len()]; count];
    let (mut memory, mut seen) = (Memory::default(), Seen::default());
    for hour in 0..HOURS {
        for arm in 0..count {
            for n in 0..each {
                let value = truth.value(&mut rng);
                let rate = if value > 0 { truth.rate } else { 1.0 };
                if rng.random::<f64>() < rate {
                    counts[arm][value] += 1;
                    let (observation, reward) = observe(START + hour * HOUR_MS + n, value, rate);
                    let _ = series[arm].record(&observation, &reward, observation.ts);
                }
            }
        }
        let now = START + (hour + 1) * HOUR_MS - 1;
        series.iter_mut().for_each(|it| it.advance(now));
        let timelines: BTreeMap<_, _> =
            arms.iter().cloned().zip(series.iter().map(|it| it.timeline().clone())).collect();
        memory = memory.advanced(&timelines, now);
        let input = input(&arms, ArmInput::of_all(&timelines, &memory), now);
        seen.proposal |= matches!(decide(&input), Decision::Propose(_));
        seen.left |= leaves_the_truth(&input, truth.mean);
        let different = |arm: &usize| kayenta::calls_different(&counts[0], &counts[*arm]);
        seen.kayenta |= (1..count).any(|arm| different(&arm));
    }
    seen.restarts = memory.arms.values().map(|arm| u64::from(arm.restarts)).sum();
    seen
}

fn observe(ts: i64, value: usize, rate: f64) -> (Observation, Reward) {
    let observation = Observation {
        id: String::new(),
        ts,
        component: String::new(),
        outcome: if value > 0 { Outcome::Success } else { Outcome::Failure },
        duration_ms: 100.0,
        tokens_in: None,
        tokens_out: None,
        cost_usd: None,
        policy_version: None,
        error_code: None,
        sample_rate: rate,
    };
    let reward = score(&RewardConfig::default(), &observation);
    (observation, Reward { score: VALUES[value], ..reward })
}

fn input(arms: &[String], known: BTreeMap<String, ArmInput>, now: i64) -> TuningInput {
    let weight = 1.0 / arms.len() as f64;
    let mut rewards = RewardConfig::default();
    // No mean lies below: what fails is another matter than what differs.
    rewards.thresholds.retrain = 0.0;
    TuningInput {
        policy_id: "p".to_owned(),
        parent: semver::Version::new(1, 0, 0),
        weights: arms.iter().map(|arm| (arm.clone(), weight)).collect(),
        arms: known,
        routed: None,
        rewards,
        config: TuningConfig::default().policies.remove("router-core").unwrap(),
        tuning_version: String::new(),
        last_draft: None,
        as_of: now,
    }
}

/// Whether an interval that would be shown now, of a reward or of a difference of two, leaves out
/// what is true.
fn leaves_the_truth(input: &TuningInput, mean: f64) -> bool {
    let count = input.weights.len();
    let known: Vec<(u32, Cells)> = input
        .arms
        .values()
        .map(|arm| (arm.memory.restarts, Cells::of(&arm.samples.reward)))
        .filter(|(_, cells)| !cells.is_empty())
        .collect();
    let of_one = |(restarts, cells): &(u32, Cells)| {
        let alpha = budget::of_interval(input.config.alpha, count, *restarts) / 2.0;
        cells.refutes(Side::Above, mean, alpha) || cells.refutes(Side::Below, mean, alpha)
    };
    let of_two = |a: usize, b: usize| {
        let restarts = [known[a].0, known[b].0];
        let alpha = budget::of_pair(input.config.alpha, count, restarts);
        is_greater(&known[a].1, &known[b].1, 0.0, alpha)
    };
    let pairs = || (0..known.len()).flat_map(|a| (0..known.len()).map(move |b| (a, b)));
    known.iter().any(of_one) || pairs().any(|(a, b)| a != b && of_two(a, b))
}
