//! Makes the cursors, the layout and the state of reconciliation readable again.
//!
//! What can be read of a damaged cursor or state decides:
//!
//! - Its position, or its announced batch, is still there: the document is written again with it.
//!   Rewards after the position were announced and not counted, and scoring counts them.
//! - Nothing is there. A cursor then starts at a boundary so far back that no range was announced
//!   before it, and scoring counts what follows again. Reconciliation starts without a batch, and
//!   every late reward is counted. Until the statistics are recounted accordingly, the document is
//!   marked, and no worker can read it.

use std::collections::HashMap;

use firestore_kit::proto::Document;
use firestore_kit::{MAX_BATCH, Timestamp, value, write};

use super::Statistic;
use crate::store::collection::{OBSERVATIONS, POLICIES, STATE};
use crate::store::scoring::cursor::{
    self, Checkpoint, LAYOUT, Pending, Position, REBUILDING, cursor_id,
};
use crate::store::scoring::reconcile::{self, RECONCILE, ReconcileState};
use crate::store::{Result, Store, StoreError};
use f0_learning_core::sharding::{Layout, MAX_SHARDS, Shard};

/// How often a step is repeated because a document changed meanwhile.
const ATTEMPTS: u32 = 10;

/// A repair of cursors and states that has begun.
#[derive(Debug, Default)]
pub struct Repair {
    /// What was done already, for people.
    pub done: Vec<String>,
    /// The statistics that must be recounted before [`Store::end_repair`].
    pub statistics: Vec<Statistic>,
    cursors: Vec<Marked<Shard>>,
    reconcile: Option<Marked<()>>,
}

/// A marked document.
#[derive(Debug)]
struct Marked<T> {
    of: T,
    position: Option<Position>,
    update_time: Option<Timestamp>,
}

impl Repair {
    /// Whether there is nothing to recount and to end.
    pub fn is_done(&self) -> bool {
        self.cursors.is_empty() && self.reconcile.is_none()
    }
}

