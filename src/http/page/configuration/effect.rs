//! What a change of the configuration would do, as HTML.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::http::page::text::{count, figure, part, shown, time};
use crate::jobs::score::preview::RewardsPreview;
use crate::jobs::tune::preview::{Outcome, PolicyPreview, TuningPreview};
use f0_learning_core::policy::ParamChange;

/// Changes that are listed; more are counted.
const LISTED: usize = 200;

pub fn changes(changes: &[ParamChange]) -> Markup {
    let value = |it: &Option<serde_json::Value>, none: &str| {
        it.as_ref().map_or(none.to_owned(), |it| shown(&it.to_string()))
    };
    html! {
        @if changes.is_empty() { p.notice { "Nothing would change: the document has these values." } } @else {
            div.scroll tabindex="0" { table {
                thead { tr { th scope="col" { "Value" } th scope="col" { "Stored now" } th scope="col" { "Then" } } }
                tbody { @for it in changes.iter().take(LISTED) { tr {
                    th scope="row" { code { (shown(&it.path)) } }
                    td.wrap { (value(&it.from, "–")) }
                    td.wrap { strong { (value(&it.to, "removed")) } }
                } } }
            } }
            @if changes.len() > LISTED { p.muted { "and " (count(changes.len() - LISTED, "other change")) } }
        }
    }
}

pub fn rewards(found: &RewardsPreview) -> Markup {
    html! {
        section.card aria-labelledby="rewards" {
            h2 #rewards { "Mean rewards under both configurations" }
            p.muted { "A sample of " (count(found.n, "observation")) " since " (time(found.since)) ", at most "
                (crate::store::MAX_SAMPLE) ", scored again under both." }
            @if found.components.is_empty() { p { "No observation of the last 7 days can be scored." } } @else {
                div.scroll tabindex="0" { table {
                    thead { tr {
                        th scope="col" { "Component" } th.number scope="col" { "Sampled" }
                        th.number scope="col" { "Mean now" } th.number scope="col" { "Then" } th.number scope="col" { "Change" }
                    } }
                    tbody { @for it in &found.components { tr {
                        th scope="row" { (shown(&it.component)) }
                        td.number { (it.n) }
                        td.number { (figure(it.before)) }
                        td.number { strong { (figure(it.after)) } }
                        td.number { (format!("{:+.3}", it.after - it.before)) }
                    } } }
                } }
            }
            @if found.left_out > 0 { p.muted { "and " (count(found.left_out, "other component")) } }
        }
    }
}

pub fn tuning(found: &TuningPreview) -> Markup {
    html! {
        section.card aria-labelledby="decisions" {
            h2 #decisions { "What the tuner would propose now" }
            p.muted { "Decided again from what is known now, under both configurations, without regard to "
                "open drafts and refusals." }
            @if found.policies.is_empty() { p { "No policy with an active version has other settings." } }
            @for it in &found.policies { (policy(it)) }
            @if found.left_out > 0 { p.muted { "and " (count(found.left_out, "other policy")) " with other settings" } }
        }
    }
}

fn policy(it: &PolicyPreview) -> Markup {
    let arms = |outcome: &Outcome| match outcome {
        Outcome::Weights(weights) => Some(weights.clone()),
        Outcome::None(_) => None,
    };
    let (before, after) = (arms(&it.before), arms(&it.after));
    let weight = |weights: &Option<BTreeMap<String, f64>>, arm: &str| {
        let found = weights.as_ref().and_then(|it| it.get(arm));
        found.map_or("–".to_owned(), |it| figure(*it))
    };
    html! {
        h3 { a href={ "/policies/" (part(&it.policy)) } { (shown(&it.policy)) } " " (it.version) }
        @for (name, outcome) in [("Now", &it.before), ("Then", &it.after)] {
            @if let Outcome::None(why) = outcome { p { strong { (name) } ": no proposal, because " (shown(why)) } }
        }
        @if before.is_some() || after.is_some() {
            div.scroll tabindex="0" { table {
                thead { tr {
                    th scope="col" { "Arm" } th.number scope="col" { "Active" }
                    th.number scope="col" { "Proposed now" } th.number scope="col" { "Proposed then" }
                } }
                tbody { @for (arm, active) in &it.weights { tr {
                    th scope="row" { (shown(arm)) }
                    td.number { (figure(*active)) }
                    td.number { (weight(&before, arm)) }
                    td.number { strong { (weight(&after, arm)) } }
                } } }
            } }
        }
    }
}
