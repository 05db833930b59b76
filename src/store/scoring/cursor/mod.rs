//! `ops_state/cursor`, or `ops_state/cursor|{shard}` if observations are sharded: the position that
//! scoring has reached, and the range that it has announced to score next.
//!
//! The invariant that makes scoring exact is defined here. Let the *members* of a range be the
//! observations in it that were created no later than the range's read time.
//!
//! - Rewards are created only for members of the **pending** range, which is stored here before
//!   the first of them is written.
//! - The cursor moves over that range only in the commit that also adds exactly its members to
//!   the statistics.
//!
//! So behind the cursor an observation has a reward if and only if it was counted, even after a
//! crash or with several workers: a second worker, or the next one after a crash, finds the
//! announcement and completes the same set. An observation that appears in a range after its read
//! time is late: it has no reward, and so it can be found. A cursor never moves back.
//!
//! An observation that is written again with another `ts` or shard may be a member of two ranges. It
//! counts where it was first: a member whose reward is of another place was counted there, and is left
//! out. A member that moved away after a crash, before its range was counted, has a reward that no one
//! will count: the worker that completes the range deletes it, in a commit of the cursor, before it
//! counts. So what a range leaves behind are rewards of what it counted.

mod layout;
mod position;
mod wire;

use firestore_kit::Timestamp;
use firestore_kit::proto::{CommitResponse, Write};

use crate::store::scoring::admission::Admission;
use crate::store::{Result, StoreError};
use crate::store::{Store, collection::STATE};
use f0_learning_core::limits::Limits;
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::sharding::Shard;
use firestore_kit::write;

pub(in crate::store) use layout::LAYOUT;
pub use layout::StoredLayout;
pub use position::Position;
pub(in crate::store) use wire::{
    IS_REBUILDING, REBUILDING, decode, decode_boundary, decode_limits, decode_position, encode,
    encode_boundary, encode_limits, encode_position, map_or_absent, salvage,
};

pub(in crate::store) fn cursor_id(shard: Shard) -> String {
    match shard {
        Shard::All => "cursor".to_owned(),
        Shard::One(number) => format!("cursor|{number}"),
    }
}

/// A range that was announced: everything after the cursor up to `end` that was created by
/// `read_time`, scored under `config`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    pub end: Position,
    pub read_time: Timestamp,
    /// Stored with the range, so that any worker that completes it computes the same scores.
    pub config: RewardConfig,
    /// Members with a `ts` before this time are invalid, because they may have been counted and archived.
    /// Stored with the range, so that every worker that completes it rejects the same ones.
    pub archived_before: Option<i64>,
    /// Members below these limits are invalid. Stored with the range for the same reason; `None` in an
    /// announcement of an earlier version, which rejects none.
    pub limits: Option<Limits>,
}

impl Pending {
    /// What its members must satisfy besides being well formed.
    pub fn admission(&self) -> Admission<'_> {
        Admission { archived_before: self.archived_before, limits: self.limits.as_ref() }
    }
}

/// The stored cursor, with the update time that the next commit must find unchanged.
#[derive(Clone, Debug)]
pub struct Cursor {
    pub shard: Shard,
    pub position: Option<Position>,
    pub pending: Option<Pending>,
    /// Rises with every commit, so that no two states of the document are equal: a write that changes
    /// nothing would keep the update time, and another worker's precondition would hold.
    pub sequence: i64,
    /// Another layout of shards is active: this cursor does not move until a layout includes it again.
    pub retired: bool,
    pub update_time: Option<Timestamp>,
}

impl Cursor {
    fn new(shard: Shard) -> Self {
        let (position, pending, update_time) = (None, None, None);
        Self { shard, position, pending, sequence: 0, retired: false, update_time }
    }

    /// Whether the stored cursor is the intended result of a commit after `sequence - 1`. Its state is
    /// all that matters, not which worker's commit it was.
    pub fn stands_at(&self, sequence: i64, next: &Checkpoint) -> bool {
        !self.retired
            && self.sequence == sequence
            && self.position == next.position
            && self.pending == next.pending
    }

    /// Whether both were read from the same state of the document.
    pub fn is_same(&self, other: &Self) -> bool {
        self.shard == other.shard
            && self.update_time == other.update_time
            && self.sequence == other.sequence
    }
}

/// The next state of the cursor.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub position: Option<Position>,
    pub pending: Option<Pending>,
}

impl Store {
    /// # Errors
    /// It cannot be read, or is missing although observations of the shard were scored: a new one
    /// would count them again.
    pub async fn cursor(&self, shard: Shard) -> Result<Cursor> {
        match self.db.get(STATE, &cursor_id(shard)).await? {
            None => self.first_cursor(shard).await,
            Some(document) => decode(shard, &document),
        }
    }

