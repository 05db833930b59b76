//! `config`: the flags, the reward configuration, the layout of shards and the bounds of tuning.

mod document;
mod edit;
pub(in crate::store) mod seed;

use firestore_kit::proto::{Document, Value, value::ValueType};

use crate::store::change::{Asked, ChangeError, ChangeResult, Changed, Decided};
use crate::store::{Result, StoreError};
use crate::store::{Store, collection::CONFIG};
use f0_learning_core::audit::Action;
use f0_learning_core::document::{FlagChanges, Flags, FlagsState, ScoringConfig};
use f0_learning_core::intent::Intent;
use f0_learning_core::limits::Limits;
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::reward::{MAX_REWARD_VERSION_BYTES, RewardConfig};
use f0_learning_core::sharding::{Layout, MAX_SHARDS};
use f0_learning_core::tuning::{ARM_PLACEHOLDER, PolicyTuning, TuningConfig};
use firestore_kit::value::{self, Fields, ReadError};
use firestore_kit::{Transaction, write};

pub use document::{ConfigDocument, ConfigError};
pub use edit::{MAX_CONFIG_BYTES, ReadConfig, StoredConfig, check_config};
pub use seed::{SeedReport, seed_text};

pub(in crate::store) const FLAGS: &str = "flags";
pub(in crate::store) const REWARD_CONFIG: &str = "reward_config";
pub(in crate::store) const SCORING: &str = "scoring";
pub(in crate::store) const TUNING: &str = "tuning";

impl Store {
    /// The layout of shards that `config/scoring` requests; unsharded if there is no such document.
    pub async fn asked_layout(&self) -> Result<Layout> {
        Ok(Layout { shards: self.scoring_config().await?.shards })
    }

    /// How many actions an observation may count for: `config/scoring`, and what the policies of
    /// `config/tuning` declare for their components. An entry of a policy that cannot be read declares
    /// nothing.
    pub async fn limits(&self) -> Result<Limits> {
        let limits = self.scoring_config().await?.limits();
        Ok(limits.with_policies(&self.tuning_config().await?))
    }

    async fn scoring_config(&self) -> Result<ScoringConfig> {
        match self.db.get(CONFIG, SCORING).await? {
            None => Ok(ScoringConfig::default()),
            Some(document) => read_scoring(&document.fields),
        }
    }

    pub async fn flags(&self) -> Result<FlagsState> {
        Ok(flags_of(self.db.get(CONFIG, FLAGS).await?.as_ref()))
    }

    /// Firestore's time in epoch milliseconds, for one read.
    ///
    /// # Errors
    /// Firestore did not answer. No other clock may take its place.
    pub async fn now(&self) -> Result<i64> {
        self.db.ask_time(CONFIG, FLAGS).await
    }

    pub(in crate::store) async fn flags_in(&self, transaction: &Transaction) -> Result<FlagsState> {
        Ok(flags_of(self.db.get_in(CONFIG, FLAGS, transaction).await?.as_ref()))
    }

    /// Changes flags and writes the audit entry in one commit. Other fields of the document are not
    /// changed; flags that are malformed or missing are replaced, with those not in `changes` off.
    /// `None` if the flags have these values already: then nothing is written, unless the request has an
    /// Idempotency-Key, whose repetition must find what it did.
    pub async fn set_flags(
        &self,
        changes: FlagChanges,
        intent: &Intent,
    ) -> ChangeResult<Option<Changed>> {
        if changes == FlagChanges::default() {
            return Err(ChangeError::NoFlag);
        }
        let asked = Asked::of(Action::Flags, FLAGS);
        let target = ConfigDocument::Flags.path();
        let changed = self.change(target, asked, intent, |transaction| async move {
            let document = self.db.get_in(CONFIG, FLAGS, &transaction).await?;
            let before = flags_of(document.as_ref());
            let flags = changes.over(&before);
            if before == FlagsState::Set(flags) && intent.key.is_none() {
                return Err(ChangeError::ConfigUnchanged(target));
            }
            let mut fields =
                document.as_ref().map(|found| found.fields.clone()).unwrap_or_default();
            merge(&mut fields, value::to_fields(&flags)?);
            let mut entry = intent.entry(Action::Flags, FLAGS);
            entry.from = Some(before.to_string());
            entry.to = Some(FlagsState::Set(flags).to_string());
            let update_time = document.and_then(|found| found.update_time);
            let name = self.db.name(CONFIG, FLAGS);
            Ok(Decided { writes: vec![write::set_if_unchanged(name, fields, update_time)], entry })
        });
        match changed.await {
            Err(ChangeError::ConfigUnchanged(_)) => Ok(None),
            changed => changed.map(Some),
        }
    }

