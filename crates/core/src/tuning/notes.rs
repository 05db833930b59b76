//! A proposal in plain text, for the notes of a draft.

use super::believe::Believed;
use super::evidence::{ArmEvidence, Evidence};
use super::reason::{Grouped, Since};
use super::{ArmChange, TuningInput, identify};

/// The most arms that the notes describe; the evidence contains all of them.
const NAMED_ARMS: usize = 5;

/// One sentence about the parent, one for each of the arms with the largest changes, and one about
/// the expected gain.
pub(super) fn write(input: &TuningInput, evidence: &Evidence, changes: &[ArmChange]) -> String {
    let mut by_size: Vec<&ArmChange> = changes.iter().collect();
    by_size.sort_by(|a, b| (b.to - b.from).abs().total_cmp(&(a.to - a.from).abs()));
    let mut notes = format!("Auto-tuned from {}.", input.parent);
    if let Some(belief) = &evidence.belief {
        let why = match evidence.rule == identify::RULE {
            true => "observations are collected to prove which arm is the best",
            false => belief.cause.in_words(),
        };
        notes += &format!(" Belief, which moves weights and proves nothing ({why}):");
    }
    for change in by_size.iter().take(NAMED_ARMS) {
        if let Some(arm) = evidence.arms.iter().find(|it| it.arm == change.arm) {
            let believed = evidence.belief.as_ref().and_then(|it| it.arms.get(&arm.arm));
            notes += &match believed {
                Some(believed) => format!(" {}: {}.", weights(change), Believed(believed)),
                None => format!(" {}", sentence(input, arm, change)),
            };
        }
    }
    if let Some(more) = by_size.len().checked_sub(NAMED_ARMS).filter(|more| *more > 0) {
        notes += &format!(" {more} more arms change by less.");
    }
    let now: f64 = evidence.arms.iter().map(|it| it.weight * mean(evidence, it)).sum();
    let gain = evidence.gain.expected;
    notes += &format!(" Expected mean reward {now:.3} → {:.3} ({gain:+.3}", now + gain);
    notes += &match evidence.gain.low {
        Some(low) => format!(", at least {low:+.3})."),
        None if evidence.within_versions.is_some() => {
            ", lower bound unknown: an arm that changes has \
             too few observations that name a version)."
                .to_owned()
        }
        None => ", lower bound unknown: an arm that changes has too few observations).".to_owned(),
    };
    if evidence.belief.is_some() {
        notes += &proofs(evidence);
        let belief = evidence.belief.iter();
        let limits = belief.flat_map(|it| it.spent.iter().chain(&it.binding));
        limits.for_each(|it| notes += &format!(" Limit: {it}."));
        let bounds = evidence.belief.iter().flat_map(|it| &it.bounds);
        bounds.for_each(|it| notes += &format!(" Beyond the envelope: {it}."));
    }
    if let Some(within) = evidence.within_versions.filter(|_| !evidence.differences.is_empty()) {
        notes += &format!(
            " Arms are compared within versions, by {} observations that name one.",
            Grouped(within.named)
        );
    }
    notes += &match &evidence.off_policy {
        Some(it) => format!(
            " By the log of {}, these weights would have earned {:.3} ({:.3}–{:.3}), as certain as \
             with {:.0} observations of their own.",
            input.parent, it.snips, it.interval.low, it.interval.high, it.effective_n
        ),
        None => format!(
            " The log of {} is not sufficient to estimate what these weights would have earned.",
            input.parent
        ),
    };
    for check in evidence.checks.iter().filter(|it| it.passed == Some(false)) {
        notes += &format!(" Warning: the check {} failed: {}.", check.name, check.detail);
    }
    notes
}

/// The mean reward of an arm by which the gain was computed: the one that is believed, also of an arm with
/// too few observations to judge.
fn mean(evidence: &Evidence, arm: &ArmEvidence) -> f64 {
    let believed = evidence.belief.as_ref().and_then(|it| it.arms.get(&arm.arm));
    believed.map_or(arm.taken_at, |it| it.mean)
}

/// What is proven, if weights are decided by belief.
fn proofs(evidence: &Evidence) -> String {
    let beaten = evidence.arms.iter().filter(|it| !it.beaten_by.is_empty());
    let beaten = beaten.map(|it| format!("{} is worse than {}", it.arm, it.beaten_by.join(", ")));
    let failing = evidence.arms.iter().filter(|it| it.failing);
    let failing = failing.map(|it| format!("{} is below the retrain threshold", it.arm));
    let found: Vec<String> = beaten.chain(failing).collect();
    match found.as_slice() {
        [] => " Proven: nothing yet.".to_owned(),
        found => format!(" Proven: {}.", found.join("; ")),
    }
}

fn weights(change: &ArmChange) -> String {
    let ArmChange { arm, from, to } = change;
    let (from, to) = (format!("{from:.3}"), format!("{to:.3}"));
    if from == to { format!("{arm} stays near {to}") } else { format!("{arm} {from} → {to}") }
}

fn sentence(input: &TuningInput, arm: &ArmEvidence, change: &ArmChange) -> String {
    let n = arm.n;
    let why = match &arm.reward {
        Some(it) if arm.judged => {
            let verdict = match (arm.failing, arm.beaten_by.as_slice()) {
                (true, _) => {
                    let retrain = input.rewards.thresholds.retrain;
                    format!(", proven to be below the retrain threshold {retrain:.2}")
                }
                (false, []) => format!(", the best with probability {:.2}", arm.p_best),
                (false, by) => format!(", proven to be worse than {}", by.join(", ")),
            };
            format!(
                "mean reward {:.3} ({:.3}–{:.3}) over {n} observations{verdict}",
                it.estimate, it.low, it.high
            )
        }
        _ => {
            let min = input.config.min_samples;
            format!(
                "too few samples: an arm needs {min}, this one has {n}{}; its mean reward is assumed \
                 to be {:.2}",
                Since { since: arm.since, restarts: arm.restarts },
                arm.taken_at
            )
        }
    };
    format!("{}: {why}.", weights(change))
}
