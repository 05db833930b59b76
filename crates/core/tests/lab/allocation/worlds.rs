//! The worlds: the mean reward by hour and arm. The second arm is the best at the start.

use f0_learning_core::simulation::Scenario;

pub const HOURS: usize = 336;

pub struct World {
    pub name: String,
    /// By hour and arm.
    pub means: Vec<Vec<f64>>,
    /// The hour of the first sudden change; [`HOURS`] without one.
    pub change: usize,
}

/// An arm at a time: hour, arm, rank from 0 (best at the start) to 1, whether it is the best at the
/// start, and the daily rhythm from -1 to 1.
pub struct At {
    hour: usize,
    arm: usize,
    rank: f64,
    is_best: bool,
    day: f64,
}

pub type Mean = fn(&At) -> f64;

/// Name, arms, first change, mean.
pub const WORLDS: [(&str, usize, usize, Option<Mean>); 14] = [
    ("stationary", 4, HOURS, None),
    ("close", 3, HOURS, None),
    ("shift", 3, 168, None),
    ("global", 4, 112, Some(global)),
    ("dying", 3, 112, None),
    ("drift", 3, HOURS, None),
    ("seasonal", 4, HOURS, None),
    ("improve", 4, 168, Some(improve)),
    (
        "commondrop",
        4,
        168,
        Some(|at| steady(at) - if (168..202).contains(&at.hour) { 0.15 } else { 0.0 }),
    ),
    ("seasonalclose", 3, HOURS, Some(|at| (if at.is_best { 0.88 } else { 0.85 }) + 0.08 * at.day)),
    ("recurring", 3, 6, Some(recurring)),
    ("pricecut", 4, 168, Some(price_cut)),
    ("added", 5, 168, Some(added)),
    ("many", 50, HOURS, Some(steady)),
];

fn steady(at: &At) -> f64 {
    if at.is_best { 0.95 } else { 0.90 - 0.10 * at.rank }
}

/// The worst but one becomes the best.
fn improve(at: &At) -> f64 {
    match (at.arm, at.hour) {
        (3, 168..) => 0.97,
        _ if at.is_best => 0.92,
        _ => 0.90 - 0.10 * at.rank,
    }
}

/// All ranks are redrawn twice.
fn global(at: &At) -> f64 {
    const REGIMES: [[f64; 4]; 3] =
        [[0.80, 0.95, 0.86, 0.83], [0.93, 0.84, 0.80, 0.86], [0.82, 0.80, 0.88, 0.95]];
    REGIMES[(at.hour / 112).min(2)][at.arm]
}

/// The best arm fails for two hours each day.
fn recurring(at: &At) -> f64 {
    let is_out = at.hour % 24 >= 6 && at.hour % 24 < 8;
    if at.is_best { if is_out { 0.30 } else { 0.95 } } else { 0.90 - 0.05 * at.rank }
}

/// A price cut lifts the reward of an expensive arm by a little.
fn price_cut(at: &At) -> f64 {
    match (at.arm, at.hour) {
        (2, 168..) => 0.94,
        _ if at.is_best => 0.91,
        _ => 0.89 - 0.06 * at.rank,
    }
}

/// The last arm does not work until half way, then it is the best.
fn added(at: &At) -> f64 {
    match (at.arm, at.hour) {
        (4, ..168) => 0.0,
        (4, _) => 0.96,
        _ if at.is_best => 0.92,
        _ => 0.90 - 0.10 * at.rank,
    }
}

impl World {
    pub fn named(name: &str) -> Option<Self> {
        let (base, arms) = name
            .split_once('x')
            .map_or((name, None), |(base, arms)| (base, arms.parse::<usize>().ok()));
        let (_, usual, change, mean) = WORLDS.into_iter().find(|it| it.0 == base)?;
        let arms = arms.unwrap_or(usual);
        let scenario = Scenario::named(base);
        let of = |arm: usize, hour: usize| -> f64 {
            let value = match mean {
                None => {
                    let truth = scenario.unwrap().truth(arm, arms, hour as f64, HOURS as f64);
                    truth.success
                }
                Some(mean) => mean(&At {
                    hour,
                    arm,
                    rank: ((arm + arms - 1) % arms) as f64 / (arms - 1).max(1) as f64,
                    is_best: arm == 1,
                    day: (hour as f64 / 24.0 * std::f64::consts::TAU).sin(),
                }),
            };
            value.clamp(0.0, 1.0)
        };
        let means = (0..HOURS).map(|hour| (0..arms).map(|arm| of(arm, hour)).collect()).collect();
        Some(Self { name: name.to_owned(), means, change })
    }

    pub fn arms(&self) -> usize {
        self.means[0].len()
    }
}
