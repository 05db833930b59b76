//! Which rewards and quarantined documents are counted, as of one read time.

use std::collections::{HashMap, HashSet};

use firestore_kit::proto::Document;
use firestore_kit::{Timestamp, value};

use crate::store::collection::{OBSERVATIONS, STATE};
use crate::store::records::{RETENTION, RetentionState};
use crate::store::scoring::cursor::{self, LAYOUT, Position, StoredLayout, cursor_id};
use crate::store::scoring::reconcile::{self, RECONCILE};
use crate::store::{Result, Store, StoreError};
use f0_learning_core::observation::MAX_TS;
use f0_learning_core::sharding::{Layout, Shard};

/// How often a snapshot is repeated because the number of shards changed.
const ATTEMPTS: u32 = 5;

/// The state of counting at a read time. A reward that a cursor's range was announced for is counted
/// if and only if it is not after the cursor; a late one, unless its batch is announced.
#[derive(Clone, Debug)]
pub struct Cut {
    pub(super) read_time: Timestamp,
    layout: Layout,
    boundaries: HashMap<Shard, Option<Position>>,
    batch: HashSet<String>,
    retention: RetentionState,
    /// The other documents of the snapshot, by name.
    pub(super) documents: HashMap<String, Document>,
}

/// Where a reward or a quarantined document belongs.
pub(super) struct Place<'a> {
    pub id: &'a str,
    pub shard: Option<i64>,
    /// `None` if no cursor reaches it.
    pub position: Option<Position>,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A reward that was written for the range of a cursor.
    Range,
    /// A reward that was written for a batch of late observations.
    Late,
    /// An entry of quarantine, of either.
    Entry,
}

impl Cut {
    /// Documents before this time may have been archived, and the number of files up to now.
    pub fn retention(&self) -> &RetentionState {
        &self.retention
    }

    /// The read time, in epoch microseconds.
    pub fn micros(&self) -> i64 {
        value::epoch_micros(&self.read_time)
    }

    pub(super) fn counts(&self, document: &Document, place: &Place<'_>) -> bool {
        let key = |time: &Timestamp| (time.seconds, time.nanos);
        let created = document.create_time.as_ref();
        if created.is_some_and(|created| key(created) > key(&self.read_time)) {
            return false;
        }
        if place.kind != Kind::Range && self.batch.contains(place.id) {
            return false;
        }
        let Some(position) = place.position.as_ref().filter(|_| place.kind != Kind::Late) else {
            return true;
        };
        // A layout that had a cursor for it was replaced only when its range was counted.
        let Some(shard) = self.layout.shard_of_number(place.shard) else { return true };
        let boundary = self.boundaries.get(&shard).and_then(Option::as_ref);
        boundary.is_some_and(|boundary| !position.is_after(boundary))
    }
}

impl Store {
    /// A cut, with the documents of these ids in `ops_state` and of these names as of the same time.
    ///
    /// # Errors
    /// A cursor, the layout or the state of reconciliation cannot be read, and is not being rebuilt.
    pub(super) async fn cut(&self, ids: &[String], names: &[String]) -> Result<Cut> {
        let mut attempt = 1;
        loop {
            let layout = self.layout().await?;
            if let Some(cut) = self.cut_of(&layout, ids, names).await? {
                return Ok(cut);
            }
            if attempt == ATTEMPTS {
                let detail = "it changed at every attempt to read the cursors";
                return Err(StoreError::decode("ops_state/layout", "a layout of shards", detail));
            }
            self.pause(attempt).await;
            attempt += 1;
        }
    }

    /// `None` if the layout changed meanwhile.
    async fn cut_of(
        &self,
        layout: &StoredLayout,
        ids: &[String],
        names: &[String],
    ) -> Result<Option<Cut>> {
        let shards = layout.layout.shards();
        let fixed = [LAYOUT, RECONCILE, RETENTION].map(str::to_owned);
        let cursors = shards.iter().map(|shard| cursor_id(*shard));
        let all = ids.iter().cloned().chain(fixed).chain(cursors);
        let all = all.map(|id| self.db.name(STATE, &id)).chain(names.iter().cloned()).collect();
        let (mut found, read_time) = self.db.snapshot(all).await?;
        let mut take = |id: &str| found.remove(&self.db.name(STATE, id));
        let seen = match take(LAYOUT) {
            Some(document) => StoredLayout::of(&document)?,
            None => StoredLayout::default(),
        };
        if !seen.is_same(layout) {
            return Ok(None);
        }
        let retention = match take(RETENTION) {
            Some(document) => RetentionState::of(&document)?,
            None => RetentionState::default(),
        };
        let batch = match take(RECONCILE) {
            None => {
                self.reconcile_state().await?;
                None
            }
            // Everything that it may have announced counts, until it is rebuilt.
            Some(document) if document.fields.contains_key(cursor::REBUILDING) => None,
            Some(document) => reconcile::decode(&document)?.pending,
        };
        let mut boundaries = HashMap::new();
        for shard in shards {
            let boundary = match take(&cursor_id(shard)) {
                None => self.cursor(shard).await.map(|_| None)?,
                Some(document) => match cursor::decode_boundary(&document) {
                    Some(boundary) => boundary,
                    None => cursor::decode(shard, &document)?.position,
                },
            };
            boundaries.insert(shard, boundary);
        }
        let batch = batch.map_or_else(HashSet::new, |batch| batch.ids.into_iter().collect());
        let layout = layout.layout;
        let documents = found;
        Ok(Some(Cut { read_time, layout, boundaries, batch, retention, documents }))
    }

    /// The position of the observation that a reward or an entry of quarantine is of; `None` if its
    /// time is not one that a cursor reaches.
    pub(super) fn place_of(&self, document: &Document, field: &str) -> Option<Position> {
        let ts = document.fields.get(field)?.clone();
        let name = self.db.name(OBSERVATIONS, value::document_id(document));
        let position = Position { ts, name };
        (position.is_number() && position.ts_ms() <= MAX_TS).then_some(position)
    }
}
