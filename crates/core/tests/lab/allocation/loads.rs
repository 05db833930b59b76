//! Belief and the best other learner under other loads: arms, actions an hour, delay and sampling.

use std::process::ExitCode;

use rand::RngExt;
use rand::rngs::StdRng;

use super::{Arrival, LIMITS, Row, World, measure};

const ARMS: [usize; 3] = [2, 10, 50];
const ACTIONS: [usize; 3] = [20, 200, 20_000];
const DELAYS: [usize; 2] = [0, 3];
const SAMPLES: [f64; 2] = [1.0, 0.1];
/// Those with the least regret in some world of this table; the others would change no cell.
const RIVALS: [&str; 5] = ["BetaTS", "Beta.999", "Kalman", "DAL.1", "Pareto"];

/// `allocation loads [RUNS] [WORLDS] [ARMS]`: the whole regret without limits.
pub fn run(arguments: &[String]) -> ExitCode {
    let runs = arguments.first().and_then(|it| it.parse::<u64>().ok()).unwrap_or(20);
    let worlds = arguments.get(1).map_or("stationary,shift", String::as_str);
    let arms = arguments.get(2).and_then(|it| it.parse::<usize>().ok());
    println!(
        "| world | arms | actions an hour | delay | sampled | best rival | its regret | belief | ratio |"
    );
    println!("|---|--:|--:|--:|--:|---|--:|--:|--:|");
    for count in ARMS.into_iter().filter(|it| arms.is_none_or(|arms| arms == *it)) {
        for world in worlds.split(',').filter_map(|it| World::named(&format!("{it}x{count}"))) {
            for batch in ACTIONS {
                for delay in DELAYS {
                    for sample in SAMPLES {
                        cell(&world, Arrival { batch, sample, delay }, runs);
                    }
                }
            }
        }
    }
    ExitCode::SUCCESS
}

fn cell(world: &World, arrival: Arrival, runs: u64) {
    let of = |name: &str| measure(name, world, LIMITS[0], arrival, runs);
    let rivals: Vec<Row> = RIVALS.map(of).into();
    let best = rivals.into_iter().min_by(|a, b| a.regret.total_cmp(&b.regret)).unwrap();
    let ours = of("belief");
    let (name, arms) = world.name.split_once('x').unwrap();
    let Arrival { batch, sample, delay } = arrival;
    println!(
        "| {name} | {arms} | {batch} | {delay} | {sample} | {} | {:.1} ± {:.1} | {:.1} ± {:.1} | {:.2} |",
        best.name,
        best.regret,
        best.error,
        ours.regret,
        ours.error,
        ours.regret / best.regret
    );
}

/// How many of `all` actions each arm gets.
pub fn counts(shares: &[f64], all: usize, random: &mut StdRng) -> Vec<f64> {
    let (mut left, mut rest) = (all as f64, 1.0_f64);
    let mut of = |share: &f64| {
        let n = binomial(left, (share / rest.max(1e-12)).min(1.0), random);
        left -= n;
        rest -= share;
        n
    };
    shares.iter().map(&mut of).collect()
}

/// The successes of `n` trials; by the normal approximation if their variance is above 100.
pub fn binomial(n: f64, p: f64, random: &mut StdRng) -> f64 {
    let variance = n * p * (1.0 - p);
    if variance > 100.0 {
        let noise = super::rivals::normal(random) * variance.sqrt();
        return (n * p + noise).round().clamp(0.0, n);
    }
    if p > 0.5 {
        return n - binomial(n, 1.0 - p, random);
    }
    if p <= 0.0 {
        return 0.0;
    }
    // The gaps between successes are geometric.
    let (mut at, mut found) = (0.0, 0.0);
    loop {
        let gap = ((1.0 - random.random::<f64>()).ln() / (1.0 - p).ln()).floor() + 1.0;
        at += gap;
        if at > n {
            return found;
        }
        found += 1.0;
    }
}
