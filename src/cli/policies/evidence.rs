//! The evidence of a draft, as text with a picture of each interval.

use std::fmt::Write as _;

use f0_learning_core::document::Policy;
use f0_learning_core::estimate::Measured;
use f0_learning_core::tuning::{ArmEvidence, Evidence};

use crate::cli::format::{self, UNKNOWN};
use crate::cli::output::{self, screen};

/// Columns of the picture of an interval: as many as there are, within these limits.
const NARROWEST: usize = 12;
const WIDEST: usize = 40;

/// What a row needs beside the name of its arm and its picture.
const FIGURES: usize = 60;

/// The evidence of a version; empty if it has none, or none that this release can read.
pub fn describe(policy: &Policy, now: i64) -> String {
    let evidence = policy.evidence.clone().map(serde_json::from_value::<Evidence>);
    let Some(Ok(evidence)) = evidence else { return String::new() };
    let mut text = String::new();
    write(&mut text, &evidence, now).expect("writing to a string cannot fail");
    text
}

fn write(text: &mut String, evidence: &Evidence, now: i64) -> std::fmt::Result {
    let when = format::time_ago(evidence.as_of, now);
    let sure = (1.0 - evidence.alpha) * 100.0;
    writeln!(
        text,
        "  evidence   as of {when}\n             all intervals hold together, at any time, with {sure}% confidence"
    )?;
    let (low, high) = scale(&evidence.arms);
    let names = evidence.arms.iter().map(|it| it.arm.chars().count()).max().unwrap_or(0).max(3);
    let width = screen::width().map_or(WIDEST, |it| it.saturating_sub(FIGURES + names));
    let width = width.clamp(NARROWEST, WIDEST);
    let axis = format!("{:<left$}{high:.3}", format!("{low:.3}"), left = width.saturating_sub(5));
    writeln!(
        text,
        "    {:names$}  {:>13}  {:>8}  {:>6}  {:>6}  {:>7} {axis}",
        "arm", "weight", "n", "best", "loss", "reward"
    )?;
    for arm in &evidence.arms {
        let moved = format!("{:.3} → {:.3}", arm.weight, arm.proposed);
        let best = format!("{:.0}%", arm.p_best * 100.0);
        let drawn = arm.reward.map_or_else(String::new, |it| picture(it, low, high, width));
        let reward = arm.reward.map_or(UNKNOWN.to_owned(), |it| format!("{:.3}", it.estimate));
        let line = format!(
            "    {:names$}  {moved:>13}  {:>8}  {best:>6}  {:>6.3}  {reward:>7} {drawn}",
            arm.arm, arm.n, arm.expected_loss
        );
        writeln!(text, "{}", line.trim_end())?;
        if let Some(verdict) = verdict(arm, now) {
            writeln!(text, "    {:names$}  {verdict}", "")?;
        }
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
        let check = format!("check {} {passed}: {}", check.name, check.detail);
        writeln!(text, "    {}", output::wrapped(&check, 6))?;
    }
    Ok(())
}

fn verdict(arm: &ArmEvidence, now: i64) -> Option<String> {
    let verdict = match (arm.judged, arm.failing, arm.beaten_by.as_slice()) {
        (false, _, _) if arm.restarts > 0 => {
            let since = format::time_ago(arm.since, now);
            format!("too few samples since {since}: its rewards changed")
        }
        (false, _, _) => "too few samples".to_owned(),
        (_, true, _) => "failing".to_owned(),
        (_, _, []) => return None,
        (_, _, by) => format!("worse than {}", by.join(", ")),
    };
    Some(verdict)
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
fn column(share: f64, width: usize) -> usize {
    (share.clamp(0.0, 1.0) * (width - 1) as f64).round() as usize
}

/// `├──●──┤` where the interval lies.
fn picture(measured: Measured, low: f64, high: f64, width: usize) -> String {
    let place = |value: f64| column((value - low) / (high - low), width);
    let (from, to, at) = (place(measured.low), place(measured.high), place(measured.estimate));
    let drawn = (0..width).map(|column| match column {
        _ if column == at => '●',
        _ if column == from => '├',
        _ if column == to => '┤',
        _ if (from..=to).contains(&column) => '─',
        _ => ' ',
    });
    drawn.collect()
}
