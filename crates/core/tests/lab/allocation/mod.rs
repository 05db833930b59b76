//! Allocation by belief and other learners, in worlds whose arms change.
//!
//! Two weeks of hourly batches. The first batch is drawn with equal weights. Every learner sees the
//! same worlds, and chooses weights under the same floor and step. An oracle knows the means of each
//! hour, but keeps the same limits.

mod learners;
mod loads;
pub mod pace;
mod papers;
mod rivals;
mod worlds;

use std::process::ExitCode;

use f0_learning_core::belief::{Settings, Sums};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use learners::named;
use worlds::{WORLDS, World};

const BATCH: usize = 200;

/// The limits of weights, in steps of 1/1024 as they are stored.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    name: &'static str,
    floor: f64,
    step: f64,
}

const LIMITS: [Limits; 4] = [
    Limits { name: "none", floor: 0.0, step: 1.0 },
    Limits { name: "floor .01", floor: 10.0 / 1024.0, step: 1.0 },
    Limits { name: "floor .05 step .1", floor: 51.0 / 1024.0, step: 102.0 / 1024.0 },
    // What the service keeps at least: a step of an arm above 0.
    Limits { name: "floor .001", floor: 1.0 / 1024.0, step: 1.0 },
];

/// How rewards reach the learner.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Actions an hour.
    batch: usize,
    /// The share of rewards that are recorded.
    sample: f64,
    /// The hours until a reward is recorded.
    delay: usize,
}

/// The result of a run.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    regret: f64,
    after: f64,
    versions: f64,
}

const RIVALS: [&str; 9] =
    ["BetaTS", "GaussTS", "Beta.999", "SW48", "Kalman", "DAL", "DAL.1", "Pareto", "ParetoPaced"];

/// `allocation [RUNS] [WORLDS] [LEARNERS] [LIMITS] [BATCH] [SAMPLE] [DELAY]`, lists separated by commas,
/// or `allocation loads`, see [`loads`].
pub fn run(arguments: &[String]) -> ExitCode {
    if arguments.first().is_some_and(|it| it == "loads") {
        return loads::run(&arguments[1..]);
    }
    let number = |at: usize, usual: f64| {
        arguments.get(at).and_then(|it| it.parse::<f64>().ok()).unwrap_or(usual)
    };
    let list = |at: usize, usual: &str| -> Vec<String> {
        let text = arguments.get(at).filter(|it| *it != "all").map_or(usual, String::as_str);
        text.split(',').map(str::to_owned).collect()
    };
    let runs = number(0, 60.0) as u64;
    let all_worlds = WORLDS.map(|it| it.0).join(",");
    let worlds = list(1, &all_worlds);
    let learners = list(2, &format!("{},belief", RIVALS.join(",")));
    let limits = list(3, "0,1,2");
    let arrival = Arrival {
        batch: number(4, BATCH as f64) as usize,
        sample: number(5, 1.0),
        delay: number(6, 0.0) as usize,
    };
    println!(
        "| limits | world | learner | regret | ± | after the change | above the oracle | versions |"
    );
    println!("|---|---|---|--:|--:|--:|--:|--:|");
    for limits in limits.iter().filter_map(|it| LIMITS.get(it.parse::<usize>().ok()?)) {
        for world in worlds.iter().filter_map(|name| World::named(name)) {
            table(&world, *limits, &learners, arrival, runs);
        }
    }
    ExitCode::SUCCESS
}

/// A rival's or our mean regret, all and after the change, and the versions of a run.
struct Row {
    name: String,
    regret: f64,
    error: f64,
    after: f64,
    versions: f64,
}

