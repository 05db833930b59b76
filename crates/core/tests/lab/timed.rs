//! Equal arms in a world that changes with time: how often each rule proves a difference.
//!
//! All arms succeed with the same probability at any moment, but that probability swings with the
//! hour or the week, or is shifted by shocks. Weights are held, moved at random each hour, follow the
//! hour, or follow what is believed. `pooled` compares all observations of an arm since its restart, as
//! an earlier rule did; `within` compares arms within versions.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use f0_learning_core::belief::{self, BeliefInput, BeliefState, Bucket, allocate};
use f0_learning_core::observation::Outcome;
use f0_learning_core::reward::{Reward, RewardConfig, score};
use f0_learning_core::stats::{Series, Timeline};
use f0_learning_core::time::HOUR_MS;
use f0_learning_core::tuning::memory::Memory;
use f0_learning_core::tuning::{ArmInput, Basis, TuningInput, proofs};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::worlds::{self, START, Versions, pick};

pub const HOURS: i64 = 30 * 24;
const THREADS: u64 = 2;
const ACTIONS: f64 = 200.0;
const SUCCESS: f64 = 0.7;
const SWING: f64 = 0.08;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum World {
    Steady,
    Daily,
    Weekly,
    /// Every two days on average, all arms get better or worse by up to 0.2 for some hours.
    Shocks,
    /// The daily swing, and up to 19 times as many actions at its top as at its bottom.
    Traffic,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Weights {
    Held,
    Random,
    Follow,
    /// By what is believed.
    Belief,
}

pub const WORLDS: [World; 5] =
    [World::Steady, World::Daily, World::Weekly, World::Shocks, World::Traffic];
const WEIGHTS: [Weights; 4] = [Weights::Held, Weights::Random, Weights::Follow, Weights::Belief];

/// The arms' names.
pub const ARMS: [&str; 2] = ["a", "b"];

/// What holds for all arms in an hour.
#[derive(Clone, Copy, Debug)]
pub struct Hour {
    /// The probability of success.
    pub success: f64,
    pub actions: i64,
    /// The daily rhythm from -1 to 1.
    day: f64,
}

impl World {
    /// The hour, and the shock that lasts into the next.
    pub fn hour(self, hour: i64, shock: f64, random: &mut StdRng) -> (Hour, f64) {
        let day = (hour as f64 / 24.0 * TAU).sin();
        let shock = match shock == 0.0 {
            true if random.random_bool(1.0 / 48.0) => random.random_range(-0.2..0.2),
            false if random.random_bool(1.0 / 8.0) => 0.0,
            _ => shock,
        };
        let success = SUCCESS
            + match self {
                Self::Steady => 0.0,
                Self::Daily | Self::Traffic => SWING * day,
                Self::Weekly => SWING * (hour as f64 / 168.0 * TAU).sin(),
                Self::Shocks => shock,
            };
        let busy = if self == Self::Traffic { 1.0 + 0.9 * day } else { 1.0 };
        (Hour { success, actions: (ACTIONS * busy) as i64, day }, shock)
    }
}

pub fn run(histories: u64, first: u64) -> ExitCode {
    println!("{histories} histories of 30 days with two equal arms, evaluated each hour");
    println!("{:<8} {:<7} {:>9} {:>9}", "world", "weights", "pooled %", "within %");
    let mut is_kept = true;
    // The claims of proposals have 5%, plus three standard errors for chance.
    let most = 0.05 + 3.0 * (0.05 * 0.95 / histories as f64).sqrt();
    for world in WORLDS {
        for weights in WEIGHTS {
            let [pooled, within] = shares(world, weights, histories, first);
            let names = [format!("{world:?}"), format!("{weights:?}")].map(|it| it.to_lowercase());
            let [pooled_percent, within_percent] = [pooled, within].map(|it| it * 100.0);
            println!("{:<8} {:<7} {pooled_percent:>9.2} {within_percent:>9.2}", names[0], names[1]);
            is_kept &= within <= most;
        }
    }
    if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The shares of histories with a false proof, by either rule.
fn shares(world: World, weights: Weights, histories: u64, first: u64) -> [f64; 2] {
    let (next, wrong) = (AtomicU64::new(0), [AtomicU64::new(0), AtomicU64::new(0)]);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= histories {
                        return;
                    }
                    for (sum, is_wrong) in wrong.iter().zip(history(world, weights, first + number))
                    {
                        sum.fetch_add(is_wrong.into(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    wrong.map(|it| it.into_inner() as f64 / histories as f64)
}

/// Whether each rule proved a difference at any look.
fn history(world: World, weights: Weights, seed: u64) -> [bool; 2] {
    let mut random = StdRng::seed_from_u64(seed);
    let mut series = [Series::default(), Series::default()];
    let (arms, mut versions) = (ARMS.map(str::to_owned), Versions::default());
    let (mut memory, mut wrong) = (Memory::default(), [false; 2]);
    let mut believed = Believed::default();
    let mut shock = 0.0;
    for hour in 0..HOURS {
        let (now, lasting) = world.hour(hour, shock, &mut random);
        shock = lasting;
        let Hour { success, actions, day } = now;
        let share = match weights {
            Weights::Held => 0.5,
            Weights::Random => f64::from(random.random_range(1..=9)) / 10.0,
            Weights::Follow => (5.0 + 4.0 * day).round() / 10.0,
            Weights::Belief => believed.share,
        };
        let shares = [share, 1.0 - share];
        for n in 0..actions {
            let arm = pick(&shares, &mut random);
            let is_success = random.random_bool(success);
            let outcome = if is_success { Outcome::Success } else { Outcome::Failure };
            let observation = worlds::observation(START + hour * HOUR_MS + n, outcome);
            let reward = score(&RewardConfig::default(), &observation);
            let reward = Reward { score: f64::from(u8::from(is_success)), ..reward };
            let _ = series[arm].record(&observation, &reward, observation.ts);
            versions.add(&arms, &shares, arm, (&observation, reward.score));
        }
        let now = START + (hour + 1) * HOUR_MS - 1;
        series.iter_mut().for_each(|it| it.advance(now));
        let timelines: BTreeMap<String, _> =
            arms.iter().cloned().zip(series.iter().map(|it| it.timeline().clone())).collect();
        memory = memory.advanced(&timelines, versions.counted(), 1.0, now);
        if weights == Weights::Belief {
            believed.look(&timelines, now);
        }
        let pooled = worlds::input(ArmInput::of_all(&timelines, &memory), now);
        if !wrong[0] {
            wrong[0] = !proofs(&pooled).is_empty();
        }
        if !wrong[1] {
            let blocks = versions.blocks(&memory, &arms);
            wrong[1] = !proofs(&TuningInput { blocks, ..pooled }).is_empty();
        }
        if wrong == [true; 2] {
            break;
        }
    }
    wrong
}

/// The weight of the first arm, by what is believed, and what is remembered.
pub struct Believed {
    pub share: f64,
    state: BeliefState,
    pub versions: u64,
}

impl Default for Believed {
    fn default() -> Self {
        Self { share: 0.5, state: BeliefState::default(), versions: 0 }
    }
}

impl Believed {
    pub fn look(&mut self, timelines: &BTreeMap<String, Timeline>, now: i64) {
        let buckets = Basis::new(timelines, BeliefState::default(), None, None).buckets;
        let held = [self.share, 1.0 - self.share];
        let arm = |((name, buckets), held): ((String, Vec<Bucket>), f64)| {
            (name, belief::ArmInput { buckets, held, min: 0.0, max: 1.0 })
        };
        let arms = buckets.into_iter().zip(held).map(arm).collect();
        let input = BeliefInput { arms, floor: 0.05, step: 0.2, now };
        let found = allocate(&input, &self.state);
        self.share = found.weights[ARMS[0]];
        self.state = found.state;
        self.versions += u64::from(found.publish);
    }
}
