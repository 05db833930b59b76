//! `ops_rewards`: one document for each valid observation, with the id of the observation.
//!
//! A reward is also the record that its observation was counted, whatever is written to the
//! observation later: its `ts`, its `shard` and `late` say which announcement it was written for.

use std::collections::HashMap;

use firestore_kit::Timestamp;
use firestore_kit::proto::{Document, Write};

use crate::store::scoring::cursor::{Cursor, Pending, Position};
use crate::store::scoring::stored_fields::OfShard;
use crate::store::{Result, StoreError};
use crate::store::{
    Store,
    collection::{OBSERVATIONS, REWARDS},
};
use f0_learning_core::observation::Observation;
use f0_learning_core::reward::Reward;
use f0_learning_core::sharding::Shard;
use firestore_kit::value::{self, Fields};
use firestore_kit::{Created, Query, fitting, write};

/// Which kind of announcement a reward is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// The range of a cursor.
    Range,
    /// A batch of late observations.
    Batch,
}

/// What a stored reward says about when its observation was counted.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredReward {
    pub id: String,
    ts: i64,
    shard: Option<i64>,
    late: bool,
    score: Option<f64>,
    update_time: Option<Timestamp>,
}

impl StoredReward {
    /// Whether it was written for a batch of late observations.
    pub fn is_late(&self) -> bool {
        self.late
    }

    /// The score that the observation was given; `None` if it cannot be read.
    pub fn score(&self) -> Option<f64> {
        self.score
    }

    /// Whether it was written for the range of a cursor in which this observation is now. No cursor
    /// passes a place twice. So a reward for the present range was left there by an attempt that
    /// counted nothing, and any other reward was counted where the observation was before.
    pub fn is_of_range(&self, observation: &Observation, shard: i64) -> bool {
        !self.late && self.ts == observation.ts && self.shard.is_none_or(|own| own == shard)
    }
}

/// The fields that [`StoredReward`] is read from.
const IDENTITY: &[&str] = &["ts", "shard", "late", "score"];

/// Documents without a time among which a reward is looked for. They are not of the service; with more of
/// them, a reward may be behind them.
const ALIENS: usize = 20;

/// The most bytes that the deletes of one commit remove from indexes. Firestore counts them towards the
/// 10 MiB of a request.
const DELETED_BYTES: usize = 4 << 20;

/// The index entries of a reward, each with the name of the document; and the bytes of the rest of
/// one. Its fields have two each, besides `details`, which is exempt.
const ENTRIES: usize = 24;
const ENTRY_BYTES: usize = 400;

/// Rewards in parts, each of which one commit can delete.
pub(in crate::store) fn in_commits<'a>(
    rewards: &'a [&'a StoredReward],
) -> impl Iterator<Item = &'a [&'a StoredReward]> {
    let mut rest = rewards;
    std::iter::from_fn(move || {
        let sizes = rest.iter().map(|reward| ENTRIES * (reward.id.len() + ENTRY_BYTES));
        let (some, others) = rest.split_at(fitting(DELETED_BYTES, sizes));
        rest = others;
        Some(some).filter(|some| !some.is_empty())
    })
}

impl Store {
    /// The write that creates the reward of an observation, with the number of its shard.
    pub fn reward_write(
        &self,
        observation: &Observation,
        shard: i64,
        reward: &Reward,
        config_version: &str,
        announced: Announced,
    ) -> Write {
        let details = &reward.details;
        let mut fields: Fields = value::fields([
            ("obsId", value::string(observation.id.as_str())),
            ("ts", value::int(observation.ts)),
            ("component", value::string(observation.component.as_str())),
            ("score", value::double(reward.score)),
            (
                "details",
                value::map(value::fields([
                    ("successBoost", value::double(details.success_boost)),
                    ("latencyPenalty", value::double(details.latency_penalty)),
                    ("costPenalty", value::double(details.cost_penalty)),
                    ("errorPenalty", value::double(details.error_penalty)),
                ])),
            ),
            ("configVersion", value::string(config_version)),
            ("shard", value::int(shard)),
        ]);
        if let Some(version) = &observation.policy_version {
            fields.insert("policyVersion".to_owned(), value::string(version.as_str()));
        }
        if announced == Announced::Batch {
            fields.insert("late".to_owned(), value::boolean(true));
        }
        if !observation.malformed.is_empty() {
            let names: Vec<_> = observation.malformed.fields().collect();
            fields.insert("malformed".to_owned(), value::from_json(&names.into()));
        }
        write::create(self.db.name(REWARDS, &observation.id), fields)
    }

