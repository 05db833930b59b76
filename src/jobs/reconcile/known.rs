//! The stored state that a pass is based on.

use std::collections::{BTreeMap, HashMap};

use tokio_util::sync::CancellationToken;

use super::ReconcileJob;
use crate::store::{
    ArchivedBefore, Item, Position, ReconcileState, Result, StoreError, StoredItem,
};
use f0_learning_core::observation::{MAX_TS, MIN_TS};
use f0_learning_core::sharding::{Layout, Shard};
use f0_learning_core::time::DAY_MS;

/// The stored state at the start of a pass. Cursors only move forward, so that a position behind
/// one of these stays behind it.
pub(super) struct Known {
    pub now: i64,
    pub state: ReconcileState,
    pub layout: Layout,
    pub cursors: HashMap<Shard, Option<Position>>,
    /// Epoch milliseconds; every observation before it that the cursors cover has been scored.
    pub horizon: i64,
    pub deep: bool,
    pub full: bool,
    /// Whether all ids are compared, and not only as many as are due.
    pub all_ids: bool,
    /// Documents before this time were archived.
    pub archived_before: ArchivedBefore,
    /// The shards whose cursor cannot be read, and why, by document. Nothing is decided about their
    /// observations.
    pub unreadable: BTreeMap<String, (Shard, String)>,
}

impl Known {
    /// Whether no cursor will reach an observation that is not accounted for, so that this job has
    /// to count it. An invalid one that a cursor will reach is quarantined now and counted then.
    pub fn is_behind_cursors(&self, found: &StoredItem) -> bool {
        let is_behind = |reached: Option<&Position>| {
            reached.is_some_and(|reached| !found.position.is_after(reached))
        };
        if !found.position.is_number() {
            return true;
        }
        let ts = found.position.ts_ms();
        if ts > MAX_TS {
            return true;
        }
        match self.layout.shard_of_number(found.shard) {
            Some(shard) => is_behind(self.cursors.get(&shard).and_then(Option::as_ref)),
            None => ts <= self.horizon || matches!(found.item, Item::Invalid(_)),
        }
    }

    /// Whether this job may decide about an observation: it may have been counted, if it is unknown
    /// what was archived, and a cursor that cannot be read may reach it.
    pub fn is_decidable(&self, found: &StoredItem) -> bool {
        let shard = self.layout.shard_of_number(found.shard);
        let is_of = |unreadable: &(Shard, String)| shard == Some(unreadable.0);
        let is_archived = found.position.is_number()
            && self.archived_before.is_unknown_at(found.position.ts_ms());
        !is_archived && !self.unreadable.values().any(is_of)
    }

    /// The documents that cannot be read, and why.
    pub fn damaged(&self) -> BTreeMap<String, String> {
        let cursors = self.unreadable.iter();
        let mut damaged: BTreeMap<String, String> =
            cursors.map(|(document, (_, why))| (document.clone(), why.clone())).collect();
        if let ArchivedBefore::Unknown { document, why, .. } = &self.archived_before {
            damaged.insert(document.clone(), why.clone());
        }
        damaged
    }

    /// Whether a range was examined before, when it had the same counts.
    pub fn remembers(&self, name: &str, print: &str) -> bool {
        self.state.settled.get(name).is_some_and(|remembered| remembered == print)
    }

    pub fn is_settled(&self, name: &str, print: &Print) -> bool {
        print.matches || self.remembers(name, &print.text)
    }

    /// Remembers counts that still differ after they were examined.
    pub fn settle(&mut self, name: String, print: Print, stop: &CancellationToken) {
        if !print.matches && !stop.is_cancelled() {
            self.state.settled.insert(name, print.text);
        }
    }
}

/// A pair of counts, as they are remembered.
#[derive(PartialEq)]
pub(super) struct Print {
    matches: bool,
    text: String,
}

pub(super) fn print_of((found, accounted): (u64, u64)) -> Print {
    Print { matches: found == accounted, text: format!("{found} {accounted}") }
}

/// The name of a range within a shard.
pub(super) fn name_in(shard: Shard, name: &str) -> String {
    match shard {
        Shard::All => name.to_owned(),
        Shard::One(number) => format!("{number}/{name}"),
    }
}

impl ReconcileJob {
    pub(super) async fn read_state(&self, now: i64, full: bool) -> Result<Known> {
        // The state is read first: a change of layout and retention change it too, and then commits that
        // are based on the old cursors are refused.
        let state = self.store.reconcile_state().await?;
        let archived_before = self.store.archived_before(now).await?;
        let layout = self.store.layout().await?.layout;
        let mut horizon = now - self.options.lag_ms;
        let mut cursors = HashMap::new();
        let mut unreadable = BTreeMap::new();
        for (shard, cursor) in self.store.each_cursor(&layout.shards()).await? {
            let cursor = match cursor {
                Ok(cursor) => cursor,
                Err(StoreError::Decode { document, detail, .. }) => {
                    unreadable.insert(document, (shard, detail));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let behind = cursor.position.as_ref().map_or(MIN_TS, Position::ts_ms).max(MIN_TS);
            if behind < horizon && self.store.backlog(&cursor, horizon).await? > 0 {
                horizon = behind;
            }
            cursors.insert(cursor.shard, cursor.position);
        }
        let all_ids = full;
        let full = full || now - state.full_at >= 7 * DAY_MS;
        let deep = full || now - state.deep_at >= DAY_MS;
        Ok(Known {
            now,
            state,
            layout,
            cursors,
            horizon,
            deep,
            full,
            all_ids,
            archived_before,
            unreadable,
        })
    }
}
