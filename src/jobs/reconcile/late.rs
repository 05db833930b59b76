//! Scoring and counting late observations: announced in batches, so that whoever completes a
//! batch counts the same ones, once.

use super::{Known, ReconcileJob, ReconcileReport};
use crate::jobs::score::write;
use crate::store::{Changes, Item, LATE_AT_ONCE, LateBatch, Position, Result, StoredItem};

/// Observations looked at together.
pub(super) const PAGE: usize = LATE_AT_ONCE;

/// How often a commit is made again on top of what others have counted meanwhile.
const MAX_ATTEMPTS: u32 = 12;

impl ReconcileJob {
    pub(super) async fn score_late(
        &mut self,
        known: &mut Known,
        found: Vec<StoredItem>,
        report: &mut ReconcileReport,
    ) -> Result<()> {
        let store = self.store.clone();
        let config = self.config.get(known.now, store.reward_config()).await?;
        for some in found.chunks(LATE_AT_ONCE) {
            let ids = some.iter().map(|found| found.item.id().to_owned()).collect();
            let batch = LateBatch { ids, config: config.clone() };
            self.announce(known, batch.clone(), some).await?;
            self.complete(known, batch, report).await?;
        }
        Ok(())
    }

    /// Stores the batch, and how far it reaches among the observations that belong to no shard: the
    /// cursors of another layout will leave these out.
    async fn announce(
        &self,
        known: &mut Known,
        batch: LateBatch,
        found: &[StoredItem],
    ) -> Result<()> {
        let mut announced = known.state.announcing(Some(batch));
        announced.up_to = reach(known, found);
        let changes = Changes::default();
        known.state =
            self.store.commit_reconcile(&known.state, announced, changes, known.now).await?;
        Ok(())
    }

    /// Writes and counts what was announced. An observation that is gone by now is passed over, and
    /// so is one that was mended since and is no longer this job's: whoever it falls to finds it
    /// without a count.
    pub(super) async fn complete(
        &mut self,
        known: &mut Known,
        batch: LateBatch,
        report: &mut ReconcileReport,
    ) -> Result<()> {
        let mut found = self.store.stored_items(&batch.ids).await?;
        found.retain(|found| is_still_ours(known, found));
        // One that was mended may reach further now.
        if reach(known, &found) != known.state.up_to {
            self.announce(known, batch.clone(), &found).await?;
        }
        let items: Vec<Item> = found.into_iter().map(|found| found.item).collect();
        write::all(&self.store, &items, &batch.config, known.now).await?;
        let mut rest = items.as_slice();
        loop {
            let taken = self.count(known, rest, &batch).await?;
            let (done, left) = rest.split_at(taken);
            rest = left;
            let rejected = report.rejected.count(done);
            report.quarantined += rejected;
            report.scored += done.len() as u64 - rejected;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// Counts as many items from the front as one commit can hold, and says how many.
    async fn count(
        &mut self,
        known: &mut Known,
        items: &[Item],
        batch: &LateBatch,
    ) -> Result<usize> {
        let mut attempt = 1;
        loop {
            let folded = self.ledger.fold(&self.store, items, &batch.config, known.now).await?;
            let left = &items[folded.taken..];
            let pending = (!left.is_empty()).then(|| LateBatch {
                ids: left.iter().map(|item| item.id().to_owned()).collect(),
                config: batch.config.clone(),
            });
            let next = known.state.announcing(pending.clone());
            let changes = self.ledger.take_changes();
            let committed =
                self.store.commit_reconcile(&known.state, next, changes, known.now).await;
            let error = match committed {
                Ok(state) => {
                    known.state = state;
                    self.ledger.committed(None);
                    return Ok(folded.taken);
                }
                Err(error) if error.needs_reread() => error,
                Err(error) => return Err(error),
            };
            self.ledger.forget();
            let stored = self.store.reconcile_state().await?;
            if stored.follows(&known.state, pending.as_ref()) {
                known.state = stored;
                return Ok(folded.taken);
            }
            if !stored.is_same(&known.state) || attempt == MAX_ATTEMPTS {
                return Err(error);
            }
            self.store.pause(attempt).await;
            attempt += 1;
        }
    }
}

/// Whether what was announced is still for this job to count: what belongs to a shard only if its
/// cursor has passed it.
fn is_still_ours(known: &Known, found: &StoredItem) -> bool {
    known.layout.shard_of_number(found.shard).is_none() || ReconcileJob::is_left_to_us(known, found)
}

/// The furthest valid observation that belongs to no shard, of these and those announced before.
fn reach(known: &Known, found: &[StoredItem]) -> Option<Position> {
    let nobodys = found.iter().filter(|found| {
        matches!(found.item, Item::Valid { .. })
            && known.layout.shard_of_number(found.shard).is_none()
    });
    let reached = nobodys.map(|found| &found.position);
    Position::furthest(known.state.up_to.as_ref().into_iter().chain(reached))
}
