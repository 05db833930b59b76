//! Arms that do not differ.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use f0_learning_core::estimate::{Cells, Cost, Grid, Latency, Sample, Side, is_greater};
use f0_learning_core::observation::{Observation, Outcome};
use f0_learning_core::reward::{Reward, RewardConfig, score};
use f0_learning_core::stats::Series;
use f0_learning_core::tuning::memory::Memory;
use f0_learning_core::tuning::{self, ArmInput, Decision, TuningInput, budget, decide};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::kayenta;
use crate::worlds::{self, HOUR_MS, START, pick};

const HOURS: i64 = 30 * 24;
const THREADS: u64 = 2;

/// What rewards, durations and costs can be.
const VALUES: [f64; 5] = [0.0, 0.35, 0.6, 0.75, 0.85];
const DURATIONS: [f64; 5] = [30.0, 150.0, 600.0, 2_500.0, 9_000.0];
const COSTS: [f64; 4] = [0.0007, 0.003, 0.013, 0.06];
/// The share of observations that give a cost.
const PRICED: f64 = 0.8;

/// Which interval left the truth.
#[derive(Clone, Copy, Debug)]
enum Of {
    Reward,
    Success,
    Cost,
    P50,
    P95,
    Difference,
}

const ALL: [(Of, &str); 6] = [
    (Of::Reward, "mean reward"),
    (Of::Success, "success rate"),
    (Of::Cost, "mean cost"),
    (Of::P50, "p50 latency"),
    (Of::P95, "p95 latency"),
    (Of::Difference, "difference of two arms"),
];

/// What was seen in one history.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    proposal: bool,
    /// By [`Of`].
    left: [bool; ALL.len()],
    kayenta: bool,
    restarts: u64,
}

#[derive(Debug, Default)]
struct Sum {
    proposals: AtomicU64,
    left: [AtomicU64; ALL.len()],
    left_any: AtomicU64,
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
                    for (counter, left) in sum.left.iter().zip(seen.left) {
                        count(counter, left.into());
                    }
                    count(&sum.left_any, seen.left.contains(&true).into());
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
    println!(
        "  any interval that left the truth {:>7.2}%   at most 5",
        share(&sum.left_any) * 100.0
    );
    for ((_, name), left) in ALL.iter().zip(&sum.left) {
        println!("    of a {name:<27} {:>7.2}%", share(left) * 100.0);
    }
    println!("  Mann-Whitney at 98%, each look   {:>7.2}%", share(&sum.kayenta) * 100.0);
    println!("  arms begun anew                  {restarts:>7}");
    // Beyond 5% by more than luck: the budget allows 5% of histories, give or take.
    let most = 0.05 + 3.0 * (0.05 * 0.95 / histories as f64).sqrt();
    let is_kept = share(&sum.proposals) <= most && share(&sum.left_any) <= most;
    if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The same for every arm: how probable each value is, what comes with it, and how each outcome is
/// sampled.
struct Truth {
    values: Vec<f64>,
    /// By value.
    durations: Vec<Vec<f64>>,
    costs: Vec<Vec<f64>>,
    /// The share of rewards above 0 that is kept; the others are all kept.
    rate: f64,
    means: Means,
}

/// What intervals are to cover.
#[derive(Clone, Copy, Debug, Default)]
struct Means {
    reward: f64,
    success: f64,
    cost: f64,
    p50: f64,
    p95: f64,
}

/// What came of one action, by number of the value.
#[derive(Clone, Copy, Debug)]
struct Act {
    value: usize,
    duration: usize,
    cost: Option<usize>,
}

fn shares(n: usize, rng: &mut StdRng) -> Vec<f64> {
    let raw: Vec<f64> = (0..n).map(|_| rng.random_range(0.02..1.0)).collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|it| it / sum).collect()
}

impl Truth {
    fn draw(rng: &mut StdRng) -> Self {
        let values = shares(VALUES.len(), rng);
        let durations = VALUES.iter().map(|_| shares(DURATIONS.len(), rng)).collect();
        let costs = VALUES.iter().map(|_| shares(COSTS.len(), rng)).collect();
        let rate = if rng.random_bool(0.3) { 0.1 } else { 1.0 };
        let mut truth = Self { values, durations, costs, rate, means: Means::default() };
        truth.means = truth.means();
        truth
    }

    fn means(&self) -> Means {
        // How probable each of what comes with a value is, over all values.
        let over_all = |by_value: &[Vec<f64>], at: usize| -> f64 {
            self.values.iter().zip(by_value).map(|(share, of)| share * of[at]).sum()
        };
        let quantile = |q: f64| {
            let mut reached = 0.0;
            let found = DURATIONS.iter().enumerate().find(|(at, _)| {
                reached += over_all(&self.durations, *at);
                reached >= q
            });
            *found.unwrap().1
        };
        Means {
            reward: self.values.iter().zip(VALUES).map(|(share, value)| share * value).sum(),
            success: 1.0 - self.values[0],
            cost: COSTS.iter().enumerate().map(|(at, it)| it * over_all(&self.costs, at)).sum(),
            p50: quantile(0.5),
            p95: quantile(0.95),
        }
    }

