//! The course of a simulation as a chart: the share of traffic of each arm over its rewards.

use std::fmt::{Result, Write as _};

use super::result::{Hour, RunResult};
use super::setup::Setup;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 660.0;
const LEFT: f64 = 68.0;
const RIGHT: f64 = 936.0;
/// The two panels, from the top of each to its bottom.
const SHARES: (f64, f64) = (128.0, 330.0);
const REWARDS: (f64, f64) = (390.0, 602.0);
const LEGEND: f64 = 82.0;

/// The largest number of arms that are drawn, those with the most weight at the end. More could not
/// be distinguished by colour.
const MAX_ARMS: usize = 8;

/// Points per line; more are not visible.
const MAX_POINTS: usize = 240;

/// Colours of the arms on light and on dark ground, distinguishable with colour blindness (after
/// Paul Tol's bright scheme).
const COLOURS: [(&str, &str); MAX_ARMS] = [
    ("#3f6fb0", "#7aa7e8"),
    ("#d9566a", "#f28a99"),
    ("#2b8a4b", "#62c584"),
    ("#b39a1f", "#dcc65a"),
    ("#2ba3c4", "#79d3ec"),
    ("#93307a", "#d583c1"),
    ("#777777", "#b5b5b5"),
    ("#8a3d4a", "#c98b95"),
];

const STYLE: &str = "\
    text{font:13px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328}\
    .title{font-size:19px;font-weight:600}.panel{font-weight:600}.muted{fill:#59636e}\
    .ground{fill:#fff;stroke:#d1d9e0}.axis{stroke:#818b98;fill:none}\
    .grid{stroke:#818b98;stroke-opacity:.25;fill:none}\
    .area{fill:currentColor;fill-opacity:.75}\
    .band{fill:currentColor;fill-opacity:.17}\
    .line{fill:none;stroke:currentColor;stroke-width:2}\
    .truth{fill:none;stroke:currentColor;stroke-width:1.5;stroke-dasharray:5 4}\
    .turn{stroke:#59636e;stroke-dasharray:2 3;fill:none}.mark{fill:#1f2328}\
    .key{color:#59636e}";

const DARK_STYLE: &str = "text{fill:#e6edf3}.muted{fill:#9198a1}\
    .ground{fill:#0d1117;stroke:#3d444d}.turn{stroke:#9198a1}.mark{fill:#e6edf3}\
    .key{color:#9198a1}";

/// The chart as an SVG document that follows the light or dark mode of its reader.
pub fn draw(setup: &Setup, result: &RunResult) -> String {
    let mut text = String::new();
    let chart = Chart { setup, result, arms: drawn_arms(&result.hours) };
    chart.write(&mut text).expect("writing to a string cannot fail");
    text
}

struct Chart<'a> {
    setup: &'a Setup,
    result: &'a RunResult,
    arms: Vec<usize>,
}

