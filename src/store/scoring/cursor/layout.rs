//! `ops_state/layout`: how many shards the cursors in force cover, as opposed to how many
//! `config/scoring` asks for.

use firestore_kit::Timestamp;

use super::{Checkpoint, Cursor, Position, cursor_id, wire};
use crate::store::{Result, StoreError};
use crate::store::{Store, collection::STATE};
use f0_learning_core::sharding::{Layout, MAX_SHARDS};
use firestore_kit::{value, write};

const LAYOUT: &str = "layout";

/// The layout in force, with the update time that a change must find.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StoredLayout {
    pub layout: Layout,
    seen: Option<Timestamp>,
}

impl Store {
    pub async fn layout(&self) -> Result<StoredLayout> {
        let Some(document) = self.db.get(STATE, LAYOUT).await? else {
            return Ok(StoredLayout::default());
        };
        let shards = value::as_int(&document.fields, "shards");
        let shards = shards.and_then(|shards| u32::try_from(shards).ok());
        let Some(shards) = shards.filter(|shards| *shards <= MAX_SHARDS) else {
            let detail = format!("shards is no whole number up to {MAX_SHARDS}");
            return Err(StoreError::decode("ops_state/layout", "a layout of shards", detail));
        };
        Ok(StoredLayout { layout: Layout { shards }, seen: document.update_time })
    }

    /// Puts another layout in force, in one commit: `old` cursors are retired, and those of the
    /// new layout begin at the furthest position of the old ones, and of what was counted past them. What an old cursor had not
    /// reached then lies behind a new one without a reward: it is late, and found as such.
    ///
    /// No cursor in `old` may have a range announced: its members would have rewards and never be
    /// counted.
    ///
    /// # Errors
    /// A conflict where any of the documents changed meanwhile.
    pub async fn change_layout(
        &self,
        from: &StoredLayout,
        old: &[Cursor],
        to: Layout,
    ) -> Result<()> {
        let late = self.reconcile_state().await?;
        let reached = old.iter().filter_map(|cursor| cursor.position.as_ref());
        let position = Position::furthest(reached.chain(late.up_to.as_ref()));
        let new = self.cursors(&to.shards()).await?;
        let fields = value::fields([("shards", value::int(i64::from(to.shards)))]);
        let mut writes =
            vec![write::set_if_unchanged(self.db.name(STATE, LAYOUT), fields, from.seen)];
        // Reconciliation must not go on by the old layout.
        writes.push(self.touch_reconcile(&late));
        let put = |cursor: &Cursor, position: Option<Position>, retired: bool| {
            let next = Checkpoint { position, pending: None };
            let fields = wire::encode(&next, cursor.sequence + 1, retired);
            write::set_if_unchanged(
                self.db.name(STATE, &cursor_id(cursor.shard)),
                fields,
                cursor.seen,
            )
        };
        let is_new = |cursor: &&Cursor| new.iter().any(|it| it.shard == cursor.shard);
        let retired = old.iter().filter(|cursor| !is_new(cursor));
        writes.extend(retired.map(|cursor| put(cursor, cursor.position.clone(), true)));
        // A cursor of both layouts must be as it was when it had nothing announced.
        let as_known = |cursor: &Cursor| {
            old.iter().find(|it| it.shard == cursor.shard).cloned().unwrap_or(cursor.clone())
        };
        writes.extend(new.iter().map(|cursor| put(&as_known(cursor), position.clone(), false)));
        self.db.commit("ops_state/layout and the cursors", writes, None).await?;
        Ok(())
    }
}
