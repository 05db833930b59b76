//! The worlds: the mean reward by hour and arm. The second arm is the best at the start.

use f0_learning_core::simulation::Scenario;

pub const HOURS: usize = 336;

pub struct World {
    pub name: String,
    /// By hour and arm.
    pub means: Vec<Vec<f64>>,
    /// The hour of the first sudden change; [`HOURS`] without one.
    pub change: usize,
    /// An arm that does not exist before an hour, and that hour.
    pub added: Option<(usize, usize)>,
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

/// The last arm is added half way, and is the best.
fn added(at: &At) -> f64 {
    match (at.arm, at.hour) {
        (4, ..168) => 0.0,
        (4, _) => 0.96,
        _ if at.is_best => 0.92,
        _ => 0.90 - 0.10 * at.rank,
    }
}

impl World {
    /// `shift`, `shiftx10` with 10 arms, or `shift@168` from that hour on only.
    pub fn named(name: &str) -> Option<Self> {
        let (world, from) = name.split_once('@').unwrap_or((name, "0"));
        let from = from.parse::<usize>().ok()?;
        let (base, arms) = world
            .split_once('x')
            .map_or((world, None), |(base, arms)| (base, arms.parse::<usize>().ok()));
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
        let means =
            (from..HOURS).map(|hour| (0..arms).map(|arm| of(arm, hour)).collect()).collect();
        let added = (base == "added").then(|| (arms - 1, change - from.min(change)));
        let change = change.saturating_sub(from);
        Some(Self { name: name.to_owned(), means, change, added })
    }

    /// The weights before the first pass. An arm that is added later has none.
    pub fn first_weights(&self) -> Vec<f64> {
        let later = self.added.filter(|it| it.1 > 0).map(|it| it.0);
        let first = self.arms() - usize::from(later.is_some());
        let of = |arm: usize| if Some(arm) == later { 0.0 } else { 1.0 / first as f64 };
        (0..self.arms()).map(of).collect()
    }

    /// The weights that arms may have in an hour: an arm that is added gets a tenth at first.
    pub fn available(&self, hour: usize, mut weights: Vec<f64>) -> Vec<f64> {
        if let Some((arm, at)) = self.added {
            match hour.cmp(&at) {
                std::cmp::Ordering::Less => weights[arm] = 0.0,
                std::cmp::Ordering::Equal => weights[arm] = weights.iter().sum::<f64>() / 9.0,
                std::cmp::Ordering::Greater => {}
            }
            let sum: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|it| *it /= sum);
        }
        weights
    }

    /// A price of each arm by hour: that of the third arm falls to a tenth at the change.
    pub fn prices(&self) -> Vec<Vec<f64>> {
        let price = |hour: usize, arm: usize| match (arm, hour < self.change) {
            (2, true) => 1.0,
            (2, false) => 0.1,
            _ => 0.2,
        };
        let hours = 0..self.means.len();
        hours.map(|hour| (0..self.arms()).map(|arm| price(hour, arm)).collect()).collect()
    }

    pub fn arms(&self) -> usize {
        self.means[0].len()
    }
}
