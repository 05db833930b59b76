//! One component: its figures, and how its durations and rewards are distributed.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::layout::{Failure, Tab, live, page};
use super::text::{at, figure, part, percent, shown};
use super::visit::Visit;
use f0_learning_core::stats::{Distribution, Window, WindowStats};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 748.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 170.0;
/// The bars of a drawing.
const BARS: usize = 40;

/// A bar: where it begins and ends, in units of the axis, and its share of all actions.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bar {
    from: f64,
    to: f64,
    share: f64,
}

pub async fn show(visit: Visit, Path(name): Path<String>) -> Result<Response, Failure> {
    let window = Window::ALL.into_iter().find(|it| visit.query("window") == Some(it.as_str()));
    let window = window.unwrap_or(Window::OneDay);
    let found = visit.store.series(&[&name]).await?;
    let mut series = found.into_iter().next().map(|it| it.series).unwrap_or_default();
    series.advance(visit.now);
    if series.is_empty() {
        let detail = format!("no observation of {name} is known: the list of components shows all");
        return Err(Failure::new(StatusCode::NOT_FOUND, detail));
    }
    let (stats, distribution) = (series.window(window), series.distribution(window));
    let path = format!("/components/{}", part(&name));
    let content = html! {
        h1 { (shown(&name)) }
        section.card aria-labelledby="figures" {
            div.head {
                h2 #figures { "Last " (window.as_str()) }
                nav.ranges aria-label="Window" {
                    @for it in Window::ALL {
                        a href={ (path) "?window=" (it.as_str()) } aria-current=[(it == window).then_some("true")] { (it.as_str()) }
                    }
                }
            }
            (figures(&stats))
        }
        (drawings(&stats, &distribution))
    };
    let query = format!("{path}?window={}", window.as_str());
    Ok(page(&visit.session, Tab::Components, &shown(&name), &live(&query, &content)))
}

fn figures(stats: &WindowStats) -> Markup {
    let all = [
        ("Observations", stats.n.to_string()),
        ("Actions that they stand for", format!("{:.0}", stats.population)),
        ("Mean reward", figure(stats.avg_reward)),
        ("Success", percent(stats.success_rate)),
        ("Failure", percent(stats.failure_rate)),
        ("Timeout", percent(stats.timeout_rate)),
        ("Median duration, ms", format!("{:.0}", stats.p50_latency)),
        ("95th percentile, ms", format!("{:.0}", stats.p95_latency)),
        ("Mean cost, USD", stats.avg_cost_usd.map_or("–".to_owned(), |it| format!("{it:.5}"))),
        ("Rejected documents", stats.rejected.to_string()),
    ];
    html! {
        dl.pairs.columns { @for (name, value) in &all { div { dt { (name) } dd { (value) } } } }
    }
}

fn drawings(stats: &WindowStats, distribution: &Distribution) -> Markup {
    if stats.n == 0 {
        return html! { section.card { p.muted { "No observation in this time." } } };
    }
    let durations = durations(&distribution.durations);
    let rewards = rewards(&distribution.rewards);
    html! {
        section.card aria-labelledby="durations" {
            h2 #durations { "Durations" }
            p.muted.small { "The axis is logarithmic. Each value is known to within 1%." }
            (draw("durations-title", "Distribution of durations in milliseconds", &durations, milliseconds,
                &[("p50", stats.p50_latency.max(SMALLEST).log10()), ("p95", stats.p95_latency.max(SMALLEST).log10())]))
        }
        section.card aria-labelledby="rewards" {
            h2 #rewards { "Rewards" }
            (draw("rewards-title", "Distribution of rewards", &rewards, |it| format!("{it:.2}"),
                &[("mean", stats.avg_reward)]))
        }
    }
}

/// Shorter durations share the first bar, in milliseconds.
const SMALLEST: f64 = 0.1;

fn milliseconds(exponent: f64) -> String {
    let value = 10_f64.powf(exponent);
    match value {
        ..1.0 => format!("{value:.1} ms"),
        ..1_000.0 => format!("{value:.0} ms"),
        ..60_000.0 => format!("{:.1} s", value / 1_000.0),
        ..3_600_000.0 => format!("{:.0} min", value / 60_000.0),
        _ => format!("{:.0} h", value / 3_600_000.0),
    }
}

