//! The weights of each rule over time, as SVG.

use std::fmt::Write as _;

use f0_learning_core::replay::Outcome;

use super::Report;

const WIDTH: f64 = 960.0;
const PANEL: f64 = 150.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 760.0;
const TOP: f64 = 70.0;
const COLOURS: [&str; 8] =
    ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#a463f2", "#9c6b4e", "#97bbf5"];

pub fn draw(report: &Report) -> String {
    let arms = report.table.arms();
    let height = TOP + PANEL * real(report.rules.len()) + 40.0;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13"><rect width="{WIDTH}" height="{height}" fill="white"/><text x="{LEFT}" y="30" font-size="17">Weights by rule, {} batches of {} requests, mean of {} runs</text>"#,
        report.replay.batches, report.replay.batch, report.runs
    );
    for (at, (rule, outcome)) in report.rules.iter().enumerate() {
        panel(&mut text, TOP + PANEL * real(at), &rule.to_string(), outcome, arms);
        if report.replay.swap.is_some() {
            let (x, y) = (LEFT.midpoint(RIGHT), TOP + PANEL * real(at));
            let _ = writeln!(
                text,
                r##"<path d="M{x} {y}V{}" stroke="#888" stroke-dasharray="4"/>"##,
                y + PANEL - 40.0
            );
        }
    }
    for (at, arm) in arms.iter().take(25).enumerate() {
        let y = TOP + 20.0 + 22.0 * real(at);
        let _ = writeln!(
            text,
            r#"<rect x="{}" y="{}" width="12" height="12" fill="{}"/><text x="{}" y="{y}">{}</text>"#,
            RIGHT + 30.0,
            y - 11.0,
            COLOURS[at % COLOURS.len()],
            RIGHT + 50.0,
            escaped(arm)
        );
    }
    text.push_str("</svg>\n");
    text
}

fn panel(text: &mut String, top: f64, name: &str, outcome: &Outcome, arms: &[String]) {
    let bottom = top + PANEL - 40.0;
    let y = |weight: f64| bottom - (bottom - top) * weight;
    let x = |batch: usize| {
        LEFT + (RIGHT - LEFT) * real(batch) / real(outcome.weights.len().saturating_sub(1).max(1))
    };
    let _ = writeln!(
        text,
        r#"<text x="{LEFT}" y="{}">{name}: regret {:.4} and {:.4}, {:.1} versions</text>"#,
        top - 6.0,
        outcome.regret_first_half,
        outcome.regret_second_half,
        outcome.versions
    );
    for share in [0.0, 0.5, 1.0] {
        let at = y(share);
        let _ = writeln!(
            text,
            r##"<path d="M{LEFT} {at}H{RIGHT}" stroke="#ddd"/><text x="{}" y="{}" text-anchor="end">{share}</text>"##,
            LEFT - 8.0,
            at + 4.0
        );
    }
    for (arm, name) in arms.iter().enumerate() {
        let point = |(batch, weights): (usize, &std::collections::BTreeMap<String, f64>)| {
            format!("{:.1},{:.1}", x(batch), y(weights.get(name).copied().unwrap_or_default()))
        };
        let points: Vec<String> = outcome.weights.iter().enumerate().map(point).collect();
        let _ = writeln!(
            text,
            r#"<polyline fill="none" stroke="{}" stroke-width="1.6" points="{}"/>"#,
            COLOURS[arm % COLOURS.len()],
            points.join(" ")
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A count as a number; counts here are far below 2^32.
fn real(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
