//! Changes the number of shards, as `config/scoring` requests.

use super::{Pass, ScoreJob, ScoreReport};
use crate::store::{Result, StoreError};
use f0_learning_core::sharding::Layout;

impl ScoreJob {
    /// The active layout, after changing it to the requested one if that is possible now.
    ///
    /// The ranges that were announced in the old cursors are completed first: their members have
    /// rewards, and no new cursor would count them.
    pub(super) async fn layout(
        &mut self,
        pass: Pass<'_>,
        report: &mut ScoreReport,
    ) -> Result<Layout> {
        let store = self.store.clone();
        let stored = self.active_layout.get(pass.now, store.layout()).await?;
        let requested = self.read_requested_layout(stored.layout, pass.now).await?;
        if requested == stored.layout || pass.stop.is_cancelled() {
            return Ok(stored.layout);
        }
        self.active_layout.forget();
        let shards = stored.layout.shards();
        for shard in &shards {
            match self.shard(*shard, Pass { only_announced: true, ..pass }, report).await {
                Err(StoreError::Decode { document, detail, .. }) => {
                    tracing::error!(document, detail, "the number of shards is unchanged");
                    return Ok(stored.layout);
                }
                done => done?,
            }
        }
        let old = self.store.cursors(&shards).await?;
        if old.iter().any(|cursor| cursor.pending.is_some()) {
            // Another worker still announces; it reads the requested layout in its next pass.
            return Ok(stored.layout);
        }
        match self.store.change_layout(&stored, &old, requested).await {
            Ok(()) => {
                tracing::info!(
                    from = stored.layout.shards,
                    to = requested.shards,
                    "number of shards changed"
                );
                Ok(requested)
            }
            Err(error) if error.needs_reread() => Ok(self.store.layout().await?.layout),
            Err(error) => Err(error),
        }
    }

    /// The layout in `config/scoring`; the active one if that document is invalid.
    async fn read_requested_layout(&mut self, active: Layout, now: i64) -> Result<Layout> {
        let store = self.store.clone();
        match self.requested_layout.get(now, store.asked_layout()).await {
            Ok(requested) => Ok(requested),
            Err(error) if error.code().is_none() => {
                tracing::error!(%error, "invalid config/scoring: the number of shards is unchanged");
                Ok(active)
            }
            Err(error) => Err(error),
        }
    }
}
