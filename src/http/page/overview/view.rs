//! The overview as HTML.

use maud::{Markup, html};

use super::chart::{self, Range};
use super::load::{MAX_COUNTED, Overview};
use crate::http::page::experiments::kind;
use crate::http::page::policies::weights;
use crate::http::page::text::{UNKNOWN, count, duration, figure, part, percent, shown, time};
use crate::http::page::visit::Visit;
use f0_learning_core::document::FlagsState;
use f0_learning_core::stats::Window;

pub fn overview(visit: &Visit, found: &Overview, range: Range) -> Markup {
    html! {
        h1 { "Overview" }
        (tiles(found))
        (waiting(found))
        section.card aria-labelledby="learning" {
            div.head {
                h2 #learning { "Mean reward by component" }
                nav.ranges aria-label="Range of the chart" {
                    @for it in Range::ALL {
                        a href={ "/?range=" (it.name()) } aria-current=[(it == range).then_some("true")] { (it.name()) }
                    }
                }
            }
            (chart::draw(found, range))
            p.muted.small { "▼ a version became active. ○ fewer than 10 observations. Hours are in UTC." }
            (figures(found))
        }
        (active(found))
        (watched(found))
        (state(visit, found))
        p.muted.small { "Read at " (time(found.at)) " UTC." }
    }
}

/// The mean over the charted components, weighed by what their observations represent.
fn mean(found: &Overview, window: Window) -> Option<f64> {
    let stats = || found.components.iter().map(|it| it.window(window)).filter(|it| it.n > 0);
    let population: f64 = stats().map(|it| it.population).sum();
    let sum: f64 = stats().map(|it| it.population * it.avg_reward).sum();
    (population > 0.0).then(|| sum / population)
}

fn tiles(found: &Overview) -> Markup {
    let (hour, day) = (mean(found, Window::OneHour), mean(found, Window::OneDay));
    let succeeded = found.asking().count();
    let waiting = found.drafts.len() + succeeded;
    let is_on = found.flags.tuning_enabled();
    let automatic = found.flags.auto_activation_enabled();
    html! {
        div.tiles {
            div.tile {
                span.label { "Mean reward, last hour" }
                span.value { (hour.map_or(UNKNOWN.to_owned(), figure)) }
                span.muted { "last 24 hours: " (day.map_or(UNKNOWN.to_owned(), figure)) }
            }
            div.tile {
                span.label { "Learning" }
                span class={ "value " (if is_on { "good" } else { "bad" }) } { (if is_on { "on" } else { "off" }) }
                span.muted { (if automatic { "activates its own drafts" } else { "proposes, people decide" }) }
            }
            div.tile {
                span.label { "Waiting for a decision" }
                span.value { (waiting) }
                span.muted { (count(found.drafts.len(), "draft")) ", " (count(succeeded, "test")) }
            }
            div.tile {
                span.label { "Not scored yet" }
                span.value { (found.backlog) }
                span.muted { "in quarantine: " a href="/quarantine" { (quarantined(found)) } }
            }
        }
    }
}

fn quarantined(found: &Overview) -> String {
    let most = u64::try_from(MAX_COUNTED).unwrap_or(u64::MAX);
    let more = if found.quarantined >= most { " or more" } else { "" };
    format!("{}{more}", found.quarantined)
}

/// What an admin should look at, the most urgent first.
fn waiting(found: &Overview) -> Markup {
    let is_quiet =
        found.broken.is_empty() && found.drafts.is_empty() && found.asking().next().is_none();
    html! {
        section.card aria-labelledby="waiting" {
            h2 #waiting { "What waits" }
            @if is_quiet { p.muted { "Nothing waits for a decision." } }
            ul.plain {
                @for it in &found.broken {
                    li { span.tag.bad { "broken" } " " (shown(it)) }
                }
                @for it in found.asking() {
                    li {
                        span.tag { "test" } " "
                        a href={ "/policies/" (part(&it.policy)) } { (shown(&it.policy)) " " (it.candidate) }
                        " is proven to be better and waits for its activation"
                    }
                }
                @for it in &found.drafts {
                    li {
                        span.tag { "draft" } " "
                        a href={ "/policies/" (part(&it.id)) } { (shown(&it.id)) " " (it.version) }
                        @if let Some(gain) = it.expected_gain { ", expected gain " (format!("{gain:+.3}")) }
                        span.muted { " · proposed " (duration(found.at - it.created_at)) " ago by " (shown(&it.created_by)) }
                    }
                }
            }
        }
    }
}

