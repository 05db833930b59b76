//! Quarantined observations: listed and requeued.

use anyhow::{Result, bail};
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::store::{QuarantineFilter, Store};
use f0_learning_core::plural::{clause, count};
use firestore_kit::PageRequest;

use crate::cli::output::{self, Cell, Shown};
use crate::cli::pass_time;

/// Refusals that are printed individually.
const SHOWN: usize = 20;

pub async fn list(
    store: &Store,
    filter: QuarantineFilter,
    limit: usize,
    shown: Shown,
) -> Result<()> {
    let page = store.quarantine_page(&filter, &PageRequest { limit, after: None }).await?;
    if let Some(data) = shown.data() {
        return data.print(&page.items);
    }
    let now = store.now().await?;
    let mut table = output::table(&["since", "component", "reason", "id"]);
    for entry in &page.items {
        table.add_row(vec![
            Cell::time(entry.ts, now),
            entry.component.clone().unwrap_or_default().into(),
            entry.reason.clone().into(),
            entry.id.clone().into(),
        ]);
    }
    output::print(&table);
    if page.next.is_some() {
        say!("there are more: raise --limit to see them");
    }
    Ok(())
}

pub async fn requeue(store: Store, filter: QuarantineFilter, all: bool) -> Result<()> {
    let is_empty = filter.ids.is_empty() && filter.component.is_none() && filter.field.is_none();
    if is_empty && !all {
        bail!("nothing to requeue: pass ids, --component, --field or --all");
    }
    let now = pass_time(&store).await?;
    let mut job = ReconcileJob::new(store, ReconcileOptions::default());
    let report = job.requeue(&filter, now).await?;
    for (id, reason) in report.refused.iter().take(SHOWN) {
        say!("{id} stays in quarantine: {reason}");
    }
    if report.refused.len() > SHOWN {
        say!("and {} more", report.refused.len() - SHOWN);
    }
    for id in report.gone.iter().take(SHOWN) {
        say!("{id} stays in quarantine: the observation no longer exists");
    }
    say!(
        "{} requeued, {} scored; {} in quarantine",
        count(report.requeued, "observation"),
        report.scored,
        clause(report.refused.len() + report.gone.len(), "observation", "stay")
    );
    Ok(())
}