    /// The cursor of a shard of which nothing was scored.
    async fn first_cursor(&self, shard: Shard) -> Result<Cursor> {
        if self.has_rewards(shard).await? {
            let id = cursor_id(shard);
            // Another worker may have announced the first range since.
            if let Some(document) = self.db.get(STATE, &id).await? {
                return decode(shard, &document);
            }
            let path = format!("{STATE}/{id}");
            let detail = "it is missing, although observations were scored";
            return Err(StoreError::decode(path, "the scoring cursor", detail));
        }
        Ok(Cursor::new(shard))
    }

    /// The cursors of several shards, read in one request.
    pub async fn cursors(&self, shards: &[Shard]) -> Result<Vec<Cursor>> {
        self.each_cursor(shards).await?.into_iter().map(|(_, cursor)| cursor).collect()
    }

    /// The same, each with its error if it cannot be read.
    pub async fn each_cursor(&self, shards: &[Shard]) -> Result<Vec<(Shard, Result<Cursor>)>> {
        let names: Vec<_> =
            shards.iter().map(|shard| self.db.name(STATE, &cursor_id(*shard))).collect();
        let found = self.db.get_many(names.clone()).await?;
        let mut cursors = Vec::with_capacity(shards.len());
        for (shard, name) in shards.iter().zip(&names) {
            let cursor = match found.get(name) {
                Some(document) => decode(*shard, document),
                None => match self.first_cursor(*shard).await {
                    Err(error) if error.code().is_some() => return Err(error),
                    cursor => cursor,
                },
            };
            cursors.push((*shard, cursor));
        }
        Ok(cursors)
    }

    /// The cursors of a layout that is about to become active. One that does not exist yet is new,
    /// although observations of its shard were scored before.
    pub(in crate::store) async fn cursors_to_be(&self, shards: &[Shard]) -> Result<Vec<Cursor>> {
        let name = |shard: &Shard| self.db.name(STATE, &cursor_id(*shard));
        let found = self.db.get_many(shards.iter().map(name).collect()).await?;
        let decode = |shard: &Shard| match found.get(&name(shard)) {
            None => Ok(Cursor::new(*shard)),
            Some(document) => decode(*shard, document),
        };
        shards.iter().map(decode).collect()
    }

    /// Announces a range, before its first reward is written. Returns the stored cursor.
    ///
    /// # Errors
    /// A conflict ([`StoreError::is_conflict`](crate::store::StoreError::is_conflict)) if another
    /// worker was first.
    pub async fn announce(&self, cursor: &Cursor, pending: Pending) -> Result<Cursor> {
        self.announce_and(cursor, pending, Vec::new()).await
    }

    /// The same, with other writes in the same commit.
    pub(in crate::store) async fn announce_and(
        &self,
        cursor: &Cursor,
        pending: Pending,
        others: Vec<Write>,
    ) -> Result<Cursor> {
        let next = Checkpoint { position: cursor.position.clone(), pending: Some(pending) };
        let mut writes = vec![self.cursor_write(cursor, &next)?];
        writes.extend(others);
        let response = self.db.commit(&self.cursor_target(cursor), writes).await?;
        Ok(cursor.after(next, &response))
    }

    pub(in crate::store) fn cursor_target(&self, cursor: &Cursor) -> String {
        format!("{STATE}/{}", cursor_id(cursor.shard))
    }

    /// The write that moves the cursor, refused if the cursor changed since it was read.
    pub(in crate::store) fn cursor_write(
        &self,
        cursor: &Cursor,
        next: &Checkpoint,
    ) -> Result<Write> {
        self.encoded_write(cursor, next, false)
    }

    /// Writes that only make other workers read the cursors of all shards again.
    pub(in crate::store) async fn touch_cursors(&self) -> Result<Vec<Write>> {
        let shards = self.layout().await?.layout.shards();
        let touch = |cursor: &Cursor| {
            let Cursor { position, pending, .. } = cursor.clone();
            self.encoded_write(cursor, &Checkpoint { position, pending }, cursor.retired)
        };
        self.cursors(&shards).await?.iter().map(touch).collect()
    }

    /// The write that retires the cursor where it is, refused if it changed since it was read.
    pub(in crate::store) fn retire_write(&self, cursor: &Cursor) -> Result<Write> {
        let next = Checkpoint { position: cursor.position.clone(), pending: None };
        self.encoded_write(cursor, &next, true)
    }

    fn encoded_write(&self, cursor: &Cursor, next: &Checkpoint, retired: bool) -> Result<Write> {
        let fields = encode(next, cursor.sequence + 1, retired)?;
        let name = self.db.name(STATE, &cursor_id(cursor.shard));
        Ok(write::set_if_unchanged(name, fields, cursor.update_time))
    }
}

impl Cursor {
    /// The cursor after a commit whose first write was [`cursor_write`](Store::cursor_write).
    pub(in crate::store) fn after(&self, next: Checkpoint, response: &CommitResponse) -> Self {
        Self {
            shard: self.shard,
            position: next.position,
            pending: next.pending,
            sequence: self.sequence + 1,
            retired: false,
            update_time: write::update_time(response, 0),
        }
    }
}