/// The figures of the chart, which is its legend, too.
fn figures(found: &Overview) -> Markup {
    let cell = |it: &super::load::Component, window| {
        let stats = it.window(window);
        if stats.n == 0 { "–".to_owned() } else { figure(stats.avg_reward) }
    };
    html! {
        div.scroll tabindex="0" {
            table {
                caption.hidden { "Mean reward of each component" }
                thead { tr {
                    th scope="col" { "Component" }
                    @for window in Window::ALL { th.number scope="col" { (window.as_str()) } }
                    th.number scope="col" { "success, 24h" }
                    th.number scope="col" { "observations, 24h" }
                } }
                tbody {
                    @for (index, it) in found.components.iter().enumerate() {
                        tr {
                            th scope="row" {
                                span class={ "swatch c" (index) } aria-hidden="true" {}
                                (shown(&it.name))
                            }
                            @for window in Window::ALL { td.number { (cell(it, window)) } }
                            @let day = it.window(Window::OneDay);
                            td.number { (if day.n == 0 { "–".to_owned() } else { percent(day.success_rate) }) }
                            td.number { (day.n) }
                        }
                    }
                }
            }
        }
    }
}

fn active(found: &Overview) -> Markup {
    html! {
        section.card aria-labelledby="active" {
            h2 #active { "Active versions" }
            div.scroll tabindex="0" { table {
                thead { tr {
                    th scope="col" { "Policy" } th scope="col" { "Version" }
                    th scope="col" { "Weights" } th scope="col" { "Active for" } th scope="col" { "By" }
                    th scope="col" { "Settled effect" }
                } }
                tbody { @for it in &found.active { tr {
                    th scope="row" { a href={ "/policies/" (part(&it.id)) } { (shown(&it.id)) } @if it.pinned { " " span.tag { "pinned" } } }
                    td { (it.version) }
                    td { (weights::bar(&it.params)) }
                    @let (since, by) = weights::since(it);
                    td { (duration(found.at - since)) }
                    td { (by) }
                    td { (weights::effect(it)) }
                } } }
            } }
            @if found.has_more_active { p { "More policies are active: " a href="/policies" { "the list of policies" } " shows all." } }
        }
    }
}

fn watched(found: &Overview) -> Markup {
    html! {
        section.card aria-labelledby="watched" {
            h2 #watched { "Tests and watches" }
            @if found.experiments.is_empty() { p.muted { "No version is tested or watched." } }
            ul.plain { @for it in &found.experiments { li {
                span.tag { (kind(it)) } " "
                a href={ "/policies/" (part(&it.policy)) } { (shown(&it.policy)) " " (it.candidate) }
                " against " (it.control) ", " (it.status.as_str())
                span.muted { " · for " (duration(found.at - it.started_at)) }
            } } }
        }
    }
}

fn state(visit: &Visit, found: &Overview) -> Markup {
    let readiness = visit.api.health.readiness();
    let flags = match &found.flags {
        FlagsState::Set(flags) => Some(flags.learning),
        _ => None,
    };
    let shown_flags = [
        (
            "learning.enabled",
            "The kill switch: off stops all tuning; scoring continues",
            flags.is_some_and(|it| it.enabled),
        ),
        (
            "learning.autoActivatePolicies",
            "Whether the tuner activates its own drafts",
            flags.is_some_and(|it| it.auto_activate_policies),
        ),
    ];
    html! {
        section.card aria-labelledby="state" {
            h2 #state { "Flags and jobs" }
            ul.plain { @for (name, about, is_on) in shown_flags { li.row {
                span { code { (name) } " is " strong { (if is_on { "on" } else { "off" }) } br; span.muted { (about) } }
                @if visit.session.is_admin() {
                    a.button href={ "/flags?flag=" (name) "&to=" (!is_on) } { "Turn " (if is_on { "off" } else { "on" }) span.hidden { " " (name) } }
                }
            } } }
            p { span class={ "tag " (if readiness.ready { "good" } else { "bad" }) } { (if readiness.ready { "ready" } else { "not ready" }) } " " (shown(&readiness.detail)) }
            ul.plain {
                @for it in readiness.policies.iter().chain(&readiness.damaged) {
                    li { span.tag.bad { "repair" } " " (shown(it)) }
                }
            }
            div.scroll tabindex="0" { table {
                thead { tr { th scope="col" { "Job" } th scope="col" { "Last pass in this process" } th scope="col" { "Outcome" } } }
                tbody { @for it in visit.api.health.last_passes() { tr {
                    th scope="row" { (it.job) }
                    td { (duration(i64::try_from(it.ended_ago.as_millis()).unwrap_or(i64::MAX))) " ago" }
                    td { @match &it.failed {
                        None => span.tag.good { "succeeded" },
                        Some(why) => { span.tag.bad { "failed" } " " (shown(why)) },
                    } }
                } } }
            } }
        }
    }
}