fn table(world: &World, limits: Limits, learners: &[String], arrival: Arrival, runs: u64) {
    let (at_once, late) = (oracle(world, limits, arrival, 0), oracle(world, limits, arrival, 1));
    let rows: Vec<Row> =
        learners.iter().map(|name| measure(name, world, limits, arrival, runs)).collect();
    let place = format!("| {} | {} |", limits.name, world.name);
    println!(
        "{place} oracle | {:.1} | | {:.1} | (an hour late: {:.1}, after {:.1}) | {} |",
        at_once.0,
        at_once.1,
        late.0 - at_once.0,
        late.1 - at_once.1,
        at_once.2
    );
    for row in &rows {
        println!(
            "{place} {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} |",
            row.name,
            row.regret,
            row.error,
            row.after,
            row.regret - at_once.0,
            row.versions
        );
    }
    let rivals = || rows.iter().filter(|it| RIVALS.contains(&it.name.as_str()));
    let least = |of: &dyn Fn(&Row) -> f64| rivals().map(of).fold(f64::INFINITY, f64::min);
    if rivals().next().is_none() {
        return;
    }
    for row in rows.iter().filter(|it| !RIVALS.contains(&it.name.as_str())) {
        let ratio = |of: &dyn Fn(&Row) -> f64| of(row) / least(of);
        println!(
            "{place} {}: ratio {:.2}, after {:.2}, above {:.2}, after above {:.2} (an hour late {:.2}) | | | | | |",
            row.name,
            ratio(&|it| it.regret),
            ratio(&|it| it.after),
            ratio(&|it| it.regret - at_once.0),
            ratio(&|it| it.after - at_once.1),
            (late.1 - at_once.1) / least(&|it| it.after - at_once.1),
        );
    }
}

fn measure(name: &str, world: &World, limits: Limits, arrival: Arrival, runs: u64) -> Row {
    let threads = 2;
    let results: Vec<Run> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || -> Vec<Run> {
                    let seeds = (0..runs).filter(|seed| seed % threads == thread);
                    seeds.map(|seed| history(name, world, limits, arrival, seed)).collect()
                })
            })
            .collect();
        workers.into_iter().flat_map(|it| it.join().unwrap()).collect()
    });
    let n = results.len() as f64;
    let mean = |of: &dyn Fn(&Run) -> f64| results.iter().map(of).sum::<f64>() / n;
    let regret = mean(&|it| it.regret);
    let variance = mean(&|it| (it.regret - regret).powi(2));
    Row {
        name: name.to_owned(),
        regret,
        error: (variance / (n - 1.0).max(1.0)).sqrt(),
        after: mean(&|it| it.after),
        versions: mean(&|it| it.versions),
    }
}

/// More actions an hour are drawn by counts.
const MOST_DRAWN: usize = 1_000;

fn history(name: &str, world: &World, limits: Limits, arrival: Arrival, seed: u64) -> Run {
    let arms = world.arms();
    let mut random = StdRng::seed_from_u64(seed);
    let mut learner = named(name, world, arrival, seed);
    let mut held = world.first_weights();
    let mut run = Run::default();
    let mut pending: Vec<(usize, Vec<Sums>)> = Vec::new();
    for (hour, means) in world.means.iter().enumerate() {
        if hour > 0
            && let Some(next) = learner.weights(&held, limits, hour)
            && next != held
        {
            run.versions += 1.0;
            held = next;
        }
        held = world.available(hour, held);
        let best = means.iter().copied().fold(0.0, f64::max);
        let mut data = vec![Sums::default(); arms];
        let mut lose = |lost: f64| {
            run.regret += lost;
            run.after += if hour >= world.change { lost } else { 0.0 };
        };
        if arrival.batch > MOST_DRAWN {
            let counts = loads::counts(&held, arrival.batch, &mut random);
            for (arm, n) in counts.into_iter().enumerate() {
                lose(n * (best - means[arm]));
                let n = loads::binomial(n, arrival.sample, &mut random);
                let sum = loads::binomial(n, means[arm], &mut random);
                data[arm] = Sums { n, sum, squares: sum };
            }
        } else {
            for _ in 0..arrival.batch {
                let arm = crate::worlds::pick(&held, &mut random);
                lose(best - means[arm]);
                let reward = f64::from(u8::from(random.random_bool(means[arm])));
                if arrival.sample >= 1.0 || random.random_bool(arrival.sample) {
                    data[arm].n += 1.0;
                    data[arm].sum += reward;
                    data[arm].squares += reward * reward;
                }
            }
        }
        pending.push((hour, data));
        while pending.first().is_some_and(|(at, _)| at + arrival.delay <= hour) {
            let (at, data) = pending.remove(0);
            learner.observe(at, &data);
        }
    }
    run
}

