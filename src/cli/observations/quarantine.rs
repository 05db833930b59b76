//! Quarantined observations: listed and requeued.

use anyhow::{Result, bail};
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::store::{QuarantineFilter, Store};
use firestore_kit::PageRequest;

use crate::cli::{format, output, pass_time};

/// Refusals that are printed individually.
const SHOWN: usize = 20;

pub async fn list(store: &Store, filter: QuarantineFilter, limit: usize, json: bool) -> Result<()> {
    let page = store.quarantine_page(&filter, &PageRequest { limit, after: None }).await?;
    if json {
        return output::print_json(&page.items);
    }
    let mut table = output::table(&["since", "component", "reason", "id"]);
    for entry in &page.items {
        table.add_row(vec![
            format::time(entry.ts),
            entry.component.clone().unwrap_or_default(),
            entry.reason.clone(),
            entry.id.clone(),
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
        "{} requeued, {} of them scored; {} stay in quarantine",
        report.requeued,
        report.scored,
        report.refused.len() + report.gone.len()
    );
    Ok(())
}
