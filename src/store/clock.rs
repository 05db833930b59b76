//! `ops_state/clock`: when the last pass is known to have begun.
//!
//! What counts is the update time of the document, which Firestore sets and no client can change. So
//! nothing in the document can be damaged, and no clock of a worker decides what it says.

use firestore_kit::proto::Document;
use firestore_kit::{value, write};

use crate::store::{Result, Store, collection::STATE};

pub(in crate::store) const CLOCK: &str = "clock";

/// Documents that passes write, by whose update times the last pass of an earlier version is known.
const WRITTEN_BY_PASSES: [&str; 5] = ["cursor", "cursor|0", "layout", "reconcile", "lease|score"];

/// The present, and when the last pass began, by Firestore's clock, in epoch milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassTimes {
    pub now: i64,
    /// At most the interval of marks before the last pass; `None` if there was no pass yet.
    pub last: Option<i64>,
    /// Whether `last` is the time of `ops_state/clock`.
    pub is_marked: bool,
}

impl Store {
    /// Reads the present and the time of the last pass: one read, and five more before the first mark.
    ///
    /// # Errors
    /// Firestore did not answer. No other clock may take its place.
    pub async fn pass_times(&self) -> Result<PassTimes> {
        let (mark, now) = self.db.snapshot(vec![self.db.name(STATE, CLOCK)]).await?;
        let now = value::epoch_millis(&now);
        if let Some(mark) = mark.values().next() {
            return Ok(PassTimes { now, last: updated(mark), is_marked: true });
        }
        let names = WRITTEN_BY_PASSES.map(|id| self.db.name(STATE, id)).to_vec();
        let found = self.db.get_many(names).await?;
        Ok(PassTimes { now, last: found.values().filter_map(updated).max(), is_marked: false })
    }

    /// Marks the present as the time of the last pass.
    pub async fn mark_pass(&self, now: i64) -> Result<()> {
        // A write that changes nothing would not change the update time.
        let fields = value::fields([("passAt", value::int(now))]);
        let mark = write::set(self.db.name(STATE, CLOCK), fields);
        self.db.commit(&format!("{STATE}/{CLOCK}"), vec![mark]).await?;
        Ok(())
    }
}

fn updated(document: &Document) -> Option<i64> {
    document.update_time.as_ref().map(value::epoch_millis)
}