/// The regret of an oracle, all and after the change, that knows the means of the hour `late` hours
/// ago and moves weight from the worst arms to the best, and its versions.
fn oracle(world: &World, limits: Limits, arrival: Arrival, late: usize) -> (f64, f64, usize) {
    let arms = world.arms();
    let mut weights = world.first_weights();
    let mut lost = (0.0, 0.0, 0);
    for (hour, means) in world.means.iter().enumerate() {
        let known = &world.means[hour.saturating_sub(late)];
        let best = (0..arms).rev().max_by(|a, b| known[*a].total_cmp(&known[*b])).unwrap();
        let mut room = if hour > 0 { limits.step } else { 0.0 };
        let before = weights.clone();
        let mut others: Vec<usize> = (0..arms).filter(|arm| *arm != best).collect();
        others.sort_by(|a, b| known[*a].total_cmp(&known[*b]));
        for arm in others {
            let given = (weights[arm] - limits.floor).min(room).max(0.0);
            weights[arm] -= given;
            weights[best] += given;
            room -= given;
        }
        lost.2 += usize::from(weights != before);
        weights = world.available(hour, weights);
        let top = means.iter().copied().fold(0.0, f64::max);
        let regret: f64 = weights.iter().zip(means).map(|(weight, it)| weight * (top - it)).sum();
        lost.0 += regret * arrival.batch as f64;
        lost.1 += if hour >= world.change { regret * arrival.batch as f64 } else { 0.0 };
    }
    lost
}

/// How belief is run.
#[derive(Clone, Copy, Debug)]
struct Options {
    settings: Settings,
    /// Up to which ages hours and six hours are kept apart, in hours; `None` keeps all hours.
    merges: Option<[i64; 2]>,
}

/// The options of a learner named `belief:KEY=VALUE`, to compare others than the usual ones.
/// `merge=24` merges hours as a timeline does that keeps them for 24 hours, and `sixes` sets for how
/// long it keeps six hours, usually a week.
fn options(text: &str) -> Options {
    let mut settings = Settings::default();
    let (mut merge, mut sixes) = (None, 168);
    for (key, value) in text.split(':').skip(1).filter_map(|it| it.split_once('=')) {
        let value: f64 = value.parse().unwrap();
        match key {
            "merge" => merge = Some(value as i64),
            "sixes" => sixes = value as i64,
            "sharpness" => settings.sharpness = value,
            "hazard" => settings.hazard = value,
            "cut_min" => settings.cut_min = value,
            "reach" => settings.reach = value,
            "together" => settings.together = value,
            "rise" => settings.rise_odds = value,
            "rise_min" => settings.rise_min = value,
            "common" => settings.common_errors = value,
            "shared" => settings.shared_errors = value,
            "shared_hours" => settings.shared_hours = value,
            "trend" => settings.trend_odds = value,
            "trend_scale" => settings.trend_scale = value,
            "trend_hours" => settings.trend_hours = value,
            "gain" => settings.min_gain = value,
            "starved" => settings.min_starved = value,
            "riser" => settings.min_riser = value,
            "rise_after" => settings.rise_after = value,
            "minrise" => settings.min_rise = value,
            "patience" => settings.patience_hours = value,
            "rise_hours" => settings.rise_hours = value,
            "drop" => settings.drop_below = value,
            "accept" => settings.accept_above = value,
            "hazard_hours" => settings.hazard_hours = value,
            "common_hours" => settings.common_hours = value,
            "together_size" => settings.together_size = value,
            "prior" => settings.prior_size = value,
            _ => panic!("unknown setting {key}"),
        }
    }
    Options { settings, merges: merge.map(|it| [it, sixes]) }
}
