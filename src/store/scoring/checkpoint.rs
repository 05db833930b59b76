//! Commits of statistics: series, their windows and the tallies of versions, in one commit with the
//! document that determines which observations they include.
//!
//! Each series and tally is written only over the state that it was read from, so that workers
//! with different cursors may count for the same components: of two concurrent commits, one is
//! refused, and its worker counts again on top of the other.

use firestore_kit::proto::{CommitResponse, Write};

use crate::store::Result;
use crate::store::Store;
use crate::store::scoring::cursor::{Checkpoint, Cursor};
use crate::store::scoring::series::ComponentSeries;
use crate::store::scoring::versions::VersionTally;
use firestore_kit::write;

/// The statistics that a commit changes.
#[derive(Debug, Default)]
pub struct Changes<'a> {
    pub series: Vec<&'a mut ComponentSeries>,
    pub versions: Vec<&'a mut VersionTally>,
}

impl Store {
    /// Commits `changes`, with windows as of `now`, and moves the cursor, in one commit.
    ///
    /// # Errors
    /// A conflict if the cursor or any of the statistics changed since it was read.
    pub async fn checkpoint(
        &self,
        cursor: &Cursor,
        next: Checkpoint,
        changes: Changes<'_>,
        now: i64,
    ) -> Result<Cursor> {
        let anchor = self.cursor_write(cursor, &next)?;
        let target = format!("{} and statistics", self.cursor_target(cursor));
        let response = self.commit_counts(&target, Some(anchor), changes, now).await?;
        Ok(cursor.after(next, &response))
    }

    /// Commits statistics that changed only because time passed.
    pub async fn renew(&self, changes: Changes<'_>, now: i64) -> Result<()> {
        self.commit_counts("statistics", None, changes, now).await?;
        Ok(())
    }

    /// Commits `changes`; the anchors, if there are any, are the first writes of the commit.
    pub(in crate::store) async fn commit_counts(
        &self,
        target: &str,
        anchors: impl IntoIterator<Item = Write>,
        changes: Changes<'_>,
        now: i64,
    ) -> Result<CommitResponse> {
        let Changes { mut series, mut versions } = changes;
        let mut writes: Vec<Write> = anchors.into_iter().collect();
        let mut indexes = Vec::with_capacity(series.len());
        for component in &mut series {
            let index = writes.len();
            writes.extend(self.series_writes(component, now)?);
            // A series without buckets, now and before, has no document and no windows.
            indexes.push((index < writes.len()).then_some(index));
        }
        let first_tally = writes.len();
        writes.extend(versions.iter_mut().map(|version| self.tally_write(version)));
        let response = self.db.commit(target, writes).await?;
        for (component, index) in series.into_iter().zip(indexes) {
            // A delete returns no update time, which is right: the document is now absent.
            component.update_time = index.and_then(|index| write::update_time(&response, index));
        }
        for (index, version) in versions.into_iter().enumerate() {
            version.update_time = write::update_time(&response, first_tally + index);
        }
        Ok(response)
    }
}
