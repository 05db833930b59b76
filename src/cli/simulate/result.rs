//! The result of a simulation, as JSON and as text.

use f0_learning_core::estimate::{Interval, Measured};
use f0_learning_core::plural::count;
use serde::Serialize;
use serde_json::{Value, json};

use super::setup::Setup;
use crate::cli::format::{self, UNKNOWN};
use crate::cli::output::{self, number};

#[derive(Debug, Default)]
pub struct RunResult {
    pub hours: Vec<Hour>,
    pub proposals: Vec<ProposalRecord>,
    /// Versions that the guard rolled back.
    pub rolled_back: usize,
}

/// An hour; every list is in the order of the arms.
#[derive(Debug, Serialize)]
pub struct Hour {
    pub weights: Vec<f64>,
    /// The true mean rewards.
    pub means: Vec<f64>,
    /// The estimates of the mean rewards at the end of the hour.
    pub intervals: Vec<Option<Measured>>,
}

/// A proposal that was activated.
#[derive(Debug, Serialize)]
pub struct ProposalRecord {
    pub hour: u32,
    /// The true change of the mean reward ...
    pub gain: f64,
    /// ... and the promised one.
    pub expected: f64,
}

impl RunResult {
    /// The hour from which on the arm that is best at the end is the best, and that arm; `None` if
    /// it is the best all the time.
    pub fn turn(&self) -> Option<(usize, usize)> {
        let best = self.hours.last()?.best();
        let other = self.hours.iter().rposition(|hour| hour.best() != best)?;
        Some((other + 1, best))
    }
}

impl Hour {
    fn best(&self) -> usize {
        let arms = 0..self.means.len();
        arms.max_by(|a, b| self.means[*a].total_cmp(&self.means[*b])).unwrap_or_default()
    }

    fn lost(&self, weights: &[f64]) -> f64 {
        let earned: f64 = weights.iter().zip(&self.means).map(|(weight, mean)| weight * mean).sum();
        self.means[self.best()] - earned
    }

    /// Whether the best arm has more weight than any other.
    fn is_right(&self) -> bool {
        let best = self.best();
        let mut others = self.weights.iter().enumerate().filter(|(arm, _)| *arm != best);
        others.all(|(_, weight)| *weight < self.weights[best])
    }
}

/// The totals of a simulation.
struct Sums {
    /// The reward lost against the best arm, over all actions, and the loss under equal weights.
    regret: f64,
    uniform: f64,
    /// Proposals that lower the mean reward.
    wrong: usize,
    /// Hours until the arm that is best at the start has the most weight, and the same of the arm
    /// that is best at the end.
    first: Option<usize>,
    last: Option<usize>,
    /// The hour from which on the arm that is best at the end is the best.
    turn: usize,
}

fn sums(setup: &Setup, result: &RunResult) -> Sums {
    let hours = &result.hours;
    let equal = vec![setup.equal_weight(); setup.arms];
    let lost = |weights: &dyn Fn(&Hour) -> Vec<f64>| {
        let lost: f64 = hours.iter().map(|hour| hour.lost(&weights(hour))).sum();
        lost * f64::from(setup.per_hour)
    };
    let turn = result.turn().map_or(0, |(hour, _)| hour);
    let right = |from: usize, until: usize| hours[from..until].iter().position(Hour::is_right);
    Sums {
        regret: lost(&|hour| hour.weights.clone()),
        uniform: lost(&|_| equal.clone()),
        wrong: result.proposals.iter().filter(|it| it.gain < -1e-9).count(),
        first: (turn > 0).then(|| right(0, turn)).flatten(),
        last: right(turn, hours.len()),
        turn,
    }
}

pub fn json(setup: &Setup, result: &RunResult) -> Value {
    let sums = sums(setup, result);
    json!({
        "scenario": setup.scenario.name,
        "seed": setup.seed,
        "arms": (0..setup.arms).map(|arm| setup.arm(arm)).collect::<Vec<_>>(),
        "perHour": setup.per_hour,
        "regret": sums.regret,
        "uniformRegret": sums.uniform,
        "switches": result.proposals.len(),
        "falseProposals": sums.wrong,
        "takenBack": result.rolled_back,
        "hoursToBestAtFirst": sums.first,
        "hoursToBestAtLast": sums.last,
        "proposals": result.proposals,
        "hours": result.hours,
    })
}

pub fn print(setup: &Setup, result: &RunResult) {
    let sums = sums(setup, result);
    let actions = u64::from(setup.per_hour) * u64::from(setup.hours);
    say!("{}: {}", setup.scenario.name, setup.scenario.about);
    let (arms, hours) = (count(setup.arms, "arm"), count(setup.hours, "hour"));
    say!("  {arms}, {hours}, {}, seed {}", count(actions, "action"), setup.seed);
    say!(
        "  regret      {:.1} reward lost; equal weights would lose {:.1}",
        sums.regret,
        sums.uniform
    );
    say!("  switches    {} activated", count(result.proposals.len(), "version"));
    say!("  false       {} of them lowered the true mean reward", sums.wrong);
    say!("  rolled back {} by the guard", result.rolled_back);
    let after = |hours: Option<usize>| {
        hours.map_or("never".to_owned(), |it| format!("after {}", count(it, "hour")))
    };
    if sums.turn > 0 {
        say!("  best arm    leads {} of the first {}", after(sums.first), sums.turn);
        say!("              leads {} once another arm is the best", after(sums.last));
    } else {
        say!("  best arm    leads {}", after(sums.last));
    }
    say!();
    let mut table = output::table(&["arm", "weight", "true reward", "estimate", "interval"]);
    let (Some(first), Some(last)) = (result.hours.first(), result.hours.last()) else { return };
    for arm in 0..setup.arms {
        let known = last.intervals[arm];
        let unknown = || UNKNOWN.to_owned();
        let bounds = |it: Measured| Interval { low: it.low, high: it.high };
        table.add_row(vec![
            setup.arm(arm).into(),
            format!("{:.3} → {:.3}", first.weights[arm], last.weights[arm]).into(),
            number(format!("{:.3}", last.means[arm])),
            number(known.map_or_else(unknown, |it| format!("{:.3}", it.estimate))),
            number(known.map_or_else(unknown, |it| format::interval(bounds(it), 3))),
        ]);
    }
    output::print(&table);
}
