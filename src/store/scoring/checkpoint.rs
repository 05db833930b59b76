//! Commits of statistics: series, the windows they give, and what versions have earned, in one
//! commit with the document that says which observations are in them.
//!
//! Each series and tally is written only over the state that it was read from, so that workers
//! with different cursors may count for the same components: of two at once, one is refused and
//! counts again on top of the other.

use firestore_kit::proto::{CommitResponse, Write};

use crate::store::Result;
use crate::store::Store;
use crate::store::scoring::cursor::{Checkpoint, Cursor};
use crate::store::scoring::series::ComponentSeries;
use crate::store::scoring::versions::VersionTally;
use firestore_kit::write;

/// What a commit changes in the statistics.
#[derive(Debug, Default)]
pub struct Changes<'a> {
    pub series: Vec<&'a mut ComponentSeries>,
    pub versions: Vec<&'a mut VersionTally>,
}

impl Store {
    /// Commits `changes`, with windows as of `now`, and moves the cursor, at once.
    ///
    /// # Errors
    /// A conflict where the cursor or any of the statistics is no longer as it was read.
    pub async fn checkpoint(
        &self,
        cursor: &Cursor,
        next: Checkpoint,
        changes: Changes<'_>,
        now: i64,
    ) -> Result<Cursor> {
        let anchor = self.cursor_write(cursor, &next);
        let target = format!("{} and statistics", self.cursor_target(cursor));
        let answer = self.commit_counts(&target, Some(anchor), changes, now).await?;
        Ok(cursor.after(next, &answer))
    }

    /// Commits statistics that changed by the passing of time alone.
    pub async fn renew(&self, changes: Changes<'_>, now: i64) -> Result<()> {
        self.commit_counts("statistics", None, changes, now).await?;
        Ok(())
    }

    /// The write of the anchor, if there is one, is the commit's first.
    pub(in crate::store) async fn commit_counts(
        &self,
        target: &str,
        anchor: Option<Write>,
        changes: Changes<'_>,
        now: i64,
    ) -> Result<CommitResponse> {
        let Changes { mut series, mut versions } = changes;
        let mut writes: Vec<Write> = anchor.into_iter().collect();
        let mut places = Vec::with_capacity(series.len());
        for component in &mut series {
            let at = writes.len();
            writes.extend(self.series_writes(component, now));
            // Without buckets, now or before, nothing is stored and nothing shown.
            places.push((at < writes.len()).then_some(at));
        }
        let tallies_from = writes.len();
        writes.extend(versions.iter_mut().map(|version| self.tally_write(version)));
        let answer = self.db.commit(target, writes, None).await?;
        for (component, place) in series.into_iter().zip(places) {
            // A delete has no update time, and there is nothing left to be unchanged.
            component.seen = place.and_then(|at| write::update_time(&answer, at));
        }
        for (index, version) in versions.into_iter().enumerate() {
            version.seen = write::update_time(&answer, tallies_from + index);
        }
        Ok(answer)
    }
}
