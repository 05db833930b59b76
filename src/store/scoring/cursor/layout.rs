//! `ops_state/layout`: the number of shards that the active cursors cover, which may differ from the
//! number that `config/scoring` requests.

use firestore_kit::Timestamp;

use super::{Checkpoint, Cursor, Position, cursor_id, wire};
use crate::store::{Result, StoreError};
use crate::store::{Store, collection::STATE};
use f0_learning_core::sharding::{Layout, MAX_SHARDS};
use firestore_kit::{value, write};

const LAYOUT: &str = "layout";

/// The active layout, with the update time that a change must find unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StoredLayout {
    pub layout: Layout,
    update_time: Option<Timestamp>,
}

impl Store {
    pub async fn layout(&self) -> Result<StoredLayout> {
        let Some(document) = self.db.get(STATE, LAYOUT).await? else {
            return Ok(StoredLayout::default());
        };
        let shards = value::as_int(&document.fields, "shards");
        let shards = shards.and_then(|shards| u32::try_from(shards).ok());
        let Some(shards) = shards.filter(|shards| *shards <= MAX_SHARDS) else {
            let detail = format!("shards must be a whole number from 0 to {MAX_SHARDS}");
            return Err(StoreError::decode("ops_state/layout", "a layout of shards", detail));
        };
        Ok(StoredLayout { layout: Layout { shards }, update_time: document.update_time })
    }

    /// Activates another layout, in one commit: the `old` cursors are retired, and those of the new
    /// layout start at the furthest position of the old ones and of what reconciliation counted past
    /// them. An observation that an old cursor had not reached is then behind a new one without a
    /// reward: it is late, and reconciliation finds it.
    ///
    /// No cursor in `old` may have an announced range: its members would have rewards and never be
    /// counted.
    ///
    /// # Errors
    /// A conflict if any of the documents changed since it was read.
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
        let name = self.db.name(STATE, LAYOUT);
        let mut writes = vec![write::set_if_unchanged(name, fields, from.update_time)];
        // Reconciliation must not continue with the old layout.
        writes.push(self.touch_reconcile(&late));
        let write_of = |cursor: &Cursor, position: Option<Position>, retired: bool| {
            let next = Checkpoint { position, pending: None };
            let fields = wire::encode(&next, cursor.sequence + 1, retired);
            write::set_if_unchanged(
                self.db.name(STATE, &cursor_id(cursor.shard)),
                fields,
                cursor.update_time,
            )
        };
        let is_new = |cursor: &&Cursor| new.iter().any(|other| other.shard == cursor.shard);
        let retired = old.iter().filter(|cursor| !is_new(cursor));
        writes.extend(retired.map(|cursor| write_of(cursor, cursor.position.clone(), true)));
        // A cursor of both layouts must be unchanged since it had no announced range.
        let unannounced = |cursor: &Cursor| {
            old.iter().find(|other| other.shard == cursor.shard).cloned().unwrap_or(cursor.clone())
        };
        let moved =
            new.iter().map(|cursor| write_of(&unannounced(cursor), position.clone(), false));
        writes.extend(moved);
        self.db.commit("ops_state/layout and the cursors", writes).await?;
        Ok(())
    }
}
