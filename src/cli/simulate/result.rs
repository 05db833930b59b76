//! What a simulation came to.

use f0_learning_core::estimate::Measured;
use serde::Serialize;
use serde_json::{Value, json};

use super::world::Setup;
use crate::cli::output;

#[derive(Debug, Default)]
pub struct Outcome {
    pub hours: Vec<Hour>,
    pub proposals: Vec<Proposal>,
    /// Versions that the guard took back.
    pub rolled_back: usize,
}

/// An hour; each list in the order of the arms.
#[derive(Debug, Serialize)]
pub struct Hour {
    pub weights: Vec<f64>,
    /// The true mean rewards.
    pub means: Vec<f64>,
    /// What was known of them at the end of the hour.
    pub intervals: Vec<Option<Measured>>,
}

/// A proposal that was activated.
#[derive(Debug, Serialize)]
pub struct Proposal {
    pub hour: u32,
    /// What it changes in truth, in mean reward ...
    pub gain: f64,
    /// ... and what it promised.
    pub expected: f64,
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

    /// Whether the best arm has more than any other.
    fn is_right(&self) -> bool {
        let best = self.best();
        let mut others = self.weights.iter().enumerate().filter(|(arm, _)| *arm != best);
        others.all(|(_, weight)| *weight < self.weights[best])
    }
}

/// What is told of it.
struct Sums {
    /// Reward lost against the best arm, over all actions, and what equal weights would have lost.
    regret: f64,
    uniform: f64,
    /// Proposals that make things worse.
    wrong: usize,
    /// Hours until the arm that is best at first has the most weight, and the one that is best at
    /// last.
    first: Option<usize>,
    last: Option<usize>,
    /// The hour from which the last best arm is the best.
    turn: usize,
}

fn sums(setup: &Setup, outcome: &Outcome) -> Sums {
    let hours = &outcome.hours;
    let equal = vec![1.0 / setup.arms as f64; setup.arms];
    let lost = |weights: &dyn Fn(&Hour) -> Vec<f64>| {
        let lost: f64 = hours.iter().map(|hour| hour.lost(&weights(hour))).sum();
        lost * f64::from(setup.per_hour)
    };
    let best = hours.last().map_or(0, Hour::best);
    let turn = hours.iter().rposition(|hour| hour.best() != best).map_or(0, |hour| hour + 1);
    let right = |from: usize, until: usize| hours[from..until].iter().position(Hour::is_right);
    Sums {
        regret: lost(&|hour| hour.weights.clone()),
        uniform: lost(&|_| equal.clone()),
        wrong: outcome.proposals.iter().filter(|it| it.gain < -1e-9).count(),
        first: (turn > 0).then(|| right(0, turn)).flatten(),
        last: right(turn, hours.len()),
        turn,
    }
}

pub fn json(setup: &Setup, outcome: &Outcome) -> Value {
    let sums = sums(setup, outcome);
    json!({
        "scenario": setup.scenario.name,
        "seed": setup.seed,
        "arms": (0..setup.arms).map(|arm| setup.arm(arm)).collect::<Vec<_>>(),
        "perHour": setup.per_hour,
        "regret": sums.regret,
        "uniformRegret": sums.uniform,
        "switches": outcome.proposals.len(),
        "falseProposals": sums.wrong,
        "takenBack": outcome.rolled_back,
        "hoursToBestAtFirst": sums.first,
        "hoursToBestAtLast": sums.last,
        "proposals": outcome.proposals,
        "hours": outcome.hours,
    })
}

pub fn print(setup: &Setup, outcome: &Outcome) {
    let sums = sums(setup, outcome);
    let actions = u64::from(setup.per_hour) * u64::from(setup.hours);
    say!("{}: {}", setup.scenario.name, setup.scenario.about);
    say!("  {} arms, {} hours, {actions} actions, seed {}", setup.arms, setup.hours, setup.seed);
    say!(
        "  regret      {:.1} of reward; equal weights would have lost {:.1}",
        sums.regret,
        sums.uniform
    );
    say!("  switches    {} versions activated", outcome.proposals.len());
    say!("  false       {} of them made things worse in truth", sums.wrong);
    say!("  taken back  {} by the guard", outcome.rolled_back);
    let told = |hours: Option<usize>| hours.map_or("never".to_owned(), |it| format!("{it} hours"));
    if sums.turn > 0 {
        say!("  right arm   after {} of {} at first", told(sums.first), sums.turn);
        say!("              after {} once another one is the best", told(sums.last));
    } else {
        say!("  right arm   after {}", told(sums.last));
    }
    say!();
    let mut table = output::table(&["arm", "first", "last", "mean reward", "known", "from", "to"]);
    let (Some(first), Some(last)) = (outcome.hours.first(), outcome.hours.last()) else { return };
    for arm in 0..setup.arms {
        let known = last.intervals[arm];
        let shown = |value: Option<f64>| value.map_or("-".to_owned(), |it| format!("{it:.3}"));
        table.add_row([
            setup.arm(arm),
            format!("{:.3}", first.weights[arm]),
            format!("{:.3}", last.weights[arm]),
            format!("{:.3}", last.means[arm]),
            shown(known.map(|it| it.estimate)),
            shown(known.map(|it| it.low)),
            shown(known.map(|it| it.high)),
        ]);
    }
    output::print(&table);
}
