//! Releases documents from quarantine after a fix of the document or of the service.

use super::{ReconcileJob, ReconcileReport};
use crate::store::{Item, QuarantineFilter, Quarantined, Result};
use firestore_kit::PageRequest;

/// What was done with the requested documents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequeueReport {
    /// Released from quarantine; scored now, or when a cursor reaches them.
    pub requeued: u64,
    /// Scored and counted now.
    pub scored: u64,
    /// Still invalid, each with its current error.
    pub refused: Vec<(String, String)>,
    /// Without an observation.
    pub gone: Vec<String>,
}

/// Documents read together.
const PAGE: usize = 100;

impl ReconcileJob {
    /// Releases the quarantined documents that are valid now, and scores them. The others stay, with
    /// the reason that they had.
    ///
    /// # Errors
    /// What Firestore refused. The next pass scores documents that were already released.
    pub async fn requeue(&mut self, filter: &QuarantineFilter, now: i64) -> Result<RequeueReport> {
        let mut report = RequeueReport::default();
        let mut page = PageRequest { limit: PAGE, after: None };
        loop {
            let found = self.store.quarantine_page(filter, &page).await?;
            self.release_valid(&found.items, now, &mut report).await?;
            page.after = found.next;
            if page.after.is_none() {
                return Ok(report);
            }
        }
    }

    async fn release_valid(
        &mut self,
        entries: &[Quarantined],
        now: i64,
        report: &mut RequeueReport,
    ) -> Result<()> {
        let ids: Vec<_> = entries.iter().map(|entry| entry.id.clone()).collect();
        let archived_before = self.store.retention_state().await?.archived_before;
        let found = self.store.stored_items(&ids).await?;
        let mut found: Vec<_> =
            found.into_iter().map(|found| found.checked(archived_before)).collect();
        let mut freed: Vec<String> = Vec::new();
        for entry in entries {
            let at = found.iter().position(|found| found.item.id() == entry.id);
            let Some(stored) = at.map(|at| found.swap_remove(at)) else {
                report.gone.push(entry.id.clone());
                continue;
            };
            if let Item::Invalid(invalid) = &stored.item {
                report.refused.push((entry.id.clone(), invalid.rejection.to_string()));
            } else if self.store.release(entry).await? {
                freed.push(entry.id.clone());
            }
        }
        report.requeued += freed.len() as u64;
        if freed.is_empty() {
            return Ok(());
        }
        let mut done = ReconcileReport::default();
        self.ledger.forget();
        let mut known = self.read_state(now, false).await?;
        if let Some(batch) = known.state.pending.clone() {
            self.complete(&mut known, batch, &mut done).await?;
        }
        // Read after the state: another worker may have scored a released one meanwhile, or it may
        // belong to the batch that was just completed.
        let open = self.store.unaccounted_among(&freed).await?;
        let scored_before = done.scored;
        self.handle(&mut known, open, &mut done).await?;
        report.scored += done.scored - scored_before;
        Ok(())
    }
}
