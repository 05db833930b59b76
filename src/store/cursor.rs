//! `ops_state/cursor`: how far scoring has come, and what it has announced to do next.
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
//! late: it has no reward, and so it can be found.

use std::cmp::Ordering;

use firestore::gcloud_sdk::google::firestore::v1::{Document, Value, Write, value::ValueType};
use prost_types::Timestamp;
use serde_json::Value as Json;

use super::error::{Result, StoreError};
use super::value::{self, Fields};
use super::{Store, collection::OBSERVATIONS, collection::STATE, write};
use crate::domain::reward::RewardConfig;

const CURSOR: &str = "cursor";

/// A place in the order (`ts`, document id) of observations.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    /// As stored: a component may have written an integer or a double.
    pub ts: Value,
    /// The document's full resource name.
    pub name: String,
}

impl Position {
    pub fn of(document: &Document) -> Self {
        let ts = document.fields.get("ts").cloned().unwrap_or_default();
        Self { ts, name: document.name.clone() }
    }

    pub(super) fn cursor_values(&self) -> Vec<Value> {
        vec![self.ts.clone(), value::reference(self.name.clone())]
    }

    /// Whether this position comes after `other` in Firestore's order of (`ts`, name).
    pub fn is_after(&self, other: &Self) -> bool {
        compare_numbers(&self.ts, &other.ts).then_with(|| self.name.cmp(&other.name)).is_gt()
    }

    /// `ts` in epoch milliseconds, rounded towards zero.
    pub fn ts_ms(&self) -> i64 {
        match self.ts.value_type {
            Some(ValueType::IntegerValue(whole)) => whole,
            #[expect(
                clippy::cast_possible_truncation,
                reason = "saturates, which is what is meant"
            )]
            Some(ValueType::DoubleValue(number)) => number as i64,
            _ => 0,
        }
    }
}

fn compare_numbers(a: &Value, b: &Value) -> Ordering {
    match (a.value_type.as_ref(), b.value_type.as_ref()) {
        (Some(ValueType::IntegerValue(a)), Some(ValueType::IntegerValue(b))) => a.cmp(b),
        (a, b) => as_f64(a).total_cmp(&as_f64(b)),
    }
}

/// Times in milliseconds are far below 2^53, where every integer is a double.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn as_f64(value: Option<&ValueType>) -> f64 {
    match value {
        Some(ValueType::IntegerValue(whole)) => *whole as f64,
        Some(ValueType::DoubleValue(number)) => *number,
        _ => f64::NEG_INFINITY,
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
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    pub position: Option<Position>,
    pub pending: Option<Pending>,
    /// Rises with every commit, so that no two states of the document are alike: a write that
    /// changes nothing would keep the update time, and a rival's precondition would hold.
    pub sequence: i64,
    pub seen: Option<Timestamp>,
}

/// What the next state of the cursor is to be.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub position: Option<Position>,
    pub pending: Option<Pending>,
}

impl Store {
    pub async fn cursor(&self) -> Result<Cursor> {
        match self.get(STATE, CURSOR).await? {
            None => Ok(Cursor::default()),
            Some(document) => decode(&document),
        }
    }

    /// Announces a range, before the first reward of it is written. Returns the cursor as stored.
    ///
    /// # Errors
    /// A conflict ([`StoreError::is_conflict`]) where another worker was first.
    pub async fn announce(&self, cursor: &Cursor, pending: Pending) -> Result<Cursor> {
        let next = Checkpoint { position: cursor.position.clone(), pending: Some(pending) };
        self.commit_cursor(cursor, next, Vec::new()).await
    }

    /// Moves the cursor together with `writes`, in one commit that fails as a whole if the cursor
    /// is no longer as it was read.
    pub(super) async fn commit_cursor(
        &self,
        cursor: &Cursor,
        next: Checkpoint,
        mut writes: Vec<Write>,
    ) -> Result<Cursor> {
        let sequence = cursor.sequence + 1;
        let fields = encode(&next, sequence);
        writes.push(write::set_if_unchanged(self.name(STATE, CURSOR), fields, cursor.seen));
        let answer = self.commit("ops_state/cursor and statistics", writes, None).await?;
        let seen = answer.write_results.last().and_then(|result| result.update_time);
        Ok(Cursor {
            position: next.position,
            pending: next.pending,
            sequence,
            seen: seen.or(answer.commit_time),
        })
    }
}

