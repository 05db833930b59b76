//! `ops_state/retention`, and the documents that are old enough to leave.

use firestore_kit::Timestamp;
use firestore_kit::proto::{Document, value::ValueType};
use serde::{Deserialize, Serialize};

use crate::archive::{Column, Key, Manifest, Table, Values};
use crate::store::Store;
use crate::store::collection::{OBSERVATIONS, QUARANTINE, REWARDS, STATE};
use crate::store::scoring::cursor::Position;
use crate::store::scoring::stored_fields::OfShard;
use crate::store::{Result, StoreError};
use f0_learning_core::observation::MIN_TS;
use f0_learning_core::sharding::{Shard, UNSHARDED};
use firestore_kit::Query;
use firestore_kit::value::{self, Fields};
use firestore_kit::{MAX_BATCH, write};

const RETENTION: &str = "retention";

/// What is archived, in this order: a reward outlives its observation, so that no observation ever
/// looks as if it had none.
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

/// A file that was written and verified, and whose documents may be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingFile {
    pub archived: Archived,
    pub staging: String,
    pub manifest: Manifest,
}

/// The stored state, with the update time that the next commit must find unchanged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetentionState {
    /// Rises with every file, and is part of its name.
    pub sequence: i64,
    pub pending: Option<PendingFile>,
    seen: Option<Timestamp>,
}

/// Documents read for a file, in the order of (`ts`, id).
#[derive(Debug, Default)]
pub struct OldDocuments {
    documents: Vec<Document>,
    /// Where the next page begins.
    last: Option<Position>,
    pub bytes: usize,
}

/// A part of the documents of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Of(Shard),
    /// Those that no shard's queries find.
    Nobodys,
}

impl OldDocuments {
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// The `ts` of the first, in epoch milliseconds.
    pub fn first_ts(&self) -> Option<i64> {
        self.documents.first().map(ts_of)
    }

    /// Leaves only those before `end`; whether that left any out.
    pub fn cut_at(&mut self, end: i64) -> bool {
        let kept = self.documents.partition_point(|document| ts_of(document) < end);
        let cut = kept < self.documents.len();
        self.documents.truncate(kept);
        cut
    }

    /// The rows of a file.
    pub fn table(&self, archived: Archived) -> Table {
        let keys = self.documents.iter().map(|document| Key {
            id: value::document_id(document).to_owned(),
            ts: ts_of(document),
            updated: document.update_time.as_ref().map_or(0, value::epoch_micros),
        });
        let column = |name: &'static str, values| Column { name, values };
        let text = |name: &'static str| {
            let values = self.documents.iter().map(|it| value::as_str(&it.fields, name));
            column(name, Values::Text(values.collect()))
        };
        let number = |name: &'static str| {
            let values = self.documents.iter().map(|it| number_of(&it.fields, name));
            column(name, Values::Number(values.collect()))
        };
        let whole = |name: &'static str| {
            let values = self.documents.iter().map(|it| value::as_whole(&it.fields, name));
            column(name, Values::Whole(values.collect()))
        };
        let detail = |name: &'static str| {
            let values = self.documents.iter().map(|document| {
                value::as_map(&document.fields, "details").and_then(|map| number_of(map, name))
            });
            column(name, Values::Number(values.collect()))
        };
        // The document as it was: what the columns do not show is not lost.
        let document = || {
            let values = self.documents.iter().map(|document| {
                serde_json::to_string(&value::fields_to_json(&document.fields)).ok()
            });
            column("document", Values::Text(values.collect()))
        };
        let columns = match archived {
            Archived::Observations => vec![
                text("component"),
                text("outcome"),
                number("durationMs"),
                whole("tokensIn"),
                whole("tokensOut"),
                number("costUsd"),
                text("policyVersion"),
                text("errorCode"),
                number("sampleRate"),
                number("propensity"),
                document(),
            ],
            Archived::Rewards => vec![
                text("component"),
                number("score"),
                detail("successBoost"),
                detail("latencyPenalty"),
                detail("costPenalty"),
                detail("errorPenalty"),
                text("policyVersion"),
                text("configVersion"),
            ],
            Archived::Quarantine => {
                vec![text("component"), text("field"), text("reason"), document()]
            }
        };
        Table { keys: keys.collect(), columns }
    }
}

impl Store {
    pub async fn retention_state(&self) -> Result<RetentionState> {
        let Some(document) = self.db.get(STATE, RETENTION).await? else {
            return Ok(RetentionState::default());
        };
        let wrong = |what: &str| {
            StoreError::decode("ops_state/retention", "the state of retention", what.to_owned())
        };
        let fields = &document.fields;
        let pending = match fields.get("pending").map(value::to_json) {
            None => None,
            Some(json) => {
                Some(serde_json::from_value(json).map_err(|error| wrong(&error.to_string()))?)
            }
        };
        let sequence = value::as_int(fields, "sequence").ok_or_else(|| wrong("no sequence"))?;
        Ok(RetentionState { sequence, pending, seen: document.update_time })
    }

