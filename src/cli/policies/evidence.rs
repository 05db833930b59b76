//! The evidence of a draft, as text with a picture of each interval.

use std::fmt::Write as _;

use f0_learning_core::document::Policy;
use f0_learning_core::estimate::Measured;
use f0_learning_core::tuning::{ArmEvidence, Evidence};

use crate::cli::format::{self, UNKNOWN};

/// Characters per picture of an interval.
const WIDTH: usize = 40;

/// The evidence of a version; empty if it has none, or none that this release can read.
pub fn describe(policy: &Policy) -> String {
    let evidence = policy.evidence.clone().map(serde_json::from_value::<Evidence>);
    let Some(Ok(evidence)) = evidence else { return String::new() };
    let mut text = String::new();
    write(&mut text, &evidence).expect("writing to a string cannot fail");
    text
}

fn write(text: &mut String, evidence: &Evidence) -> std::fmt::Result {
    let when = format::time(evidence.as_of);
    let sure = (1.0 - evidence.alpha) * 100.0;
    writeln!(
        text,
        "  evidence   as of {when}; all intervals hold together, at any time, with {sure}% confidence"
    )?;
    let (low, high) = scale(&evidence.arms);
    let names = evidence.arms.iter().map(|it| it.arm.chars().count()).max().unwrap_or(0).max(3);
    let axis = format!("{:<left$}{high:.3}", format!("{low:.3}"), left = WIDTH - 5);
    writeln!(
        text,
        "    {:names$}  {:>13}  {:>8}  {:>6}  {:>6}  {:>7} {axis}",
        "arm", "weight", "n", "best", "loss", "reward"
    )?;
    for arm in &evidence.arms {
        let moved = format!("{:.3} → {:.3}", arm.weight, arm.proposed);
        let best = format!("{:.0}%", arm.p_best * 100.0);
        let drawn = arm.reward.map_or_else(String::new, |it| picture(it, low, high));
        let reward = arm.reward.map_or(UNKNOWN.to_owned(), |it| format!("{:.3}", it.estimate));
        let line = format!(
            "    {:names$}  {moved:>13}  {:>8}  {best:>6}  {:>6.3}  {reward:>7} {drawn}{}",
            arm.arm,
            arm.n,
            arm.expected_loss,
            verdict(arm)
        );
        writeln!(text, "{}", line.trim_end())?;
    }
    for it in &evidence.differences {
        writeln!(
            text,
            "    {} earns {:+.3} ({}) against {}",
            it.better,
            it.estimate,
            format::signed_interval(it.low, it.high, 3),
            it.worse
        )?;
    }
    let gain = &evidence.gain;
    match (gain.low, gain.high) {
        (Some(low), Some(high)) => {
            writeln!(
                text,
                "    gain {:+.4} ({})",
                gain.expected,
                format::signed_interval(low, high, 4)
            )?;
        }
        _ => writeln!(text, "    gain {:+.4}, not proven", gain.expected)?,
    }
    if let Some(it) = &evidence.off_policy {
        writeln!(
            text,
            "    off-policy estimate {:.3} ({}); ips {:.3}, dr {:.3}; effective n {:.0}",
            it.snips,
            format::interval(it.interval, 3),
            it.ips,
            it.dr,
            it.effective_n
        )?;
    }
    for check in &evidence.checks {
        let passed = match check.passed {
            Some(true) => "passed",
            Some(false) => "FAILED",
            None => "skipped",
        };
        writeln!(text, "    check {} {passed}: {}", check.name, check.detail)?;
    }
    Ok(())
}

fn verdict(arm: &ArmEvidence) -> String {
    match (arm.judged, arm.failing, arm.beaten_by.as_slice()) {
        (false, _, _) if arm.restarts > 0 => {
            format!("  too few samples since {}: its rewards changed", format::time(arm.since))
        }
        (false, _, _) => "  too few samples".to_owned(),
        (_, true, _) => "  failing".to_owned(),
        (_, _, []) => String::new(),
        (_, _, by) => format!("  worse than {}", by.join(", ")),
    }
}

/// From the lowest to the highest end of all intervals.
fn scale(arms: &[ArmEvidence]) -> (f64, f64) {
    let measured = || arms.iter().filter_map(|it| it.reward);
    let low = measured().map(|it| it.low).fold(f64::INFINITY, f64::min);
    let high = measured().map(|it| it.high).fold(f64::NEG_INFINITY, f64::max);
    if low < high { (low, high) } else { (0.0, 1.0) }
}

/// The column at a share of the width.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0 to the width"
)]
fn column(share: f64) -> usize {
    (share.clamp(0.0, 1.0) * (WIDTH - 1) as f64).round() as usize
}

/// `├──●──┤` where the interval lies.
fn picture(measured: Measured, low: f64, high: f64) -> String {
    let place = |value: f64| column((value - low) / (high - low));
    let (from, to, at) = (place(measured.low), place(measured.high), place(measured.estimate));
    let drawn = (0..WIDTH).map(|column| match column {
        _ if column == at => '●',
        _ if column == from => '├',
        _ if column == to => '┤',
        _ if (from..=to).contains(&column) => '─',
        _ => ' ',
    });
    drawn.collect()
}
