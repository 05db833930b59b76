//! `ops_state/reconcile`: the batch that reconciliation has announced, and the ranges it has examined.
//!
//! It makes the counting of late observations exact in the same way as the cursor: a batch is
//! announced here before its first reward is written, and the commit that counts it removes the
//! announcement. Only observations behind the cursors that have no reward are announced; no cursor
//! reaches them again, so that they are not counted elsewhere.

use std::collections::BTreeMap;

use firestore_kit::Timestamp;
use firestore_kit::proto::{Document, Write, value::ValueType};
use serde_json::Value as Json;

use crate::store::scoring::checkpoint::Changes;
use crate::store::scoring::cursor::Position;
use crate::store::scoring::observations::{SCORED_FIELDS, StoredItem, stored_item};
use crate::store::scoring::rewards::{StoredReward, in_commits};
use crate::store::{Result, StoreError};
use crate::store::{Store, collection::OBSERVATIONS, collection::STATE};
use f0_learning_core::limits::Limits;
use f0_learning_core::reward::RewardConfig;
use firestore_kit::value::{self, Fields};
use firestore_kit::write;

pub(in crate::store) const RECONCILE: &str = "reconcile";

const PATH: &str = "ops_state/reconcile";

/// The most late observations in one batch.
pub const LATE_AT_ONCE: usize = 500;

/// The most ranges whose state is kept, at about fifty bytes each; the oldest ones are examined again.
/// They cover 64 shards over three days, or one over half a year.
const MAX_SETTLED: usize = 4_600;

/// Late observations that are being scored and counted.
#[derive(Clone, Debug, PartialEq)]
pub struct LateBatch {
    pub ids: Vec<String>,
    /// Stored with the batch, so that any worker that completes it computes the same scores.
    pub config: RewardConfig,
    /// Stored for the same reason: observations below them are rejected. `None` in a batch of an
    /// earlier version, which rejects none.
    pub limits: Option<Limits>,
}

/// The stored state, with the update time that the next commit must find unchanged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReconcileState {
    pub pending: Option<LateBatch>,
    /// The furthest observation that was counted here because no cursor would reach it. The cursors of
    /// a new layout start no earlier.
    pub up_to: Option<Position>,
    /// When the last pass over the longest window started.
    pub deep_at: i64,
    /// When the last pass over all observations started.
    pub full_at: i64,
    /// The fingerprints, by name, of ranges whose counts permanently do not add up.
    pub settled: BTreeMap<String, String>,
    /// The id up to which the last comparison of ids has come; `None` where the next one starts at the
    /// first id.
    pub compared: Option<String>,
    /// Whether the announced batch is of a version that did not mark the rewards of late observations.
    unmarked: bool,
    sequence: i64,
    update_time: Option<Timestamp>,
}

impl ReconcileState {
    /// The same state with another announced batch, or none.
    #[must_use]
    pub fn announcing(&self, pending: Option<LateBatch>) -> Self {
        let unmarked = self.unmarked && pending.is_some();
        Self { pending, unmarked, ..self.clone() }
    }

    /// Whether a reward of a member of the announced batch was written for this batch, and is not
    /// counted yet. A member had no reward when the batch was announced, so that any other one was
    /// counted by a cursor, which the observation moved in front of meanwhile.
    pub fn owns(&self, reward: &StoredReward) -> bool {
        reward.is_late() || self.unmarked
    }

    /// The state that a repair writes. Ranges are examined again.
    pub(in crate::store) fn repaired(self, up_to: Option<Position>, sequence: i64) -> Self {
        Self { up_to, sequence, ..self }
    }

    /// Whether both were read from the same state of the document.
    pub fn is_same(&self, other: &Self) -> bool {
        self.update_time == other.update_time && self.sequence == other.sequence
    }

    /// Whether this is the intended result of a commit over `before`.
    pub fn follows(&self, before: &Self, pending: Option<&LateBatch>) -> bool {
        self.sequence == before.sequence + 1 && self.pending.as_ref() == pending
    }
}

impl Store {
    /// # Errors
    /// It cannot be read, or is missing although late observations were scored: those of an announced
    /// batch would have rewards and never be counted.
    pub async fn reconcile_state(&self) -> Result<ReconcileState> {
        if let Some(document) = self.db.get(STATE, RECONCILE).await? {
            return decode(&document);
        }
        if self.has_late_rewards().await? {
            // Another worker may have announced the first batch since.
            if let Some(document) = self.db.get(STATE, RECONCILE).await? {
                return decode(&document);
            }
            let detail = "it is missing, although late observations were scored";
            return Err(StoreError::decode(PATH, "the state of reconciliation", detail));
        }
        Ok(ReconcileState::default())
    }

    /// Stores `next` over `state`, together with `changes` of the statistics.
    ///
    /// # Errors
    /// A conflict if another worker was first.
    pub async fn commit_reconcile(
        &self,
        state: &ReconcileState,
        mut next: ReconcileState,
        changes: Changes<'_>,
        now: i64,
    ) -> Result<ReconcileState> {
        while next.settled.len() > MAX_SETTLED {
            next.settled.pop_first();
        }
        next.sequence = state.sequence + 1;
        let anchor = self.reconcile_write(state, &next)?;
        let target = "ops_state/reconcile and statistics";
        let response = self.commit_counts(target, Some(anchor), changes, now).await?;
        next.update_time = write::update_time(&response, 0);
        Ok(next)
    }

