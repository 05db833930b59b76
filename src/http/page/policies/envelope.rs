//! The envelope of a policy: the range of weights within which the tuner may publish versions by
//! itself. A person approves it, and freezes it.

use std::collections::BTreeMap;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::{decision, serving};
use crate::http::page::layout::{Failure, Tab, page};
use crate::http::page::text::{figure, part, percent, shown, time};
use crate::http::page::visit::{Fields, Visit, check_id};
use crate::store::EnvelopeTerms;
use f0_learning_core::time::HOUR_MS;
use f0_learning_core::tuning::envelope::{ApprovedGuardrails, Envelope, WeightRange};

/// Precede the arm in the names of fields.
const MIN: &str = "min:";
const MAX: &str = "max:";

/// A field of the form besides the ranges: its name, its label, and whether it may be empty.
const FIELDS: [(&str, &str, bool); 10] = [
    ("floor", "Smallest weight of every arm", false),
    ("stepBound", "Largest step of a weight in one version", false),
    ("versionsAnHour", "Versions in an hour", false),
    ("versionsADay", "Versions in 24 hours", false),
    ("holdback", "Share of units that stay on the active version", false),
    ("hours", "Valid for hours", false),
    ("regretBudget", "Reward that exploring may lose in a week", true),
    ("alpha", "Probability of a wrong claim in a watch", true),
    ("successRate", "Guardrail: fall of the success rate", true),
    ("costUsd", "Guardrail: ratio of mean costs", true),
];
const P95: (&str, &str, bool) = ("p95Latency", "Guardrail: ratio of p95 durations", true);

fn fields() -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    FIELDS.into_iter().chain([P95])
}

/// The terms of an envelope again, for the hours that it was approved for.
fn terms_of(envelope: &Envelope) -> EnvelopeTerms {
    let Envelope { arms, floor, step_bound, versions_an_hour, versions_a_day, .. } =
        envelope.clone();
    let hours = (envelope.expires_at - envelope.approved_at) / HOUR_MS;
    EnvelopeTerms {
        arms,
        floor,
        step_bound,
        versions_an_hour,
        versions_a_day,
        holdback: envelope.holdback,
        regret_budget: envelope.regret_budget,
        alpha: envelope.alpha,
        guardrails: envelope.guardrails,
        hours: u32::try_from(hours).unwrap_or(u32::MAX),
    }
}

/// The text of a field; empty where the term is absent.
fn text(terms: &EnvelopeTerms, name: &str) -> String {
    let optional = |value: Option<f64>| value.map_or(String::new(), |it| it.to_string());
    match name {
        "floor" => terms.floor.to_string(),
        "stepBound" => terms.step_bound.to_string(),
        "versionsAnHour" => terms.versions_an_hour.to_string(),
        "versionsADay" => terms.versions_a_day.to_string(),
        "holdback" => terms.holdback.to_string(),
        "hours" => terms.hours.to_string(),
        "regretBudget" => optional(terms.regret_budget),
        "alpha" => optional(terms.alpha),
        "successRate" => optional(terms.guardrails.success_rate),
        "costUsd" => optional(terms.guardrails.cost_usd),
        _ => optional(terms.guardrails.p95_latency),
    }
}

/// The terms that a form describes.
pub fn terms(fields: &Fields) -> Result<EnvelopeTerms, Failure> {
    let mut arms: BTreeMap<String, WeightRange> = BTreeMap::new();
    let floor = number(fields, "floor")?;
    for (name, value) in &fields.0 {
        let side = name.strip_prefix(MIN).map(|arm| (arm, true));
        let Some((arm, is_min)) = side.or_else(|| name.strip_prefix(MAX).map(|arm| (arm, false)))
        else {
            continue;
        };
        let value = parsed(name, value)?;
        let range = arms.entry(arm.to_owned()).or_insert(WeightRange { min: floor, max: 1.0 });
        *(if is_min { &mut range.min } else { &mut range.max }) = value;
    }
    Ok(EnvelopeTerms {
        arms,
        floor,
        step_bound: number(fields, "stepBound")?,
        versions_an_hour: number(fields, "versionsAnHour")?,
        versions_a_day: number(fields, "versionsADay")?,
        holdback: number(fields, "holdback")?,
        regret_budget: optional(fields, "regretBudget")?,
        alpha: optional(fields, "alpha")?,
        guardrails: ApprovedGuardrails {
            success_rate: optional(fields, "successRate")?,
            cost_usd: optional(fields, "costUsd")?,
            p95_latency: optional(fields, "p95Latency")?,
        },
        hours: number(fields, "hours")?,
    })
}

