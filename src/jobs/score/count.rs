//! Counts a chunk whose rewards exist, and moves the cursor over it.

use super::scored::Scored;
use super::{Pass, ScoreJob, ScoreReport};
use crate::jobs::commit::{Commit, MAX_ATTEMPTS, commit_or_reread};
use crate::store::{Checkpoint, Cursor, Pending, Position, Result, Store};
use f0_learning_core::stats::Window;

/// One step of a pass: the announced chunk to count, and the announcement of the next one.
pub(super) struct Step<'a> {
    pub items: &'a [Scored<'a>],
    pub pending: &'a Pending,
    pub announced: Option<Pending>,
    pub pass: Pass<'a>,
}

impl ScoreJob {
    /// Counts a chunk, in several commits if its components do not fit into one.
    pub(super) async fn count(
        &mut self,
        mut cursor: Cursor,
        step: Step<'_>,
        report: &mut ScoreReport,
    ) -> Result<Cursor> {
        let mut rest = step.items;
        loop {
            let taken;
            (cursor, taken) = self.count_some(cursor, rest, &step, report).await?;
            let (done, left) = rest.split_at(taken);
            rest = left;
            let rejected = report.rejected.count(done);
            report.malformed.count(done);
            report.volume.count(done);
            let oldest = step.pass.now - Window::SevenDays.span_ms();
            report.too_old += done.iter().filter(|it| it.is_older_than(oldest)).count() as u64;
            report.quarantined += rejected;
            report.scored += done.len() as u64 - rejected;
            report.checkpoints += 1;
            (step.pass.progress)(report.scored + report.quarantined);
            if rest.is_empty() {
                return Ok(cursor);
            }
        }
    }

    /// Counts as many items from the front as fit into one commit, and returns how many. A commit
    /// that was refused, or whose answer was lost, is repeated only after the stored cursor has
    /// shown that it was not applied.
    async fn count_some(
        &mut self,
        cursor: Cursor,
        items: &[Scored<'_>],
        step: &Step<'_>,
        report: &mut ScoreReport,
    ) -> Result<(Cursor, usize)> {
        let (pending, now) = (step.pending, step.pass.now);
        let mut attempt = 1;
        loop {
            let taken = self.ledger.load(&self.store, items).await?;
            self.ledger.fold(&items[..taken], &pending.config, now);
            let next = if taken == items.len() {
                let position = Some(pending.end.clone());
                Checkpoint { position, pending: step.announced.clone() }
            } else {
                let position = items[..taken].last().map(|last| position(&self.store, last));
                Checkpoint { position, pending: Some(pending.clone()) }
            };
            report.damaged.extend(self.ledger.damaged().map(|it| (it.document, it.why)));
            let changes = self.ledger.take_changes();
            let commit = self.store.checkpoint(&cursor, next.clone(), changes, now);
            let reread = self.store.cursor(cursor.shard);
            let (stored, error) = match commit_or_reread(commit, reread).await {
                Err(error) if self.ledger.retries_with_fewer(&error, taken) => continue,
                Err(error) => return Err(error),
                Ok(Commit::Applied(cursor)) => {
                    self.ledger.show(&items[..taken], &mut report.windows);
                    self.ledger.committed(Some(cursor.sequence));
                    return Ok((cursor, taken));
                }
                Ok(Commit::Unknown { stored, error }) => (stored, error),
            };
            self.ledger.forget();
            if stored.stands_at(cursor.sequence + 1, &next) {
                return Ok((stored, taken));
            }
            if !stored.is_same(&cursor) || attempt == MAX_ATTEMPTS {
                return Err(error);
            }
            tracing::debug!(attempt, %error, "counting again on top of what other workers counted");
            self.store.pause(attempt).await;
            attempt += 1;
        }
    }
}

fn position(store: &Store, item: &Scored<'_>) -> Position {
    match item {
        Scored::Valid { observation, .. } => store.position_of(observation),
        Scored::Invalid(invalid) => invalid.position.clone(),
    }
}
