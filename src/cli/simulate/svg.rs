//! Weights and bounds over time, as a picture.

use std::fmt::Write as _;

use super::outcome::{Hour, Outcome};
use super::world::Setup;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 110.0;
/// The two panels, from the top of each to its bottom.
const WEIGHTS: (f64, f64) = (60.0, 280.0);
const REWARDS: (f64, f64) = (340.0, 640.0);
const HEIGHT: f64 = 690.0;

/// Arms that are drawn, those with the most weight at the end; more could not be told apart.
const DRAWN: usize = 8;

/// Colours that people who see few tell apart (Paul Tol's bright scheme).
const COLOURS: [&str; DRAWN] =
    ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#999999", "#994455"];

const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#333}.t{font-size:16px}\
    .a{stroke:#999;stroke-width:1;fill:none}.g{stroke:#9995;stroke-width:.5}\
    .truth{fill:none;stroke-width:1;stroke-dasharray:4 3}\
    .line{fill:none;stroke-width:2}.band{opacity:.18;stroke:none}\
    @media(prefers-color-scheme:dark){svg{background:#1b1b1f}text{fill:#ddd}}";

/// A panel: values from `low` to `high` over the hours.
struct Panel {
    top: f64,
    bottom: f64,
    low: f64,
    high: f64,
    hours: usize,
}

impl Panel {
    fn x(&self, hour: usize) -> f64 {
        let span = (self.hours - 1).max(1) as f64;
        LEFT + (WIDTH - LEFT - RIGHT) * hour as f64 / span
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        self.bottom - (self.bottom - self.top) * share.clamp(0.0, 1.0)
    }

    fn points(&self, values: impl Iterator<Item = (usize, f64)>) -> String {
        let points =
            values.map(|(hour, value)| format!("{:.1},{:.1}", self.x(hour), self.y(value)));
        points.collect::<Vec<_>>().join(" ")
    }

    fn frame(&self, text: &mut String, title: &str) -> std::fmt::Result {
        let (right, bottom) = (WIDTH - RIGHT, self.bottom);
        writeln!(text, r#"<text x="{LEFT}" y="{}">{title}</text>"#, self.top - 10.0)?;
        writeln!(text, r#"<path class="a" d="M{LEFT} {}V{bottom}H{right}"/>"#, self.top)?;
        for step in 0..=4 {
            let value = self.low + (self.high - self.low) * f64::from(step) / 4.0;
            let y = self.y(value);
            writeln!(text, r#"<path class="g" d="M{LEFT} {y:.1}H{right}"/>"#)?;
            writeln!(
                text,
                r#"<text x="{}" y="{:.1}" text-anchor="end">{value:.2}</text>"#,
                LEFT - 6.0,
                y + 4.0
            )?;
        }
        let days = self.hours.div_ceil(24);
        for day in (0..=days).step_by(days.div_ceil(14).max(1)) {
            let hour = (day * 24).min(self.hours.saturating_sub(1));
            writeln!(
                text,
                r#"<text x="{:.1}" y="{}" text-anchor="middle">{day}</text>"#,
                self.x(hour),
                bottom + 16.0
            )?;
        }
        writeln!(text, r#"<text x="{}" y="{}">days</text>"#, right + 8.0, bottom + 16.0)
    }
}

pub fn draw(setup: &Setup, outcome: &Outcome) -> String {
    let mut text = String::new();
    picture(&mut text, setup, &outcome.hours).expect("a string takes all that is written");
    text
}

fn picture(text: &mut String, setup: &Setup, hours: &[Hour]) -> std::fmt::Result {
    writeln!(
        text,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">"#
    )?;
    let (name, about) = (setup.scenario.name, setup.scenario.about);
    writeln!(text, "<title>{name}: {about}</title><style>{STYLE}</style>")?;
    writeln!(text, r#"<text class="t" x="{LEFT}" y="28">{name}: {about}</text>"#)?;
    let arms = drawn(hours);
    let (low, high) = range(hours, &arms);
    let panel = |(top, bottom), low, high| Panel { top, bottom, low, high, hours: hours.len() };
    let weights = panel(WEIGHTS, 0.0, 1.0);
    let rewards = panel(REWARDS, low, high);
    weights.frame(text, "weight of each arm")?;
    rewards.frame(text, "mean reward: what is known, with bounds; dashed, the truth")?;
    for (index, arm) in arms.iter().enumerate() {
        let colour = COLOURS[index];
        let line = weights.points(hours.iter().map(|it| it.weights[*arm]).enumerate());
        writeln!(text, r#"<polyline class="line" stroke="{colour}" points="{line}"/>"#)?;
        bounds(text, &rewards, hours, *arm, colour)?;
        writeln!(
            text,
            r#"<text x="{}" y="{}" style="fill:{colour}">{}</text>"#,
            WIDTH - RIGHT + 12.0,
            WEIGHTS.0 + 16.0 * (index as f64 + 1.0),
            setup.arm(*arm)
        )?;
    }
    text.push_str("</svg>\n");
    Ok(())
}

fn bounds(
    text: &mut String,
    panel: &Panel,
    hours: &[Hour],
    arm: usize,
    colour: &str,
) -> std::fmt::Result {
    let known =
        || hours.iter().enumerate().filter_map(|(hour, it)| Some((hour, it.intervals[arm]?)));
    let mut band: Vec<_> = known().map(|(hour, it)| (hour, it.high)).collect();
    let lows: Vec<_> = known().map(|(hour, it)| (hour, it.low)).collect();
    band.extend(lows.into_iter().rev());
    let band = panel.points(band.into_iter());
    writeln!(text, r#"<polygon class="band" fill="{colour}" points="{band}"/>"#)?;
    let line = panel.points(known().map(|(hour, it)| (hour, it.estimate)));
    writeln!(text, r#"<polyline class="line" stroke="{colour}" points="{line}"/>"#)?;
    let truth = panel.points(hours.iter().map(|it| it.means[arm]).enumerate());
    writeln!(text, r#"<polyline class="truth" stroke="{colour}" points="{truth}"/>"#)
}

/// By number, the arms with the most weight at the end.
fn drawn(hours: &[Hour]) -> Vec<usize> {
    let Some(last) = hours.last() else { return Vec::new() };
    let mut arms: Vec<usize> = (0..last.weights.len()).collect();
    arms.sort_by(|a, b| last.weights[*b].total_cmp(&last.weights[*a]));
    arms.truncate(DRAWN);
    arms.sort_unstable();
    arms
}

/// The rewards that the second panel shows.
fn range(hours: &[Hour], arms: &[usize]) -> (f64, f64) {
    let means = || hours.iter().flat_map(|it| arms.iter().map(|arm| it.means[*arm]));
    let low = means().fold(1.0, f64::min) - 0.06;
    let high = means().fold(0.0, f64::max) + 0.06;
    (low.max(0.0), high.min(1.0))
}
