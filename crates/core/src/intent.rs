//! Who requests a change, and why.
//!
//! An [`Intent`] accompanies every change that a person or a job requests; [`Intent::entry`] makes
//! the audit entry of the change.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};
use thiserror::Error;

use crate::audit::{Action, AuditEntry};
use crate::variants::UnknownVariant;

/// The most characters of a reason: more than a reason needs, and short enough for a list.
pub const MAX_REASON_CHARS: usize = 500;
/// The most characters of an actor's name.
pub const MAX_ACTOR_CHARS: usize = 200;
/// The most characters of an idempotency key.
pub const MAX_KEY_CHARS: usize = 255;

/// The actor of requests with the static token.
pub const ADMIN_TOKEN: &str = "admin-token";
/// The actor of the tuner.
pub const TUNER: &str = "policy-updater";
/// The actor of the guard.
pub const GUARD: &str = "policy-guard";
/// The actor of the first version of a policy.
pub const SEED: &str = "system";
/// Who made a change of the audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Author {
    Tuner,
    Guard,
    Person,
}

impl Author {
    /// The author that an actor stands for.
    pub fn of(actor: &str) -> Self {
        match actor {
            TUNER => Self::Tuner,
            GUARD => Self::Guard,
            _ => Self::Person,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tuner => "tuner",
            Self::Guard => "guard",
            Self::Person => "person",
        }
    }
}

/// Precedes the subject of a Firebase token in the actor.
pub const FIREBASE_PREFIX: &str = "firebase:";

/// Why a name that a person chose is not accepted as an actor, or a text as a reason.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidText {
    #[error("invalid {field}: expected no control characters, got {found:?} at character {at}")]
    Control { field: &'static str, found: char, at: usize },
    #[error(
        "invalid actor {0:?}: expected a person's name, got one that the service uses itself; pass \
         another one with --actor"
    )]
    Reserved(String),
}

/// Checks the name of an actor that no credential proves: it must not be one that others are known by.
///
/// # Errors
/// A control character, or a name of the service, a job or a Firebase user.
pub fn check_own_name(actor: &str) -> Result<(), InvalidText> {
    check_plain("actor", actor)?;
    let name = actor.trim().to_ascii_lowercase();
    let is_taken = [ADMIN_TOKEN, TUNER, GUARD, SEED].contains(&name.as_str());
    match is_taken || name.starts_with(FIREBASE_PREFIX) {
        true => Err(InvalidText::Reserved(actor.to_owned())),
        false => Ok(()),
    }
}

/// Checks a text that is shown in terminals and logs, where a control character may change or forge
/// what is read.
///
/// # Errors
/// The first control character.
pub fn check_plain(field: &'static str, text: &str) -> Result<(), InvalidText> {
    match text.chars().enumerate().find(|(_, it)| it.is_control()) {
        Some((at, found)) => Err(InvalidText::Control { field, found, at }),
        None => Ok(()),
    }
}

/// A text that is too short or too long.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("invalid {field}: expected {min} to {max} characters, got {characters}")]
pub struct InvalidLength {
    pub field: &'static str,
    pub characters: usize,
    pub min: usize,
    pub max: usize,
}

/// Who requests a change, and why.
#[derive(Clone, Debug)]
pub struct Intent {
    pub actor: String,
    pub actor_name: Option<String>,
    pub reason: Option<String>,
    pub key: Option<IdempotencyKey>,
    /// Whether an activated version is watched.
    pub watching: Watching,
    /// The digest of the evidence that the person saw; the activation of a draft with another one is
    /// refused.
    pub seen: Option<String>,
    pub now: i64,
}

/// Whether an activation is watched, and rolled back if the version is proven to be worse.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    VariantNames,
)]
#[serde(rename_all = "camelCase")]
#[strum(
    serialize_all = "camelCase",
    parse_err_ty = UnknownVariant,
    parse_err_fn = unknown_watching
)]
pub enum Watching {
    #[default]
    On,
    Off,
}

fn unknown_watching(text: &str) -> UnknownVariant {
    UnknownVariant::new::<Watching>("value", text)
}

/// The key of a request, and a fingerprint of its content.
#[derive(Clone, Debug)]
pub struct IdempotencyKey {
    pub key: String,
    pub fingerprint: String,
}

impl Intent {
    pub fn new(actor: impl Into<String>, now: i64) -> Self {
        let (actor, watching) = (actor.into(), Watching::On);
        Self { actor, actor_name: None, reason: None, key: None, watching, seen: None, now }
    }

    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    #[must_use]
    pub fn watched(self, watching: Watching) -> Self {
        Self { watching, ..self }
    }

    #[must_use]
    pub fn having_seen(self, digest: Option<String>) -> Self {
        Self { seen: digest, ..self }
    }

    /// The audit entry of `action` on `id`, a policy or `flags`.
    pub fn entry(&self, action: Action, id: &str) -> AuditEntry {
        AuditEntry {
            ts: self.now,
            actor: self.actor.clone(),
            actor_name: self.actor_name.clone(),
            action: action.to_string(),
            id: id.to_owned(),
            reason: self.reason.clone(),
            request: self.key.as_ref().map(|key| key.fingerprint.clone()),
            ..AuditEntry::default()
        }
    }

    /// Checks the length of every text.
    ///
    /// # Errors
    /// The first text that is too short or too long.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_cannot_take_the_name_of_the_service_a_job_or_a_firebase_user() {
        for name in ["admin-token", "Policy-Updater", " policy-guard", "system", "firebase:ada"] {
            assert_eq!(check_own_name(name), Err(InvalidText::Reserved(name.to_owned())));
        }
        for name in ["ada", "cli", "policy-updaters", "Zoë"] {
            assert_eq!(check_own_name(name), Ok(()));
        }
    }

    #[test]
    fn a_control_character_is_named_with_its_place() {
        let error = check_plain("reason", "é\u{1b}[2K").unwrap_err().to_string();
        assert_eq!(
            error,
            r"invalid reason: expected no control characters, got '\u{1b}' at character 1"
        );
    }
}
