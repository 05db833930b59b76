//! `config`: the flags, the reward configuration, and the bounds of tuning.

use firestore::gcloud_sdk::google::firestore::v1::{Document, Value, value::ValueType};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::audit::AuditEntry;
use super::error::{Result, StoreError};
use super::value::{self, Fields};
use super::{Store, collection::CONFIG, write};
use crate::domain::reward::RewardConfig;
use crate::domain::tuning::TuningConfig;

pub(super) const FLAGS: &str = "flags";
pub(super) const REWARD_CONFIG: &str = "reward_config";
pub(super) const TUNING: &str = "tuning";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags {
    pub learning: LearningFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    pub async fn flags(&self) -> Result<FlagsState> {
        Ok(FlagsState::of(self.get(CONFIG, FLAGS).await?.as_ref()))
    }

    /// Changes one flag, `learning.enabled` or `learning.autoActivatePolicies`, and tells of it
    /// in the audit trail, in one commit. Other fields of the document stay as they are; flags
    /// that were malformed are replaced, with the other flag off.
    ///
    /// # Errors
    /// A conflict where somebody else changed the flags meanwhile.
    pub async fn set_flag(
        &self,
        flag: Flag,
        enabled: bool,
        actor: &str,
        reason: Option<String>,
        now: i64,
    ) -> Result<Flags> {
        let document = self.get(CONFIG, FLAGS).await?;
        let before = FlagsState::of(document.as_ref());
        let mut flags = match before {
            FlagsState::Set(flags) => flags,
            FlagsState::Missing | FlagsState::Malformed(_) => {
                Flags { learning: LearningFlags { enabled: false, auto_activate_policies: false } }
            }
        };
        *flag.of(&mut flags) = enabled;
        let mut fields = document.as_ref().map(|found| found.fields.clone()).unwrap_or_default();
        if let Ok(Json::Object(object)) = serde_json::to_value(flags) {
            merge(&mut fields, value::fields_from_json(&object));
        }
        let entry = AuditEntry {
            ts: now,
            actor: actor.to_owned(),
            action: "flags".to_owned(),
            id: FLAGS.to_owned(),
            from: Some(before.to_string()),
            to: Some(FlagsState::Set(flags).to_string()),
            reason,
            evidence: None,
        };
        let seen = document.and_then(|found| found.update_time);
        let writes = vec![
            write::set_if_unchanged(self.name(CONFIG, FLAGS), fields, seen),
            self.audit_write(&entry),
        ];
        self.commit("config/flags", writes, None).await?;
        Ok(flags)
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

/// A flag, by the name it has in Firestore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    Enabled,
    AutoActivatePolicies,
}

impl Flag {
    fn of(self, flags: &mut Flags) -> &mut bool {
        match self {
            Self::Enabled => &mut flags.learning.enabled,
            Self::AutoActivatePolicies => &mut flags.learning.auto_activate_policies,
        }
    }
}

impl std::str::FromStr for Flag {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "learning.enabled" => Ok(Self::Enabled),
            "learning.autoActivatePolicies" => Ok(Self::AutoActivatePolicies),
            other => Err(format!(
                "no flag is named {other:?}; there are learning.enabled and \
                 learning.autoActivatePolicies"
            )),
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
