//! A draft's evidence, in words and as a picture.

use std::fmt::Write as _;

use f0_learning_core::document::Policy;
use f0_learning_core::estimate::Measured;
use f0_learning_core::tuning::{ArmEvidence, Evidence};

use crate::cli::output;

/// Characters that the picture of an interval takes.
const WIDTH: usize = 40;

/// What the version rested on; empty where it carries no evidence that this version can read.
pub fn describe(policy: &Policy) -> String {
    let evidence = policy.evidence.clone().map(serde_json::from_value::<Evidence>);
    let Some(Ok(evidence)) = evidence else { return String::new() };
    let mut text = String::new();
    tell(&mut text, &evidence).expect("a string takes all that is written");
    text
}

fn tell(text: &mut String, evidence: &Evidence) -> std::fmt::Result {
    let when = output::time(evidence.as_of);
    let sure = (1.0 - evidence.alpha) * 100.0;
    writeln!(text, "  evidence   at {when}; every interval holds at every look, all with {sure}%")?;
    let (low, high) = scale(&evidence.arms);
    let names = evidence.arms.iter().map(|it| it.arm.chars().count()).max().unwrap_or(0).max(3);
    let axis = format!("{:<left$}{high:.3}", format!("{low:.3}"), left = WIDTH - 5);
    writeln!(
        text,
        "    {:names$}  {:>15}  {:>8}  {:>6}  {:>6}  reward {axis}",
        "arm", "weight", "n", "best", "loss"
    )?;
    for arm in &evidence.arms {
        let moved = format!("{:.3} to {:.3}", arm.weight, arm.proposed);
        let best = format!("{:.0}%", arm.p_best * 100.0);
        let drawn = arm.reward.map_or_else(String::new, |it| picture(it, low, high));
        let reward = arm.reward.map_or("     -".to_owned(), |it| format!("{:6.3}", it.estimate));
        let line = format!(
            "    {:names$}  {moved:>15}  {:>8}  {best:>6}  {:>6.3}  {reward} {drawn}{}",
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
            "    {} earns {:+.3} ({:+.3} to {:+.3}) against {}",
            it.better, it.estimate, it.low, it.high, it.worse
        )?;
    }
    let gain = &evidence.gain;
    match (gain.low, gain.high) {
        (Some(low), Some(high)) => {
            writeln!(text, "    gain {:+.4} ({low:+.4} to {high:+.4})", gain.expected)?;
        }
        _ => writeln!(text, "    gain {:+.4}, not proven", gain.expected)?,
    }
    if let Some(it) = &evidence.off_policy {
        writeln!(
            text,
            "    by the log {:.3} ({:.3} to {:.3}); ips {:.3}, dr {:.3}; worth {:.0} observations",
            it.snips, it.interval.low, it.interval.high, it.ips, it.dr, it.effective_n
        )?;
    }
    for check in &evidence.checks {
        let passed = match check.passed {
            Some(true) => "passed",
            Some(false) => "FAILED",
            None => "not made",
        };
        writeln!(text, "    check {} {passed}: {}", check.name, check.detail)?;
    }
    Ok(())
}

fn verdict(arm: &ArmEvidence) -> String {
    match (arm.judged, arm.failing, arm.beaten_by.as_slice()) {
        (false, _, _) => "  too few to judge".to_owned(),
        (_, true, _) => "  fails".to_owned(),
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

/// `├──●──┤` where the interval lies.
fn picture(measured: Measured, low: f64, high: f64) -> String {
    let place = |value: f64| {
        (((value - low) / (high - low)).clamp(0.0, 1.0) * (WIDTH - 1) as f64).round() as usize
    };
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
