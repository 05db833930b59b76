//! What a change of a document of `config` would do, before it is made. Nothing here writes to the
//! store.

use serde_json::{Map, Value as Json};

use super::score::preview::{self as rewards_preview, RewardsPreview};
use super::tune::preview::{self as tuning_preview, TuningPreview};
use crate::store::{
    ChangeError, ConfigDocument, ReadConfig, Store, StoreError, StoredConfig, check_config,
};
use f0_learning_core::policy::ParamChange;
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::tuning::TuningConfig;

/// What a change would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// The document as it is stored.
    pub stored: StoredConfig,
    pub changes: Vec<ParamChange>,
    /// What follows from the change, in sentences.
    pub notes: Vec<String>,
    /// For `config/reward_config`.
    pub rewards: Option<RewardsPreview>,
    /// For `config/tuning`.
    pub tuning: Option<TuningPreview>,
}

/// Checks a new content of a document, and computes what it would do.
///
/// # Errors
/// [`ChangeError::Config`] if the service could not read the content, [`ChangeError::ConfigMoved`] if
/// the document is not in the state `seen`, or what Firestore refused.
pub async fn preview(
    store: &Store,
    document: ConfigDocument,
    content: &Map<String, Json>,
    seen: Option<&str>,
    now: i64,
) -> Result<Preview, ChangeError> {
    let after = check_config(document, content)?;
    let stored = store.config(document).await?;
    stored.require_seen(seen)?;
    let changes = stored.changes_to(content);
    let before = stored.content.as_ref().and_then(|it| check_config(document, it).ok());
    let notes = notes(before.as_ref(), &after);
    let mut preview = Preview { stored, changes, notes, rewards: None, tuning: None };
    match (before, after) {
        (before, ReadConfig::Rewards(after)) => {
            let before = match before {
                Some(ReadConfig::Rewards(before)) => before,
                _ => RewardConfig::default(),
            };
            let found = rewards_preview::preview(store, (&before, &after), now).await?;
            preview.rewards = Some(found);
        }
        (before, ReadConfig::Tuning(after)) => {
            let before = match before {
                Some(ReadConfig::Tuning(before)) => before,
                _ if preview.stored.content.is_none() => TuningConfig::default(),
                _ => readable(store.tuning_config().await)?,
            };
            let rewards = readable(store.reward_config().await)?;
            let found = tuning_preview::preview(store, &rewards, (&before, &after), now).await?;
            preview.tuning = Some(found);
        }
        _ => {}
    }
    Ok(preview)
}

/// A document that cannot be read must not keep a person from repairing another one.
fn readable<T: Default>(found: Result<T, StoreError>) -> Result<T, StoreError> {
    match found {
        Err(StoreError::Decode { .. }) => Ok(T::default()),
        found => found,
    }
}

fn notes(before: Option<&ReadConfig>, after: &ReadConfig) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |text: &str| notes.push(text.to_owned());
    match (before, after) {
        (Some(ReadConfig::Rewards(before)), ReadConfig::Rewards(after)) => {
            note("Scoring uses it within an hour.");
            if before.fingerprint() == after.fingerprint() {
                note("Scores stay as they are: only thresholds change.");
            } else {
                note(
                    "The evidence on rewards starts again: rewards of different configurations are \
                     not compared. Success, latency and cost are kept.",
                );
                if before.version == after.version {
                    note(
                        "The version stays the same. Rewards record only the version: give it \
                         another one.",
                    );
                }
            }
        }
        (Some(ReadConfig::Tuning(before)), ReadConfig::Tuning(after)) => {
            note("The tuner uses it within five minutes. Open drafts stay as they are.");
            if before.guard != after.guard {
                note("Tests and watches that are open keep the settings that they began with.");
            }
        }
        (Some(ReadConfig::Scoring(before)), ReadConfig::Scoring(after)) => {
            note("The jobs use it within five minutes.");
            if before.shards != after.shards {
                note(
                    "A change of `shards` needs the indexes of \
                     deploy/firestore.indexes.resharding.json first (docs/scale.md).",
                );
            }
        }
        (_, ReadConfig::Flags(after)) if !after.learning.enabled => {
            note("All tuning is off: nothing is proposed or activated. Scoring continues.");
        }
        _ => {}
    }
    notes
}
