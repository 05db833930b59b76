//! `ops_state/retention`, and the documents that are old enough to be archived.

use std::collections::HashSet;

use firestore_kit::Timestamp;
use firestore_kit::proto::{Document, Write};
use serde::{Deserialize, Serialize};

use crate::store::Store;
use crate::store::collection::{OBSERVATIONS, QUARANTINE, REWARDS, STATE};
use crate::store::scoring::cursor::Position;
use crate::store::scoring::stored_fields::OfShard;
use crate::store::{Result, StoreError};
use f0_learning_core::document::{DocumentKey, Manifest};
use f0_learning_core::observation::MIN_TS;
use f0_learning_core::sharding::{Shard, UNSHARDED};
use f0_learning_core::time::DAY_MS;
use firestore_kit::value::{self, Fields};
use firestore_kit::{MAX_BATCH, Query, write};

/// The fewest days that documents are kept in Firestore.
pub const MIN_KEPT_DAYS: u32 = 8;

pub(in crate::store) const RETENTION: &str = "retention";
const STATE_PATH: &str = "ops_state/retention";

/// The archived collections, in the order of archiving: a reward outlives its observation, so that no
/// observation ever appears to be without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Archived {
    Observations,
    Rewards,
    Quarantine,
}

impl Archived {
    pub const ALL: [Self; 3] = [Self::Observations, Self::Rewards, Self::Quarantine];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observations => "observations",
            Self::Rewards => "rewards",
            Self::Quarantine => "quarantine",
        }
    }

    const fn collection(self) -> &'static str {
        match self {
            Self::Observations => OBSERVATIONS,
            Self::Rewards => REWARDS,
            Self::Quarantine => QUARANTINE,
        }
    }
}

/// A file that was written and verified, so that its documents may be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingFile {
    pub archived: Archived,
    pub staging: String,
    pub manifest: Manifest,
}

/// The stored state, with the update time that the next commit must find unchanged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetentionState {
    /// Rises with every file and is part of its name.
    pub sequence: i64,
    pub pending: Option<PendingFile>,
    /// Documents with a `ts` before this time, in epoch milliseconds, were archived. Whether an
    /// observation before it was counted can no longer be read, so that none is counted any more.
    pub archived_before: Option<i64>,
    update_time: Option<Timestamp>,
}

/// Documents read for a file, in the order of (`ts`, id). Only those of one part of the file are in
/// memory at a time.
#[derive(Debug, Default)]
pub struct OldDocuments {
    documents: Vec<Document>,
    ids: HashSet<String>,
    /// The position after which the next page starts.
    last: Option<Position>,
    /// The bytes of memory that the documents of the part take.
    pub bytes: usize,
    /// The bytes of the ids of all documents.
    pub id_bytes: usize,
}

/// A part of the documents of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Of(Shard),
    /// Those that the queries of no shard find.
    Unsharded,
}

/// Before which time documents may have been archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchivedBefore {
    /// `None` if nothing was archived.
    Known(Option<i64>),
    /// `ops_state/retention` cannot be read. Nothing at or after this time was archived.
    Unknown { latest: i64, document: String, why: String },
}

impl ArchivedBefore {
    /// Whether it is unknown if documents of this time were archived.
    pub fn is_unknown_at(&self, ts: i64) -> bool {
        matches!(self, Self::Unknown { latest, .. } if ts < *latest)
    }

    pub fn known(&self) -> Option<i64> {
        match self {
            Self::Known(time) => *time,
            Self::Unknown { .. } => None,
        }
    }

    /// The error of work that depends on the time.
    pub fn error(&self) -> Option<StoreError> {
        match self {
            Self::Known(_) => None,
            Self::Unknown { document, why, .. } => {
                Some(StoreError::decode(document, STATE_OF_RETENTION, why))
            }
        }
    }
}

const STATE_OF_RETENTION: &str = "the state of retention";

impl OldDocuments {
    /// Ends a part: its documents are in the file.
    pub fn end_part(&mut self) {
        self.documents.clear();
        self.bytes = 0;
    }