fn encode(next: &Checkpoint, sequence: i64) -> Fields {
    let mut fields = value::fields([("sequence", value::int(sequence))]);
    if let Some(position) = &next.position {
        fields.insert("position".to_owned(), encode_position(position));
    }
    if let Some(pending) = &next.pending {
        let config = serde_json::to_value(&pending.config).unwrap_or(Json::Null);
        let pending = value::fields([
            ("end", encode_position(&pending.end)),
            ("readTime", value::timestamp(pending.read_time)),
            ("rewardConfig", value::from_json(&config)),
        ]);
        fields.insert("pending".to_owned(), value::map(pending));
    }
    fields
}

fn encode_position(position: &Position) -> Value {
    let id = position.name.rsplit('/').next().unwrap_or_default();
    value::map(value::fields([
        ("ts", position.ts.clone()),
        ("id", value::string(id)),
        ("document", value::reference(position.name.clone())),
    ]))
}

fn decode(document: &Document) -> Result<Cursor> {
    let fields = &document.fields;
    let wrong = |what: &str| StoreError::decode("ops_state/cursor", "the scoring cursor", what);
    let position = match map_field(fields, "position") {
        None => None,
        Some(map) => {
            Some(decode_position(map).ok_or_else(|| wrong("position lacks ts or document"))?)
        }
    };
    let pending = match map_field(fields, "pending") {
        None => None,
        Some(map) => Some(decode_pending(map).map_err(|detail| wrong(&detail))?),
    };
    let sequence = value::as_int(fields, "sequence").ok_or_else(|| wrong("sequence is missing"))?;
    Ok(Cursor { position, pending, sequence, seen: document.update_time })
}

fn map_field<'a>(fields: &'a Fields, name: &str) -> Option<&'a Fields> {
    match fields.get(name)?.value_type.as_ref()? {
        ValueType::MapValue(map) => Some(&map.fields),
        _ => None,
    }
}

fn decode_position(fields: &Fields) -> Option<Position> {
    let ts = fields.get("ts")?.clone();
    match fields.get("document")?.value_type.as_ref()? {
        ValueType::ReferenceValue(name) if name.contains(OBSERVATIONS) => {
            Some(Position { ts, name: name.clone() })
        }
        _ => None,
    }
}

fn decode_pending(fields: &Fields) -> Result<Pending, String> {
    let end = map_field(fields, "end")
        .and_then(decode_position)
        .ok_or("pending.end lacks ts or document")?;
    let read_time = match fields.get("readTime").and_then(|value| value.value_type.as_ref()) {
        Some(ValueType::TimestampValue(time)) => *time,
        _ => return Err("pending.readTime is no timestamp".to_owned()),
    };
    let config = fields.get("rewardConfig").map_or(Json::Null, value::to_json);
    let config =
        serde_json::from_value(config).map_err(|error| format!("pending.rewardConfig: {error}"))?;
    Ok(Pending { end, read_time, config })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(ts: Value, id: &str) -> Position {
        Position { ts, name: format!("projects/p/databases/d/documents/ops_observations/{id}") }
    }

    #[test]
    fn positions_are_ordered_by_time_and_then_by_name() {
        let base = position(value::int(10), "b");
        assert!(position(value::int(10), "c").is_after(&base));
        assert!(position(value::double(10.5), "a").is_after(&base));
        assert!(!position(value::double(10.0), "a").is_after(&base));
        assert!(!base.is_after(&base));
    }

    #[test]
    fn a_cursor_with_an_announced_range_comes_back_as_it_was_stored() {
        let next = Checkpoint {
            position: Some(position(value::int(10), "b")),
            pending: Some(Pending {
                end: position(value::double(12.5), "z"),
                read_time: Timestamp { seconds: 5, nanos: 6_000 },
                config: RewardConfig::default(),
            }),
        };
        let document = Document { fields: encode(&next, 7), ..Document::default() };
        let cursor = decode(&document).unwrap();
        assert_eq!(
            (cursor.position, cursor.pending, cursor.sequence),
            (next.position, next.pending, 7)
        );
    }
}