fn parsed<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, Failure> {
    text.trim().parse().map_err(|_| {
        let detail = format!("invalid {name}: expected a number, got {text:?}");
        Failure::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    })
}

fn number<T: std::str::FromStr>(fields: &Fields, name: &str) -> Result<T, Failure> {
    parsed(name, fields.require(name)?)
}

fn optional(fields: &Fields, name: &str) -> Result<Option<f64>, Failure> {
    fields.get(name).map(|text| parsed(name, text)).transpose()
}

/// What the confirmation sends again.
pub fn hidden(sent: &Fields) -> Vec<(String, String)> {
    let is_term = |name: &str| {
        name == "number"
            || name.starts_with(MIN)
            || name.starts_with(MAX)
            || fields().any(|(it, ..)| it == name)
    };
    sent.0.iter().filter(|(name, _)| is_term(name)).cloned().collect()
}

/// The number of the envelope that a form was made from; 0 without one.
pub fn number_of(envelope: Option<&Envelope>) -> String {
    envelope.map_or(0, |it| it.number).to_string()
}

/// What an approval would change.
pub fn about(id: &str, current: Option<&Envelope>, terms: &EnvelopeTerms) -> Markup {
    let before = current.map(terms_of);
    let arms: std::collections::BTreeSet<&String> =
        terms.arms.keys().chain(before.iter().flat_map(|it| it.arms.keys())).collect();
    let range = |terms: Option<&EnvelopeTerms>, arm: &String| {
        let found = terms.and_then(|it| it.arms.get(arm));
        found.map_or("–".to_owned(), |it| format!("{}–{}", figure(it.min), figure(it.max)))
    };
    let term = |terms: Option<&EnvelopeTerms>, name: &str| {
        let found = terms.map(|it| text(it, name)).unwrap_or_default();
        if found.is_empty() { "–".to_owned() } else { found }
    };
    html! {
        p { "With " code { "learning.autoActivatePolicies" } " on, the tuner publishes versions of "
            (shown(id)) " within this range by itself. Outside of it, versions wait as drafts." }
        div.scroll tabindex="0" { table {
            thead { tr { th scope="col" { "Term" } th.number scope="col" { "Now" } th.number scope="col" { "Then" } } }
            tbody {
                @for arm in arms { tr {
                    th scope="row" { "Weight of " (shown(arm)) }
                    td.number { (range(before.as_ref(), arm)) }
                    td.number { strong { (range(Some(terms), arm)) } }
                } }
                @for (name, label, _) in fields() { tr {
                    th scope="row" { (label) }
                    td.number { (term(before.as_ref(), name)) }
                    td.number { strong { (term(Some(terms), name)) } }
                } }
            }
        } }
    }
}

/// The envelope on the page of its policy.
pub fn card(id: &str, envelope: Option<&Envelope>, is_admin: bool, now: i64) -> Markup {
    let closed = envelope.and_then(|it| it.closed(now));
    let form = format!("/policies/{}/envelope", part(id));
    html! {
        section.card aria-labelledby="envelope" {
            h2 #envelope { "Envelope" }
            @match envelope {
                None => p.muted { "None is approved: with " code { "learning.autoActivatePolicies" }
                    " on, the tuner keeps to the bounds of config/tuning." },
                Some(it) => {
                    p {
                        @match &closed {
                            None => span.tag.good { "in use" },
                            Some(_) if it.frozen.is_some() => span.tag.bad { "frozen" },
                            Some(_) => span.tag.bad { "expired" },
                        }
                        " Number " (it.number) ", approved by " (shown(&it.approved_by)) " at "
                        (time(it.approved_at)) ", until " (time(it.expires_at)) " UTC. A step of at most "
                        (figure(it.step_bound)) ", " (it.versions_an_hour) " versions an hour, "
                        (it.versions_a_day) " a day"
                        @if it.holdback > 0.0 { ", a holdback of " (percent(it.holdback)) }
                        "."
                    }
                    @if let Some(why) = &closed { p.alert { (shown(why)) } }
                    (ranges(it))
                }
            }
            @if is_admin {
                div.actions {
                    @match envelope {
                        None => a.button href=(form) { "Approve an envelope…" },
                        Some(it) if it.frozen.is_some() => a.button href=(form) { "Unfreeze…" },
                        Some(_) => {
                            a.button href=(form) { "Change it…" }
                            a.button href=(decision(id, "freeze", None)) { "Freeze it…" }
                        }
                    }
                }
            }
        }
    }
}