impl Store {
    /// Begins to repair what of the layout, the cursors and the state of reconciliation cannot be read.
    /// `tail` is the most observations that a worker announces in one range.
    pub async fn begin_repair(&self, tail: usize, now: i64) -> Result<Repair> {
        let mut attempt = 1;
        loop {
            match self.try_begin(tail, now).await {
                Err(error) if error.needs_reread() && attempt < ATTEMPTS => {
                    self.pause(attempt).await;
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    async fn try_begin(&self, tail: usize, now: i64) -> Result<Repair> {
        let mut repair = Repair::default();
        let layout = match self.layout().await {
            Err(StoreError::Decode { .. }) => self.repair_layout(&mut repair).await?,
            layout => layout?.layout,
        };
        for shard in layout.shards() {
            if let Err(StoreError::Decode { .. }) = self.cursor(shard).await {
                self.repair_cursor(shard, tail, &mut repair).await?;
            }
        }
        for shard in self.retired_cursors(layout).await? {
            self.repair_retired(shard, &mut repair).await?;
        }
        if let Err(StoreError::Decode { .. }) = self.reconcile_state().await {
            self.repair_reconcile(layout, now, &mut repair).await?;
        }
        for marked in &repair.cursors {
            let boundary = marked.position.as_ref();
            self.counted_after(marked.of, boundary, &mut repair.statistics).await?;
        }
        self.leave_out_unknown_versions(&mut repair).await?;
        Ok(repair)
    }

    /// Components may write any text as a version: only those that exist are counted.
    async fn leave_out_unknown_versions(&self, repair: &mut Repair) -> Result<()> {
        let key = |statistic: &Statistic| match statistic {
            Statistic::Tally(key) => Some(self.db.name(POLICIES, &key.to_string())),
            Statistic::Series(_) => None,
        };
        let names: Vec<_> = repair.statistics.iter().filter_map(key).collect();
        let mut found = HashMap::new();
        for some in names.chunks(MAX_BATCH) {
            found.extend(self.db.get_masked(some.to_vec(), &["id"]).await?);
        }
        repair.statistics.retain(|it| key(it).is_none_or(|name| found.contains_key(&name)));
        Ok(())
    }

    /// The number of shards, from the cursors that are not retired.
    async fn repair_layout(&self, repair: &mut Repair) -> Result<Layout> {
        let cursors = self.shards_with_cursors().await?;
        let all = self.db.get(STATE, &cursor_id(Shard::All)).await?;
        let of_all = all.and_then(|document| cursor::decode(Shard::All, &document).ok());
        let active = cursors.iter().filter(|(_, is_retired)| !**is_retired).map(|(it, _)| *it);
        // The active cursor of all observations says that there are no shards.
        let shards = match of_all {
            Some(cursor) if !cursor.retired => 0,
            _ => active.max().map_or(0, |last| last + 1),
        };
        let layout = Layout { shards: shards.min(MAX_SHARDS) };
        let update_time = self.db.get(STATE, LAYOUT).await?.and_then(|found| found.update_time);
        let fields = value::fields([("shards", value::int(i64::from(layout.shards)))]);
        let name = self.db.name(STATE, LAYOUT);
        let write = write::set_if_unchanged(name, fields, update_time);
        self.db.commit("ops_state/layout", vec![write]).await?;
        repair.done.push(format!("ops_state/layout is written again: {} shards", layout.shards));
        Ok(layout)
    }

    async fn repair_cursor(&self, shard: Shard, tail: usize, repair: &mut Repair) -> Result<()> {
        let id = cursor_id(shard);
        let name = self.db.name(STATE, &id);
        let (mut found, now) = self.db.snapshot(vec![name.clone()]).await?;
        let document = found.remove(&name);
        let update_time = document.as_ref().and_then(|it| it.update_time);
        if let Some(position) = document.as_ref().and_then(cursor::decode_boundary) {
            repair.cursors.push(Marked { of: shard, position, update_time });
            return Ok(());
        }
        if let Some(saved) = document.as_ref().and_then(cursor::salvage) {
            let announced = match saved.pending {
                Some(pending) => Some(pending),
                None => self.announced_again(shard, saved.position.as_ref(), now).await?,
            };
            let next = Checkpoint { pending: announced, ..saved };
            self.write_cursor(shard, &next, false, update_time, now).await?;
            repair.done.push(format!("{STATE}/{id} is written again with its position"));
            return Ok(());
        }
        let position = self.position_before_last(shard, tail).await?;
        let position = match position {
            Some(position) => Some(position),
            None => self.archived_position().await?,
        };
        let fields = cursor::encode_boundary(position.as_ref());
        let write = write::set_if_unchanged(name, fields, update_time);
        let response = self.db.commit(&format!("{STATE}/{id}"), vec![write]).await?;
        let update_time = write::update_time(&response, 0);
        repair.cursors.push(Marked { of: shard, position, update_time });
        Ok(())
    }

    /// An announcement of everything after a position that has a reward: the worker that completes it
    /// first deletes the rewards of observations that have moved since.
    async fn announced_again(
        &self,
        shard: Shard,
        position: Option<&Position>,
        read_time: Timestamp,
    ) -> Result<Option<Pending>> {
        let end = self.position_before_last(shard, 0).await?;
        let is_after = |end: &Position| position.is_none_or(|position| end.is_after(position));
        let Some(end) = end.filter(is_after) else { return Ok(None) };
        let config = self.reward_config().await?;
        let archived_before = self.retention_state().await?.archived_before;
        let limits = Some(self.limits().await?);
        Ok(Some(Pending { end, read_time, config, archived_before, limits }))
    }

    /// Before everything that may not be archived: a cursor never counts what was archived.
    async fn archived_position(&self) -> Result<Option<Position>> {
        let archived = self.retention_state().await?.archived_before;
        let name = self.db.name(OBSERVATIONS, "\u{1}");
        Ok(archived.map(|ts| Position { ts: value::int(ts), name }))
    }

    async fn write_cursor(
        &self,
        shard: Shard,
        next: &Checkpoint,
        retired: bool,
        update_time: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<()> {
        // Higher than any number before, so that no state is taken for an earlier one.
        let fields = cursor::encode(next, value::epoch_micros(&now), retired)?;
        let id = cursor_id(shard);
        let write = write::set_if_unchanged(self.db.name(STATE, &id), fields, update_time);
        self.db.commit(&format!("{STATE}/{id}"), vec![write]).await?;
        Ok(())
    }

    /// The shards outside the layout whose cursor cannot be read.
    async fn retired_cursors(&self, layout: Layout) -> Result<Vec<Shard>> {
        let shards = self.shards_with_cursors().await?.into_keys().map(Shard::One);
        let mut damaged = Vec::new();
        for shard in shards.chain([Shard::All]).filter(|it| !layout.shards().contains(it)) {
            let document = self.db.get(STATE, &cursor_id(shard)).await?;
            if document.is_some_and(|it| cursor::decode(shard, &it).is_err()) {
                damaged.push(shard);
            }
        }
        Ok(damaged)
    }

    /// A cursor that is not in the layout gets its position when a layout includes it again.
    async fn repair_retired(&self, shard: Shard, repair: &mut Repair) -> Result<()> {
        let id = cursor_id(shard);
        let name = self.db.name(STATE, &id);
        let (mut found, now) = self.db.snapshot(vec![name.clone()]).await?;
        let update_time = found.remove(&name).and_then(|it| it.update_time);
        let next = Checkpoint { position: None, pending: None };
        self.write_cursor(shard, &next, true, update_time, now).await?;
        repair.done.push(format!("{STATE}/{id} is written again as retired"));
        Ok(())
    }

    async fn repair_reconcile(&self, layout: Layout, now: i64, repair: &mut Repair) -> Result<()> {
        let name = self.db.name(STATE, RECONCILE);
        let document = self.db.get(STATE, RECONCILE).await?;
        let is_marked = |it: &Document| it.fields.contains_key(REBUILDING);
        let mut update_time = document.as_ref().and_then(|it| it.update_time);
        let is_unsharded = |number| layout.shard_of_number(number).is_none();
        let marked = document.as_ref().is_some_and(is_marked);
        let saved = document.as_ref().filter(|_| !marked).and_then(reconcile::salvage);
        if let Some(saved) = saved {
            let up_to = self.counted_late(is_unsharded, &mut Vec::new()).await?;
            let state = saved.repaired(up_to, next_sequence(now));
            let fields = reconcile::encode(&state)?;
            let write = write::set_if_unchanged(name, fields, update_time);
            self.db.commit("ops_state/reconcile", vec![write]).await?;
            repair.done.push("ops_state/reconcile is written again with its batch".to_owned());
            return Ok(());
        }
        if !marked {
            let fields = value::fields([(REBUILDING, value::int(now))]);
            let write = write::set_if_unchanged(name, fields, update_time);
            let response = self.db.commit("ops_state/reconcile", vec![write]).await?;
            update_time = write::update_time(&response, 0);
        }
        let position = self.counted_late(is_unsharded, &mut repair.statistics).await?;
        repair.reconcile = Some(Marked { of: (), position, update_time });
        Ok(())
    }

    /// Why the layout, the cursors and the state of reconciliation cannot be read, by document; empty if
    /// they can.
    pub async fn counting_damage(&self) -> Result<Vec<(String, String)>> {
        let mut damage = Vec::new();
        let mut keep = |outcome: Result<()>| match outcome {
            Err(StoreError::Decode { document, detail, .. }) => {
                damage.push((document, detail));
                Ok(())
            }
            other => other,
        };
        let layout = self.layout().await;
        let shards = layout.as_ref().map_or_else(|_| Vec::new(), |it| it.layout.shards());
        keep(layout.map(|_| ()))?;
        for (_, cursor) in self.each_cursor(&shards).await? {
            keep(cursor.map(|_| ()))?;
        }
        keep(self.reconcile_state().await.map(|_| ()))?;
        Ok(damage)
    }

    /// Makes the marked documents readable, after their statistics were recounted.
    ///
    /// # Errors
    /// A conflict if another repair was first.
    pub async fn end_repair(&self, repair: &mut Repair, now: i64) -> Result<()> {
        for marked in std::mem::take(&mut repair.cursors) {
            let id = cursor_id(marked.of);
            let time = self.db.snapshot(vec![self.db.name(STATE, &id)]).await?.1;
            let pending = self.announced_again(marked.of, marked.position.as_ref(), time).await?;
            let next = Checkpoint { position: marked.position, pending };
            self.write_cursor(marked.of, &next, false, marked.update_time, time).await?;
            let from = next.position.map_or_else(
                || "the first observation".to_owned(),
                |position| format!("ts {}", position.ts_ms()),
            );
            repair.done.push(format!("{STATE}/{id} is written again: scoring counts from {from}"));
        }
        if let Some(Marked { position, update_time, .. }) = repair.reconcile.take() {
            let state = ReconcileState::default().repaired(position, next_sequence(now));
            let name = self.db.name(STATE, RECONCILE);
            let fields = reconcile::encode(&state)?;
            let write = write::set_if_unchanged(name, fields, update_time);
            self.db.commit("ops_state/reconcile", vec![write]).await?;
            repair.done.push("ops_state/reconcile is written again, without a batch".to_owned());
        }
        Ok(())
    }
}

/// Higher than any number before.
fn next_sequence(now: i64) -> i64 {
    now.saturating_mul(1_000)
}