fn durations(found: &[(f64, f64)]) -> Vec<Bar> {
    let exponents: Vec<_> =
        found.iter().map(|(value, weight)| (value.max(SMALLEST).log10(), *weight)).collect();
    let low = exponents.iter().map(|it| it.0).fold(f64::INFINITY, f64::min);
    let high = exponents.iter().map(|it| it.0).fold(f64::NEG_INFINITY, f64::max);
    // Room for a spread of a tenth, so that equal durations are not drawn as wide as all others.
    bars(&exponents, low - 0.05, (high + 0.05).max(low + 0.3))
}

fn rewards(found: &[(f64, f64)]) -> Vec<Bar> {
    bars(found, 0.0, 1.0)
}

/// The values in bars of equal width.
fn bars(found: &[(f64, f64)], low: f64, high: f64) -> Vec<Bar> {
    let all: f64 = found.iter().map(|it| it.1).sum();
    let width = (high - low) / 40.0;
    let edges = (0..40_u8).map(|n| low + f64::from(n) * width);
    let mut bars: Vec<Bar> = edges.map(|from| Bar { from, to: from + width, share: 0.0 }).collect();
    for (value, weight) in found {
        let index = bars.partition_point(|bar| bar.to <= *value).min(BARS - 1);
        bars[index].share += weight / all.max(f64::MIN_POSITIVE);
    }
    bars
}

fn draw(
    id: &str,
    title: &str,
    bars: &[Bar],
    label: impl Fn(f64) -> String,
    marks: &[(&str, f64)],
) -> Markup {
    let (Some(first), Some(last)) = (bars.first(), bars.last()) else { return html! {} };
    let (low, high) = (first.from, last.to);
    let most = bars.iter().map(|it| it.share).fold(f64::MIN_POSITIVE, f64::max);
    let x = |value: f64| LEFT + (RIGHT - LEFT) * ((value - low) / (high - low)).clamp(0.0, 1.0);
    let y = |share: f64| BOTTOM - (BOTTOM - TOP - 14.0) * (share / most);
    let marked: Vec<_> =
        marks.iter().map(|(name, value)| format!("{name} {}", label(*value))).collect();
    html! {
        svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-labelledby=(id) {
            title id=(id) { (title) ": " (marked.join(", ")) }
            line.grid x1=(LEFT) x2=(RIGHT) y1=(BOTTOM) y2=(BOTTOM) {}
            line.grid x1=(LEFT) x2=(RIGHT) y1=(at(y(most))) y2=(at(y(most))) {}
            text x=(LEFT - 6.0) y=(at(BOTTOM + 4.0)) text-anchor="end" { "0%" }
            text x=(LEFT - 6.0) y=(at(y(most) + 4.0)) text-anchor="end" { (format!("{:.0}%", most * 100.0)) }
            g.c0 { @for it in bars.iter().filter(|it| it.share > 0.0) {
                rect.part x=(at(x(it.from) + 0.5)) width=(at(x(it.to) - x(it.from) - 1.0))
                    y=(at(y(it.share))) height=(at(BOTTOM - y(it.share))) {
                    title { (label(it.from)) " to " (label(it.to)) ": " (percent(it.share)) }
                }
            } }
            @for (index, (name, value)) in marks.iter().enumerate() {
                @let x = x(*value);
                line.limit x1=(at(x)) x2=(at(x)) y1=(TOP) y2=(BOTTOM) {}
                text.limit-text x=(at(x + if index == 0 { -5.0 } else { 5.0 })) y=(at(TOP + 10.0))
                    text-anchor=(if index == 0 { "end" } else { "start" }) { (name) }
            }
            @for n in 0..=4_u8 {
                @let value = low + (high - low) * f64::from(n) / 4.0;
                text x=(at(x(value))) y=(at(BOTTOM + 20.0)) text-anchor=(match n { 0 => "start", 4 => "end", _ => "middle" }) { (label(value)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_one_bar() {
        let found = [(0.0, 1.0), (0.5, 2.0), (1.0, 1.0)];
        let bars = rewards(&found);
        let shares: f64 = bars.iter().map(|it| it.share).sum();
        assert!((shares - 1.0).abs() < 1e-12);
        assert_eq!((bars[0].share, bars[BARS - 1].share), (0.25, 0.25));
        let same = durations(&[(250.0, 3.0)]);
        assert_eq!(same.iter().filter(|it| it.share > 0.0).count(), 1);
        assert_eq!([0.0, 2.0, 3.7].map(milliseconds), ["1 ms", "100 ms", "5.0 s"]);
    }
}
