//! `ops_rewards`: one document for each valid observation, with the id of the observation.

use firestore_kit::proto::Write;

use crate::store::{Result, StoreError};
use crate::store::{Store, collection::REWARDS};
use f0_learning_core::observation::Observation;
use f0_learning_core::reward::Reward;
use firestore_kit::value::{self, Fields};
use firestore_kit::write;

impl Store {
    /// The write that creates the reward of an observation, with the number of its shard.
    pub fn reward_write(
        &self,
        observation: &Observation,
        shard: i64,
        reward: &Reward,
        config_version: &str,
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
    pub async fn create_rewards(&self, writes: &[Write]) -> Result<usize> {
        let outcome = self.db.create_batch(REWARDS, writes).await?;
        match outcome.refused.into_iter().next() {
            Some((_, status)) => Err(StoreError::rpc("create a reward in", REWARDS, status)),
            None => Ok(outcome.created),
        }
    }
}
