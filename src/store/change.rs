//! Changes that people and jobs make to policies and flags: who asks, and how often it counts.
//!
//! Each change is one transaction that also creates its audit entry. The entry's id is fixed
//! before the first attempt, from the Idempotency-Key where there is one, and every attempt looks
//! for it first. So a commit whose answer was lost is recognised instead of made again, and so is
//! a request that its sender repeats.

use firestore::gcloud_sdk::google::firestore::v1::{Write, write::Operation};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;
use uuid::Uuid;

use super::config::FlagsState;
use super::error::{Result, StoreError};
use super::rpc::TransactionId;
use super::transaction::Repeat;
use super::value::Fields;
use super::{Store, collection::AUDIT};
use crate::domain::audit::AuditEntry;
use crate::domain::experiment::GuardConfigError;
use crate::domain::policy::lifecycle::Refusal;
use crate::domain::policy::{EditError, ParamChange, PolicyKeyError};

/// Far more than a reason takes, and little enough to list.
pub const MAX_REASON_CHARS: usize = 500;
pub const MAX_ACTOR_CHARS: usize = 200;
pub const MAX_KEY_CHARS: usize = 255;

/// The namespace of audit ids that follow from an Idempotency-Key (a UUID drawn once).
const KEYS: Uuid = Uuid::from_u128(0x5b8e_0f6e_6f0b_4d0f_9c0a_36f0_1ea5_0036);

/// Who changes something, and why.
#[derive(Clone, Debug)]
pub struct Intent {
    pub actor: String,
    pub actor_name: Option<String>,
    pub reason: Option<String>,
    pub key: Option<IdempotencyKey>,
    /// Whether what becomes active is watched.
    pub guard: Guard,
    pub now: i64,
}

/// Whether an activation is watched, and taken back should it turn out to be worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Guard {
    #[default]
    On,
    Off,
}

impl std::str::FromStr for Guard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            other => Err(format!("{other:?} is neither on nor off")),
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
        let (actor, guard) = (actor.into(), Guard::On);
        Self { actor, actor_name: None, reason: None, key: None, guard, now }
    }

    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    #[must_use]
    pub fn guarded(self, guard: Guard) -> Self {
        Self { guard, ..self }
    }

    pub(super) fn entry(&self, action: &str, id: &str) -> AuditEntry {
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

    fn check(&self) -> Result<(), ChangeError> {
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

    /// Keys of different actors do not meet.
    fn audit_id(&self) -> String {
        match &self.key {
            Some(key) => {
                let named = format!("{}\n{}", self.actor, key.key);
                Uuid::new_v5(&KEYS, named.as_bytes()).to_string()
            }
            None => Uuid::new_v4().to_string(),
        }
    }
}

fn within(field: &'static str, text: &str, min: usize, max: usize) -> Result<(), ChangeError> {
    let characters = text.chars().count();
    if (min..=max).contains(&characters) {
        return Ok(());
    }
    Err(ChangeError::Length { field, characters, min, max })
}

/// What a change did.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// The id of its entry in `ops_audit`.
    pub audit_id: String,
    pub entry: AuditEntry,
    /// The same request was carried out before; nothing was done now.
    pub replayed: bool,
}

/// Why nothing was changed.
#[derive(Debug, Error)]
pub enum ChangeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there is no policy {0}; `policies list` shows those that there are")]
    UnknownPolicy(String),
    #[error("there is no version {0}; `policies list` shows those that there are")]
    UnknownVersion(String),
    #[error("{0:?} is no policy's id: {1}")]
    PolicyId(String, PolicyKeyError),
    #[error("{name}: {refusal}")]
    Refused { name: String, refusal: Refusal },
    #[error(transparent)]
    Stale(Box<StaleDraft>),
    #[error("{name}: {source}")]
    Params { name: String, source: EditError },
    #[error("{id}: {found} is active now, not {expected}; look at it, and try again")]
    Moved { id: String, expected: String, found: String },
    #[error("{0} has no earlier version to roll back to; name one")]
    NothingBefore(String),
    #[error("{0} is pinned already: {1}")]
    Pinned(String, String),
    #[error("{0} is not pinned")]
    NotPinned(String),
    #[error("there is no experiment {0}; `experiments list` shows those that there are")]
    UnknownExperiment(String),
    #[error("{0} ended before; there is nothing to do")]
    ExperimentOver(String),
    #[error("experiment {0} is not as it was judged any more; the next pass looks again")]
    ExperimentMoved(String),
    #[error("{policy} has an experiment already, {experiment}; stop it, or wait for its end")]
    ExperimentRuns { policy: String, experiment: String },
    #[error("experiment {0}")]
    Experiment(GuardConfigError),
    #[error(
        "an experiment on costUsd needs a minEffect, in US dollars: the usual one is of rewards"
    )]
    NoMinEffect,
    #[error("a pin needs a reason, for those who wonder why nothing changes")]
    NoReason,
    #[error("no flag is named; there are learning.enabled and learning.autoActivatePolicies")]
    NoFlag,
    #[error("{field} is {characters} characters long, must be {min} to {max}")]
    Length { field: &'static str, characters: usize, min: usize, max: usize },
    #[error("the Idempotency-Key was used for another request; choose a new one")]
    KeyReused,
    #[error("{0}")]
    SwitchedOff(FlagsState),
    #[error("{0}")]
    LeftToPerson(String),
}