    /// Stores that a file is written, or that its documents are gone.
    ///
    /// # Errors
    /// A conflict where another worker was first.
    pub async fn commit_retention(
        &self,
        state: &RetentionState,
        pending: Option<PendingFile>,
    ) -> Result<RetentionState> {
        let sequence = state.sequence + 1;
        let mut fields = value::fields([("sequence", value::int(sequence))]);
        if let Some(pending) = &pending {
            let json = serde_json::to_value(pending).unwrap_or_default();
            fields.insert("pending".to_owned(), value::from_json(&json));
        }
        let write = write::set_if_unchanged(self.db.name(STATE, RETENTION), fields, state.seen);
        let answer = self.db.commit("ops_state/retention", vec![write], None).await?;
        Ok(RetentionState { sequence, pending, seen: write::update_time(&answer, 0) })
    }

    /// The parts that the documents of a collection are read in. Where observations are sharded each
    /// part is asked for by its number, so that no index over `ts` alone is needed.
    pub async fn parts(&self, archived: Archived) -> Result<Vec<Part>> {
        let layout = self.layout().await?.layout;
        if layout.shards == 0 || archived == Archived::Quarantine {
            return Ok(vec![Part::Of(Shard::All)]);
        }
        let shards = self.shards_in(archived.collection()).await?;
        Ok(shards.into_iter().map(Part::Of).chain([Part::Nobodys]).collect())
    }

    /// Adds a page of documents of a part with `ts` before `before` that come after those already
    /// read. Returns whether there may be more.
    pub async fn read_old(
        &self,
        archived: Archived,
        part: Part,
        before: i64,
        read: &mut OldDocuments,
        page: usize,
    ) -> Result<bool> {
        let from = match archived {
            // What lies before is no observation; its place is in quarantine, and it leaves with
            // its entry there.
            Archived::Observations => MIN_TS,
            _ => 0,
        };
        // Only its reward says when an observation was that no shard's queries find.
        let by_reward = part == Part::Nobodys && archived == Archived::Observations;
        let source = if by_reward { REWARDS } else { archived.collection() };
        let query = match part {
            Part::Of(shard) => Query::of(source).of_shard(shard),
            Part::Nobodys => Query::of(source).equal("shard", value::int(UNSHARDED)),
        };
        let query = query
            .at_least("ts", value::int(from))
            .below("ts", value::int(before))
            .ascending("ts")
            .ascending("__name__")
            .limit(page);
        let query = match &read.last {
            Some(last) => query.start_after(last.cursor_values()),
            None => query,
        };
        let mut documents = self.db.query_all(source, query.build()).await?;
        let more = documents.len() == page;
        read.last = documents.last().map(Position::of).or(read.last.take());
        if by_reward {
            let ids: Vec<_> = documents.iter().map(value::document_id).collect();
            documents = self.observations_as_found(&ids).await?;
            // One that somebody has given another time since waits for that.
            documents.retain(|document| (from..before).contains(&ts_of(document)));
        }
        read.bytes += documents.iter().map(prost_len).sum::<usize>();
        read.documents.extend(documents);
        Ok(more)
    }

    /// Deletes the documents of a file, each only if it is still as it was archived. Returns how
    /// many there were; one that is gone or has changed is left alone.
    pub async fn delete_archived(&self, archived: Archived, keys: &[Key]) -> Result<u64> {
        let mut deleted = 0;
        for some in keys.chunks(MAX_BATCH) {
            let delete = |key: &Key| {
                let name = self.db.name(archived.collection(), &key.id);
                write::delete_if_unchanged(name, value::from_epoch_micros(key.updated))
            };
            let writes: Vec<_> = some.iter().map(delete).collect();
            deleted += self.db.delete_batch(archived.collection(), &writes).await?;
        }
        Ok(deleted)
    }

    /// Deletes observations whose entry in quarantine was archived, where the entry holds their copy
    /// as they are: one that was changed since waits for `requeue`, or for the next pass.
    pub async fn delete_quarantined(&self, keys: &[Key]) -> Result<u64> {
        let mut deleted = 0;
        for some in keys.chunks(MAX_BATCH) {
            let entries = some.iter().map(|key| self.db.name(QUARANTINE, &key.id)).collect();
            let entries = self.db.get_masked(entries, &["documentNote"]).await?;
            let is_copied = |key: &&Key| {
                let entry = entries.get(&self.db.name(QUARANTINE, &key.id));
                entry.is_some_and(|entry| !entry.fields.contains_key("documentNote"))
            };
            let copied: Vec<_> = some.iter().filter(is_copied).collect();
            let names = copied.iter().map(|key| self.db.name(OBSERVATIONS, &key.id)).collect();
            let found = self.db.get_masked(names, &["ts"]).await?;
            let delete = |key: &&Key| {
                let document = found.get(&self.db.name(OBSERVATIONS, &key.id))?;
                let seen = document.update_time?;
                let is_as_copied = value::epoch_micros(&seen) <= key.updated;
                is_as_copied.then(|| write::delete_if_unchanged(document.name.clone(), seen))
            };
            let writes: Vec<_> = copied.iter().filter_map(delete).collect();
            deleted += self.db.delete_batch(OBSERVATIONS, &writes).await?;
        }
        Ok(deleted)
    }
}

fn prost_len(document: &Document) -> usize {
    write::encoded_len(document)
}

fn ts_of(document: &Document) -> i64 {
    Position::of(document).ts_ms()
}

fn number_of(fields: &Fields, name: &str) -> Option<f64> {
    match fields.get(name)?.value_type.as_ref()? {
        #[expect(clippy::cast_precision_loss, reason = "a column of doubles")]
        ValueType::IntegerValue(number) => Some(*number as f64),
        ValueType::DoubleValue(number) => Some(*number),
        _ => None,
    }
}
