//! Observations that cannot be scored, by the reason, and their requeueing after a fix.

use std::collections::BTreeMap;

use axum::response::Response;
use maud::html;

use super::layout::{Confirmation, Failure, Reason, Tab, confirmation, done, page};
use super::text::{UNKNOWN, count, part, shown, time};
use super::visit::{Posted, Visit, after, form_key, page_request};
use crate::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use crate::store::{QuarantineFilter, Quarantined};

/// Entries on a page, which may be requeued together.
const SHOWN: usize = 100;
/// Entries of a reason that are named.
const NAMED: usize = 5;

pub async fn list(visit: Visit) -> Result<Response, Failure> {
    let request = page_request(visit.query("cursor"), SHOWN)?;
    let found = visit.store.quarantine_page(&QuarantineFilter::default(), &request).await?;
    let mut groups: BTreeMap<(&str, &str), Vec<&Quarantined>> = BTreeMap::new();
    for entry in &found.items {
        let component = entry.component.as_deref().unwrap_or(UNKNOWN);
        groups.entry((component, &entry.reason)).or_default().push(entry);
    }
    let report = visit.query("requeued").zip(visit.query("of"));
    let body = html! {
        h1 { "Quarantine" }
        @if let Some((requeued, of)) = report.and_then(|(a, b)| Some((a.parse::<u64>().ok()?, b.parse::<u64>().ok()?))) {
            (done(Some("requeue")))
            p.notice { (requeued) " of " (of) " were released. The others are still invalid, or do not exist any more." }
        }
        @if found.items.is_empty() { section.card { p.muted { "No observation is in quarantine." } } }
        @for ((component, reason), entries) in &groups {
            section.card {
                h2 { (shown(component)) }
                p { (shown(reason)) }
                ul { @for it in entries.iter().take(NAMED) { li { code { (shown(&it.id)) } span.muted { " since " (time(it.ts)) } } } }
                p.muted { (count(entries.len(), "observation")) " on this page" }
                @if visit.session.is_admin() {
                    details {
                        summary { "Requeue " (count(entries.len(), "observation")) "…" }
                        p { "Those that are valid now, after a fix of the document or of the service, leave quarantine and are scored." }
                        (confirmation(&visit.session, &form_key(), &Confirmation {
                            action: "/quarantine".to_owned(),
                            hidden: entries.iter().map(|it| ("id".to_owned(), it.id.clone())).collect(),
                            choices: html! {},
                            reason: Reason::None,
                            label: "Requeue",
                            is_dangerous: false,
                            cancel: "/quarantine".to_owned(),
                        }))
                    }
                }
            }
        }
        @if let Some(next) = &found.next { p { a href={ "/quarantine?cursor=" (part(&next.to_string())) } { "Next page" } } }
    };
    Ok(page(&visit.session, Tab::Quarantine, "Quarantine", &body))
}

pub async fn requeue(posted: Posted) -> Result<Response, Failure> {
    let ids: Vec<String> = posted.fields.all("id").take(SHOWN).map(str::to_owned).collect();
    // Without ids the filter would match all entries.
    if ids.is_empty() {
        return Err(Failure::bad_request("nothing to requeue: the form names no observation"));
    }
    let asked = ids.len();
    let store = posted.visit.store.clone();
    let now = store.now().await?;
    let filter = QuarantineFilter { ids, ..QuarantineFilter::default() };
    let mut job = ReconcileJob::new(store, ReconcileOptions::default());
    let report = job.requeue(&filter, now).await?;
    tracing::info!(
        actor = posted.visit.session.caller.actor,
        requeued = report.requeued,
        asked,
        "an admin requeued observations"
    );
    posted.visit.api.pages.overview.forget().await;
    Ok(after(&format!("/quarantine?requeued={}&of={asked}", report.requeued)))
}