impl Chart<'_> {
    fn write(&self, text: &mut String) -> Result {
        let (name, about) = (self.setup.scenario.name, self.setup.scenario.about);
        writeln!(
            text,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="100%" role="img">"#
        )?;
        writeln!(text, "<title>Simulation {name}: {about}</title>")?;
        self.style(text)?;
        writeln!(
            text,
            r#"<rect class="ground" x=".5" y=".5" width="{}" height="{}" rx="8"/>"#,
            WIDTH - 1.0,
            HEIGHT - 1.0
        )?;
        let title = "How traffic follows the rewards of the arms";
        writeln!(text, r#"<text class="title" x="24" y="34">{title}</text>"#)?;
        writeln!(text, r#"<text class="muted" x="24" y="56">Simulation “{name}”: {about}</text>"#)?;
        self.legend(text)?;
        let hours = self.result.hours.len();
        let shares = Panel { area: SHARES, low: 0.0, high: 1.0, hours };
        let (low, high, step) = self.reward_scale();
        let rewards = Panel { area: REWARDS, low, high, hours };
        self.shares(text, &shares)?;
        shares.axes(text, "Share of traffic", 0.25, |value| format!("{:.0}%", value * 100.0))?;
        self.activations(text, &shares)?;
        rewards.axes(text, "Mean reward (0 to 1)", step, |value| format!("{value:.2}"))?;
        for (colour, arm) in self.arms.iter().enumerate() {
            self.rewards(text, &rewards, colour, *arm)?;
        }
        self.turn(text, &shares)?;
        self.foot(text)?;
        text.push_str("</svg>\n");
        Ok(())
    }

    fn style(&self, text: &mut String) -> Result {
        let (mut light, mut dark) = (STYLE.to_owned(), DARK_STYLE.to_owned());
        for (index, (on_light, on_dark)) in COLOURS[..self.arms.len()].iter().enumerate() {
            write!(light, ".c{index}{{color:{on_light}}}")?;
            write!(dark, ".c{index}{{color:{on_dark}}}")?;
        }
        writeln!(text, "<style>{light}@media(prefers-color-scheme:dark){{{dark}}}</style>")
    }

    /// The arms, then the kinds of lines.
    fn legend(&self, text: &mut String) -> Result {
        let mut x = LEFT;
        let (box_top, line, baseline) = (LEGEND - 10.0, LEGEND - 4.0, LEGEND);
        for (colour, arm) in self.arms.iter().enumerate() {
            writeln!(
                text,
                r#"<g class="c{colour}"><rect class="area" x="{x}" y="{box_top}" width="12" height="12" rx="2"/></g><text x="{}" y="{baseline}">{}</text>"#,
                x + 18.0,
                self.setup.arm(*arm)
            )?;
            x += 74.0;
        }
        let entries =
            [("true", "truth", 40.0), ("estimate", "line", 68.0), ("interval", "band", 60.0)];
        let mut x = RIGHT - entries.iter().map(|(_, _, width)| width + 32.0).sum::<f64>() + 8.0;
        if self.arms.len() > 6 {
            // The legend of the arms takes the whole row.
            return Ok(());
        }
        for (name, class, width) in entries {
            let shape = match class {
                "band" => {
                    format!(r#"<rect class="band" x="{x}" y="{box_top}" width="22" height="12"/>"#)
                }
                _ => format!(r#"<path class="{class} sample" d="M{x} {line}h22"/>"#),
            };
            writeln!(
                text,
                r#"<g class="key">{shape}</g><text class="muted" x="{}" y="{baseline}">{name}</text>"#,
                x + 28.0
            )?;
            x += width + 32.0;
        }
        Ok(())
    }

    /// The shares as areas on top of each other, in the order of the legend from the top.
    fn shares(&self, text: &mut String, panel: &Panel) -> Result {
        let hours = &self.result.hours;
        let mut tops = vec![0.0; hours.len()];
        for (colour, arm) in self.arms.iter().enumerate().rev() {
            let bottoms = tops.clone();
            for (top, hour) in tops.iter_mut().zip(hours) {
                *top += hour.weights[*arm];
            }
            let upper = panel.steps(&tops);
            let lower = panel.steps(&bottoms).into_iter().rev();
            let outline = joined(upper.into_iter().chain(lower));
            writeln!(
                text,
                r#"<g class="c{colour}"><polygon class="area" points="{outline}"/></g>"#
            )?;
        }
        Ok(())
    }

    /// A mark under the first panel for each version that was activated.
    fn activations(&self, text: &mut String, panel: &Panel) -> Result {
        let y = panel.area.1 + 2.0;
        for proposal in &self.result.proposals {
            let x = panel.x(proposal.hour as usize + 1);
            writeln!(
                text,
                r#"<path class="mark" d="M{x:.1} {y}l4 7h-8z"><title>a version was activated</title></path>"#
            )?;
        }
        Ok(())
    }

    /// Interval, estimate and truth of an arm.
    fn rewards(&self, text: &mut String, panel: &Panel, colour: usize, arm: usize) -> Result {
        let hours = &self.result.hours;
        let shown = || {
            let stride = hours.len().div_ceil(MAX_POINTS).max(1);
            let last = hours.len().saturating_sub(1);
            hours.iter().enumerate().filter(move |(hour, _)| hour % stride == 0 || *hour == last)
        };
        let known = || shown().filter_map(|(hour, it)| Some((hour, it.intervals[arm]?)));
        let point = |(hour, value)| (panel.x(hour), panel.y(value));
        let highs = known().map(|(hour, it)| point((hour, it.high)));
        let lows: Vec<_> = known().map(|(hour, it)| point((hour, it.low))).collect();
        let band = joined(highs.chain(lows.into_iter().rev()));
        let line = joined(known().map(|(hour, it)| point((hour, it.estimate))));
        let truth = joined(shown().map(|(hour, it)| point((hour, it.means[arm]))));
        writeln!(
            text,
            r#"<g class="c{colour}"><polygon class="band" points="{band}"/><polyline class="line" points="{line}"/><polyline class="truth" points="{truth}"/></g>"#
        )
    }

    /// A line where another arm becomes the best.
    fn turn(&self, text: &mut String, panel: &Panel) -> Result {
        let Some((hour, arm)) = self.result.turn() else { return Ok(()) };
        let x = panel.x(hour);
        writeln!(
            text,
            r#"<path class="turn" d="M{x:.1} {}V{}M{x:.1} {}V{}"/>"#,
            SHARES.0 - 6.0,
            SHARES.1,
            REWARDS.0,
            REWARDS.1
        )?;
        let (anchor, at) = if x > WIDTH * 0.7 { ("end", x - 6.0) } else { ("start", x + 6.0) };
        let name = self.setup.arm(arm);
        writeln!(
            text,
            r#"<text class="muted" x="{at:.1}" y="{}" text-anchor="{anchor}">{name} becomes the best arm</text>"#,
            SHARES.0 - 8.0
        )
    }

    fn foot(&self, text: &mut String) -> Result {
        let Setup { seed, per_hour, .. } = self.setup;
        let y = HEIGHT - 20.0;
        writeln!(
            text,
            r#"<text class="muted" x="{LEFT}" y="{y}">▲ a new version was activated automatically</text>"#
        )?;
        writeln!(
            text,
            r#"<text class="muted" x="{RIGHT}" y="{y}" text-anchor="end">{per_hour} actions per hour, seed {seed}</text>"#
        )
    }

    /// The range of the second panel in round numbers, and the step of its grid.
    fn reward_scale(&self) -> (f64, f64, f64) {
        let means =
            || self.result.hours.iter().flat_map(|it| self.arms.iter().map(|arm| it.means[*arm]));
        let low = (means().fold(1.0, f64::min) - 0.04).max(0.0);
        let high = (means().fold(0.0, f64::max) + 0.04).min(1.0);
        let steps = [0.02, 0.05, 0.1];
        let step = steps.into_iter().find(|step| (high - low) / step <= 6.0).unwrap_or(0.2);
        ((low / step).floor() * step, (high / step).ceil() * step, step)
    }
}

/// A panel: values from `low` to `high` over the hours.
struct Panel {
    /// From the top to the bottom.
    area: (f64, f64),
    low: f64,
    high: f64,
    hours: usize,
}

impl Panel {
    fn x(&self, hour: usize) -> f64 {
        LEFT + (RIGHT - LEFT) * real(hour) / real(self.hours.saturating_sub(1).max(1))
    }

    fn y(&self, value: f64) -> f64 {
        let (top, bottom) = self.area;
        let share = (value - self.low) / (self.high - self.low);
        bottom - (bottom - top) * share.clamp(0.0, 1.0)
    }

    /// The corners of a line that changes from one hour to the next.
    fn steps(&self, values: &[f64]) -> Vec<(f64, f64)> {
        let mut points: Vec<(f64, f64)> = Vec::new();
        for (hour, value) in values.iter().enumerate() {
            let (x, y) = (self.x(hour), self.y(*value));
            match points.last() {
                Some((_, before)) if (before - y).abs() < 0.05 => {}
                Some((_, before)) => points.extend([(x, *before), (x, y)]),
                None => points.push((x, y)),
            }
        }
        let end = points.last().map(|(_, y)| (RIGHT, *y));
        points.extend(end);
        points
    }

    fn axes(
        &self,
        text: &mut String,
        title: &str,
        step: f64,
        label: impl Fn(f64) -> String,
    ) -> Result {
        let (top, bottom) = self.area;
        writeln!(text, r#"<text class="panel" x="24" y="{}">{title}</text>"#, top - 16.0)?;
        let mut value = self.low;
        while value < self.high + step / 2.0 {
            let y = self.y(value);
            writeln!(text, r#"<path class="grid" d="M{LEFT} {y:.1}H{RIGHT}"/>"#)?;
            writeln!(
                text,
                r#"<text class="muted" x="{}" y="{:.1}" text-anchor="end">{}</text>"#,
                LEFT - 8.0,
                y + 4.5,
                label(value)
            )?;
            value += step;
        }
        writeln!(text, r#"<path class="axis" d="M{LEFT} {top}V{bottom}H{RIGHT}"/>"#)?;
        let days = self.hours.div_ceil(24);
        for day in (0..=days).step_by(days.div_ceil(14).max(1)) {
            let x = self.x((day * 24).min(self.hours.saturating_sub(1)));
            let (y, name) =
                (bottom + 22.0, if day == 0 { "day 0".to_owned() } else { day.to_string() });
            writeln!(
                text,
                r#"<text class="muted" x="{x:.1}" y="{y}" text-anchor="middle">{name}</text>"#
            )?;
        }
        Ok(())
    }
}

fn joined(points: impl Iterator<Item = (f64, f64)>) -> String {
    points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}

/// A count as a number; counts here are far below 2^32.
fn real(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The arms with the most weight at the end, in the order of their numbers.
fn drawn_arms(hours: &[Hour]) -> Vec<usize> {
    let Some(last) = hours.last() else { return Vec::new() };
    let mut arms: Vec<usize> = (0..last.weights.len()).collect();
    arms.sort_by(|a, b| last.weights[*b].total_cmp(&last.weights[*a]));
    arms.truncate(MAX_ARMS);
    arms.sort_unstable();
    arms
}
