//! Watches while everything changes at the same time: how many versions are rolled back, and after how
//! many observations, with other components as controls and without.

use std::process::ExitCode;

use f0_learning_core::experiment::{
    GuardConfig, Judgement, Kind, Metric, OtherComponent, Setting, compare, compare_beyond, judge,
};
use f0_learning_core::reward::{RewardConfig, score};
use f0_learning_core::simulation::Truth;
use f0_learning_core::stats::{Samples, Series};
use f0_learning_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// The time between two passes, and the version's actions in it.
const PASS_MS: i64 = 10 * MINUTE_MS;
const PASS_ACTIONS: usize = 50;
/// How long everything was observed before the activation, which is not at a full hour.
const BEFORE_MS: i64 = 2 * DAY_MS;
const ACTIVATED: i64 = 20_000 * DAY_MS + 25 * MINUTE_MS;
/// How long a version is watched.
const WATCHED_MS: i64 = 8 * HOUR_MS;

/// The usual success rates of other components, and their actions as a share of the version's.
const OTHERS: [(f64, f64); 8] = [
    (0.95, 4.0),
    (0.6, 2.0),
    (0.8, 1.0),
    (0.9, 1.0),
    (0.7, 1.0),
    (0.85, 0.5),
    (0.75, 0.5),
    (0.9, 0.2),
];

#[derive(Clone, Copy)]
struct World {
    name: &'static str,
    /// By how much the success rate of the version falls by itself.
    fall: f64,
    /// By how much everything falls, and how long after the activation.
    shock: f64,
    after_ms: i64,
    /// By how much everything swings in a day.
    swing: f64,
    /// Whether the shares of the other components change with the activation.
    moves: bool,
    is_rolled_back: bool,
}

const STEADY: World = World {
    name: "",
    fall: 0.0,
    shock: 0.0,
    after_ms: 0,
    swing: 0.0,
    moves: false,
    is_rolled_back: false,
};

pub fn run(runs: u64) -> ExitCode {
    let worse = World { is_rolled_back: true, ..STEADY };
    let worlds = [
        World { name: "equal, nothing changes", ..STEADY },
        World { name: "equal, all fall by 0.2 at once", shock: 0.2, ..STEADY },
        World {
            name: "equal, all fall by 0.2 after 3 h",
            shock: 0.2,
            after_ms: 3 * HOUR_MS,
            ..STEADY
        },
        World { name: "equal, traffic of the others moves", moves: true, ..STEADY },
        World { name: "equal, all fall by 0.2, traffic moves", shock: 0.2, moves: true, ..STEADY },
        World { name: "equal, a day swings by 0.08", swing: 0.08, ..STEADY },
        World { name: "falls by 0.4, nothing else changes", fall: 0.4, ..worse },
        World { name: "falls by 0.2, nothing else changes", fall: 0.2, ..worse },
        World { name: "falls by 0.1, nothing else changes", fall: 0.1, ..worse },
        World { name: "falls by 0.4, all others by 0.1", fall: 0.3, shock: 0.1, ..worse },
        World { name: "falls by 0.3, all others rise by 0.1", fall: 0.4, shock: -0.1, ..worse },
    ];
    println!("{:<38} {:>22} {:>22}", "version", "without: breaches, n", "controls: breaches, n");
    let mut kept = true;
    for world in worlds {
        let both = [false, true].map(|controls| {
            let mut ends: Vec<Option<u64>> =
                (0..runs).map(|seed| world.breach(seed, controls)).collect();
            ends.sort_by_key(|it| it.unwrap_or(u64::MAX));
            let breaches = ends.iter().flatten().count() as u64;
            let median = ends[ends.len() / 2].map_or_else(|| "-".to_owned(), |n| n.to_string());
            (breaches, format!("{breaches}/{runs} {median:>8}"))
        });
        println!("{:<38} {:>22} {:>22}", world.name, both[0].1, both[1].1);
        let breaches = both[1].0 as f64;
        kept &= match world.is_rolled_back {
            true => breaches >= 0.95 * runs as f64 - 1.0,
            false => breaches <= 0.05 * runs as f64 + 1.0,
        };
    }
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl World {
    fn truth(&self, usual: f64, ts: i64) -> Truth {
        let of_day = (ts.rem_euclid(DAY_MS) as f64 / DAY_MS as f64 * std::f64::consts::TAU).sin();
        let shock = if ts >= ACTIVATED + self.after_ms { self.shock } else { 0.0 };
        let success = usual + self.swing * of_day - shock;
        Truth { success: success.clamp(0.0, 1.0), ..Truth::USUAL }
    }

    /// After how many observations of the version the guard rolls it back.
    fn breach(&self, seed: u64, with_controls: bool) -> Option<u64> {
        let mut random = StdRng::seed_from_u64(seed);
        let config = GuardConfig::default();
        let rewards = RewardConfig::default();
        let most = rewards.bounds.max_cost_usd;
        let tail = config.tail(Kind::Watch);
        let setting = Setting {
            kind: Kind::Watch,
            metric: Metric::Reward,
            stage: 0,
            started_at: ACTIVATED,
            stage_started_at: ACTIVATED,
        };
        let mut others = OTHERS.map(|_| Series::default());
        let (mut before, mut after, mut n) = (Samples::default(), Samples::default(), 0);
        let mut ts = ACTIVATED - BEFORE_MS;
        while ts < ACTIVATED + WATCHED_MS {
            let end = ts + PASS_MS;
            let is_after = ts >= ACTIVATED;
            for at in 0..PASS_ACTIONS {
                let at = ts + at as i64 * PASS_MS / PASS_ACTIONS as i64;
                let usual = if is_after { 0.9 - self.fall } else { 0.9 };
                let act = self.truth(usual, at).act(&mut random).observation("a", at, 1.0);
                let samples = if is_after { &mut after } else { &mut before };
                samples.add(&act, &score(&rewards, &act));
                n += u64::from(is_after);
            }
            if with_controls {
                for (number, (usual, share)) in OTHERS.into_iter().enumerate() {
                    let moved = if self.moves && is_after && number < 2 { 3.0 } else { 1.0 };
                    let acts = (PASS_ACTIONS as f64 * share * moved) as usize;
                    for at in 0..acts {
                        let at = ts + at as i64 * PASS_MS / acts as i64;
                        let act = self.truth(usual, at).act(&mut random).observation("o", at, 1.0);
                        let _ = others[number].record(&act, &score(&rewards, &act), end);
                    }
                }
            }
            ts = end;
            if !is_after {
                continue;
            }
            let judged = |comparison| judge(&setting, &config, &comparison, ts);
            let alone = judged(compare(&before, &after, most, 1.0, tail));
            let end = match alone {
                Judgement::Breach(_) if with_controls => {
                    let of = |it: &Series| OtherComponent::of(it, 0, ACTIVATED, ts);
                    let others: Vec<_> = others.iter().filter_map(of).collect();
                    judged(compare_beyond(&before, &after, &others, most, 1.0, tail))
                }
                alone => alone,
            };
            if matches!(end, Judgement::Breach(_)) {
                return Some(n);
            }
        }
        None
    }
}
