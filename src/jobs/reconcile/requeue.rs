//! Releases documents from quarantine after a fix of the document or of the service.

use super::{Known, ReconcileJob, ReconcileReport};
use crate::jobs::commit::MAX_ATTEMPTS;
use crate::jobs::score::scored::Scored;
use crate::store::{Admission, Item, QuarantineFilter, Quarantined, Result};
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
        let limits = self.limits.get(&self.store, now).await?;
        let admission = Admission { archived_before, limits: Some(&limits) };
        let found = self.store.stored_items(&ids).await?;
        let mut found: Vec<_> = found.into_iter().map(|found| found.checked(admission)).collect();
        let mut freed: Vec<String> = Vec::new();
        let mut released = Vec::new();
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
                released.push(stored);
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
        // Ahead of the cursors, they were not counted as rejected yet.
        released.retain(|found| known.is_behind_cursors(found));
        let released: Vec<_> = released.into_iter().map(|found| found.item).collect();
        self.count_released(&mut known, &released).await
    }

    /// Takes back that these documents were rejected, at most once: if the process dies before it, or
    /// the answer is lost, their component has too many rejected documents rather than too few.
    async fn count_released(&mut self, known: &mut Known, released: &[Item]) -> Result<()> {
        let store = self.store.clone();
        let config = self.config.get(known.now, store.reward_config()).await?;
        let items = Scored::all(released, &config);
        let mut rest = items.as_slice();
        let mut attempt = 1;
        while !rest.is_empty() {
            let taken = self.ledger.load(&store, rest).await?;
            self.ledger.release(&rest[..taken], known.now);
            let changes = self.ledger.take_changes();
            let same = known.state.clone();
            match store.commit_reconcile(&known.state, same, changes, known.now).await {
                Ok(state) => {
                    known.state = state;
                    self.ledger.committed(None);
                    rest = &rest[taken..];
                }
                Err(error) if error.is_conflict() && attempt < MAX_ATTEMPTS => {
                    self.ledger.forget();
                    store.pause(attempt).await;
                    known.state = store.reconcile_state().await?;
                    attempt += 1;
                }
                Err(error) => {
                    self.ledger.forget();
                    tracing::warn!(%error, "released documents still count as rejected");
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
