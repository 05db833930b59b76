//! Arms that do not differ.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use f0_learning_core::estimate::{Cells, Cost, Grid, Latency, Sample, Side, is_greater};
use f0_learning_core::observation::{Observation, Outcome};
use f0_learning_core::reward::{Reward, RewardConfig, score};
use f0_learning_core::stats::Series;
use f0_learning_core::time::HOUR_MS;
use f0_learning_core::tuning::blocks::Claims;
use f0_learning_core::tuning::memory::Memory;
use f0_learning_core::tuning::{self, ArmInput, Decision, TuningInput, budget, decide};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::kayenta;
use crate::worlds::{self, START, Versions, pick};

const HOURS: i64 = 30 * 24;
const THREADS: u64 = 2;

/// The possible rewards.
const VALUES: [f64; 5] = [0.0, 0.35, 0.6, 0.75, 0.85];
/// The possible durations.
const DURATIONS: [f64; 5] = [30.0, 150.0, 600.0, 2_500.0, 9_000.0];
/// The possible costs.
const COSTS: [f64; 4] = [0.0007, 0.003, 0.013, 0.06];
/// The share of observations with a cost.
const PRICED: f64 = 0.8;

/// The kind of an interval.
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

/// What happened in one history.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    proposal: bool,
    /// Whether an interval missed the truth, by [`Of`].
    missed: [bool; ALL.len()],
    kayenta: bool,
    restarts: u64,
}

#[derive(Debug, Default)]
struct Sum {
    proposals: AtomicU64,
    missed: [AtomicU64; ALL.len()],
    missed_any: AtomicU64,
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
                    for (counter, missed) in sum.missed.iter().zip(seen.missed) {
                        count(counter, missed.into());
                    }
                    count(&sum.missed_any, seen.missed.contains(&true).into());
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
    println!("{histories} histories of 30 days in which no arm is better, evaluated each hour");
    println!(
        "  any proposal                     {:>7.2}%   at most 5",
        share(&sum.proposals) * 100.0
    );
    println!(
        "  any interval missed the truth    {:>7.2}%   at most 5",
        share(&sum.missed_any) * 100.0
    );
    for ((_, name), missed) in ALL.iter().zip(&sum.missed) {
        println!("    of a {name:<27} {:>7.2}%", share(missed) * 100.0);
    }
    println!("  Mann-Whitney at 98%, each look   {:>7.2}%", share(&sum.kayenta) * 100.0);
    println!("  restarts of arms                 {restarts:>7}");
    // The budget allows 5% of histories, plus three standard errors for chance.
    let most = 0.05 + 3.0 * (0.05 * 0.95 / histories as f64).sqrt();
    let is_kept = share(&sum.proposals) <= most && share(&sum.missed_any) <= most;
    if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The truth, which is the same for every arm: the probabilities of rewards, durations and costs, and
/// the sample rate.
struct Truth {
    values: Vec<f64>,
    /// By value.
    durations: Vec<Vec<f64>>,
    costs: Vec<Vec<f64>>,
    /// The share of rewards above 0 that is kept; rewards of 0 are always kept.
    rate: f64,
    means: Means,
}

/// The true values that intervals should contain.
#[derive(Clone, Copy, Debug, Default)]
struct Means {
    reward: f64,
    success: f64,
    cost: f64,
    p50: f64,
    p95: f64,
}

/// The result of one action, as indexes of the possible values.
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
        // The total probability of a duration or a cost, over all rewards.
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
    let (mut versions, weights) = (Versions::default(), vec![1.0 / count as f64; count]);
    for hour in 0..HOURS {
        for arm in 0..count {
            for n in 0..each {
                let act = truth.act(&mut rng);
                let rate = if act.value > 0 { truth.rate } else { 1.0 };
                if rng.random::<f64>() < rate {
                    counts[arm][act.value] += 1;
                    let (observation, reward) = observe(START + hour * HOUR_MS + n, act, rate);
                    let _ = series[arm].record(&observation, &reward, observation.ts);
                    versions.add(&arms, &weights, arm, (&observation, reward.score));
                }
            }
        }
        let now = START + (hour + 1) * HOUR_MS - 1;
        series.iter_mut().for_each(|it| it.advance(now));
        let timelines: BTreeMap<_, _> =
            arms.iter().cloned().zip(series.iter().map(|it| it.timeline().clone())).collect();
        let max_weight = tuning::max_weight(&timelines, truth.rate);
        memory = memory.advanced(&timelines, versions.counted(), max_weight, now);
        let mut input = input(ArmInput::of_all(&timelines, &memory), max_weight, now);
        input.blocks = versions.blocks(&memory, &arms);
        input.config.min_sample_rate = truth.rate;
        seen.proposal |= matches!(decide(&input), Decision::Propose(_));
        record_misses(&input, &truth.means, &mut seen.missed);
        let different = |arm: &usize| kayenta::calls_different(&counts[0], &counts[*arm]);
        seen.kayenta |= (1..count).any(|arm| different(&arm));
    }
    seen.restarts = memory.arms.values().map(|arm| u64::from(arm.restarts)).sum();
    seen
}

