//! A proposal in plain words.

use super::evidence::{ArmEvidence, Evidence};
use super::{ArmChange, TuningInput};

/// Of many arms the notes name this many; the evidence has them all.
const NAMED_ARMS: usize = 5;

/// One sentence on where it comes from, one for each arm that moves most, one on what it should
/// bring.
pub(super) fn write(input: &TuningInput, evidence: &Evidence, changes: &[ArmChange]) -> String {
    let mut by_size: Vec<&ArmChange> = changes.iter().collect();
    by_size.sort_by(|a, b| (b.to - b.from).abs().total_cmp(&(a.to - a.from).abs()));
    let mut notes = format!("Auto-tuned from {}.", input.parent);
    for change in by_size.iter().take(NAMED_ARMS) {
        if let Some(arm) = evidence.arms.iter().find(|it| it.arm == change.arm) {
            notes += &format!(" {}", sentence(input, arm, change));
        }
    }
    if let Some(more) = by_size.len().checked_sub(NAMED_ARMS).filter(|more| *more > 0) {
        notes += &format!(" {more} more arms move by less.");
    }
    let now: f64 = evidence.arms.iter().map(|it| it.weight * it.taken_at).sum();
    let gain = evidence.gain.expected;
    notes += &format!(" Expected mean reward {now:.3} to {:.3} ({gain:+.3}", now + gain);
    notes += &match evidence.gain.low {
        Some(low) => format!(", at least {low:+.3}). "),
        None => ", not proven: too little is known of where it goes). ".to_owned(),
    };
    notes += &match &evidence.off_policy {
        Some(it) => format!(
            "From the log of {} it would have earned {:.3} ({:.3} to {:.3}), as {:.0} \
             observations of its own would show.",
            input.parent, it.snips, it.interval.low, it.interval.high, it.effective_n
        ),
        None => format!("The log of {} does not say what it would have earned.", input.parent),
    };
    for check in evidence.checks.iter().filter(|it| it.passed == Some(false)) {
        notes += &format!(" Mind that {} failed: {}.", check.name, check.detail);
    }
    notes
}

fn sentence(input: &TuningInput, arm: &ArmEvidence, change: &ArmChange) -> String {
    let ArmChange { arm: name, from, to } = change;
    let (from, to) = (format!("{from:.3}"), format!("{to:.3}"));
    let moves = match change.to - change.from {
        _ if from == to => format!("stays near {to}"),
        change if change < 0.0 => format!("down from {from} to {to}"),
        _ => format!("up from {from} to {to}"),
    };
    let n = arm.n;
    let why = match &arm.reward {
        Some(it) if arm.judged => {
            let verdict = match (arm.failing, arm.beaten_by.as_slice()) {
                (true, _) => {
                    let retrain = input.rewards.thresholds.retrain;
                    format!(", proven below the retrain threshold {retrain:.2}")
                }
                (false, []) => format!(", the best with probability {:.2}", arm.p_best),
                (false, by) => format!(", proven worse than {}", by.join(", ")),
            };
            format!(
                "mean reward {:.3} ({:.3} to {:.3}) over {n} observations{verdict}",
                it.estimate, it.low, it.high
            )
        }
        _ => {
            let min = input.config.min_samples;
            format!(
                "{n} observations where {min} are needed to judge, taken at {:.2}",
                arm.taken_at
            )
        }
    };
    format!("{name} {moves}: {why}.")
}
