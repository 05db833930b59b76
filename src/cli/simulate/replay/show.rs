//! The report as a table for people and as JSON for programs.

use f0_learning_core::plural::count;
use serde_json::{Map, Value, json};

use super::Report;
use crate::cli::output::{self, number};

pub fn json(report: &Report) -> Value {
    let Report { table, replay, .. } = report;
    let arms = table.arms();
    let named = |means: &[f64]| -> Map<String, Value> {
        arms.iter().cloned().zip(means.iter().map(|it| json!(it))).collect()
    };
    let mut all = json!({
        "arms": arms,
        "requests": table.requests(),
        "batch": replay.batch,
        "batches": replay.batches,
        "runs": report.runs,
        "seed": report.seed,
        "floor": replay.floor,
        "step": replay.step,
        "swap": replay.swap.map(|(a, b)| [arms[a].clone(), arms[b].clone()]),
        "sampleRate": replay.sample_rate,
        "delay": replay.delay,
        "meansFirstHalf": named(&report.means[0]),
        "meansSecondHalf": named(&report.means[1]),
    });
    for (rule, outcome) in &report.rules {
        all[rule.to_string()] = json!(outcome);
    }
    all
}

pub fn print(report: &Report) {
    let Report { table, replay, .. } = report;
    let arms = table.arms();
    say!(
        "{}, {}; {} of {} of {}, floor {}, step {}, seed {}",
        count(table.requests(), "request"),
        count(arms.len(), "arm"),
        count(report.runs, "run"),
        count(replay.batches, "batch"),
        count(replay.batch, "request"),
        replay.floor,
        replay.step,
        report.seed
    );
    let best = |means: &[f64]| {
        let best = (0..means.len()).rev().max_by(|a, b| means[*a].total_cmp(&means[*b]));
        best.map_or_else(String::new, |it| format!("{} ({:.3})", arms[it], means[it]))
    };
    let [first, second] = report.means.each_ref().map(|it| best(it));
    say!("best arm: {first} in the first half, {second} in the second");
    if let Some((a, b)) = replay.swap {
        say!("half way, {} and {} are exchanged", arms[a], arms[b]);
    }
    say!();
    let mut shown = output::table(&[
        "rule",
        "regret 1st half",
        "regret 2nd half",
        "versions",
        "weights at the end",
    ]);
    for (rule, outcome) in &report.rules {
        let last = outcome.weights.last();
        let mut weights: Vec<(&String, f64)> =
            last.into_iter().flatten().map(|(arm, weight)| (arm, *weight)).collect();
        weights.sort_by(|a, b| b.1.total_cmp(&a.1));
        let weights: Vec<String> =
            weights.iter().take(3).map(|(arm, weight)| format!("{arm} {weight:.3}")).collect();
        shown.add_row([
            rule.to_string().into(),
            number(format!("{:.4}", outcome.regret_first_half)),
            number(format!("{:.4}", outcome.regret_second_half)),
            number(format!("{:.1}", outcome.versions)),
            weights.join(", ").into(),
        ]);
    }
    output::print(&shown);
    say!();
    say!("Regret is the mean reward a request that was lost against the best arm of the half.");
}