    pub fn len(&self) -> usize {
        self.documents.len()
    }

    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// The `ts` of the first document, in epoch milliseconds.
    pub fn first_ts(&self) -> Option<i64> {
        self.documents.first().map(ts_of)
    }

    /// Removes the documents at or after `end`; returns whether there were any.
    pub fn cut_at(&mut self, end: i64) -> bool {
        let kept = self.documents.partition_point(|document| ts_of(document) < end);
        let cut = kept < self.documents.len();
        self.documents.truncate(kept);
        cut
    }

    /// The keys of the documents.
    pub fn keys(&self) -> Vec<DocumentKey> {
        let key = |document: &Document| DocumentKey {
            id: value::document_id(document).to_owned(),
            ts: ts_of(document),
            updated: document.update_time.as_ref().map_or(0, value::epoch_micros),
        };
        self.documents.iter().map(key).collect()
    }

    /// The fields of the documents, in the order of the keys.
    pub fn fields(&self) -> impl Iterator<Item = &Fields> {
        self.documents.iter().map(|document| &document.fields)
    }
}

impl RetentionState {
    /// # Errors
    /// The document cannot be read.
    pub(in crate::store) fn of(document: &Document) -> Result<Self> {
        let malformed = |detail: &str| StoreError::decode(STATE_PATH, STATE_OF_RETENTION, detail);
        let fields = &document.fields;
        let pending = match fields.get("pending").map(value::to_json) {
            None => None,
            Some(json) => {
                Some(serde_json::from_value(json).map_err(|error| malformed(&error.to_string()))?)
            }
        };
        let sequence =
            value::as_whole(fields, "sequence").ok_or_else(|| malformed("sequence is missing"))?;
        let archived_before = match fields.get("archivedBefore") {
            None => None,
            Some(_) => Some(
                value::as_millis(fields, "archivedBefore")
                    .ok_or_else(|| malformed("archivedBefore is not a time"))?,
            ),
        };
        Ok(Self { sequence, pending, archived_before, update_time: document.update_time })
    }
}

impl Store {
    /// Before which time documents may have been archived at `now`.
    ///
    /// # Errors
    /// What Firestore refused. A document that cannot be read is not an error.
    pub async fn archived_before(&self, now: i64) -> Result<ArchivedBefore> {
        match self.retention_state().await {
            Ok(state) => Ok(ArchivedBefore::Known(state.archived_before)),
            Err(StoreError::Decode { document, detail, .. }) => {
                // A day less, because the clock of the worker that archived may have been ahead.
                let latest = now - i64::from(MIN_KEPT_DAYS - 1) * DAY_MS;
                Ok(ArchivedBefore::Unknown { latest, document, why: detail })
            }
            Err(error) => Err(error),
        }
    }

    pub async fn retention_state(&self) -> Result<RetentionState> {
        match self.db.get(STATE, RETENTION).await? {
            Some(document) => RetentionState::of(&document),
            None => Ok(RetentionState::default()),
        }
    }

    /// Stores that a file was written, or, without one, that the documents of the last one are deleted.
    ///
    /// Rewards and entries of quarantine show what was counted. Before any of them is deleted, the
    /// cursors and the state of reconciliation change, in the same commit. So a worker that found none
    /// for an observation, because it was deleted while the worker stalled, is refused when it counts:
    /// its commit needs a state from before this one. A worker that reads its state after this commit
    /// reads its observations later still, and those of the file were gone before.
    ///
    /// # Errors
    /// A conflict if another worker was first, or if one counted meanwhile.
    pub async fn commit_retention(
        &self,
        state: &RetentionState,
        pending: Option<PendingFile>,
    ) -> Result<RetentionState> {
        let mut touched = Vec::new();
        if pending.as_ref().is_some_and(|it| it.archived != Archived::Observations) {
            touched = self.touch_cursors().await?;
            touched.push(self.touch_reconcile(&self.reconcile_state().await?)?);
        }
        let next = RetentionState { pending, ..state.clone() };
        self.replace_retention(state, next, touched).await
    }

