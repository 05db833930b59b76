//! Who asks for a change, and why.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::audit::AuditEntry;

/// Far more than a reason takes, and short enough to list.
pub const MAX_REASON_CHARS: usize = 500;
pub const MAX_ACTOR_CHARS: usize = 200;
pub const MAX_KEY_CHARS: usize = 255;

/// A text that is too short or too long.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("invalid {field}: expected {min} to {max} characters, got {characters}")]
pub struct InvalidLength {
    pub field: &'static str,
    pub characters: usize,
    pub min: usize,
    pub max: usize,
}

/// Who changes something, and why.
#[derive(Clone, Debug)]
pub struct Intent {
    pub actor: String,
    pub actor_name: Option<String>,
    pub reason: Option<String>,
    pub key: Option<IdempotencyKey>,
    /// Whether what becomes active is watched.
    pub watching: Watching,
    pub now: i64,
}

/// Whether an activation is watched, and taken back should it turn out to be worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Watching {
    #[default]
    On,
    Off,
}

impl std::str::FromStr for Watching {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            other => Err(format!("invalid value {other:?}: expected on or off")),
        }
    }
}

/// A request's key, and a fingerprint of what it asked for.
#[derive(Clone, Debug)]
pub struct IdempotencyKey {
    pub key: String,
    pub fingerprint: String,
}

impl Intent {
    pub fn new(actor: impl Into<String>, now: i64) -> Self {
        let (actor, watching) = (actor.into(), Watching::On);
        Self { actor, actor_name: None, reason: None, key: None, watching, now }
    }

    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    #[must_use]
    pub fn watched(self, watching: Watching) -> Self {
        Self { watching, ..self }
    }

    pub fn entry(&self, action: &str, id: &str) -> AuditEntry {
        AuditEntry {
            ts: self.now,
            actor: self.actor.clone(),
            actor_name: self.actor_name.clone(),
            action: action.to_owned(),
            id: id.to_owned(),
            reason: self.reason.clone(),
            request: self.key.as_ref().map(|key| key.fingerprint.clone()),
            ..AuditEntry::default()
        }
    }

    /// Checks the length of every text.
    pub fn check(&self) -> Result<(), InvalidLength> {
        within("actor", &self.actor, 1, MAX_ACTOR_CHARS)?;
        if let Some(name) = &self.actor_name {
            within("X-Actor", name, 1, MAX_ACTOR_CHARS)?;
        }
        if let Some(reason) = &self.reason {
            within("reason", reason, 1, MAX_REASON_CHARS)?;
        }
        if let Some(key) = &self.key {
            within("Idempotency-Key", &key.key, 1, MAX_KEY_CHARS)?;
        }
        Ok(())
    }
}

fn within(field: &'static str, text: &str, min: usize, max: usize) -> Result<(), InvalidLength> {
    let characters = text.chars().count();
    if (min..=max).contains(&characters) {
        return Ok(());
    }
    Err(InvalidLength { field, characters, min, max })
}
