//! Counting a chunk whose rewards exist, and moving the cursor over it.

use super::{Pass, ScoreJob, ScoreReport};
use crate::store::{Checkpoint, Chunk, Cursor, Item, Pending, Result};

/// How often a commit is made again on top of what others have counted meanwhile.
const MAX_ATTEMPTS: u32 = 12;

/// One step of a pass: the chunk to count, as it was announced, and what is announced with it.
pub(super) struct Step<'a> {
    pub chunk: &'a Chunk,
    pub pending: &'a Pending,
    pub announced: Option<Pending>,
    pub pass: Pass<'a>,
}

impl ScoreJob {
    /// Counts a chunk. One that touches so many components that one commit could not hold them is
    /// counted in several.
    pub(super) async fn count(
        &mut self,
        mut cursor: Cursor,
        step: Step<'_>,
        report: &mut ScoreReport,
    ) -> Result<Cursor> {
        let mut rest = step.chunk.items.as_slice();
        loop {
            let taken;
            (cursor, taken) = self.count_some(cursor, rest, &step).await?;
            let (done, left) = rest.split_at(taken);
            rest = left;
            let rejected = report.rejected.count(done);
            report.quarantined += rejected;
            report.scored += done.len() as u64 - rejected;
            report.checkpoints += 1;
            (step.pass.progress)(report.scored + report.quarantined);
            if rest.is_empty() {
                return Ok(cursor);
            }
        }
    }

    /// Counts as many items from the front as one commit can hold, and says how many. A commit
    /// that was refused, or whose answer was lost, is not made again before the stored cursor has
    /// told what became of it.
    async fn count_some(
        &mut self,
        cursor: Cursor,
        items: &[Item],
        step: &Step<'_>,
    ) -> Result<(Cursor, usize)> {
        let (pending, now) = (step.pending, step.pass.now);
        let mut attempt = 1;
        loop {
            let folded = self.ledger.fold(&self.store, items, &pending.config, now).await?;
            let next = if folded.taken == items.len() {
                let position = Some(pending.end.clone());
                Checkpoint { position, pending: step.announced.clone() }
            } else {
                Checkpoint { position: folded.last, pending: Some(pending.clone()) }
            };
            let changes = self.ledger.take_changes();
            let error = match self.store.checkpoint(&cursor, next.clone(), changes, now).await {
                Ok(cursor) => {
                    self.ledger.committed(Some(cursor.sequence));
                    return Ok((cursor, folded.taken));
                }
                Err(error) if error.needs_reread() => error,
                Err(error) => return Err(error),
            };
            self.ledger.forget();
            let stored = self.store.cursor(cursor.shard).await?;
            if stored.stands_at(cursor.sequence + 1, &next) {
                return Ok((stored, folded.taken));
            }
            if !stored.is_same(&cursor) || attempt == MAX_ATTEMPTS {
                return Err(error);
            }
            tracing::debug!(attempt, %error, "counting again on top of what others counted");
            self.store.pause(attempt).await;
            attempt += 1;
        }
    }
}