    /// Stores that documents before this time are archived from now on, before the first of them is.
    /// Reconciliation reads its state before it reads this time, and its state is changed in the same
    /// commit: a batch that it announces with an earlier time is refused.
    ///
    /// # Errors
    /// A conflict if another worker was first, or if reconciliation stored its state meanwhile.
    pub async fn archive_before(&self, state: &RetentionState, ms: i64) -> Result<RetentionState> {
        if state.archived_before >= Some(ms) {
            return Ok(state.clone());
        }
        let late = self.reconcile_state().await?;
        let next = RetentionState { archived_before: Some(ms), ..state.clone() };
        self.replace_retention(state, next, vec![self.touch_reconcile(&late)?]).await
    }

    /// Writes the state of retention again, in the place of one that cannot be read.
    pub async fn replace_damaged_retention(
        &self,
        sequence: i64,
        archived_before: Option<i64>,
    ) -> Result<()> {
        let found = self.db.get(STATE, RETENTION).await?;
        let update_time = found.and_then(|document| document.update_time);
        let state = RetentionState { update_time, ..RetentionState::default() };
        let next = RetentionState { sequence, archived_before, ..RetentionState::default() };
        self.replace_retention(&state, next, Vec::new()).await?;
        Ok(())
    }

    async fn replace_retention(
        &self,
        state: &RetentionState,
        mut next: RetentionState,
        others: Vec<Write>,
    ) -> Result<RetentionState> {
        next.sequence = state.sequence.max(next.sequence) + 1;
        let mut fields = value::fields([("sequence", value::int(next.sequence))]);
        if let Some(pending) = &next.pending {
            let json = serde_json::to_value(pending).unwrap_or_default();
            fields.insert("pending".to_owned(), value::from_json(&json));
        }
        if let Some(ms) = next.archived_before {
            fields.insert("archivedBefore".to_owned(), value::int(ms));
        }
        let name = self.db.name(STATE, RETENTION);
        let mut writes = vec![write::set_if_unchanged(name, fields, state.update_time)];
        writes.extend(others);
        let response = self.db.commit(STATE_PATH, writes).await?;
        next.update_time = write::update_time(&response, 0);
        Ok(next)
    }

    /// The parts in which the documents of a collection are read. If observations are sharded, each
    /// part is queried by its number, so that no index over `ts` alone is needed.
    pub async fn parts(&self, archived: Archived) -> Result<Vec<Part>> {
        let layout = self.layout().await?.layout;
        if layout.shards == 0 || archived == Archived::Quarantine {
            return Ok(vec![Part::Of(Shard::All)]);
        }
        let shards = self.shards_in(archived.collection()).await?;
        Ok(shards.into_iter().map(Part::Of).chain([Part::Unsharded]).collect())
    }

    /// Adds a page of documents of a part with `ts` before `before`, after those already read. Returns
    /// whether there may be more.
    pub async fn read_old(
        &self,
        archived: Archived,
        part: Part,
        before: i64,
        read: &mut OldDocuments,
        page: usize,
    ) -> Result<bool> {
        let from = match archived {
            // A document with an earlier `ts` is not a valid observation: it is in quarantine and
            // leaves with its entry there.
            Archived::Observations => MIN_TS,
            _ => 0,
        };
        // The time of an observation that the queries of no shard find is known only from its reward.
        let by_reward = part == Part::Unsharded && archived == Archived::Observations;
        let source = if by_reward { REWARDS } else { archived.collection() };
        let query = match part {
            Part::Of(shard) => Query::of(source).of_shard(shard),
            Part::Unsharded => Query::of(source).equal("shard", value::int(UNSHARDED)),
        };
        let query = query
            .at_least("ts", value::int(from))
            .below("ts", value::int(before))
            .ascending("ts")
            .ascending("__name__");
        let query = match &read.last {
            Some(last) => query.start_after(last.cursor_values()),
            None => query,
        };
        let found = self.db.query_page(source, query, page).await?;
        let mut more = found.more;
        let mut documents = found.documents;
        let mut last = documents.last().map(Position::of);
        if by_reward && !documents.is_empty() {
            let ids: Vec<_> = documents.iter().map(value::document_id).collect();
            let (observations, n) = self.whole_observations(&ids).await?;
            more |= n < ids.len();
            last = documents.get(n.saturating_sub(1)).map(Position::of);
            documents = observations;
            // An observation whose time was changed since waits until that time is old enough.
            documents.retain(|document| (from..before).contains(&ts_of(document)));
        }
        read.last = last.or(read.last.take());
        if archived == Archived::Rewards {
            self.leave_counted(&mut documents).await?;
        }
        // One that was written again while pages were read may be on two of them.
        documents.retain(|document| read.ids.insert(value::document_id(document).to_owned()));
        read.bytes += documents.iter().map(value::memory).sum::<usize>();
        read.id_bytes += documents.iter().map(|it| value::document_id(it).len()).sum::<usize>();
        read.documents.extend(documents);
        Ok(more)
    }

