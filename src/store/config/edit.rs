//! Changes of whole documents of `config`, by the rules that they are read by: what the service could
//! not read is not written. A change replaces the document that its author saw, and no other one.

use serde_json::{Map, Value as Json};

use super::document::{ConfigDocument, ConfigError};
use super::{flags_of, read_rewards, read_scoring, read_tuning};
use crate::store::change::{Asked, ChangeError, ChangeResult, Changed, Decided};
use crate::store::{Result, Store, StoreError, collection::CONFIG};
use f0_learning_core::document::{Flags, FlagsState, ScoringConfig};
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::{ParamChange, Params, diff};
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::tuning::TuningConfig;
use firestore_kit::proto::Document;
use firestore_kit::value::{self, Fields};
use firestore_kit::write;

/// The most bytes of the JSON of a document. A change records both sides of what differs in its audit
/// entry, which must fit into a document, too.
pub const MAX_CONFIG_BYTES: usize = 256 << 10;

/// A document as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredConfig {
    pub document: ConfigDocument,
    /// `None` if there is no such document: then the defaults apply.
    pub content: Option<Map<String, Json>>,
    /// Names this state of the document: [`Store::change_config`] takes it.
    pub seen: String,
    /// Why the service cannot read it.
    pub problem: Option<String>,
}

impl StoredConfig {
    /// Every value that a new content would change.
    pub fn changes_to(&self, content: &Map<String, Json>) -> Vec<ParamChange> {
        changes(self.content.as_ref().unwrap_or(&Map::new()), content)
    }

    /// Requires that this is the state that a caller saw.
    ///
    /// # Errors
    /// [`ChangeError::ConfigMoved`] if it is another one.
    pub fn require_seen(&self, seen: Option<&str>) -> ChangeResult<()> {
        match seen {
            Some(seen) if seen != self.seen => Err(ChangeError::ConfigMoved(self.document.path())),
            _ => Ok(()),
        }
    }
}

/// The content of a document as the service reads it, with defaults for what is missing.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadConfig {
    Flags(Flags),
    Rewards(RewardConfig),
    Tuning(TuningConfig),
    Scoring(ScoringConfig),
}

impl ReadConfig {
    /// The content with all defaults, as JSON.
    pub fn to_json(&self) -> Json {
        let json = match self {
            Self::Flags(it) => serde_json::to_value(it),
            Self::Rewards(it) => serde_json::to_value(it),
            Self::Tuning(it) => serde_json::to_value(it),
            Self::Scoring(it) => serde_json::to_value(it),
        };
        json.unwrap_or_default()
    }

    /// What an audit entry says of the content.
    fn summary(&self) -> String {
        match self {
            Self::Flags(flags) => FlagsState::Set(*flags).to_string(),
            Self::Rewards(it) => it.version.clone(),
            Self::Tuning(it) => it.version.clone(),
            Self::Scoring(ScoringConfig { shards, min_sample_rate, min_propensity }) => format!(
                "shards={shards} minSampleRate={min_sample_rate} minPropensity={min_propensity}"
            ),
        }
    }
}

/// Reads a content by the rules by which the service reads the stored document. What the service
/// would leave out, as an entry of a policy that is invalid, is an error here.
///
/// # Errors
/// The first field that is invalid.
pub fn check_config(
    document: ConfigDocument,
    content: &Map<String, Json>,
) -> std::result::Result<ReadConfig, ConfigError> {
    let bytes = serde_json::to_string(content).map_or(usize::MAX, |text| text.len());
    if bytes > MAX_CONFIG_BYTES {
        let detail = format!("it has {bytes} bytes, expected at most {MAX_CONFIG_BYTES}");
        return Err(ConfigError { document, detail });
    }
    read(document, &value::fields_from_json(content))
}

fn read(document: ConfigDocument, fields: &Fields) -> std::result::Result<ReadConfig, ConfigError> {
    let invalid = |detail: String| ConfigError { document, detail };
    let undecodable = |error: StoreError| match error {
        StoreError::Decode { document: place, detail, .. } => {
            // The place is the document, and may be followed by the path of a field.
            let path = place.strip_prefix(document.path()).unwrap_or_default().trim();
            let detail = detail.trim_start_matches(document.path()).trim();
            invalid(if path.is_empty() { detail.to_owned() } else { format!("{path}: {detail}") })
        }
        other => invalid(other.to_string()),
    };
    match document {
        ConfigDocument::Flags => {
            let found = Document { fields: fields.clone(), ..Document::default() };
            match flags_of(Some(&found)) {
                FlagsState::Set(flags) => Ok(ReadConfig::Flags(flags)),
                FlagsState::Malformed(why) => Err(invalid(why)),
                FlagsState::Missing => Err(invalid("it is missing".to_owned())),
            }
        }
        ConfigDocument::RewardConfig => {
            read_rewards(fields).map(ReadConfig::Rewards).map_err(undecodable)
        }
        ConfigDocument::Scoring => {
            read_scoring(fields).map(ReadConfig::Scoring).map_err(undecodable)
        }
        ConfigDocument::Tuning => {
            let found = read_tuning(fields).map_err(undecodable)?;
            match found.refused.values().next() {
                Some(why) => Err(invalid(refusal(why))),
                None => Ok(ReadConfig::Tuning(found)),
            }
        }
    }
}

