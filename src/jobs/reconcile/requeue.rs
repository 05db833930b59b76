//! Taking documents out of quarantine after a fix: of the document itself, or of the service.

use super::{ReconcileJob, ReconcileReport};
use crate::store::{Item, QuarantineFilter, Quarantined, Result};
use firestore_kit::PageRequest;

/// What became of the documents that were asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequeueReport {
    /// Taken out of quarantine; scored now or when a cursor comes by.
    pub requeued: u64,
    /// Scored and counted now.
    pub scored: u64,
    /// Still no observation, with what is wrong now.
    pub refused: Vec<(String, String)>,
    /// The observation is no longer there.
    pub gone: Vec<String>,
}

/// Documents looked at together.
const PAGE: usize = 100;

impl ReconcileJob {
    /// Looks again at what stands in quarantine. What can be scored by now leaves it, and is
    /// scored; what cannot stays, with the reason it had.
    ///
    /// # Errors
    /// What Firestore refused. What had left quarantine by then is found by the next pass.
    pub async fn requeue(&mut self, filter: &QuarantineFilter, now: i64) -> Result<RequeueReport> {
        let mut report = RequeueReport::default();
        let mut page = PageRequest { limit: PAGE, after: None };
        loop {
            let found = self.store.quarantine_page(filter, &page).await?;
            self.look_again(&found.items, now, &mut report).await?;
            page.after = found.next;
            if page.after.is_none() {
                return Ok(report);
            }
        }
    }

    async fn look_again(
        &mut self,
        entries: &[Quarantined],
        now: i64,
        report: &mut RequeueReport,
    ) -> Result<()> {
        let ids: Vec<_> = entries.iter().map(|entry| entry.id.clone()).collect();
        let mut found = self.store.stored_items(&ids).await?;
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
        let mut known = self.know(now, false).await?;
        if let Some(batch) = known.state.pending.clone() {
            self.complete(&mut known, batch, &mut done).await?;
        }
        // Only now, after the state was read: one that left quarantine may have been found by
        // another worker since, or belong to the batch that was just completed.
        let open = self.store.unaccounted_among(&freed).await?;
        let scored_before = done.scored;
        self.see_to(&mut known, open, &mut done).await?;
        report.scored += done.scored - scored_before;
        Ok(())
    }
}
