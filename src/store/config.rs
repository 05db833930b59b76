//! `config`: the flags, the reward configuration, and the bounds of tuning.

use firestore::gcloud_sdk::google::firestore::v1::{Document, Value, value::ValueType};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

use super::change::{ChangeError, Changed, Decided, Intent};
use super::error::{Result, StoreError};
use super::rpc::TransactionId;
use super::value::{self, Fields};
use super::{Store, collection::CONFIG, write};
use crate::domain::audit::action;
use crate::domain::reward::RewardConfig;
use crate::domain::sharding::{Layout, MAX_SHARDS};
use crate::domain::tuning::TuningConfig;

pub(super) const FLAGS: &str = "flags";
pub(super) const REWARD_CONFIG: &str = "reward_config";
pub(super) const SCORING: &str = "scoring";
pub(super) const TUNING: &str = "tuning";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Flags {
    pub learning: LearningFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LearningFlags {
    /// The kill switch: `false` stops all tuning and leaves scoring on.
    pub enabled: bool,
    pub auto_activate_policies: bool,
}

/// What `config/flags` says, where it can be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlagsState {
    Set(Flags),
    Missing,
    Malformed(String),
}

impl FlagsState {
    /// Whether tuning may go on. Flags that cannot be read forbid it: nobody can tell whether the
    /// kill switch was meant.
    pub fn tuning_enabled(&self) -> bool {
        matches!(self, Self::Set(flags) if flags.learning.enabled)
    }

    /// Whether the job may activate what it drafted.
    pub fn auto_activation_enabled(&self) -> bool {
        matches!(self, Self::Set(flags) if flags.learning.enabled && flags.learning.auto_activate_policies)
    }

    pub(super) fn of(document: Option<&Document>) -> Self {
        let Some(document) = document else { return Self::Missing };
        let json = Json::Object(value::fields_to_json(&document.fields));
        serde_json::from_value(json)
            .map_or_else(|error| Self::Malformed(error.to_string()), Self::Set)
    }
}

impl std::fmt::Display for FlagsState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Set(Flags { learning }) => write!(
                f,
                "learning.enabled={} learning.autoActivatePolicies={}",
                learning.enabled, learning.auto_activate_policies
            ),
            Self::Missing => write!(f, "config/flags is missing; run `f0-learning seed`"),
            Self::Malformed(detail) => write!(
                f,
                "config/flags is malformed ({detail}); set it with `f0-learning flags set`"
            ),
        }
    }
}

impl Store {
    /// How many shards `config/scoring` asks for; none where there is no such document.
    pub async fn asked_layout(&self) -> Result<Layout> {
        let path = "config/scoring";
        let Some(document) = self.get(CONFIG, SCORING).await? else {
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
        Ok(FlagsState::of(self.get(CONFIG, FLAGS).await?.as_ref()))
    }

    pub(super) async fn flags_in(&self, transaction: &TransactionId) -> Result<FlagsState> {
        let name = self.name(CONFIG, FLAGS);
        let found = self.get_many(vec![name.clone()], Some(transaction)).await?;
        Ok(FlagsState::of(found.get(&name)))
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
            let name = self.name(CONFIG, FLAGS);
            let document =
                self.get_many(vec![name.clone()], Some(&transaction)).await?.remove(&name);
            let before = FlagsState::of(document.as_ref());
            let flags = changes.over(&before);
            let mut fields =
                document.as_ref().map(|found| found.fields.clone()).unwrap_or_default();
            if let Ok(Json::Object(object)) = serde_json::to_value(flags) {
                merge(&mut fields, value::fields_from_json(&object));
            }
            let mut entry = intent.entry(action::FLAGS, FLAGS);
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
        self.commit(path, vec![write::set(self.name(CONFIG, TUNING), fields)], None).await?;
        Ok(())
    }

    async fn config_document<T: DeserializeOwned + Default>(
        &self,
        id: &str,
        expected: &'static str,
    ) -> Result<T> {
        let Some(document) = self.get(CONFIG, id).await? else { return Ok(T::default()) };
        let json = Json::Object(value::fields_to_json(&document.fields));
        serde_json::from_value(json)
            .map_err(|error| StoreError::decode(format!("config/{id}"), expected, error))
    }
}

/// The flags to change; what is `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlagChanges {
    pub enabled: Option<bool>,
    pub auto_activate_policies: Option<bool>,
}

impl FlagChanges {
    /// One flag by the name it has in Firestore.
    ///
    /// # Errors
    /// A name that is no flag's.
    pub fn named(name: &str, value: bool) -> Result<Self, String> {
        match name {
            "learning.enabled" => Ok(Self { enabled: Some(value), ..Self::default() }),
            "learning.autoActivatePolicies" => {
                Ok(Self { auto_activate_policies: Some(value), ..Self::default() })
            }
            other => Err(format!(
                "no flag is named {other:?}; there are learning.enabled and \
                 learning.autoActivatePolicies"
            )),
        }
    }

    fn over(self, before: &FlagsState) -> Flags {
        let off = LearningFlags { enabled: false, auto_activate_policies: false };
        let LearningFlags { enabled, auto_activate_policies } = match before {
            FlagsState::Set(flags) => flags.learning,
            FlagsState::Missing | FlagsState::Malformed(_) => off,
        };
        Flags {
            learning: LearningFlags {
                enabled: self.enabled.unwrap_or(enabled),
                auto_activate_policies: self
                    .auto_activate_policies
                    .unwrap_or(auto_activate_policies),
            },
        }
    }
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
        assert!(!FlagsState::of(None).tuning_enabled());
        let malformed = document(serde_json::json!({ "learning": { "enabled": "yes" } }));
        assert!(matches!(FlagsState::of(Some(&malformed)), FlagsState::Malformed(_)));
        let set = document(serde_json::json!({
            "learning": { "enabled": true, "autoActivatePolicies": false, "other": 1 }, "more": 2,
        }));
        assert!(FlagsState::of(Some(&set)).tuning_enabled());
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
