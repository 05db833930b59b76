//! `ops_state/reconcile`: what reconciliation has announced, and what it has seen to before.
//!
//! It makes the counting of late observations exact in the way of `store::cursor`: a batch is
//! announced here before the first reward of it is written, and leaves the announcement in the
//! commit that counts it. Only observations without reward behind the cursors are announced; no
//! cursor comes by them again, so that nobody else counts them.

use std::collections::BTreeMap;

use firestore_kit::Timestamp;
use firestore_kit::proto::{Document, Write, value::ValueType};
use serde_json::Value as Json;

use crate::store::scoring::checkpoint::Changes;
use crate::store::scoring::cursor::Position;
use crate::store::scoring::observations::{SCORED_FIELDS, StoredItem, stored_item};
use crate::store::{Result, StoreError};
use crate::store::{Store, collection::OBSERVATIONS, collection::STATE};
use f0_learning_core::reward::RewardConfig;
use firestore_kit::value::{self, Fields};
use firestore_kit::write;

const RECONCILE: &str = "reconcile";

/// Observations in one batch of late ones at most.
pub const LATE_AT_ONCE: usize = 500;

/// Ranges whose state is remembered at most; the oldest are looked into again.
const MAX_SETTLED: usize = 1_000;

/// Late observations that are being scored and counted.
#[derive(Clone, Debug, PartialEq)]
pub struct LateBatch {
    pub ids: Vec<String>,
    /// Kept with them, so that whoever completes the batch gives the same scores.
    pub config: RewardConfig,
}

/// The stored state, with the update time that the next commit must find unchanged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReconcileState {
    pub pending: Option<LateBatch>,
    /// The furthest observation that was counted here because no shard's cursor would come by it.
    /// The cursors of a new layout begin no earlier.
    pub up_to: Option<Position>,
    /// When the last pass over the longest window, and over everything, began.
    pub deep_at: i64,
    pub full_at: i64,
    /// Ranges that do not add up for good, by what they are called, and how they were then.
    pub settled: BTreeMap<String, String>,
    sequence: i64,
    seen: Option<Timestamp>,
}

impl ReconcileState {
    /// The same with another announcement, or none.
    #[must_use]
    pub fn announcing(&self, pending: Option<LateBatch>) -> Self {
        Self { pending, ..self.clone() }
    }

    /// Whether the stored document is still the one that this was read from.
    pub fn is_same(&self, other: &Self) -> bool {
        self.seen == other.seen && self.sequence == other.sequence
    }

    /// Whether this is what a commit upon `before` was to make of it.
    pub fn follows(&self, before: &Self, pending: Option<&LateBatch>) -> bool {
        self.sequence == before.sequence + 1 && self.pending.as_ref() == pending
    }
}

impl Store {
    pub async fn reconcile_state(&self) -> Result<ReconcileState> {
        match self.db.get(STATE, RECONCILE).await? {
            None => Ok(ReconcileState::default()),
            Some(document) => decode(&document),
        }
    }

    /// Stores `next` over `state`, together with `changes` of the statistics.
    ///
    /// # Errors
    /// A conflict where somebody else was first.
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
        let anchor = self.reconcile_write(state, &next);
        let target = "ops_state/reconcile and statistics";
        let answer = self.commit_counts(target, Some(anchor), changes, now).await?;
        next.seen = write::update_time(&answer, 0);
        Ok(next)
    }

    /// A write that changes nothing but that whoever has read `state` must read it again.
    pub(in crate::store) fn touch_reconcile(&self, state: &ReconcileState) -> Write {
        let next = ReconcileState { sequence: state.sequence + 1, ..state.clone() };
        self.reconcile_write(state, &next)
    }

    fn reconcile_write(&self, state: &ReconcileState, next: &ReconcileState) -> Write {
        write::set_if_unchanged(self.db.name(STATE, RECONCILE), encode(next), state.seen)
    }

    /// The observations with these ids that are there, in the order of the ids.
    pub async fn stored_items(&self, ids: &[String]) -> Result<Vec<StoredItem>> {
        let names: Vec<_> = ids.iter().map(|id| self.db.name(OBSERVATIONS, id)).collect();
        let mut found = self.db.get_masked(names.clone(), SCORED_FIELDS).await?;
        let items = names.iter().filter_map(|name| found.remove(name));
        Ok(items.map(|document| stored_item(&document)).collect())
    }
}

fn encode(state: &ReconcileState) -> Fields {
    let settled =
        state.settled.iter().map(|(range, print)| (range.clone(), value::string(print.as_str())));
    let mut fields = value::fields([
        ("sequence", value::int(state.sequence)),
        ("deepAt", value::int(state.deep_at)),
        ("fullAt", value::int(state.full_at)),
        ("settled", value::map(settled.collect())),
    ]);
    if let Some(position) = &state.up_to {
        fields.insert("upTo".to_owned(), super::cursor::encode_position(position));
    }
    if let Some(batch) = &state.pending {
        let config = serde_json::to_value(&batch.config).unwrap_or(Json::Null);
        let ids = Json::from(batch.ids.clone());
        let pending = value::fields([
            ("ids", value::from_json(&ids)),
            ("rewardConfig", value::from_json(&config)),
        ]);
        fields.insert("pending".to_owned(), value::map(pending));
    }
    fields
}

fn decode(document: &Document) -> Result<ReconcileState> {
    let fields = &document.fields;
    let wrong =
        |what: &str| StoreError::decode("ops_state/reconcile", "the state of reconciliation", what);
    let pending = match value::as_map(fields, "pending") {
        None => None,
        Some(map) => Some(decode_batch(map).map_err(|detail| wrong(&detail))?),
    };
    let up_to = match value::as_map(fields, "upTo") {
        None => None,
        Some(map) => Some(
            super::cursor::decode_position(map)
                .ok_or_else(|| wrong("upTo lacks ts or document"))?,
        ),
    };
    let settled = value::as_map(fields, "settled").into_iter().flatten();
    let settled = settled.filter_map(|(range, print)| match print.value_type.as_ref()? {
        ValueType::StringValue(print) => Some((range.clone(), print.clone())),
        _ => None,
    });
    Ok(ReconcileState {
        pending,
        up_to,
        deep_at: value::as_int(fields, "deepAt").unwrap_or_default(),
        full_at: value::as_int(fields, "fullAt").unwrap_or_default(),
        settled: settled.collect(),
        sequence: value::as_int(fields, "sequence").ok_or_else(|| wrong("sequence is missing"))?,
        seen: document.update_time,
    })
}

fn decode_batch(fields: &Fields) -> Result<LateBatch, String> {
    let json = Json::Object(value::fields_to_json(fields));
    let ids = serde_json::from_value(json["ids"].clone());
    let config = serde_json::from_value(json["rewardConfig"].clone());
    Ok(LateBatch {
        ids: ids.map_err(|error| format!("pending.ids: {error}"))?,
        config: config.map_err(|error| format!("pending.rewardConfig: {error}"))?,
    })
}
