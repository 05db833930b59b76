//! `config`: the flags, the reward configuration, and the bounds of tuning.

pub(in crate::store) mod seed;

use firestore_kit::proto::{Document, Value, value::ValueType};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::store::change::{ChangeError, Changed, Decided};
use crate::store::{Result, StoreError};
use crate::store::{Store, collection::CONFIG};
use f0_learning_core::audit::Action;
use f0_learning_core::document::{FlagChanges, FlagsState};
use f0_learning_core::intent::Intent;
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::sharding::{Layout, MAX_SHARDS};
use f0_learning_core::tuning::TuningConfig;
use firestore_kit::TransactionId;
use firestore_kit::value::{self, Fields};
use firestore_kit::write;

pub use seed::SeedReport;

pub(in crate::store) const FLAGS: &str = "flags";
pub(in crate::store) const REWARD_CONFIG: &str = "reward_config";
pub(in crate::store) const SCORING: &str = "scoring";
pub(in crate::store) const TUNING: &str = "tuning";

impl Store {
    /// How many shards `config/scoring` asks for; none where there is no such document.
    pub async fn asked_layout(&self) -> Result<Layout> {
        let path = "config/scoring";
        let Some(document) = self.db.get(CONFIG, SCORING).await? else {
            return Ok(Layout::default());
        };
        let json = Json::Object(value::fields_to_json(&document.fields));
        let layout: Layout = serde_json::from_value(json)
            .map_err(|error| StoreError::decode(path, "a layout of shards", error))?;
        if layout.shards > MAX_SHARDS {
            let detail = format!("shards is {}, must be at most {MAX_SHARDS}", layout.shards);
            return Err(StoreError::decode(path, "a layout of shards", detail));
        }
        Ok(layout)
    }

    pub async fn flags(&self) -> Result<FlagsState> {
        Ok(flags_of(self.db.get(CONFIG, FLAGS).await?.as_ref()))
    }

    pub(in crate::store) async fn flags_in(
        &self,
        transaction: &TransactionId,
    ) -> Result<FlagsState> {
        let name = self.db.name(CONFIG, FLAGS);
        let found = self.db.get_many(vec![name.clone()], Some(transaction)).await?;
        Ok(flags_of(found.get(&name)))
    }

    /// Changes flags, and tells of it in the audit trail, in one commit. Other fields of the
    /// document stay as they are; flags that were malformed or missing are replaced, with what is
    /// not named off.
    pub async fn set_flags(
        &self,
        changes: FlagChanges,
        intent: &Intent,
    ) -> Result<Changed, ChangeError> {
        if changes == FlagChanges::default() {
            return Err(ChangeError::NoFlag);
        }
        self.change("config/flags", intent, |transaction| async move {
            let name = self.db.name(CONFIG, FLAGS);
            let document =
                self.db.get_many(vec![name.clone()], Some(&transaction)).await?.remove(&name);
            let before = flags_of(document.as_ref());
            let flags = changes.over(&before);
            let mut fields =
                document.as_ref().map(|found| found.fields.clone()).unwrap_or_default();
            if let Ok(Json::Object(object)) = serde_json::to_value(flags) {
                merge(&mut fields, value::fields_from_json(&object));
            }
            let mut entry = intent.entry(Action::Flags, FLAGS);
            entry.from = Some(before.to_string());
            entry.to = Some(FlagsState::Set(flags).to_string());
            let seen = document.and_then(|found| found.update_time);
            Ok(Decided { writes: vec![write::set_if_unchanged(name, fields, seen)], entry })
        })
        .await
    }

    /// The reward configuration; the specification's values where there is no document.
    pub async fn reward_config(&self) -> Result<RewardConfig> {
        let config: RewardConfig =
            self.config_document(REWARD_CONFIG, "a reward configuration").await?;
        config.validate().map_err(|error| {
            StoreError::decode("config/reward_config", "a reward configuration", error)
        })?;
        Ok(config)
    }

    /// The bounds of tuning; the defaults where there is no document.
    pub async fn tuning_config(&self) -> Result<TuningConfig> {
        let config: TuningConfig = self.config_document(TUNING, "a tuning configuration").await?;
        config.validate().map_err(|error| {
            StoreError::decode("config/tuning", "a tuning configuration", error)
        })?;
        Ok(config)
    }

    /// Replaces `config/tuning` as a whole: for setting up, not for changing what is in force.
    ///
    /// # Errors
    /// A configuration that does not validate.
    pub async fn put_tuning_config(&self, config: &TuningConfig) -> Result<()> {
        let path = "config/tuning";
        config
            .validate()
            .map_err(|error| StoreError::decode(path, "a tuning configuration", error))?;
        let fields = match serde_json::to_value(config) {
            Ok(Json::Object(object)) => value::fields_from_json(&object),
            _ => Fields::default(),
        };
        self.db.commit(path, vec![write::set(self.db.name(CONFIG, TUNING), fields)], None).await?;
        Ok(())
    }

    async fn config_document<T: DeserializeOwned + Default>(
        &self,
        id: &str,
        expected: &'static str,
    ) -> Result<T> {
        let Some(document) = self.db.get(CONFIG, id).await? else { return Ok(T::default()) };
        let json = Json::Object(value::fields_to_json(&document.fields));
        serde_json::from_value(json)
            .map_err(|error| StoreError::decode(format!("config/{id}"), expected, error))
    }
}

pub(in crate::store) fn flags_of(document: Option<&Document>) -> FlagsState {
    let Some(document) = document else { return FlagsState::Missing };
    let json = Json::Object(value::fields_to_json(&document.fields));
    serde_json::from_value(json)
        .map_or_else(|error| FlagsState::Malformed(error.to_string()), FlagsState::Set)
}

/// Puts `changes` over `fields`, map by map, so that neighbours we do not know survive.
fn merge(fields: &mut Fields, changes: Fields) {
    for (name, mut change) in changes {
        match (map_of(fields.get_mut(&name)), map_of(Some(&mut change))) {
            (Some(found), Some(changes)) => merge(found, std::mem::take(changes)),
            _ => {
                fields.insert(name, change);
            }
        }
    }
}

fn map_of(value: Option<&mut Value>) -> Option<&mut Fields> {
    match value?.value_type.as_mut()? {
        ValueType::MapValue(map) => Some(&mut map.fields),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(json: Json) -> Document {
        let Json::Object(object) = json else { panic!("an object") };
        Document { fields: value::fields_from_json(&object), ..Document::default() }
    }

    #[test]
    fn flags_that_are_missing_or_malformed_forbid_tuning() {
        assert!(!flags_of(None).tuning_enabled());
        let malformed = document(serde_json::json!({ "learning": { "enabled": "yes" } }));
        assert!(matches!(flags_of(Some(&malformed)), FlagsState::Malformed(_)));
        let set = document(serde_json::json!({
            "learning": { "enabled": true, "autoActivatePolicies": false, "other": 1 }, "more": 2,
        }));
        assert!(flags_of(Some(&set)).tuning_enabled());
    }

    #[test]
    fn a_changed_flag_leaves_its_neighbours_alone() {
        let mut fields =
            document(serde_json::json!({ "learning": { "enabled": true, "x": 1 } })).fields;
        let change = document(serde_json::json!({ "learning": { "enabled": false } })).fields;
        merge(&mut fields, change);
        let json = Json::Object(value::fields_to_json(&fields));
        assert_eq!(json, serde_json::json!({ "learning": { "enabled": false, "x": 1 } }));
    }
}
