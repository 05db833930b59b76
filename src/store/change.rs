//! Changes that people and jobs make to policies and flags: who asks, and how often it counts.
//!
//! Each change is one transaction that also creates its audit entry. The entry's id is fixed
//! before the first attempt, from the Idempotency-Key where there is one, and every attempt looks
//! for it first. So a commit whose answer was lost is recognised instead of made again, and so is
//! a request that its sender repeats.

use firestore_kit::proto::{Write, write::Operation};
use thiserror::Error;
use uuid::Uuid;

use crate::store::{Result, StoreError};
use crate::store::{Store, collection::AUDIT};
use f0_learning_core::audit::AuditEntry;
use f0_learning_core::document::FlagsState;
use f0_learning_core::experiment::GuardConfigError;
use f0_learning_core::intent::{Intent, InvalidLength};
use f0_learning_core::policy::lifecycle::Refusal;
use f0_learning_core::policy::{EditError, ParamChange, PolicyKeyError};
use firestore_kit::Repeat;
use firestore_kit::TransactionId;
use firestore_kit::value::Fields;

/// The namespace of audit ids that follow from an Idempotency-Key (a UUID drawn once).
const KEYS: Uuid = Uuid::from_u128(0x5b8e_0f6e_6f0b_4d0f_9c0a_36f0_1ea5_0036);

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
    #[error(transparent)]
    Length(#[from] InvalidLength),
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
pub(in crate::store) struct Decided {
    pub writes: Vec<Write>,
    pub entry: AuditEntry,
}

impl Decided {
    /// Has the write of a document set these fields as well: a commit may write a document once.
    pub(in crate::store) fn add_to(&mut self, name: &str, fields: Fields) {
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

/// The id of the audit entry: fixed by the key, so that a repeated request finds its entry. Keys of
/// different actors never collide.
fn audit_id(intent: &Intent) -> String {
    match &intent.key {
        Some(key) => {
            let named = format!("{}\n{}", intent.actor, key.key);
            Uuid::new_v5(&KEYS, named.as_bytes()).to_string()
        }
        None => Uuid::new_v4().to_string(),
    }
}

impl Store {
    /// Makes one change in a transaction: `decide` reads inside it and says what to write, or why
    /// nothing.
    pub(in crate::store) async fn change<F>(
        &self,
        target: &str,
        intent: &Intent,
        decide: impl Fn(TransactionId) -> F,
    ) -> Result<Changed, ChangeError>
    where
        F: Future<Output = Result<Decided, ChangeError>>,
    {
        intent.check()?;
        let audit_id = audit_id(intent);
        let name = self.db.name(AUDIT, &audit_id);
        let decide = &decide;
        self.db
            .in_transaction(target, Repeat::Idempotent, |transaction| {
                let (audit_id, name) = (audit_id.clone(), name.clone());
                async move {
                    let before = self.db.get_many(vec![name.clone()], Some(&transaction)).await?;
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