fn observe(ts: i64, act: Act, rate: f64) -> (Observation, Reward) {
    let outcome = if act.value > 0 { Outcome::Success } else { Outcome::Failure };
    let observation = Observation {
        duration_ms: Some(DURATIONS[act.duration]),
        cost_usd: act.cost.map(|it| COSTS[it]),
        sample_rate: rate,
        ..worlds::observation(ts, outcome)
    };
    let reward = score(&RewardConfig::default(), &observation);
    (observation, Reward { score: VALUES[act.value], ..reward })
}

fn input(known: BTreeMap<String, ArmInput>, max_weight: f64, now: i64) -> TuningInput {
    let mut rewards = RewardConfig::default();
    // No mean is below 0, so that no arm fails: only differences matter here.
    rewards.thresholds.retrain = 0.0;
    TuningInput { max_weight, rewards, ..worlds::input(known, now) }
}

/// Records each kind of interval that misses the truth now.
fn record_misses(input: &TuningInput, means: &Means, missed: &mut [bool; ALL.len()]) {
    let count = input.weights.len();
    let claims = input.blocks.as_ref().map_or(Claims::Pairs, |it| it.claims);
    let budget = budget::of_intervals(input.config.alpha, claims);
    let most = Cost::point_from(input.rewards.bounds.max_cost_usd);
    for arm in input.arms.values() {
        let alpha = budget::of_interval(budget, count, arm.memory.restarts) / 2.0;
        let refutes = |cells: Cells, mean: f64| {
            let cells = cells.within(input.max_weight);
            !cells.is_empty()
                && [Side::Above, Side::Below].iter().any(|side| cells.refutes(*side, mean, alpha))
        };
        let samples = &arm.samples;
        missed[Of::Reward as usize] |= refutes(Cells::of(&samples.reward), means.reward);
        missed[Of::Success as usize] |= refutes(Cells::of(&samples.success), means.success);
        missed[Of::Cost as usize] |= refutes(Cells::scaled(&samples.cost, most), means.cost / most);
        let misses = |share, truth| {
            misses_quantile(&samples.latency, input.max_weight, [share, truth], alpha)
        };
        missed[Of::P50 as usize] |= misses(0.5, means.p50);
        missed[Of::P95 as usize] |= misses(0.95, means.p95);
    }
    let known: Vec<(u32, Cells)> = input
        .arms
        .values()
        .map(|arm| (arm.memory.restarts, Cells::of(&arm.samples.reward).within(input.max_weight)))
        .filter(|(_, cells)| !cells.is_empty())
        .collect();
    let of_two = |a: usize, b: usize| {
        let restarts = [known[a].0, known[b].0];
        let alpha = budget::of_pair(budget, count, restarts);
        is_greater(&known[a].1, &known[b].1, 0.0, alpha)
    };
    let pairs = || (0..known.len()).flat_map(|a| (0..known.len()).map(move |b| (a, b)));
    missed[Of::Difference as usize] |= pairs().any(|(a, b)| a != b && of_two(a, b));
}

/// Whether the interval of a quantile is completely below or above the truth. Its ends are points of the
/// grid, so that testing the two points next to the truth is sufficient.
fn misses_quantile(
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
    // A duration counts as the first point at or above it.
    let first_after = if Latency::point(at) > truth { at } else { at + 1 };
    up_to(Latency::point(first_after)).refutes(Side::Below, share, alpha)
        || up_to(Latency::point(at - 1)).refutes(Side::Above, share, alpha)
}
