//! The audit trail, a page at a time. Only for admins, as in `firestore.rules`.

use axum::response::Response;
use maud::html;

use super::layout::{Failure, Tab, page, unreadable};
use super::text::{part, shown, time};
use super::visit::{Visit, page_request};
use crate::store::AuditFilter;

const SHOWN: usize = 50;

pub async fn list(visit: Visit) -> Result<Response, Failure> {
    visit.require_admin()?;
    let id = visit.query("id").map(str::to_owned);
    let filter = AuditFilter { id: id.clone(), ..AuditFilter::default() };
    let found =
        visit.store.audit_page(&filter, &page_request(visit.query("cursor"), SHOWN)?).await?;
    let of = id.as_deref().map_or(String::new(), |id| format!("&id={}", part(id)));
    let body = html! {
        h1 { "Audit trail" @if let Some(id) = &id { " of " (shown(id)) } }
        section.card {
            @if id.is_some() { p { a href="/audit" { "All entries" } } }
            (unreadable(&found.unreadable))
            @if found.items.is_empty() { p.muted { "There are no entries." } } @else { div.scroll tabindex="0" { table {
                thead { tr {
                    th scope="col" { "Time, UTC" } th scope="col" { "Who" } th scope="col" { "Action" }
                    th scope="col" { "On" } th scope="col" { "From" } th scope="col" { "To" }
                    th scope="col" { "Reason" }
                } }
                tbody { @for it in found.items.iter().map(|it| &it.entry) { tr {
                    td { (time(it.ts)) }
                    td { (shown(&it.actor)) @if let Some(name) = &it.actor_name { " (" (shown(name)) ")" } }
                    th scope="row" { (shown(&it.action)) @if it.forced { " " span.tag { "forced" } } }
                    td { a href={ "/audit?id=" (part(&it.id)) } { (shown(&it.id)) } }
                    td { (shown(it.from.as_deref().unwrap_or("–"))) }
                    td { (shown(it.to.as_deref().unwrap_or("–"))) }
                    td { (shown(it.reason.as_deref().unwrap_or_default())) }
                } } }
            } } }
            @if let Some(next) = found.next { p { a href={ "/audit?cursor=" (part(&next.to_string())) (of) } { "Older entries" } } }
        }
    };
    Ok(page(&visit.session, Tab::Audit, "Audit trail", &body))
}
