//! The statistics of components, a page at a time.

use axum::response::Response;
use maud::html;

use super::layout::{Failure, Tab, live, page, unreadable};
use super::text::{figure, part, percent, shown};
use super::visit::{Visit, page_request};
use crate::store::ComponentStats;

/// Documents on a page; a component has one for each of three windows.
const SHOWN: usize = 90;

pub async fn list(visit: Visit) -> Result<Response, Failure> {
    let found = visit.store.stats_page(None, &page_request(visit.query("cursor"), SHOWN)?).await?;
    let next = found.next.map(|it| it.to_string());
    let mut rows = found.items;
    rows.sort_by(|a, b| (&a.component, a.window).cmp(&(&b.component, b.window)));
    let rejected = |it: &ComponentStats| {
        let documents = it.stats.n.saturating_add(it.stats.rejected);
        if documents == 0 { "–".to_owned() } else { percent(ratio(it.stats.rejected, documents)) }
    };
    let content = html! {
        h1 { "Components" }
        section.card {
            @if rows.is_empty() { p.muted { "No component has sent an observation yet." } }
            (unreadable(&found.unreadable))
            @if !rows.is_empty() { div.scroll tabindex="0" { table {
                thead { tr {
                    th scope="col" { "Component" } th scope="col" { "Window" }
                    th.number scope="col" { "Observations" } th.number scope="col" { "Success" }
                    th.number scope="col" { "p50, ms" } th.number scope="col" { "p95, ms" }
                    th.number scope="col" { "Mean cost, USD" } th.number scope="col" { "Mean reward" }
                    th.number scope="col" { "Rejected" }
                } }
                tbody { @for it in &rows { tr {
                    th scope="row" { a href={ "/components/" (part(&it.component)) "?window=" (it.window.as_str()) } { (shown(&it.component)) } }
                    td { (it.window.as_str()) }
                    td.number { (it.stats.n) }
                    td.number { (percent(it.stats.success_rate)) }
                    td.number { (format!("{:.0}", it.stats.p50_latency)) }
                    td.number { (format!("{:.0}", it.stats.p95_latency)) }
                    td.number { (it.stats.avg_cost_usd.map_or("–".to_owned(), |it| format!("{it:.5}"))) }
                    td.number { (figure(it.stats.avg_reward)) }
                    td.number { (rejected(it)) }
                } } }
            } } }
            @if let Some(next) = next { p { a href={ "/components?cursor=" (part(&next)) } { "Next page" } } }
        }
    };
    Ok(page(&visit.session, Tab::Components, "Components", &live(&visit.path, &content)))
}

/// A share of a count, exact to a millionth.
fn ratio(part: u64, whole: u64) -> f64 {
    let millionths = u128::from(part) * 1_000_000 / u128::from(whole.max(1));
    f64::from(u32::try_from(millionths).unwrap_or(1_000_000)) / 1e6
}
