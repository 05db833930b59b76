//! `ops_state/cursor`, or `ops_state/cursor|{shard}` where observations are sharded: how far
//! scoring has come, and what it has announced to do next.
//!
//! The invariant that makes scoring exact lives here. Let the *members* of a range be the
//! observations in it that were created no later than the range's read time.
//!
//! - Rewards are created only for members of the **pending** range, which is stored here before
//!   the first of them is written.
//! - The cursor moves over that range only in the commit that also adds exactly its members to
//!   the statistics.
//!
//! So behind the cursor an observation has a reward if and only if it was counted, whatever died
//! and whoever else worked: a second worker, or the next after a crash, finds the announcement
//! and completes the same set. An observation that appears in a range after its read time is
//! late: it has no reward, and so it can be found. A cursor never moves back.

mod layout;
mod position;
mod wire;

use firestore_kit::Timestamp;
use firestore_kit::proto::{CommitResponse, Write};

use crate::store::Result;
use crate::store::{Store, collection::STATE};
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::sharding::Shard;
use firestore_kit::write;
pub use layout::StoredLayout;
pub use position::Position;
pub(in crate::store) use wire::{decode_position, encode_position};

fn cursor_id(shard: Shard) -> String {
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
    /// Kept with the range, so that whoever completes it gives the same scores.
    pub config: RewardConfig,
}

/// The stored cursor, with the update time that the next commit must find unchanged.
#[derive(Clone, Debug)]
pub struct Cursor {
    pub shard: Shard,
    pub position: Option<Position>,
    pub pending: Option<Pending>,
    /// Rises with every commit, so that no two states of the document are alike: a write that
    /// changes nothing would keep the update time, and a rival's precondition would hold.
    pub sequence: i64,
    /// Another layout of shards is in force: this cursor never moves again until it is set anew.
    pub retired: bool,
    pub seen: Option<Timestamp>,
}

impl Cursor {
    fn new(shard: Shard) -> Self {
        let (position, pending, seen) = (None, None, None);
        Self { shard, position, pending, sequence: 0, retired: false, seen }
    }

    /// Whether the stored cursor is what a commit after `sequence - 1` was to make of it. Its state
    /// says all that it stands for, so that it does not matter whose commit it was.
    pub fn stands_at(&self, sequence: i64, next: &Checkpoint) -> bool {
        !self.retired
            && self.sequence == sequence
            && self.position == next.position
            && self.pending == next.pending
    }

    /// Whether the stored document is still the one that this was read from.
    pub fn is_same(&self, other: &Self) -> bool {
        self.shard == other.shard && self.seen == other.seen && self.sequence == other.sequence
    }
}

/// What the next state of the cursor is to be.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub position: Option<Position>,
    pub pending: Option<Pending>,
}

impl Store {
    pub async fn cursor(&self, shard: Shard) -> Result<Cursor> {
        match self.db.get(STATE, &cursor_id(shard)).await? {
            None => Ok(Cursor::new(shard)),
            Some(document) => wire::decode(shard, &document),
        }
    }

    /// The cursors of several shards, read in one request.
    pub async fn cursors(&self, shards: &[Shard]) -> Result<Vec<Cursor>> {
        let names: Vec<_> =
            shards.iter().map(|shard| self.db.name(STATE, &cursor_id(*shard))).collect();
        let found = self.db.get_many(names.clone(), None).await?;
        let decode = |(shard, name): (&Shard, &String)| match found.get(name) {
            None => Ok(Cursor::new(*shard)),
            Some(document) => wire::decode(*shard, document),
        };
        shards.iter().zip(&names).map(decode).collect()
    }

    /// Announces a range, before the first reward of it is written. Returns the cursor as stored.
    ///
    /// # Errors
    /// A conflict ([`StoreError::is_conflict`](super::StoreError::is_conflict)) where another
    /// worker was first.
    pub async fn announce(&self, cursor: &Cursor, pending: Pending) -> Result<Cursor> {
        let next = Checkpoint { position: cursor.position.clone(), pending: Some(pending) };
        let writes = vec![self.cursor_write(cursor, &next)];
        let answer = self.db.commit(&self.cursor_target(cursor), writes, None).await?;
        Ok(cursor.after(next, &answer))
    }

    pub(in crate::store) fn cursor_target(&self, cursor: &Cursor) -> String {
        format!("{STATE}/{}", cursor_id(cursor.shard))
    }

    /// The write that moves the cursor, refused where it is no longer as it was read.
    pub(in crate::store) fn cursor_write(&self, cursor: &Cursor, next: &Checkpoint) -> Write {
        let fields = wire::encode(next, cursor.sequence + 1, false);
        write::set_if_unchanged(self.db.name(STATE, &cursor_id(cursor.shard)), fields, cursor.seen)
    }
}

impl Cursor {
    /// The cursor after a commit whose first write was [`cursor_write`](Store::cursor_write).
    pub(in crate::store) fn after(&self, next: Checkpoint, answer: &CommitResponse) -> Self {
        Self {
            shard: self.shard,
            position: next.position,
            pending: next.pending,
            sequence: self.sequence + 1,
            retired: false,
            seen: write::update_time(answer, 0),
        }
    }
}
