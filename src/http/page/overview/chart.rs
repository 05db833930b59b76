//! The mean reward of components over time, as a drawing that needs no script.

use maud::{Markup, html};

use super::load::{Component, Overview};
use crate::http::page::text::{at, figure, part_of, shown, tick};
use f0_learning_core::stats::WindowStats;
use f0_learning_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 748.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = 246.0;

/// How much time is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    Hour,
    Day,
    Week,
}

impl Range {
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Week];

    /// The range that a reader asked for; otherwise a day, or an hour where all observations are recent.
    pub fn named(name: Option<&str>, found: &Overview) -> Self {
        let named = Self::ALL.into_iter().find(|it| Some(it.name()) == name);
        let is_young = oldest(found).is_none_or(|oldest| found.at - oldest < 3 * HOUR_MS);
        named.unwrap_or(if is_young { Self::Hour } else { Self::Day })
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    pub const fn span_ms(self) -> i64 {
        match self {
            Self::Hour => HOUR_MS,
            Self::Day => DAY_MS,
            Self::Week => 7 * DAY_MS,
        }
    }

    /// A point stands for this much time, at least.
    const fn step_ms(self) -> i64 {
        match self {
            Self::Hour => 5 * MINUTE_MS,
            Self::Day => HOUR_MS,
            Self::Week => 6 * HOUR_MS,
        }
    }

    /// Where the chart begins: where the observations do, if they are younger than the range, but so
    /// that it is not too short to read.
    fn start(self, found: &Overview) -> i64 {
        let (longest, shortest) = (found.at - self.span_ms(), found.at - self.span_ms() / 6);
        oldest(found).unwrap_or(longest).clamp(longest, shortest)
    }
}

/// When the first observation that is known was made.
fn oldest(found: &Overview) -> Option<i64> {
    found.components.iter().filter_map(|it| it.course.first()).map(|it| it.0).min()
}

/// Steps of the axis of time, of which the smallest is taken that gives few enough labels.
const TICKS_MS: [i64; 8] = [
    2 * MINUTE_MS,
    5 * MINUTE_MS,
    10 * MINUTE_MS,
    30 * MINUTE_MS,
    HOUR_MS,
    4 * HOUR_MS,
    12 * HOUR_MS,
    DAY_MS,
];
const MAX_TICKS: i64 = 8;

/// A point of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Point {
    /// The end of its step.
    ts: i64,
    /// The mean of what was observed in the step, each observation weighed by what it represents.
    mean: f64,
    n: u64,
    population: f64,
}

/// Means of fewer observations are drawn as hollow points: a single failure moves them far.
const FEW: u64 = 10;

/// The line of a component: a point for each step in which it was observed.
fn points(component: &Component, range: Range, from: i64, now: i64) -> Vec<Point> {
    let step_of = |ts: i64| ts.div_euclid(range.step_ms());
    let mut points: Vec<(i64, Point)> = Vec::new();
    for (start, end, stats) in component.course.iter().filter(|(_, end, _)| *end > from) {
        let (step, ts) = (step_of((*start).max(from)), (*end).min(now));
        let WindowStats { n, population, avg_reward, .. } = stats;
        if *population <= 0.0 {
            continue;
        }
        match points.last_mut() {
            Some((last, point)) if *last == step => {
                let sum = point.population * point.mean + population * avg_reward;
                let population = point.population + population;
                *point = Point { ts, mean: sum / population, n: point.n + n, population };
            }
            _ => {
                let point = Point { ts, mean: *avg_reward, n: *n, population: *population };
                points.push((step, point));
            }
        }
    }
    points.into_iter().map(|(_, point)| point).collect()
}

struct Scale {
    from: i64,
    now: i64,
    low: f64,
    high: f64,
}