    fn act(&self, rng: &mut StdRng) -> Act {
        let value = pick(&self.values, rng);
        let duration = pick(&self.durations[value], rng);
        let cost = rng.random_bool(PRICED).then(|| pick(&self.costs[value], rng));
        Act { value, duration, cost }
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
                let act = truth.act(&mut rng);
                let rate = if act.value > 0 { truth.rate } else { 1.0 };
                if rng.random::<f64>() < rate {
                    counts[arm][act.value] += 1;
                    let (observation, reward) = observe(START + hour * HOUR_MS + n, act, rate);
                    let _ = series[arm].record(&observation, &reward, observation.ts);
                }
            }
        }
        let now = START + (hour + 1) * HOUR_MS - 1;
        series.iter_mut().for_each(|it| it.advance(now));
        let timelines: BTreeMap<_, _> =
            arms.iter().cloned().zip(series.iter().map(|it| it.timeline().clone())).collect();
        let max_weight = tuning::max_weight(&timelines, truth.rate);
        memory = memory.advanced(&timelines, max_weight, now);
        let input = input(ArmInput::of_all(&timelines, &memory), max_weight, now);
        seen.proposal |= matches!(decide(&input), Decision::Propose(_));
        leaves_the_truth(&input, &truth.means, &mut seen.left);
        let different = |arm: &usize| kayenta::calls_different(&counts[0], &counts[*arm]);
        seen.kayenta |= (1..count).any(|arm| different(&arm));
    }
    seen.restarts = memory.arms.values().map(|arm| u64::from(arm.restarts)).sum();
    seen
}

fn observe(ts: i64, act: Act, rate: f64) -> (Observation, Reward) {
    let outcome = if act.value > 0 { Outcome::Success } else { Outcome::Failure };
    let observation = Observation {
        duration_ms: DURATIONS[act.duration],
        cost_usd: act.cost.map(|it| COSTS[it]),
        sample_rate: rate,
        ..worlds::observation(ts, outcome)
    };
    let reward = score(&RewardConfig::default(), &observation);
    (observation, Reward { score: VALUES[act.value], ..reward })
}

fn input(known: BTreeMap<String, ArmInput>, max_weight: f64, now: i64) -> TuningInput {
    let mut rewards = RewardConfig::default();
    // No mean lies below: what fails is another matter than what differs.
    rewards.thresholds.retrain = 0.0;
    TuningInput { max_weight, rewards, ..worlds::input(known, now) }
}

/// Notes each interval that would be shown now and leaves out what is true.
fn leaves_the_truth(input: &TuningInput, means: &Means, left: &mut [bool; ALL.len()]) {
    let count = input.weights.len();
    let most = Cost::point_from(input.rewards.bounds.max_cost_usd);
    for arm in input.arms.values() {
        let alpha = budget::of_interval(input.config.alpha, count, arm.memory.restarts) / 2.0;
        let refutes = |cells: Cells, mean: f64| {
            let cells = cells.within(input.max_weight);
            !cells.is_empty()
                && [Side::Above, Side::Below].iter().any(|side| cells.refutes(*side, mean, alpha))
        };
        let samples = &arm.samples;
        left[Of::Reward as usize] |= refutes(Cells::of(&samples.reward), means.reward);
        left[Of::Success as usize] |= refutes(Cells::of(&samples.success), means.success);
        left[Of::Cost as usize] |= refutes(Cells::scaled(&samples.cost, most), means.cost / most);
        let leaves = |share, truth| {
            leaves_quantile(&samples.latency, input.max_weight, [share, truth], alpha)
        };
        left[Of::P50 as usize] |= leaves(0.5, means.p50);
        left[Of::P95 as usize] |= leaves(0.95, means.p95);
    }
    let known: Vec<(u32, Cells)> = input
        .arms
        .values()
        .map(|arm| (arm.memory.restarts, Cells::of(&arm.samples.reward).within(input.max_weight)))
        .filter(|(_, cells)| !cells.is_empty())
        .collect();
    let of_two = |a: usize, b: usize| {
        let restarts = [known[a].0, known[b].0];
        let alpha = budget::of_pair(input.config.alpha, count, restarts);
        is_greater(&known[a].1, &known[b].1, 0.0, alpha)
    };
    let pairs = || (0..known.len()).flat_map(|a| (0..known.len()).map(move |b| (a, b)));
    left[Of::Difference as usize] |= pairs().any(|(a, b)| a != b && of_two(a, b));
}

/// Whether the interval of a quantile ends below or begins above the truth. Its ends are points of
/// the grid, so that the two next to the truth are asked, and not all of them.
fn leaves_quantile(
    sample: &Sample<Latency>,
    max_weight: f64,
    [share, truth]: [f64; 2],
    alpha: f64,
) -> bool {
    if sample.is_empty() {
        return false;
    }
    let (at, _) = Latency::place(truth);
    let up_to = |edge: f64| {
        let below = |value: f64| f64::from(u8::from(value <= edge));
        let points = sample.points().map(|(weight, value, n)| (weight, below(value), n));
        Cells::from_points(points).within(max_weight)
    };
    // A duration counts as the first point that is no less.
    let first_after = if Latency::point(at) > truth { at } else { at + 1 };
    up_to(Latency::point(first_after)).refutes(Side::Below, share, alpha)
        || up_to(Latency::point(at - 1)).refutes(Side::Above, share, alpha)
}
