//! Equal arms whose weights follow what is believed: how often a difference is proven, how often an
//! interval missed the truth at any look, and how many versions are published for nothing.
//!
//! The reward that these weights lose is 0, because the arms are equal at any moment.

use std::collections::BTreeMap;
use std::process::ExitCode;

use f0_learning_core::estimate::{Cells, Side};
use f0_learning_core::observation::{Observation, Outcome};
use f0_learning_core::reward::{Reward, RewardConfig, score};
use f0_learning_core::stats::Series;
use f0_learning_core::time::HOUR_MS;
use f0_learning_core::tuning::blocks::Block;
use f0_learning_core::tuning::memory::Memory;
use f0_learning_core::tuning::{ArmInput, TuningInput, budget, proofs, rule};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::timed::{ARMS, Believed, HOURS, WORLDS, World};
use crate::worlds::{self, START, pick};

/// What happened in the histories of a world.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    histories: u64,
    /// Those with a proof of a difference.
    proven: u64,
    /// Those in which the interval of an arm's mean reward missed the mean of what its actions could
    /// expect.
    missed: u64,
    restarts: u64,
    versions: u64,
}

/// Histories of all worlds in turn, on one thread, so that any number of them is a fair sample. The
/// counts are printed every 100 histories: what is done counts if the run is ended early.
pub fn run(histories: u64, first: u64) -> ExitCode {
    let mut seen = [Seen::default(); WORLDS.len()];
    for number in 0..histories {
        let at = (number % WORLDS.len() as u64) as usize;
        history(WORLDS[at], first + number, &mut seen[at]);
        if (number + 1).is_multiple_of(100) {
            report(&seen);
        }
    }
    let is_kept = report(&seen);
    if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(seen: &[Seen]) -> bool {
    let all = seen.iter().map(|it| it.histories).sum::<u64>();
    println!("{all} histories of 30 days with two equal arms, evaluated each hour");
    println!(
        "{:<8} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "world", "n", "proven %", "missed %", "versions", "restarts"
    );
    let mut is_kept = true;
    for (world, it) in WORLDS.iter().zip(seen) {
        let n = it.histories.max(1) as f64;
        let share = |of: u64| of as f64 / n;
        println!(
            "{:<8} {:>9} {:>9.2} {:>9.2} {:>9.1} {:>9.2}",
            format!("{world:?}").to_lowercase(),
            it.histories,
            share(it.proven) * 100.0,
            share(it.missed) * 100.0,
            share(it.versions),
            share(it.restarts),
        );
        // 5%, plus three standard errors for chance.
        let most = 0.05 + 3.0 * (0.05 * 0.95 / n).sqrt();
        is_kept &= share(it.proven) <= most && share(it.missed) <= most;
    }
    is_kept
}

/// The actions and the sum of the probabilities of success of an arm, by hour.
type Expected = Vec<(i64, f64, f64)>;

/// A success and a failure with their rewards. Only the time differs between actions.
fn outcomes() -> [(Observation, Reward); 2] {
    [Outcome::Failure, Outcome::Success].map(|outcome| {
        let observation = worlds::observation(START, outcome);
        let reward = score(&RewardConfig::default(), &observation);
        let value = f64::from(u8::from(outcome == Outcome::Success));
        (observation, Reward { score: value, ..reward })
    })
}

fn history(world: World, seed: u64, seen: &mut Seen) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut outcomes = outcomes();
    let mut series = [Series::default(), Series::default()];
    let mut expected: [Expected; 2] = Default::default();
    let (arms, mut versions) = (ARMS.map(str::to_owned), BTreeMap::<String, Block>::new());
    let (mut memory, mut believed) = (Memory::default(), Believed::default());
    let (mut shock, mut is_proven, mut has_missed) = (0.0, false, false);
    for hour in 0..HOURS {
        let (now, lasting) = world.hour(hour, shock, &mut random);
        shock = lasting;
        let shares = [believed.share, 1.0 - believed.share];
        let from = START + hour * HOUR_MS;
        let mut counts = [0.0; 2];
        // Versions with equal weights are one block, so that one stands for all of them.
        let block = versions.entry(format!("{shares:?}")).or_insert_with(|| Block {
            weights: arms.iter().cloned().zip(shares).collect(),
            ..Block::default()
        });
        for n in 0..now.actions {
            let arm = pick(&shares, &mut random);
            let is_success = random.random_bool(now.success);
            let (observation, reward) = &mut outcomes[usize::from(is_success)];
            observation.ts = from + n;
            let _ = series[arm].record(observation, reward, observation.ts);
            if let Some(log) = block.logs.get_mut(ARMS[arm]) {
                log.add(observation, reward.score);
            } else {
                block.logs.entry(arms[arm].clone()).or_default().add(observation, reward.score);
            }
            counts[arm] += 1.0;
        }
        for (expected, n) in expected.iter_mut().zip(counts) {
            expected.push((from, n, n * now.success));
        }
        let now = from + HOUR_MS - 1;
        series.iter_mut().for_each(|it| it.advance(now));
        let timelines: BTreeMap<String, _> =
            arms.iter().cloned().zip(series.iter().map(|it| it.timeline().clone())).collect();
        memory = memory.advanced(&timelines, &versions, 1.0, now);
        believed.look(&timelines, now);
        let pooled = worlds::input(ArmInput::of_all(&timelines, &memory), now);
        has_missed = has_missed || misses(&pooled, &expected);
        if !is_proven {
            let blocks = Some(memory.blocks(&arms, versions.clone()));
            let input = TuningInput { blocks, ..pooled };
            is_proven = !proofs(&input).is_empty();
            if seen.histories == 0 && hour == 0 {
                println!("{world:?}: the rule is {}", rule(&input));
            }
        }
    }
    seen.histories += 1;
    seen.proven += u64::from(is_proven);
    seen.missed += u64::from(has_missed);
    seen.versions += believed.versions;
    seen.restarts += memory.arms.values().map(|it| u64::from(it.restarts)).sum::<u64>();
}

/// Whether an interval of a mean reward misses the mean of what the arm's actions could expect since
/// its restart.
fn misses(input: &TuningInput, expected: &[Expected; 2]) -> bool {
    input.arms.values().zip(expected).any(|(arm, hours)| {
        let since = hours.iter().filter(|it| it.0 >= arm.memory.since);
        let (n, sum) = since.fold((0.0, 0.0), |(n, sum), it| (n + it.1, sum + it.2));
        let alpha = budget::of_interval(input.config.alpha, ARMS.len(), arm.memory.restarts) / 2.0;
        let cells = Cells::of(&arm.samples.reward).within(input.max_weight);
        let refutes = |side: &Side| cells.refutes(*side, sum / n, alpha);
        n > 0.0 && !cells.is_empty() && [Side::Above, Side::Below].iter().any(refutes)
    })
}
