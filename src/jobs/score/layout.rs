//! Changing how many shards there are, as `config/scoring` asks.

use super::{Pass, ScoreJob, ScoreReport};
use crate::store::Result;
use f0_learning_core::sharding::Layout;

impl ScoreJob {
    /// The layout in force, after changing it to the one asked for where that can be done now.
    /// First the ranges that were announced in the old cursors are completed: their members have
    /// rewards, and nobody else would count them.
    pub(super) async fn layout(
        &mut self,
        pass: Pass<'_>,
        report: &mut ScoreReport,
    ) -> Result<Layout> {
        let store = self.store.clone();
        let stored = self.in_force.get(pass.now, store.layout()).await?;
        let asked = self.asked_for(stored.layout, pass.now).await?;
        if asked == stored.layout || pass.stop.is_cancelled() {
            return Ok(stored.layout);
        }
        self.in_force.forget();
        let shards = stored.layout.shards();
        for shard in &shards {
            self.shard(*shard, false, pass, report).await?;
        }
        let old = self.store.cursors(&shards).await?;
        if old.iter().any(|cursor| cursor.pending.is_some()) {
            // Another worker goes on announcing; it will see what is asked for in its next pass.
            return Ok(stored.layout);
        }
        match self.store.change_layout(&stored, &old, asked).await {
            Ok(()) => {
                tracing::info!(from = stored.layout.shards, to = asked.shards, "shards changed");
                Ok(asked)
            }
            Err(error) if error.needs_reread() => Ok(self.store.layout().await?.layout),
            Err(error) => Err(error),
        }
    }

    /// What `config/scoring` says; a document that cannot be understood changes nothing.
    async fn asked_for(&mut self, in_force: Layout, now: i64) -> Result<Layout> {
        let store = self.store.clone();
        match self.asked.get(now, store.asked_layout()).await {
            Ok(asked) => Ok(asked),
            Err(error) if error.code().is_none() => {
                tracing::error!(%error, "the number of shards stays as it is");
                Ok(in_force)
            }
            Err(error) => Err(error),
        }
    }
}