/// What is wrong with the entry of a policy, without what a reader of the stored document is told.
fn refusal(why: &str) -> String {
    let why = why.strip_prefix("cannot read config/tuning ").unwrap_or(why);
    let (path, detail) = why.split_once(" as a tuning configuration: ").unwrap_or(("", why));
    let detail = detail.split("; correct the document").next().unwrap_or(detail);
    if path.is_empty() { detail.to_owned() } else { format!("{path}: {detail}") }
}

/// Every value that differs between two contents.
fn changes(from: &Map<String, Json>, to: &Map<String, Json>) -> Vec<ParamChange> {
    diff(&Params(from.clone()), &Params(to.clone()))
}

/// The name of a state of a document.
fn seen_of(document: Option<&Document>) -> String {
    let time = document.and_then(|it| it.update_time);
    time.map_or("none".to_owned(), |it| format!("{}.{:09}", it.seconds, it.nanos))
}

impl Store {
    /// A document of `config`, with the name of its state.
    pub async fn config(&self, document: ConfigDocument) -> Result<StoredConfig> {
        let found = self.db.get(CONFIG, document.id()).await?;
        let problem = match &found {
            Some(found) => read(document, &found.fields).err().map(|error| error.to_string()),
            // Without it tuning is off; the other documents have defaults.
            None if document == ConfigDocument::Flags => Some(FlagsState::Missing.to_string()),
            None => None,
        };
        Ok(StoredConfig {
            document,
            content: found.as_ref().map(|it| value::fields_to_json(&it.fields)),
            seen: seen_of(found.as_ref()),
            problem,
        })
    }

    /// Replaces a document of `config` and writes the audit entry, in one commit.
    ///
    /// # Errors
    /// [`ChangeError::Config`] if the service could not read the content,
    /// [`ChangeError::ConfigMoved`] if the document is not in the state `seen` any more, and
    /// [`ChangeError::ConfigUnchanged`] if it has this content.
    pub async fn change_config(
        &self,
        document: ConfigDocument,
        content: &Map<String, Json>,
        seen: Option<&str>,
        intent: &Intent,
    ) -> ChangeResult<Changed> {
        check_config(document, content)?;
        let (action, id) = document.recorded();
        let target = document.path();
        self.change(target, Asked::of(action, id), intent, |transaction| async move {
            let found = self.db.get_in(CONFIG, document.id(), &transaction).await?;
            if seen.is_some_and(|seen| seen != seen_of(found.as_ref())) {
                return Err(ChangeError::ConfigMoved(target));
            }
            let before = found.as_ref().map(|it| it.fields.clone()).unwrap_or_default();
            let fields = value::over(&before, content).map_err(|it| ConfigError {
                document,
                detail: format!("{} is {}, which JSON cannot replace", it.path, it.kind),
            })?;
            let after = read(document, &fields)?;
            let changes = changes(&value::fields_to_json(&before), content);
            if changes.is_empty() && found.is_some() {
                return Err(ChangeError::ConfigUnchanged(target));
            }
            let mut entry = intent.entry(action, id);
            entry.from = found
                .as_ref()
                .and_then(|it| read(document, &it.fields).ok())
                .map(|it| it.summary());
            entry.to = Some(after.summary());
            entry.evidence = Some(serde_json::json!({ "changes": changes }));
            let update_time = found.and_then(|found| found.update_time);
            let name = self.db.name(CONFIG, document.id());
            Ok(Decided { writes: vec![write::set_if_unchanged(name, fields, update_time)], entry })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(document: ConfigDocument, content: Json) -> String {
        let Json::Object(content) = content else { panic!("an object") };
        check_config(document, &content).unwrap_err().to_string()
    }

    #[test]
    fn a_document_is_checked_by_the_rules_that_it_is_read_by() {
        let [flags, rewards, tuning, scoring] = [
            ConfigDocument::Flags,
            ConfigDocument::RewardConfig,
            ConfigDocument::Tuning,
            ConfigDocument::Scoring,
        ];
        for (document, content, expected) in [
            (
                flags,
                json!({ "learning": { "enabled": "yes" } }),
                "invalid config/flags: learning.enabled",
            ),
            (rewards, json!({ "version": "2" }), "invalid config/reward_config: "),
            (tuning, json!({ "guard": { "alpha": 7 } }), "invalid config/tuning: guard.alpha is 7"),
            (
                tuning,
                json!({ "policies": { "a": { "component": "a:{arm}", "stepBound": 7 } } }),
                "invalid config/tuning: policies.a.stepBound: is 7, must be between",
            ),
            (scoring, json!({ "shards": 100_000 }), "invalid config/scoring: shards is 100000"),
            (scoring, json!({ "shard": 1 }), "invalid config/scoring: shard: unknown field"),
        ] {
            let found = refused(document, content);
            assert!(found.starts_with(expected), "{found}");
            assert!(!found.contains("correct the document"), "{found}");
        }
        let long = json!({ "x": "y".repeat(MAX_CONFIG_BYTES) });
        assert!(refused(flags, long).contains("expected at most"));
    }

    #[test]
    fn a_range_of_rewards_is_named_once() {
        let mut content = serde_json::to_value(RewardConfig::default()).unwrap();
        content["weights"]["latency"] = json!(-1);
        let found = refused(ConfigDocument::RewardConfig, content);
        assert_eq!(
            found,
            "invalid config/reward_config: weights.latency is -1, must be between 0 and 1000"
        );
    }
}