impl Scale {
    fn x(&self, ts: i64) -> f64 {
        LEFT + (RIGHT - LEFT) * part_of(ts - self.from, self.now - self.from)
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

pub fn draw(found: &Overview, range: Range) -> Markup {
    let (from, now) = (range.start(found), found.at);
    let lines: Vec<Vec<Point>> =
        found.components.iter().map(|it| points(it, range, from, now)).collect();
    let values = || lines.iter().flatten().map(|point| point.mean);
    if values().next().is_none() {
        return html! { p.muted { "No observations were scored in this time." } };
    }
    let low = values().fold(found.min_acceptable, f64::min);
    let high = values().fold(found.min_acceptable, f64::max);
    let (low, high) = (((low - 0.04) * 10.0).floor() / 10.0, ((high + 0.04) * 10.0).ceil() / 10.0);
    let scale = Scale { from, now, low: low.max(0.0), high: high.min(1.0) };
    let marks: Vec<_> = found.activations.iter().filter(|it| it.ts >= from).collect();
    html! {
        svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-labelledby="chart-title chart-about" {
            title #chart-title { "Mean reward of components, last " (range.name()) }
            desc #chart-about { (about(found, &lines, marks.len())) }
            (grid(&scale))
            @let y = at(scale.y(found.min_acceptable));
            line.limit x1=(LEFT) x2=(RIGHT) y1=(y) y2=(y) {}
            text.limit-text x=(LEFT + 6.0) y=(at(scale.y(found.min_acceptable) - 5.0)) {
                "minAcceptable " (found.min_acceptable)
            }
            @for mark in &marks {
                @let x = at(scale.x(mark.ts));
                g.mark {
                    title { (shown(&mark.policy)) " " (shown(&mark.version)) " became active at " (tick(mark.ts, false)) }
                    line x1=(x) x2=(x) y1=(TOP) y2=(BOTTOM) {}
                    path d={ "M" (x) " " (at(TOP)) "l-4 -8h8z" } {}
                }
            }
            @for (index, line) in lines.iter().enumerate() {
                g class={ "c" (index) } {
                    @if line.len() > 1 {
                        polyline.line points=(joined(&scale, line)) {}
                    }
                    @for it in line {
                        circle.few[it.n < FEW] cx=(at(scale.x(it.ts))) cy=(at(scale.y(it.mean))) r="2.8" {
                            title { (shown(&found.components[index].name)) ", up to " (tick(it.ts, false)) ": " (figure(it.mean)) " of " (it.n) }
                        }
                    }
                }
            }
        }
    }
}

fn joined(scale: &Scale, line: &[Point]) -> String {
    let points = line.iter().map(|it| format!("{:.1},{:.1}", scale.x(it.ts), scale.y(it.mean)));
    points.collect::<Vec<_>>().join(" ")
}

fn grid(scale: &Scale) -> Markup {
    // Steps of a tenth, or of a twentieth where that leaves room.
    let step = if scale.high - scale.low < 0.35 { 0.05 } else { 0.1 };
    let levels = (0..=20_u8).map(|n| f64::from(n) * step);
    let levels: Vec<f64> =
        levels.filter(|it| (scale.low - 1e-9..=scale.high + 1e-9).contains(it)).collect();
    let span = scale.now - scale.from;
    let tick_ms = TICKS_MS.into_iter().find(|it| span / it < MAX_TICKS).unwrap_or(DAY_MS);
    let first = (scale.from.div_euclid(tick_ms) + 1) * tick_ms;
    let ticks = (0..MAX_TICKS).map(|n| first + n * tick_ms).filter(|it| *it <= scale.now);
    html! {
        @for level in levels {
            @let y = at(scale.y(level));
            line.grid x1=(LEFT) x2=(RIGHT) y1=(y) y2=(y) {}
            text.axis x=(LEFT - 6.0) y=(at(scale.y(level) + 4.0)) text-anchor="end" { (format!("{level:.2}")) }
        }
        @for (index, ts) in ticks.enumerate() {
            @let minor = if index % 2 == 1 { "axis minor" } else { "axis" };
            text class=(minor) x=(at(scale.x(ts))) y=(at(BOTTOM + 20.0)) text-anchor="middle" {
                (tick(ts, tick_ms >= DAY_MS))
            }
        }
    }
}

/// What the drawing shows, for those who do not see it.
fn about(found: &Overview, lines: &[Vec<Point>], marks: usize) -> String {
    let of = |(component, line): (&Component, &Vec<Point>)| {
        let (first, last) = (line.first()?.mean, line.last()?.mean);
        Some(format!("{} from {} to {}", shown(&component.name), figure(first), figure(last)))
    };
    let parts: Vec<String> = found.components.iter().zip(lines).filter_map(of).collect();
    format!(
        "{}. The smallest acceptable reward is {}. Versions that became active: {marks}.",
        parts.join("; "),
        found.min_acceptable
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_780_000_000_000 / DAY_MS * DAY_MS;

    fn of(population: f64, avg_reward: f64) -> WindowStats {
        WindowStats { n: 1, population, avg_reward, ..WindowStats::default() }
    }

    fn component(course: Vec<(i64, i64, WindowStats)>) -> Component {
        let windows = f0_learning_core::stats::Window::ALL.map(|it| (it, WindowStats::default()));
        Component { name: "a".to_owned(), course, windows }
    }

    #[test]
    fn a_point_is_the_mean_of_all_that_its_step_stands_for() {
        let (hour, minutes) = (NOW - HOUR_MS, 5 * MINUTE_MS);
        let component = component(vec![
            (hour - 2 * HOUR_MS, hour - HOUR_MS, of(10.0, 0.5)),
            (hour, hour + minutes, of(2.0, 0.25)),
            (hour + minutes, hour + 2 * minutes, of(2.0, 0.75)),
        ]);
        let found = |range, from| {
            let points = points(&component, range, from, NOW).into_iter();
            points.map(|it| (it.ts, it.mean, it.n)).collect::<Vec<_>>()
        };
        assert_eq!(
            found(Range::Day, NOW - DAY_MS),
            [(hour - HOUR_MS, 0.5, 1), (hour + 2 * minutes, 0.5, 2)]
        );
        assert_eq!(
            found(Range::Hour, hour),
            [(hour + minutes, 0.25, 1), (hour + 2 * minutes, 0.75, 1)]
        );
    }
}
