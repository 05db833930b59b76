//! The weights of a version, and what is known of them.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::http::page::text::{figure, gain, measured, percent, shown};
use crate::jobs::guard::history::ActivationRecord;
use f0_learning_core::document::Policy;
use f0_learning_core::estimate::Measured;
use f0_learning_core::experiment::{Effect, Verdict};
use f0_learning_core::policy::{Params, diff};
use f0_learning_core::tuning::{Check, Evidence};
use semver::Version;

/// The width of the drawing of all weights.
const WIDTH: f64 = 160.0;

/// The weights of all arms; none where the params have none.
pub fn of_params(params: &Params) -> BTreeMap<String, f64> {
    params.model_weights().ok().flatten().unwrap_or_default()
}

fn weights(params: &Params) -> Vec<(String, f64)> {
    of_params(params).into_iter().collect()
}

/// The weights as parts of a bar.
pub fn bar(params: &Params) -> Markup {
    let weights = weights(params);
    let all: Vec<String> = weights
        .iter()
        .map(|(arm, weight)| format!("{} {}", shown(arm), percent(*weight)))
        .collect();
    let mut x = 0.0;
    let parts: Vec<_> = weights
        .iter()
        .map(|(_, weight)| {
            let left = x;
            x += weight * WIDTH;
            (format!("{left:.1}"), format!("{:.1}", weight * WIDTH))
        })
        .collect();
    html! {
        @if weights.is_empty() { span.muted { "no weights" } } @else {
            svg.bar-of-weights viewBox="0 0 160 14" role="img" aria-label=(all.join(", ")) {
                title { (all.join(", ")) }
                @for (index, (left, width)) in parts.iter().enumerate() {
                    rect class={ "c" (index % 8) } x=(left) width=(width) y="0" height="14" {}
                }
            }
        }
    }
}

/// Since when and by whom a version is active. One that was written as active, as the first one is, has
/// only the time and the author of its creation.
pub fn since(policy: &Policy) -> (i64, String) {
    let by = policy.activated_by.as_ref().unwrap_or(&policy.created_by);
    (policy.activated_at.unwrap_or(policy.created_at), shown(by))
}

pub fn evidence(policy: &Policy) -> Option<Evidence> {
    serde_json::from_value(policy.evidence.clone()?).ok()
}

/// The gain that a proposal promised, with the bounds that its data allow.
pub fn promise(policy: &Policy) -> String {
    match (evidence(policy), policy.expected_gain) {
        (Some(it), _) => gain(it.gain.expected, it.gain.low.zip(it.gain.high)),
        (None, Some(expected)) => gain(expected, None),
        (None, None) => "none stated".to_owned(),
    }
}

/// The settled effect of a version.
pub fn effect(policy: &Policy) -> Markup {
    match &policy.verdict {
        Some(verdict) => measured_effect(verdict),
        None => html! { span.muted { "not settled yet" } },
    }
}

/// What an activation was measured to do, also before that is settled.
pub fn effect_so_far(record: Option<&ActivationRecord>) -> Markup {
    let Some((record, verdict)) = record.and_then(|it| Some((it, it.verdict.as_ref()?))) else {
        return html! { span.muted { "not known yet" } };
    };
    html! { (measured_effect(verdict)) @if !record.settled { " so far" } }
}

fn measured_effect(verdict: &Verdict) -> Markup {
    let change = verdict.comparison.change_of_reward();
    let class = match verdict.effect {
        Effect::Better => "tag good",
        Effect::Worse => "tag bad",
        Effect::Unclear => "tag",
    };
    html! {
        span class=(class) { (verdict.effect) }
        @if let Some(change) = change {
            " " (gain(change.estimate, Some((change.low, change.high)))) " against " (shown(&verdict.against))
        }
    }
}

/// The parent of a draft that is not active any more.
pub fn stale<'a>(draft: &'a Policy, active: Option<&Policy>) -> Option<&'a Version> {
    let parent = draft.parent_version.as_ref()?;
    (active.map(|it| &it.version) != Some(parent)).then_some(parent)
}