/// The approved ranges as bars from 0 to 1.
fn ranges(envelope: &Envelope) -> Markup {
    html! {
        ul.ranges-of-weights { @for (index, (arm, range)) in envelope.arms.iter().enumerate() { li {
            span { (shown(arm)) }
            @let text = format!("{} {}–{}", shown(arm), figure(range.min), figure(range.max));
            svg class={ "c" (index % 8) } viewBox="0 0 200 12" role="img" aria-label=(text) {
                title { (text) }
                rect.track x="0" y="4" width="200" height="4" rx="2" {}
                rect x=(format!("{:.1}", range.min * 200.0)) y="1" height="10" rx="3"
                    width=(format!("{:.1}", ((range.max - range.min) * 200.0).max(2.0))) {}
            }
            span.number { (figure(range.min)) "–" (figure(range.max)) }
        } } }
    }
}

/// The form with the terms; the next page shows what they would change.
pub async fn form(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    check_id(&id)?;
    visit.require_admin()?;
    let standing = visit.store.standing_policies(&id).await?;
    let weights = serving(&standing).and_then(|it| it.params.model_weights().ok().flatten());
    let Some(weights) = weights else {
        let detail =
            format!("{id} has no active version with weights: there is nothing to approve");
        return Err(Failure::new(StatusCode::CONFLICT, detail));
    };
    let current = visit.store.envelope(&id).await?;
    let terms = current.as_ref().map(terms_of).unwrap_or_default();
    let any = WeightRange { min: terms.floor, max: 1.0 };
    let range = |arm: &String| terms.arms.get(arm).copied().unwrap_or(any);
    let body = html! {
        h1 { "Envelope of " (shown(&id)) }
        section.card {
            @if let Some(why) = current.as_ref().and_then(|it| it.frozen.as_ref()) {
                p.alert { "The envelope is frozen: " (shown(why)) ". Approving one, also with the same terms, unfreezes it." }
            }
            form.decide data-wide method="get" action={ "/policies/" (part(&id)) "/decide" } {
                input type="hidden" name="action" value="envelope";
                input type="hidden" name="number" value=(number_of(current.as_ref()));
                div.fields {
                    fieldset {
                        legend { "Smallest and largest weight of each arm" }
                        @for (index, (arm, weight)) in weights.iter().enumerate() {
                            @let (low, high) = (format!("min-{index}"), format!("max-{index}"));
                            div.field.pair {
                                span { (shown(arm)) span.muted { " now " (figure(*weight)) } }
                                span {
                                    label.hidden for=(low) { "Smallest weight of " (shown(arm)) }
                                    input id=(low) type="number" name={ (MIN) (arm) } value=(range(arm).min) min="0" max="1" step="any" required;
                                }
                                span {
                                    label.hidden for=(high) { "Largest weight of " (shown(arm)) }
                                    input id=(high) type="number" name={ (MAX) (arm) } value=(range(arm).max) min="0" max="1" step="any" required;
                                }
                            }
                        }
                    }
                    fieldset {
                        legend { "Terms" }
                        @for (name, label, is_optional) in fields() {
                            div.field {
                                label for=(name) { (label) @if is_optional { " (optional)" } }
                                input id=(name) type="number" name=(name) value=(text(&terms, name)) min="0" step="any" required[!is_optional];
                            }
                        }
                    }
                }
                div.actions {
                    button.primary type="submit" { "Show what would change" }
                    a.button href={ "/policies/" (part(&id)) } { "Cancel" }
                }
            }
        }
    };
    Ok(page(&visit.session, Tab::Policies, "Envelope", &body))
}