    /// Announces `next` and deletes these rewards, which are not counted, in commits that the state is
    /// part of.
    ///
    /// # Errors
    /// A conflict if another worker was first, or if one of the rewards changed.
    pub async fn announce_batch_without(
        &self,
        state: &ReconcileState,
        mut next: ReconcileState,
        rewards: &[&StoredReward],
    ) -> Result<ReconcileState> {
        let mut state = state.clone();
        for some in in_commits(rewards) {
            next.sequence = state.sequence + 1;
            let mut writes = vec![self.reconcile_write(&state, &next)?];
            writes.extend(some.iter().map(|reward| self.forget_write(reward)));
            let response = self.db.commit("ops_state/reconcile and rewards", writes).await?;
            next.update_time = write::update_time(&response, 0);
            state = next.clone();
        }
        Ok(state)
    }

    /// A write that only makes other workers read the state again.
    pub(in crate::store) fn touch_reconcile(&self, state: &ReconcileState) -> Result<Write> {
        let next = ReconcileState { sequence: state.sequence + 1, ..state.clone() };
        self.reconcile_write(state, &next)
    }

    fn reconcile_write(&self, state: &ReconcileState, next: &ReconcileState) -> Result<Write> {
        let name = self.db.name(STATE, RECONCILE);
        Ok(write::set_if_unchanged(name, encode(next)?, state.update_time))
    }

    /// The observations with these ids that exist, in the order of the ids.
    pub async fn stored_items(&self, ids: &[String]) -> Result<Vec<StoredItem>> {
        let names: Vec<_> = ids.iter().map(|id| self.db.name(OBSERVATIONS, id)).collect();
        let read = |document: Document| stored_item(&document);
        let mut found = self.db.get_map(&names, Some(SCORED_FIELDS), read).await?;
        Ok(names.iter().filter_map(|name| found.remove(name)).collect())
    }
}

pub(in crate::store) fn encode(state: &ReconcileState) -> Result<Fields> {
    let settled = state
        .settled
        .iter()
        .map(|(range, fingerprint)| (range.clone(), value::string(fingerprint.as_str())));
    let mut fields = value::fields([
        ("sequence", value::int(state.sequence)),
        ("deepAt", value::int(state.deep_at)),
        ("fullAt", value::int(state.full_at)),
        ("settled", value::map(settled.collect())),
    ]);
    if let Some(position) = &state.up_to {
        fields.insert("upTo".to_owned(), super::cursor::encode_position(position));
    }
    if let Some(id) = &state.compared {
        fields.insert("compared".to_owned(), value::string(id.as_str()));
    }
    if let Some(batch) = &state.pending {
        let config = value::encoded(&batch.config)?;
        let ids = Json::from(batch.ids.clone());
        let mut pending = value::fields([
            ("ids", value::from_json(&ids)),
            ("rewardConfig", value::from_json(&config)),
            ("marked", value::boolean(!state.unmarked)),
        ]);
        pending.extend(super::cursor::encode_limits(batch.limits.as_ref())?);
        fields.insert("pending".to_owned(), value::map(pending));
    }
    Ok(fields)
}

/// What can be read of a damaged state: its announced batch. `None` if that is missing or cannot be
/// read.
pub(in crate::store) fn salvage(document: &Document) -> Option<ReconcileState> {
    let batch = value::as_map(&document.fields, "pending")?;
    let marked = value::as_bool(batch, "marked").unwrap_or(false);
    Some(ReconcileState {
        pending: Some(decode_batch(batch).ok()?),
        unmarked: !marked,
        ..ReconcileState::default()
    })
}

pub(in crate::store) fn decode(document: &Document) -> Result<ReconcileState> {
    let fields = &document.fields;
    let malformed = |detail: &str| StoreError::decode(PATH, "the state of reconciliation", detail);
    if fields.contains_key(super::cursor::REBUILDING) {
        return Err(malformed(super::cursor::IS_REBUILDING));
    }
    let map =
        |name| super::cursor::map_or_absent(fields, name).map_err(|detail| malformed(&detail));
    let batch = map("pending")?;
    let marked = batch.and_then(|batch| value::as_bool(batch, "marked")).unwrap_or(false);
    let pending = match batch {
        None => None,
        Some(map) => Some(decode_batch(map).map_err(|detail| malformed(&detail))?),
    };
    let up_to = match map("upTo")? {
        None => None,
        Some(map) => Some(
            super::cursor::decode_position(map)
                .ok_or_else(|| malformed("upTo lacks ts or document"))?,
        ),
    };
    let settled = value::as_map(fields, "settled").into_iter().flatten();
    let settled = settled.filter_map(|(range, value)| match value.value_type.as_ref()? {
        ValueType::StringValue(fingerprint) => Some((range.clone(), fingerprint.clone())),
        _ => None,
    });
    Ok(ReconcileState {
        pending,
        up_to,
        deep_at: value::as_millis(fields, "deepAt").unwrap_or_default(),
        full_at: value::as_millis(fields, "fullAt").unwrap_or_default(),
        settled: settled.collect(),
        compared: value::as_str(fields, "compared"),
        unmarked: batch.is_some() && !marked,
        sequence: value::as_whole(fields, "sequence")
            .ok_or_else(|| malformed("sequence is missing"))?,
        update_time: document.update_time,
    })
}

fn decode_batch(fields: &Fields) -> Result<LateBatch, String> {
    let json = Json::Object(value::fields_to_json(fields));
    let ids = serde_json::from_value(json["ids"].clone());
    let config = serde_json::from_value(json["rewardConfig"].clone());
    Ok(LateBatch {
        ids: ids.map_err(|error| format!("pending.ids: {error}"))?,
        config: config.map_err(|error| format!("pending.rewardConfig: {error}"))?,
        limits: super::cursor::decode_limits(fields).map_err(|error| format!("pending.{error}"))?,
    })
}
