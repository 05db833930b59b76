//! The latest versions of a policy: who wrote them and why, and their promise beside their effect.

use maud::{Markup, html};

use super::{decision, weights};
use crate::http::page::layout::Failure;
use crate::http::page::text::{shown, time};
use crate::http::page::visit::Visit;
use crate::store::AuditFilter;
use f0_learning_core::document::Policy;
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::tuning::MoveCause;
use firestore_kit::PageRequest;

/// The latest entries of the audit trail, for admins.
const ENTRIES: usize = 20;

pub async fn timeline(
    visit: &Visit,
    id: &str,
    active: Option<&Policy>,
    recent: Vec<Policy>,
) -> Result<Markup, Failure> {
    let is_admin = visit.session.is_admin();
    let entries = match is_admin {
        true => {
            let page = PageRequest { limit: ENTRIES, after: None };
            visit.store.audit_page(&AuditFilter::of(id), &page).await?.items
        }
        false => Vec::new(),
    };
    Ok(html! {
        section.card aria-labelledby="history" {
            h2 #history { "Latest versions" }
            ol.timeline { @for it in &recent { li {
                p {
                    strong { (it.version) } " " span.tag { (it.status) } " "
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
                    p { "Promised " (weights::promise(it)) " · measured " (weights::effect(it)) }
                }
                @if is_admin && it.status == PolicyStatus::Archived && active.is_some() {
                    p { a href=(decision(id, "rollback", Some(&it.version.to_string()))) { "Roll back to " (it.version) "…" } }
                }
            } } }
        }
        @if !entries.is_empty() {
            section.card aria-labelledby="trail" {
                h2 #trail { "Latest changes" }
                ul.plain { @for it in entries.iter().map(|it| &it.entry).filter(|it| !it.is_renewal()) {
                    li {
                        (time(it.ts)) " " strong { (shown(&it.action)) } " "
                        (shown(it.to.as_deref().or(it.from.as_deref()).unwrap_or_default()))
                        " by " (shown(it.actor_name.as_deref().unwrap_or(&it.actor)))
                        @if let Some(reason) = &it.reason { ": " (shown(reason)) }
                    }
                } }
                p { a href={ "/audit?id=" (id) } { "The whole audit trail of " (shown(id)) } }
            }
        }
    })
}

fn because(cause: MoveCause) -> &'static str {
    match cause {
        MoveCause::Learn => "more is known of the arms",
        MoveCause::Change => "an arm changed",
        MoveCause::Suspect => "an arm may have changed",
        MoveCause::Bound => "an approved bound was in the way",
    }
}