    /// The reward configuration; the specification's values if there is no document.
    pub async fn reward_config(&self) -> Result<RewardConfig> {
        match self.db.get(CONFIG, REWARD_CONFIG).await? {
            None => Ok(RewardConfig::default()),
            Some(document) => read_rewards(&document.fields),
        }
    }

    /// The bounds of tuning; the defaults if there is no document. A policy whose entry is invalid is
    /// among the refused ones.
    pub async fn tuning_config(&self) -> Result<TuningConfig> {
        match self.db.get(CONFIG, TUNING).await? {
            None => Ok(TuningConfig::default()),
            Some(document) => read_tuning(&document.fields),
        }
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
}

/// Reads `config/scoring`.
fn read_scoring(fields: &Fields) -> Result<ScoringConfig> {
    let (document, expected) = ("config/scoring", "a configuration of scoring");
    let config: ScoringConfig =
        value::from_known_fields(fields).map_err(|error| error.of_document(document, expected))?;
    let invalid = |detail: String| StoreError::decode(document, expected, detail);
    let shards = config.shards;
    if shards > MAX_SHARDS {
        return Err(invalid(format!("shards is {shards}, must be at most {MAX_SHARDS}")));
    }
    config.limits().validate().map_err(|error| invalid(error.to_string()))?;
    Ok(config)
}

/// Reads `config/reward_config`.
fn read_rewards(fields: &Fields) -> Result<RewardConfig> {
    let (document, expected) = ("config/reward_config", "a reward configuration");
    let config: RewardConfig =
        value::from_known_fields(fields).map_err(|error| error.of_document(document, expected))?;
    let malformed = |detail: String| StoreError::decode(document, expected, detail);
    config.validate().map_err(|error| malformed(error.to_string()))?;
    check_version(&config).map_err(malformed)?;
    Ok(config)
}

/// Whether documents with the version of this configuration can be stored.
pub(in crate::store) fn check_version(config: &RewardConfig) -> Result<(), String> {
    match config.version.len() {
        ..=MAX_REWARD_VERSION_BYTES => Ok(()),
        bytes => {
            Err(format!("version has {bytes} bytes, expected at most {MAX_REWARD_VERSION_BYTES}"))
        }
    }
}

const TUNING_CONFIG: &str = "a tuning configuration";

/// Reads `config/tuning`, each policy's entry by itself.
fn read_tuning(fields: &Fields) -> Result<TuningConfig> {
    let mut rest = fields.clone();
    let policies = rest.remove("policies");
    let mut config: TuningConfig = value::from_known_fields(&rest)
        .map_err(|error| error.of_document("config/tuning", TUNING_CONFIG))?;
    config.guard.validate().map_err(|error| {
        StoreError::decode("config/tuning", TUNING_CONFIG, format!("guard.{error}"))
    })?;
    let Some(policies) = policies else { return Ok(config) };
    let Some(ValueType::MapValue(policies)) = policies.value_type else {
        let detail = "expected a map from policy id to settings";
        return Err(StoreError::decode("config/tuning policies", TUNING_CONFIG, detail));
    };
    config.policies.clear();
    for (id, entry) in policies.fields {
        match read_policy_tuning(&id, entry) {
            Ok(policy) => {
                config.policies.insert(id, policy);
            }
            Err(error) => {
                let error = error.within(&id).within("policies");
                let error = error.of_document("config/tuning", TUNING_CONFIG);
                config.refused.insert(id, error.to_string());
            }
        }
    }
    Ok(config)
}

fn read_policy_tuning(id: &str, entry: Value) -> Result<PolicyTuning, ReadError> {
    let error = |path: &str, detail: String| ReadError { path: path.to_owned(), detail };
    PolicyKey::check_id(id)
        .map_err(|invalid| error("", format!("invalid policy id: {invalid}")))?;
    let Some(ValueType::MapValue(entry)) = entry.value_type else {
        return Err(error("", "expected a map of settings".to_owned()));
    };
    let policy: PolicyTuning = value::from_known_fields(&entry.fields)?;
    // Without it, the arms of two policies could count the same observations.
    if !entry.fields.contains_key("component") {
        let detail =
            format!("it is missing; set the component of an arm, as router:{ARM_PLACEHOLDER}");
        return Err(error("component", detail));
    }
    policy.validate().map_err(|invalid| {
        let text = invalid.to_string();
        let (field, rest) = text.split_once(' ').unwrap_or((&text, ""));
        error(field, rest.to_owned())
    })?;
    Ok(policy)
}

pub(in crate::store) fn flags_of(document: Option<&Document>) -> FlagsState {
    let Some(document) = document else { return FlagsState::Missing };
    let malformed = |error: ReadError| {
        // Other programs may keep flags here; an unknown name matters only where one is missing.
        let unknown = value::from_known_fields::<Flags>(&document.fields).err();
        FlagsState::Malformed(unknown.unwrap_or(error).to_string())
    };
    value::from_fields(&document.fields).map_or_else(malformed, FlagsState::Set)
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

    fn read(json: Json) -> Result<TuningConfig> {
        read_tuning(&document(json).fields)
    }

    #[test]
    fn an_invalid_entry_of_config_tuning_refuses_only_its_policy() {
        let config = read(serde_json::json!({ "version": "2", "policies": {
            "good": { "component": "router:{arm}", "minSamples": 50.0 },
            "typo": { "component": "a:{arm}", "stepBond": 0.2 },
            "type": { "component": "b:{arm}", "stepBound": "wide" },
            "range": { "component": "c:{arm}", "stepBound": 7 },
            "bare": {}, "flat": 3,
        }}))
        .unwrap();
        assert_eq!(config.policies.keys().collect::<Vec<_>>(), ["good"]);
        assert_eq!(config.policies["good"].min_samples, 50);
        let refused = |id: &str, expected: &str| {
            let found = &config.refused[id];
            assert!(found.contains(expected), "{id}: {found}");
        };
        refused("typo", "config/tuning policies.typo.stepBond");
        refused("typo", "did you mean `stepBound`?");
        refused("type", "config/tuning policies.type.stepBound");
        refused("range", "config/tuning policies.range.stepBound");
        refused("bare", "config/tuning policies.bare.component");
        refused("flat", "config/tuning policies.flat");
    }

    #[test]
    fn an_error_outside_the_policies_names_its_path() {
        let error = |json| read(json).unwrap_err().to_string();
        let typo = error(serde_json::json!({ "guard": { "guardrails": { "rewards": 0.1 } } }));
        assert!(typo.contains("config/tuning guard.guardrails.rewards"), "{typo}");
        let range = error(serde_json::json!({ "guard": { "alpha": 7 } }));
        assert!(range.contains("guard.alpha is 7"), "{range}");
        assert!(error(serde_json::json!({ "policy": {} })).contains("did you mean `policies`?"));
        assert_eq!(read(serde_json::json!({})).unwrap(), TuningConfig::default());
    }

    #[test]
    fn a_misspelt_flag_is_named() {
        let typo = document(serde_json::json!({
            "learning": { "enabld": true, "autoActivatePolicies": false },
        }));
        let FlagsState::Malformed(why) = flags_of(Some(&typo)) else { panic!("malformed") };
        assert!(why.contains("learning.enabld") && why.contains("`enabled`"), "{why}");
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