    /// Creates rewards, at most [`MAX_BATCH`](firestore_kit::MAX_BATCH); existing ones are unchanged.
    ///
    /// # Errors
    /// Firestore refused one permanently: without its reward an observation cannot be counted.
    pub async fn create_rewards(&self, writes: &[Write]) -> Result<Created> {
        let mut outcome = self.db.create_batch(REWARDS, writes).await?;
        match outcome.refused.pop() {
            Some((_, status)) => Err(StoreError::rpc("create a reward in", REWARDS, status)),
            None => Ok(outcome),
        }
    }

    /// The rewards of these observations that exist, by id.
    pub async fn rewards_of(&self, ids: &[&str]) -> Result<HashMap<String, StoredReward>> {
        let mut found = HashMap::new();
        let names: Vec<_> = ids.iter().map(|id| self.db.name(REWARDS, id)).collect();
        let read = |document: Document| stored_reward(&document);
        for reward in self.db.get_map(&names, Some(IDENTITY), read).await?.into_values() {
            found.insert(reward.id.clone(), reward);
        }
        Ok(found)
    }

    /// The same where few of them are expected to have one: one read for 30 observations of which none
    /// has.
    pub async fn few_rewards_of(&self, ids: &[&str]) -> Result<HashMap<String, StoredReward>> {
        let names: Vec<_> = ids.iter().map(|id| self.db.name(REWARDS, id)).collect();
        let existing = self.db.existing(REWARDS, &names).await?;
        let ids: Vec<_> = ids
            .iter()
            .copied()
            .filter(|id| existing.contains(&self.db.name(REWARDS, id)))
            .collect();
        self.rewards_of(&ids).await
    }

    /// Whether an observation of the shard has a reward; one read.
    pub(in crate::store) async fn has_rewards(&self, shard: Shard) -> Result<bool> {
        let query = Query::of(REWARDS).of_shard(shard).select(&["ts"]).limit(ALIENS);
        let found = self.db.query_all(REWARDS, query.build()).await?;
        let is_reward = |it: &Document| value::as_millis(&it.fields, "ts").is_some();
        Ok(found.len() == ALIENS || found.iter().any(is_reward))
    }

    /// Whether a late observation has a reward; one read.
    pub(in crate::store) async fn has_late_rewards(&self) -> Result<bool> {
        let late = Query::of(REWARDS).equal("late", value::boolean(true));
        let query = late.select(&["ts"]).limit(1);
        Ok(!self.db.query_all(REWARDS, query.build()).await?.is_empty())
    }

    /// The rewards in the announced range of a cursor. They are not counted yet.
    pub async fn announced_rewards(
        &self,
        cursor: &Cursor,
        pending: &Pending,
    ) -> Result<Vec<StoredReward>> {
        let query = Query::of(REWARDS)
            .select(IDENTITY)
            .of_shard(cursor.shard)
            .at_most("ts", pending.end.ts.clone())
            .ascending("ts")
            .ascending("__name__");
        let query = match &cursor.position {
            Some(position) => {
                let id = position.name.rsplit('/').next().unwrap_or_default();
                let name = self.db.name(REWARDS, id);
                query.start_after(Position { name, ..position.clone() }.cursor_values())
            }
            None => query,
        };
        let is_within = |document: &Document| {
            let name = self.db.name(OBSERVATIONS, value::document_id(document));
            !Position { name, ..Position::of(document) }.is_after(&pending.end)
        };
        let reward = |document: Document| {
            Some(stored_reward(&document)).filter(|it| !it.late && is_within(&document))
        };
        self.db.query_map(REWARDS, query.build(), reward).await
    }

    /// Announces the range again without these rewards, in commits that the cursor's next state is
    /// part of: they are deleted only while the range is not counted. Returns the stored cursor.
    ///
    /// # Errors
    /// A conflict if the cursor or one of the rewards changed since it was read.
    pub async fn announce_without(
        &self,
        mut cursor: Cursor,
        pending: &Pending,
        rewards: &[&StoredReward],
    ) -> Result<Cursor> {
        for some in in_commits(rewards) {
            let deletes = some.iter().map(|reward| self.forget_write(reward)).collect();
            cursor = self.announce_and(&cursor, pending.clone(), deletes).await?;
        }
        Ok(cursor)
    }

    /// The write that deletes a reward which is not counted.
    pub(in crate::store) fn forget_write(&self, reward: &StoredReward) -> Write {
        let name = self.db.name(REWARDS, &reward.id);
        match reward.update_time {
            Some(update_time) => write::delete_if_unchanged(name, update_time),
            None => write::delete(name),
        }
    }
}

pub(in crate::store) fn stored_reward(document: &Document) -> StoredReward {
    StoredReward {
        id: value::document_id(document).to_owned(),
        ts: Position::of(document).ts_ms(),
        shard: value::as_int(&document.fields, "shard"),
        late: value::as_bool(&document.fields, "late").unwrap_or(false),
        score: value::as_number(&document.fields, "score"),
        update_time: document.update_time,
    }
}
