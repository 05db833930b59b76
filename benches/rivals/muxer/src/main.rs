//! The regret of the learners of the crate `muxer`, in the format of `rivals.py`.

use std::collections::BTreeMap;

use muxer::{Outcome, Router, RouterConfig, ThompsonConfig, ThompsonSampling};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;

const FLOOR: f64 = 0.05;
const STEP: f64 = 0.1;
const DRAWS: usize = 500;

#[derive(Deserialize)]
struct Worlds {
    batch: usize,
    worlds: BTreeMap<String, Vec<Vec<f64>>>,
    /// The hour of the change, for worlds that change.
    changes: BTreeMap<String, usize>,
}

enum Policy {
    Thompson(ThompsonSampling),
    Router(Box<Router>, u64),
}

impl Policy {
    fn choose(&mut self, arms: &[String]) -> usize {
        let chosen = match self {
            Self::Thompson(it) => it.select(arms).cloned(),
            Self::Router(it, seed) => {
                *seed += 1;
                it.select(1, *seed).primary().map(str::to_owned)
            }
        };
        let chosen = chosen.expect("there is an arm");
        arms.iter().position(|arm| *arm == chosen).expect("it is one of the arms")
    }

    fn learn(&mut self, arm: &str, is_success: bool) {
        match self {
            Self::Thompson(it) => it.update_reward(arm, f64::from(u8::from(is_success))),
            Self::Router(it, _) => {
                let outcome =
                    if is_success { Outcome::success(1, 100) } else { Outcome::failure(1, 100) };
                it.observe(arm, outcome);
                if it.mode().is_triage() {
                    it.acknowledge_change(arm);
                }
            }
        }
    }
}

fn policies(arms: &[String], seed: u64) -> Vec<(&'static str, Policy)> {
    let thompson = |decay| {
        let config = ThompsonConfig { decay, ..ThompsonConfig::default() };
        Policy::Thompson(ThompsonSampling::with_seed(config, seed))
    };
    let config = RouterConfig::default().with_coverage(0.02, 1);
    let router = Router::new(arms.to_vec(), config).expect("the configuration is its own");
    vec![
        ("muxer Thompson", thompson(1.0)),
        ("muxer Thompson, decay 0.999", thompson(0.999)),
        ("muxer Router", Policy::Router(Box::new(router), seed * 1_000_000)),
    ]
}

/// The shares nearest to `wanted` that keep the floor and the step bound from `before`.
fn within_bounds(wanted: &[f64], before: &[f64]) -> Vec<f64> {
    let clipped = |by: f64| -> Vec<f64> {
        wanted
            .iter()
            .zip(before)
            .map(|(wanted, before)| {
                let low = (before - STEP).max(FLOOR);
                (wanted + by).clamp(low, (before + STEP).max(low))
            })
            .collect()
    };
    let (mut least, mut most) = (-2.0, 2.0);
    for _ in 0..60 {
        let middle = (least + most) / 2.0;
        if clipped(middle).iter().sum::<f64>() < 1.0 { least = middle } else { most = middle }
    }
    let shares = clipped(most);
    let sum: f64 = shares.iter().sum();
    shares.into_iter().map(|it| it / sum).collect()
}

fn pick(shares: &[f64], random: &mut StdRng) -> usize {
    let mut left: f64 = random.random();
    for (arm, share) in shares.iter().enumerate() {
        left -= share;
        if left < 0.0 {
            return arm;
        }
    }
    shares.len() - 1
}

/// The total regret, and the regret after the change.
fn regret(
    mut policy: Policy,
    arms: &[String],
    world: &[Vec<f64>],
    change: usize,
    batch: usize,
    is_bounded: bool,
    seed: u64,
) -> [f64; 2] {
    let mut random = StdRng::seed_from_u64(seed);
    let mut shares = vec![1.0 / arms.len() as f64; arms.len()];
    let mut lost = [0.0; 2];
    for (hour, success) in world.iter().enumerate() {
        if is_bounded && hour > 0 {
            let mut drawn = vec![0.0; arms.len()];
            (0..DRAWS).for_each(|_| drawn[policy.choose(arms)] += 1.0 / DRAWS as f64);
            shares = within_bounds(&drawn, &shares);
        }
        let chosen: Vec<usize> = (0..batch)
            .map(|_| if is_bounded { pick(&shares, &mut random) } else { policy.choose(arms) })
            .collect();
        let best = success.iter().copied().fold(0.0, f64::max);
        for arm in chosen {
            lost[0] += best - success[arm];
            if hour >= change {
                lost[1] += best - success[arm];
            }
            policy.learn(&arms[arm], random.random_bool(success[arm]));
        }
    }
    lost
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().expect("the first argument is the file of worlds");
    let runs = arguments.next().and_then(|it| it.parse::<u64>().ok()).expect("and then runs");
    let text = std::fs::read_to_string(file).expect("the file can be read");
    let worlds: Worlds = serde_json::from_str(&text).expect("it holds worlds");
    for (name, world) in &worlds.worlds {
        let arms: Vec<String> = (0..world[0].len()).map(|arm| format!("arm-{arm:02}")).collect();
        let change = worlds.changes.get(name).copied().unwrap_or(world.len());
        for is_bounded in [true, false] {
            for number in 0..policies(&arms, 0).len() {
                let mut label = "";
                let lost: Vec<[f64; 2]> = (0..runs)
                    .map(|seed| {
                        let (name, policy) = policies(&arms, seed).swap_remove(number);
                        label = name;
                        regret(policy, &arms, world, change, worlds.batch, is_bounded, seed)
                    })
                    .collect();
                let mean = |of: usize| lost.iter().map(|it| it[of]).sum::<f64>() / runs as f64;
                let spread: f64 = lost.iter().map(|it| (it[0] - mean(0)).powi(2)).sum();
                let error = (spread / (runs as f64 - 1.0).max(1.0) / runs as f64).sqrt();
                let bounds = if is_bounded { "bounds" } else { "free" };
                println!("{name}\t{bounds}\t{label}\t{:.1}\t{error:.1}\t{:.1}", mean(0), mean(1));
            }
        }
    }
}
