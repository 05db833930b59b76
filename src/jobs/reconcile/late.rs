//! Scores and counts late observations: announced in batches, so that every worker that completes
//! a batch counts the same ones, once.

use std::collections::HashMap;

use super::{Known, ReconcileJob, ReconcileReport};
use crate::jobs::commit::{Commit, MAX_ATTEMPTS, commit_or_reread};
use crate::jobs::score::scored::Scored;
use crate::jobs::score::write;
use crate::store::{
    Admission, Announced, Changes, Item, LATE_AT_ONCE, LateBatch, Position, Result, StoredItem,
};

/// Observations read together.
pub(super) const PAGE: usize = LATE_AT_ONCE;

impl ReconcileJob {
    pub(super) async fn score_late(
        &mut self,
        known: &mut Known,
        found: Vec<StoredItem>,
        report: &mut ReconcileReport,
    ) -> Result<()> {
        let store = self.store.clone();
        let config = self.config.get(known.now, store.reward_config()).await?;
        let limits = Some(self.limits.get(&store, known.now).await?);
        for some in found.chunks(LATE_AT_ONCE) {
            let ids = some.iter().map(|found| found.item.id().to_owned()).collect();
            let batch = LateBatch { ids, config: config.clone(), limits: limits.clone() };
            self.announce(known, batch.clone(), some).await?;
            self.complete(known, batch, report).await?;
        }
        Ok(())
    }

    /// Stores the batch, and the furthest of its observations without a shard: the cursors of a later
    /// layout will skip these.
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

    /// Scores and counts an announced batch. It skips an observation that was deleted meanwhile, and
    /// one that was corrected meanwhile and is now ahead of the cursors: it is not counted yet.
    pub(super) async fn complete(
        &mut self,
        known: &mut Known,
        batch: LateBatch,
        report: &mut ReconcileReport,
    ) -> Result<()> {
        let found = self.store.stored_items(&batch.ids).await?;
        let is_decidable = |found: &StoredItem| {
            let ts = found.position.ts_ms();
            !found.position.is_number() || !known.archived_before.is_unknown_at(ts)
        };
        if let Some(error) = known.archived_before.error()
            && !found.iter().all(is_decidable)
        {
            return Err(error);
        }
        let archived_before = known.archived_before.known();
        let admission = Admission { archived_before, limits: batch.limits.as_ref() };
        let found = found.into_iter().map(|found| found.checked(admission)).collect();
        let found = self.members(known, &batch, found).await?;
        // A corrected one may be further ahead now.
        if reach(known, &found) != known.state.up_to {
            self.announce(known, batch.clone(), &found).await?;
        }
        let items: Vec<Item> = found.into_iter().map(|found| found.item).collect();
        let items = Scored::all(&items, &batch.config);
        let version = &batch.config.version;
        let items = write::all(&self.store, items, Announced::Batch, version, known.now).await?;
        let mut rest = items.as_slice();
        loop {
            let taken = self.count(known, rest, &batch, report).await?;
            let (done, left) = rest.split_at(taken);
            rest = left;
            let rejected = report.rejected.count(done);
            report.malformed.count(done);
            report.volume.count(done);
            report.quarantined += rejected;
            report.scored += done.len() as u64 - rejected;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// The observations of a batch that it counts, of those that still exist. A crashed attempt may
    /// have left rewards that are not counted:
    ///
    /// - an observation with such a reward is counted here even if it has moved ahead of the cursors,
    ///   because they will skip it;
    /// - the reward of one that was deleted or is invalid now is deleted, in a commit of the state.
    async fn members(
        &self,
        known: &mut Known,
        batch: &LateBatch,
        found: Vec<StoredItem>,
    ) -> Result<Vec<StoredItem>> {
        let by_id: HashMap<&str, &StoredItem> =
            found.iter().map(|found| (found.item.id(), found)).collect();
        let is_plain = |id: &str| {
            let found = by_id.get(id);
            found
                .is_some_and(|it| matches!(it.item, Item::Valid { .. }) && is_still_late(known, it))
        };
        let others: Vec<_> =
            batch.ids.iter().map(String::as_str).filter(|id| !is_plain(id)).collect();
        let mut own = self.store.few_rewards_of(&others).await?;
        own.retain(|_, reward| known.state.owns(reward));
        let is_valid =
            |id: &str| by_id.get(id).is_some_and(|it| matches!(it.item, Item::Valid { .. }));
        let left: Vec<_> = own.values().filter(|reward| !is_valid(&reward.id)).collect();
        if !left.is_empty() {
            let next = known.state.announcing(Some(batch.clone()));
            known.state = self.store.announce_batch_without(&known.state, next, &left).await?;
        }
        let members = found
            .into_iter()
            .filter(|found| is_still_late(known, found) || own.contains_key(found.item.id()));
        Ok(members.collect())
    }

    /// Counts as many items from the front as fit into one commit, and returns how many.
    async fn count(
        &mut self,
        known: &mut Known,
        items: &[Scored<'_>],
        batch: &LateBatch,
        report: &mut ReconcileReport,
    ) -> Result<usize> {
        let mut attempt = 1;
        loop {
            let taken = self.ledger.load(&self.store, items).await?;
            let (done, left) = items.split_at(taken);
            self.ledger.fold(done, &batch.config, known.now);
            let pending = (!left.is_empty()).then(|| LateBatch {
                ids: left.iter().map(|item| item.id().to_owned()).collect(),
                config: batch.config.clone(),
                limits: batch.limits.clone(),
            });
            let next = known.state.announcing(pending.clone());
            report.damaged.extend(self.ledger.damaged().map(|it| (it.document, it.why)));
            let changes = self.ledger.take_changes();
            let commit = self.store.commit_reconcile(&known.state, next, changes, known.now);
            let reread = self.store.reconcile_state();
            let (stored, error) = match commit_or_reread(commit, reread).await {
                Err(error) if self.ledger.retries_with_fewer(&error, taken) => continue,
                Err(error) => return Err(error),
                Ok(Commit::Applied(state)) => {
                    known.state = state;
                    self.ledger.committed(None);
                    return Ok(taken);
                }
                Ok(Commit::Unknown { stored, error }) => (stored, error),
            };
            self.ledger.forget();
            if stored.follows(&known.state, pending.as_ref()) {
                known.state = stored;
                return Ok(taken);
            }
            if !stored.is_same(&known.state) || attempt == MAX_ATTEMPTS {
                return Err(error);
            }
            self.store.pause(attempt).await;
            attempt += 1;
        }
    }
}

/// Whether an announced observation is still for this job to count: it has no shard, or is behind
/// its shard's cursor.
fn is_still_late(known: &Known, found: &StoredItem) -> bool {
    known.layout.shard_of_number(found.shard).is_none() || known.is_behind_cursors(found)
}

/// The furthest valid observation without a shard, among these and those announced before.
fn reach(known: &Known, found: &[StoredItem]) -> Option<Position> {
    let unsharded = found.iter().filter(|found| {
        matches!(found.item, Item::Valid { .. })
            && known.layout.shard_of_number(found.shard).is_none()
    });
    let reached = unsharded.map(|found| &found.position);
    Position::furthest(known.state.up_to.as_ref().into_iter().chain(reached))
}
