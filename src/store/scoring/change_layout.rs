//! The change of the layout of shards: the cursors of the old layout hand over to those of the new.

use crate::store::scoring::cursor::{Checkpoint, Cursor, Position, StoredLayout};
use crate::store::{Result, Store};
use f0_learning_core::sharding::Layout;

impl Store {
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
        let new = self.cursors_to_be(&to.shards()).await?;
        let mut writes = vec![self.layout_write(from, to)];
        // Reconciliation must not continue with the old layout.
        writes.push(self.touch_reconcile(&late)?);
        let is_new = |cursor: &&Cursor| new.iter().any(|other| other.shard == cursor.shard);
        let retired = old.iter().filter(|cursor| !is_new(cursor));
        for cursor in retired {
            writes.push(self.retire_write(cursor)?);
        }
        // A cursor of both layouts must be unchanged since it had no announced range.
        let unannounced = |cursor: &Cursor| {
            old.iter().find(|other| other.shard == cursor.shard).cloned().unwrap_or(cursor.clone())
        };
        for cursor in &new {
            let next = Checkpoint { position: position.clone(), pending: None };
            writes.push(self.cursor_write(&unannounced(cursor), &next)?);
        }
        self.db.commit("ops_state/layout and the cursors", writes).await?;
        Ok(())
    }
}
