//! The weights of a policy over time, as a drawing: a stretch for each activation, and who made it.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use semver::Version;

use crate::http::page::text::{at, part_of, percent, shown, tick};
use crate::store::AuditRecord;
use f0_learning_core::document::Policy;
use f0_learning_core::intent::{Author, SEED};
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 748.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 160.0;
/// The drawing begins with the latest of so many activations.
const DRAWN: usize = 40;

/// A mark of an author above the drawing, around a point.
fn mark_path(author: Author, x: f64, y: f64) -> String {
    match author {
        Author::Tuner => format!("M{x:.1} {:.1}l5 9h-10z", y - 5.0),
        Author::Guard => format!("M{:.1} {:.1}l8 8m0 -8l-8 8", x - 4.0, y - 4.0),
        Author::Person => format!("M{:.1} {y:.1}a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0", x - 4.5),
    }
}

/// A time in which one version was active.
#[derive(Clone, Debug, PartialEq)]
struct Stretch {
    from: i64,
    until: i64,
    version: String,
    actor: String,
    /// Empty where they are not known.
    weights: BTreeMap<String, f64>,
}

/// The stretches by the audit trail, the oldest first. Without entries, that of the active version.
fn stretches(trail: &[AuditRecord], known: &[Policy], active: &Policy, now: i64) -> Vec<Stretch> {
    let weights_of = |version: &Version| {
        let found = known.iter().chain([active]).find(|it| it.version == *version);
        found.and_then(|it| it.params.model_weights().ok().flatten()).unwrap_or_default()
    };
    let entered = |record: &AuditRecord| {
        let is_entry = |it: &&f0_learning_core::policy::lifecycle::StatusChange| {
            it.to == PolicyStatus::Active && it.from != Some(PolicyStatus::Active)
        };
        let version = record.entry.changes.iter().find(is_entry)?.version.clone();
        Some((record.entry.ts, version, record.entry.actor.clone()))
    };
    let mut entries: Vec<_> = trail.iter().filter_map(entered).collect();
    entries.sort_by_key(|it| it.0);
    // The first version of a policy, and one that was activated without the service, have no entry.
    if entries.last().map(|it| &it.1) != Some(&active.version) {
        let (since, by) =
            (active.activated_at.unwrap_or(active.created_at), active.activated_by.as_ref());
        entries.push((since, active.version.clone(), by.unwrap_or(&active.created_by).clone()));
        entries.sort_by_key(|it| it.0);
    }
    let skipped = entries.len().saturating_sub(DRAWN);
    let entries = &entries[skipped..];
    let ends = entries.iter().skip(1).map(|it| it.0).chain([now]);
    let stretch = |((from, version, actor), until): (&(i64, Version, String), i64)| Stretch {
        from: *from,
        until: until.max(*from),
        version: version.to_string(),
        actor: actor.clone(),
        weights: weights_of(version),
    };
    entries.iter().zip(ends).map(stretch).collect()
}

/// The drawing; nothing for a policy without weights.
pub fn draw(trail: &[AuditRecord], known: &[Policy], active: &Policy, now: i64) -> Markup {
    let stretches = stretches(trail, known, active, now);
    let arms: BTreeSet<&String> = stretches.iter().flat_map(|it| it.weights.keys()).collect();
    let (Some(first), false) = (stretches.first(), arms.is_empty()) else { return html! {} };
    let from = first.from.min(now - 1);
    let x = |ts: i64| LEFT + (RIGHT - LEFT) * part_of(ts - from, now - from).clamp(0.0, 1.0);
    let y = |share: f64| BOTTOM - (BOTTOM - TOP) * share.clamp(0.0, 1.0);
    html! {
        section.card aria-labelledby="course" {
            h2 #course { "Weights over time" }
            svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-labelledby="course-title course-about" {
                title #course-title { "Weights of " (shown(&active.id)) " over time" }
                desc #course-about { (about(&stretches)) }
                @for share in [0.0, 0.5, 1.0] {
                    line.grid x1=(LEFT) x2=(RIGHT) y1=(at(y(share))) y2=(at(y(share))) {}
                    text x=(LEFT - 6.0) y=(at(y(share) + 4.0)) text-anchor="end" { (format!("{:.0}%", share * 100.0)) }
                }
                @for it in &stretches { (area(it, &arms, (x(it.from), x(it.until)), y)) }
                @for it in &stretches { (mark(it, x(it.from))) }
                @for (ts, label) in ticks(from, now) {
                    text x=(at(x(ts))) y=(at(BOTTOM + 20.0)) text-anchor="middle" { (label) }
                }
            }
            p.legend { @for (index, arm) in arms.iter().enumerate() {
                span { span class={ "swatch c" (index % 8) } aria-hidden="true" {} (shown(arm)) }
            } }
            p.muted.small { "▲ the tuner, ● a person, ✕ the guard made a version active. Times are in UTC." }
        }
    }
}