/// The checks of the observations that failed.
pub fn checks(policy: &Policy) -> Markup {
    let evidence = evidence(policy);
    let all: &[Check] = evidence.as_ref().map_or(&[], |it| &it.checks);
    let failed: Vec<_> = all.iter().filter(|it| it.passed == Some(false)).collect();
    html! {
        @if failed.is_empty() && !all.is_empty() { p.muted { "No check of the observations failed." } }
        @for it in failed { p.alert { "Check " (shown(&it.name)) " failed: " (shown(&it.detail)) } }
    }
}

/// What the weights of an arm were decided by.
#[derive(Clone, Copy)]
struct Known {
    n: f64,
    reward: Option<Measured>,
    p_best: f64,
}

/// The belief if the weights follow it, as the notes of the version say, and what is proven otherwise.
fn known(evidence: &Evidence, arm: &str) -> Option<Known> {
    if let Some(belief) = &evidence.belief {
        let it = belief.arms.get(arm)?;
        let reward = Measured { estimate: it.mean, low: it.low, high: it.high };
        let reward = (it.n > 0.0).then_some(reward);
        return Some(Known { n: it.n, reward, p_best: it.probability_best });
    }
    let it = evidence.arms.iter().find(|it| it.arm == arm)?;
    let n = u32::try_from(it.n).map_or(f64::INFINITY, f64::from);
    Some(Known { n, reward: it.reward, p_best: it.p_best })
}

/// The arms of a version: its weights beside those of `from`, and what is known of each arm.
pub fn table(policy: &Policy, from: Option<&Policy>) -> Markup {
    let evidence = evidence(policy);
    let before = from.map(|it| weights(&it.params)).unwrap_or_default();
    let before_of = |arm: &str| before.iter().find(|(it, _)| it == arm).map(|(_, weight)| *weight);
    let known_of = |arm: &str| known(evidence.as_ref()?, arm);
    let is_believed = evidence.as_ref().is_some_and(|it| it.belief.is_some());
    let rows = weights(&policy.params);
    html! {
        @if !rows.is_empty() {
            div.scroll tabindex="0" { table {
                thead { tr {
                    th scope="col" { "Arm" }
                    @if let Some(from) = from { th.number scope="col" { "Weight in " (from.version) } }
                    th.number scope="col" { "Weight in " (policy.version) }
                    @if from.is_some() { th.number scope="col" { "Change" } }
                    @if evidence.is_some() {
                        th.number scope="col" { "Observations" }
                        th.number scope="col" { "Mean reward" @if is_believed { ", believed" } }
                        th.number scope="col" { "Probability best" }
                    }
                } }
                tbody { @for (index, (arm, weight)) in rows.iter().enumerate() { tr {
                    th scope="row" { span class={ "swatch c" (index % 8) } aria-hidden="true" {} (shown(arm)) }
                    @if from.is_some() { td.number { (before_of(arm).map_or("–".to_owned(), figure)) } }
                    td.number { (figure(*weight)) }
                    @if from.is_some() {
                        td.number { (before_of(arm).map_or(String::new(), |it| format!("{:+.3}", weight - it))) }
                    }
                    @if evidence.is_some() {
                        @let known = known_of(arm);
                        td.number { (known.map_or("–".to_owned(), |it| format!("{:.0}", it.n))) }
                        td.number { (known.and_then(|it| it.reward).map_or("–".to_owned(), |it| measured(it, 3))) }
                        td.number { (known.map_or("–".to_owned(), |it| percent(it.p_best))) }
                    }
                } } }
            } }
        }
    }
}

/// Every value that differs between two versions.
pub fn changes(from: &Params, to: &Params) -> Markup {
    let changes = diff(from, to);
    html! {
        @if changes.is_empty() { p.muted { "The params are the same." } } @else {
            div.scroll tabindex="0" { table {
                thead { tr { th scope="col" { "Value" } th.number scope="col" { "Now" } th.number scope="col" { "Then" } } }
                tbody { @for it in &changes { tr {
                    th scope="row" { code { (shown(&it.path)) } }
                    td.number { (it.from.as_ref().map_or("–".to_owned(), |it| shown(&it.to_string()))) }
                    td.number { (it.to.as_ref().map_or("removed".to_owned(), |it| shown(&it.to_string()))) }
                } } }
            } }
        }
    }
}
