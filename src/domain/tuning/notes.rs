//! A proposal in plain words.

use super::evidence::ArmEvidence;
use super::{ArmChange, TuningInput};

/// Of many arms the notes name this many; the evidence has them all.
const NAMED_ARMS: usize = 5;

/// One sentence on what moves, one for each arm that moves most, one on what it should bring.
pub(super) fn write(
    input: &TuningInput<'_>,
    arms: &[ArmEvidence],
    changes: &[ArmChange],
    gain: f64,
) -> String {
    let mut by_size: Vec<&ArmChange> = changes.iter().collect();
    by_size.sort_by(|a, b| (b.to - b.from).abs().total_cmp(&(a.to - a.from).abs()));
    let window = input.config.window;
    let mut notes = format!("Auto-tuned from {} on the last {window}.", input.parent);
    for change in by_size.iter().take(NAMED_ARMS) {
        if let Some(arm) = arms.iter().find(|it| it.arm == change.arm) {
            notes += &format!(" {}", sentence(input, arm, change));
        }
    }
    if let Some(more) = by_size.len().checked_sub(NAMED_ARMS).filter(|more| *more > 0) {
        notes += &format!(" {more} more arms move by less.");
    }
    let now: f64 = arms.iter().map(|it| it.weight * it.reward).sum();
    notes += &format!(" Expected mean reward {now:.3} to {:.3} (+{gain:.3}).", now + gain);
    notes
}

fn sentence(input: &TuningInput<'_>, arm: &ArmEvidence, change: &ArmChange) -> String {
    let ArmChange { arm: name, from, to } = change;
    let (from, to) = (format!("{from:.3}"), format!("{to:.3}"));
    let moves = match change.to - change.from {
        _ if from == to => format!("stays near {to}"),
        change if change < 0.0 => format!("down from {from} to {to}"),
        _ => format!("up from {from} to {to}"),
    };
    let why = if arm.judged {
        let retrain = input.thresholds.retrain;
        let verdict = match arm.needs_retraining(retrain) {
            true => format!(", below the retrain threshold {retrain:.2}"),
            false => String::new(),
        };
        let n = arm.n;
        format!("mean reward {:.3} over {n} observations{verdict}", arm.reward)
    } else {
        let (n, min) = (arm.n, input.config.min_samples);
        format!("{n} observations where {min} are needed to judge, taken at {:.2}", arm.reward)
    };
    format!("{name} {moves}: {why}.")
}