    /// Leaves out the rewards of observations that are kept: an observation that was written again with a
    /// later `ts` is older than its reward says, and only the reward shows that it was counted.
    async fn leave_counted(&self, rewards: &mut Vec<Document>) -> Result<()> {
        let ids = rewards.iter().map(value::document_id);
        let names: Vec<_> = ids.map(|id| self.db.name(OBSERVATIONS, id)).collect();
        let kept = self.db.get_map(&names, Some(&["ts"]), |_| ()).await?;
        rewards.retain(|reward| {
            !kept.contains_key(&self.db.name(OBSERVATIONS, value::document_id(reward)))
        });
        Ok(())
    }

    /// Deletes the documents of a file, each only if it is unchanged since it was archived. Returns
    /// how many were deleted.
    pub async fn delete_archived(&self, archived: Archived, keys: &[DocumentKey]) -> Result<u64> {
        let mut deleted = 0;
        for batch in keys.chunks(MAX_BATCH) {
            let delete = |key: &DocumentKey| {
                let name = self.db.name(archived.collection(), &key.id);
                write::delete_if_unchanged(name, value::from_epoch_micros(key.updated))
            };
            let writes: Vec<_> = batch.iter().map(delete).collect();
            deleted += self.db.delete_batch(archived.collection(), &writes).await?;
        }
        Ok(deleted)
    }

    /// Deletes observations whose quarantine entry was archived, if the entry has a complete and
    /// current copy. One that was changed since waits for `requeue` or for the next pass.
    pub async fn delete_quarantined(&self, keys: &[DocumentKey]) -> Result<u64> {
        let mut deleted = 0;
        for batch in keys.chunks(MAX_BATCH) {
            let entries = batch.iter().map(|key| self.db.name(QUARANTINE, &key.id)).collect();
            let entries = self.db.get_masked(entries, &["documentNote"]).await?;
            let is_copied = |key: &&DocumentKey| {
                let entry = entries.get(&self.db.name(QUARANTINE, &key.id));
                entry.is_some_and(|entry| !entry.fields.contains_key("documentNote"))
            };
            let copied: Vec<_> = batch.iter().filter(is_copied).collect();
            let name = |key: &&DocumentKey| self.db.name(OBSERVATIONS, &key.id);
            let names: Vec<_> = copied.iter().map(&name).collect();
            let updated = |document: Document| document.update_time;
            let found = self.db.get_map(&names, Some(&["ts"]), updated).await?;
            let delete = |key: &&DocumentKey| {
                let name = name(key);
                let update_time = (*found.get(&name)?)?;
                let is_current = value::epoch_micros(&update_time) <= key.updated;
                is_current.then(|| write::delete_if_unchanged(name, update_time))
            };
            let writes: Vec<_> = copied.iter().filter_map(delete).collect();
            deleted += self.db.delete_batch(OBSERVATIONS, &writes).await?;
        }
        Ok(deleted)
    }
}

fn ts_of(document: &Document) -> i64 {
    Position::of(document).ts_ms()
}
