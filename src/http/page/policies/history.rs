//! The latest versions of a policy: who wrote them and why, and their promise beside their effect.

use maud::{Markup, html};

use super::{decision, effect_of, weights};
use crate::http::page::text::{shown, time};
use crate::jobs::guard::history::ActivationRecord;
use crate::store::AuditRecord;
use f0_learning_core::document::Policy;
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::tuning::MoveCause;

/// Entries of the audit trail that are listed.
const ENTRIES: usize = 20;

pub fn timeline(
    id: &str,
    is_admin: bool,
    recent: &[Policy],
    effects: &[ActivationRecord],
    trail: &[AuditRecord],
) -> Markup {
    // Only admins may see who gave which reason.
    let entries: Vec<_> = match is_admin {
        true => {
            trail.iter().map(|it| &it.entry).filter(|it| !it.is_renewal()).take(ENTRIES).collect()
        }
        false => Vec::new(),
    };
    html! {
        section.card aria-labelledby="history" {
            h2 #history { "Latest versions" }
            ol.timeline { @for it in recent { li {
                p {
                    strong { (it.version) } " " span.tag { (it.status_in_words()) } " "
                    (weights::bar(&it.params))
                }
                p.muted {
                    "written " (time(it.created_at)) " by " (shown(&it.created_by))
                    @if let Some(cause) = it.cause() { " because " (because(cause)) }
                    @if let (Some(at), Some(by)) = (it.activated_at, &it.activated_by) { "; active from " (time(at)) " by " (shown(by)) }
                    @if let (Some(at), Some(by)) = (it.rejected_at, &it.rejected_by) { "; rejected " (time(at)) " by " (shown(by)) }
                    @if let Some(at) = it.rolled_back_at { "; rolled back " (time(at)) }
                }
                @if it.expected_gain.is_some() || it.activated_at.is_some() {
                    dl.outcome {
                        div { dt { "Promised" } dd { (weights::promise(it)) } }
                        @if it.activated_at.is_some() {
                            div { dt { "Measured" } dd { (weights::effect_so_far(effect_of(effects, &it.version))) } }
                        }
                    }
                }
                @if is_admin && it.status == PolicyStatus::Archived {
                    p { a href=(decision(id, "rollback", Some(&it.version.to_string()))) { "Roll back to " (it.version) "…" } }
                }
            } } }
        }
        @if !entries.is_empty() {
            section.card aria-labelledby="trail" {
                h2 #trail { "Latest changes" }
                ul.plain { @for it in &entries {
                    li {
                        (time(it.ts)) " " strong { (shown(&it.action)) } " "
                        (shown(&it.versions()))
                        " by " (shown(it.actor_name.as_deref().unwrap_or(&it.actor)))
                        @if let Some(reason) = &it.reason { ": " (brief(reason)) }
                    }
                } }
                p { a href={ "/audit?id=" (id) } { "The whole audit trail of " (shown(id)) } }
            }
        }
    }
}

/// The beginning of a reason: those of the tuner have a sentence for each arm, and the draft shows them.
fn brief(reason: &str) -> String {
    const CHARS: usize = 160;
    let text = shown(reason);
    match text.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn because(cause: MoveCause) -> &'static str {
    match cause {
        MoveCause::Learn => "more is known of the arms",
        MoveCause::Change => "an arm changed",
        MoveCause::Suspect => "an arm may have changed",
        MoveCause::Bound => "an approved bound was in the way",
    }
}