/// The weights of a stretch, stacked.
fn area(
    it: &Stretch,
    arms: &BTreeSet<&String>,
    (left, right): (f64, f64),
    y: impl Fn(f64) -> f64,
) -> Markup {
    let mut below = 0.0;
    let parts: Vec<_> = arms
        .iter()
        .enumerate()
        .filter_map(|(index, arm)| {
            let weight = *it.weights.get(*arm)?;
            let (top, bottom) = (y(below + weight), y(below));
            below += weight;
            Some((
                index,
                format!("{}: {} {}", it.version, shown(arm), percent(weight)),
                top,
                bottom,
            ))
        })
        .collect();
    html! {
        @for (index, text, top, bottom) in &parts {
            rect class={ "part c" (index % 8) } x=(at(left)) width=(at((right - left).max(0.5)))
                y=(at(*top)) height=(at(bottom - top)) { title { (text) } }
        }
    }
}

fn mark(it: &Stretch, x: f64) -> Markup {
    let who = Author::of(&it.actor);
    html! {
        g.mark {
            title { (it.version) " by " (shown(&it.actor)) @if it.actor != SEED { " (" (who.as_str()) ")" } " at " (crate::observability::format::time(it.from)) }
            line x1=(at(x)) x2=(at(x)) y1=(TOP) y2=(BOTTOM) {}
            path.who class=(who.as_str()) d=(mark_path(who, x, TOP - 12.0)) {}
        }
    }
}

/// Labels of the axis of time, at most six.
fn ticks(from: i64, now: i64) -> Vec<(i64, String)> {
    const STEPS: [i64; 9] = [
        MINUTE_MS,
        5 * MINUTE_MS,
        15 * MINUTE_MS,
        HOUR_MS,
        4 * HOUR_MS,
        12 * HOUR_MS,
        DAY_MS,
        7 * DAY_MS,
        30 * DAY_MS,
    ];
    let span = now - from;
    let step = STEPS.into_iter().find(|it| span / it <= 6).unwrap_or(span / 6);
    let first = (from.div_euclid(step) + 1) * step;
    let all = (0..7).map(|n| first + n * step).take_while(|ts| *ts <= now);
    all.map(|ts| (ts, tick(ts, step >= 12 * HOUR_MS))).collect()
}

/// What the drawing shows, for those who do not see it.
fn about(stretches: &[Stretch]) -> String {
    let of = |it: &Stretch| {
        let weights: Vec<_> = it
            .weights
            .iter()
            .map(|(arm, weight)| format!("{} {}", shown(arm), percent(*weight)))
            .collect();
        let who = Author::of(&it.actor).as_str();
        format!(
            "{} from {} by {who}: {}",
            it.version,
            crate::observability::format::time(it.from),
            weights.join(", ")
        )
    };
    stretches.iter().rev().take(5).map(of).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use f0_learning_core::audit::AuditEntry;
    use f0_learning_core::policy::lifecycle::StatusChange;
    use serde_json::json;

    use f0_learning_core::intent::{GUARD, TUNER};

    use super::*;

    const NOW: i64 = 1_780_000_000_000;

    fn policy(version: &str, a: f64) -> Policy {
        serde_json::from_value(json!({
            "id": "p", "version": version, "status": "active", "createdAt": NOW - 9_000,
            "createdBy": "system", "params": { "modelWeights": { "a": a, "b": 1.0 - a } },
        }))
        .unwrap()
    }

    fn entry(ts: i64, version: &str, actor: &str) -> AuditRecord {
        let change = StatusChange {
            version: version.parse().unwrap(),
            from: None,
            to: PolicyStatus::Active,
        };
        let entry = AuditEntry {
            ts,
            actor: actor.to_owned(),
            changes: vec![change],
            ..AuditEntry::default()
        };
        AuditRecord { audit_id: String::new(), committed_us: 0, entry }
    }

    #[test]
    fn a_version_that_became_active_twice_has_two_stretches() {
        let known = [policy("1.0.1", 0.25)];
        let trail = [
            entry(NOW - 1_000, "1.0.0", GUARD),
            entry(NOW - 2_000, "1.0.1", TUNER),
            entry(NOW - 3_000, "1.0.0", SEED),
        ];
        let found = stretches(&trail, &known, &policy("1.0.0", 0.5), NOW);
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.until - it.from, it.weights["a"], it.actor.as_str()))
            .collect();
        assert_eq!(found, [(1_000, 0.5, SEED), (1_000, 0.25, TUNER), (1_000, 0.5, GUARD)]);
    }

    #[test]
    fn an_active_version_without_an_entry_is_drawn() {
        let found = stretches(&[], &[], &policy("1.0.0", 0.5), NOW);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].from, found[0].until), (NOW - 9_000, NOW));
    }
}