/// A draft whose parent is no longer active, and what changed meanwhile.
#[derive(Clone, Debug, Error)]
#[error("{name}: {refusal}{}: {}; force takes the draft all the same", whose(.by), told(.changes))]
pub struct StaleDraft {
    pub name: String,
    pub refusal: Refusal,
    /// Who activated the version in force, where that is on record.
    pub by: Option<String>,
    /// From the draft's parent to the version in force.
    pub changes: Vec<ParamChange>,
}

fn whose(actor: &Option<String>) -> String {
    actor.as_ref().map_or_else(String::new, |actor| format!(", activated by {actor}"))
}

fn told(changes: &[ParamChange]) -> String {
    if changes.is_empty() {
        return "its params are the same".to_owned();
    }
    changes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What a decision wants written.
pub(super) struct Decided {
    pub writes: Vec<Write>,
    pub entry: AuditEntry,
}

impl Decided {
    /// Has the write of a document set these fields as well: a commit may write a document once.
    pub(super) fn add_to(&mut self, name: &str, fields: Fields) {
        for write in &mut self.writes {
            if let Some(Operation::Update(document)) = &mut write.operation
                && document.name == name
            {
                if let Some(mask) = &mut write.update_mask {
                    mask.field_paths.retain(|path| !fields.contains_key(path));
                    mask.field_paths.extend(fields.keys().cloned());
                }
                document.fields.extend(fields);
                return;
            }
        }
    }
}

impl Store {
    /// Makes one change in a transaction: `decide` reads inside it and says what to write, or why
    /// nothing.
    pub(super) async fn change<F>(
        &self,
        target: &str,
        intent: &Intent,
        decide: impl Fn(TransactionId) -> F,
    ) -> Result<Changed, ChangeError>
    where
        F: Future<Output = Result<Decided, ChangeError>>,
    {
        intent.check()?;
        let audit_id = intent.audit_id();
        let name = self.name(AUDIT, &audit_id);
        let decide = &decide;
        self.in_transaction(target, Repeat::Recognised, |transaction| {
            let (audit_id, name) = (audit_id.clone(), name.clone());
            async move {
                let before = self.get_many(vec![name.clone()], Some(&transaction)).await?;
                if let Some(document) = before.get(&name) {
                    let entry = self.decode_audit(document)?.entry;
                    return Ok((Vec::new(), repeated(intent, audit_id, entry)));
                }
                match decide(transaction).await {
                    Ok(Decided { mut writes, entry }) => {
                        writes.push(self.audit_write_as(&audit_id, &entry));
                        Ok((writes, Ok(Changed { audit_id, entry, replayed: false })))
                    }
                    // Firestore's refusals are for the transaction to handle.
                    Err(ChangeError::Store(error)) => Err(error),
                    Err(refused) => Ok((Vec::new(), Err(refused))),
                }
            }
        })
        .await?
    }
}

/// The entry is there: either an earlier attempt of this very call landed, or the same request
/// came before, or another request under the same key.
fn repeated(intent: &Intent, audit_id: String, entry: AuditEntry) -> Result<Changed, ChangeError> {
    let fingerprint = intent.key.as_ref().map(|key| &key.fingerprint);
    if entry.request.as_ref() != fingerprint {
        return Err(ChangeError::KeyReused);
    }
    Ok(Changed { audit_id, entry, replayed: fingerprint.is_some() })
}
