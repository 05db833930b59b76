//! `config`: the flags, the reward configuration, the layout of shards and the bounds of tuning.

pub(in crate::store) mod seed;

use firestore_kit::proto::{Document, Value, value::ValueType};
use serde::de::DeserializeOwned;

use crate::store::change::{ChangeError, ChangeResult, Changed, Decided};
use crate::store::{Result, StoreError};
use crate::store::{Store, collection::CONFIG};
use f0_learning_core::audit::Action;
use f0_learning_core::document::{FlagChanges, FlagsState};
use f0_learning_core::intent::Intent;
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::sharding::{Layout, MAX_SHARDS};
use f0_learning_core::tuning::TuningConfig;
use firestore_kit::value::{self, Fields};
use firestore_kit::{Transaction, write};

pub use seed::SeedReport;

pub(in crate::store) const FLAGS: &str = "flags";
pub(in crate::store) const REWARD_CONFIG: &str = "reward_config";
pub(in crate::store) const SCORING: &str = "scoring";
pub(in crate::store) const TUNING: &str = "tuning";

impl Store {
    /// The layout of shards that `config/scoring` requests; unsharded if there is no such document.
    pub async fn asked_layout(&self) -> Result<Layout> {
        let path = "config/scoring";
        let Some(document) = self.db.get(CONFIG, SCORING).await? else {
            return Ok(Layout::default());
        };
        let layout: Layout = value::from_fields(&document.fields)
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

    pub(in crate::store) async fn flags_in(&self, transaction: &Transaction) -> Result<FlagsState> {
        Ok(flags_of(self.db.get_in(CONFIG, FLAGS, transaction).await?.as_ref()))
    }

    /// Changes flags and writes the audit entry in one commit. Other fields of the document are not
    /// changed; flags that are malformed or missing are replaced, with those not in `changes` off.
    pub async fn set_flags(&self, changes: FlagChanges, intent: &Intent) -> ChangeResult<Changed> {
        if changes == FlagChanges::default() {
            return Err(ChangeError::NoFlag);
        }
        self.change("config/flags", intent, |transaction| async move {
            let document = self.db.get_in(CONFIG, FLAGS, &transaction).await?;
            let before = flags_of(document.as_ref());
            let flags = changes.over(&before);
            let mut fields =
                document.as_ref().map(|found| found.fields.clone()).unwrap_or_default();
            merge(&mut fields, value::to_fields(&flags)?);
            let mut entry = intent.entry(Action::Flags, FLAGS);
            entry.from = Some(before.to_string());
            entry.to = Some(FlagsState::Set(flags).to_string());
            let update_time = document.and_then(|found| found.update_time);
            let name = self.db.name(CONFIG, FLAGS);
            Ok(Decided { writes: vec![write::set_if_unchanged(name, fields, update_time)], entry })
        })
        .await
    }

    /// The reward configuration; the specification's values if there is no document.
    pub async fn reward_config(&self) -> Result<RewardConfig> {
        let config: RewardConfig =
            self.config_document(REWARD_CONFIG, "a reward configuration").await?;
        config.validate().map_err(|error| {
            StoreError::decode("config/reward_config", "a reward configuration", error)
        })?;
        Ok(config)
    }

    /// The bounds of tuning; the defaults if there is no document.
    pub async fn tuning_config(&self) -> Result<TuningConfig> {
        let config: TuningConfig = self.config_document(TUNING, "a tuning configuration").await?;
        config.validate().map_err(|error| {
            StoreError::decode("config/tuning", "a tuning configuration", error)
        })?;
        Ok(config)
    }

    /// Replaces all of `config/tuning`: for setting up a project, not for changing a running one.
    ///
    /// # Errors
    /// The configuration is invalid.
    pub async fn put_tuning_config(&self, config: &TuningConfig) -> Result<()> {
        let path = "config/tuning";
        config
            .validate()
            .map_err(|error| StoreError::decode(path, "a tuning configuration", error))?;
        let write = write::set(self.db.name(CONFIG, TUNING), value::to_fields(config)?);
        self.db.commit(path, vec![write]).await?;
        Ok(())
    }

    async fn config_document<T: DeserializeOwned + Default>(
        &self,
        id: &str,
        expected: &'static str,
    ) -> Result<T> {
        let Some(document) = self.db.get(CONFIG, id).await? else { return Ok(T::default()) };
        value::from_fields(&document.fields)
            .map_err(|error| StoreError::decode(format!("config/{id}"), expected, error))
    }
}

pub(in crate::store) fn flags_of(document: Option<&Document>) -> FlagsState {
    let Some(document) = document else { return FlagsState::Missing };
    value::from_fields(&document.fields)
        .map_or_else(|error| FlagsState::Malformed(error.to_string()), FlagsState::Set)
}

/// Merges `changes` into `fields`, map by map, so that unknown fields next to them are kept.
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
    use serde_json::Value as Json;

    use super::*;

    fn document(json: Json) -> Document {
        let Json::Object(object) = json else { panic!("an object") };
        Document { fields: value::fields_from_json(&object), ..Document::default() }
    }

    #[test]
    fn missing_or_malformed_flags_disable_tuning() {
        assert!(!flags_of(None).tuning_enabled());
        let malformed = document(serde_json::json!({ "learning": { "enabled": "yes" } }));
        assert!(matches!(flags_of(Some(&malformed)), FlagsState::Malformed(_)));
        let set = document(serde_json::json!({
            "learning": { "enabled": true, "autoActivatePolicies": false, "other": 1 }, "more": 2,
        }));
        assert!(flags_of(Some(&set)).tuning_enabled());
    }

    #[test]
    fn changing_a_flag_keeps_the_other_fields() {
        let mut fields =
            document(serde_json::json!({ "learning": { "enabled": true, "x": 1 } })).fields;
        let change = document(serde_json::json!({ "learning": { "enabled": false } })).fields;
        merge(&mut fields, change);
        let json = Json::Object(value::fields_to_json(&fields));
        assert_eq!(json, serde_json::json!({ "learning": { "enabled": false, "x": 1 } }));
    }
}
