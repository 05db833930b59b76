//! Changes that people and jobs make to policies, experiments and flags, each applied once.
//!
//! Each change is one transaction that also creates its audit entry. The entry's id is the same in
//! every attempt, and follows from the Idempotency-Key if there is one; every attempt looks for it
//! first. So a commit whose response was lost is recognised instead of repeated, and so is a
//! request that its sender repeats. An entry answers a repeated request only if it records that
//! request, and only the service can know its id before it exists (`audit_key`).

use firestore_kit::proto::{Write, write::Operation};
use thiserror::Error;

use crate::store::audit_key::unkeyed_id;
use crate::store::config::ConfigError;
use crate::store::ids::random_id;
use crate::store::{Result, StoreError};
use crate::store::{Store, collection::AUDIT};
use f0_learning_core::audit::{Action, AuditEntry};
use f0_learning_core::document::FlagsState;
use f0_learning_core::experiment::GuardConfigError;
use f0_learning_core::intent::{IdempotencyKey, Intent, InvalidLength};
use f0_learning_core::policy::lifecycle::Refusal;
use f0_learning_core::policy::{EditError, ParamChange, PolicyKeyError};
use f0_learning_core::tuning::envelope::EnvelopeError;
use firestore_kit::value::Fields;
use firestore_kit::{Repeat, Transaction};

/// What a change did.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// The id of its entry in `ops_audit`.
    pub audit_id: String,
    pub entry: AuditEntry,
    /// Whether the same request was applied before; this call then changed nothing.
    pub replayed: bool,
}

pub(in crate::store) type ChangeResult<T> = Result<T, ChangeError>;

/// Why nothing was changed.
#[derive(Debug, Error)]
pub enum ChangeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("unknown policy {0}; `policies list` shows all policies")]
    UnknownPolicy(String),
    #[error("unknown version {0}; `policies list` shows all versions")]
    UnknownVersion(String),
    #[error("invalid policy id {0:?}: {1}")]
    PolicyId(String, PolicyKeyError),
    #[error("{name}: {refusal}")]
    Refused { name: String, refusal: Refusal },
    #[error(transparent)]
    Stale(Box<StaleDraft>),
    #[error("{name}: {source}")]
    Params { name: String, source: EditError },
    #[error(
        "cannot change {id}: the active version is {found}, expected {expected}; check it and try \
         again"
    )]
    Moved { id: String, expected: String, found: String },
    #[error("the draft {0} was renewed since it was shown; look at it again, nothing was changed")]
    Renewed(String),
    #[error("cannot roll back {0}: it has no earlier version; name the version to activate")]
    NothingBefore(String),
    #[error("{0} is pinned: {1}; unpin it first")]
    Pinned(String, String),
    #[error("cannot unpin {0}: it is not pinned")]
    NotPinned(String),
    #[error("unknown experiment {0}; `experiments list` shows all experiments")]
    UnknownExperiment(String),
    #[error("experiment {0} has already ended; nothing was changed")]
    ExperimentOver(String),
    #[error("experiment {0} changed since it was evaluated; the next pass evaluates it again")]
    ExperimentMoved(String),
    #[error(
        "{policy} already has the experiment {experiment}; stop that one or wait until it ends"
    )]
    ExperimentRuns { policy: String, experiment: String },
    #[error(
        "{policy} has the open experiment {experiment}, which cannot be read ({why}); end it with \
         `experiments stop {experiment}`"
    )]
    ExperimentUnreadable { policy: String, experiment: String, why: String },
    #[error("invalid experiment: {0}")]
    Experiment(GuardConfigError),
    #[error(
        "missing minEffect: an experiment on costUsd needs one in US dollars, because the \
         configured one is in units of reward"
    )]
    NoMinEffect,
    #[error("missing reason: a pin must say why the policy is not to be tuned")]
    NoReason,
    #[error("cannot approve an envelope of {0}: {1}")]
    Envelope(String, EnvelopeError),
    #[error("{0} has no envelope; `policies envelope approve {0}` approves one")]
    NoEnvelope(String),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0} was changed since it was shown; look at it again, nothing was changed")]
    ConfigMoved(&'static str),
    #[error("{0} already has this content; nothing was changed")]
    ConfigUnchanged(&'static str),
    #[error("missing flag: set learning.enabled or learning.autoActivatePolicies")]
    NoFlag,
    #[error(transparent)]
    Length(#[from] InvalidLength),
    #[error("the Idempotency-Key was used for another request; use a new one")]
    KeyReused,
    #[error(
        "cannot carry out the request: the audit entry {0} has the id of its Idempotency-Key but \
         does not record it; nothing was changed; use a new key, and find out who wrote the entry"
    )]
    ForeignEntry(String),
    #[error("{0}; nothing was changed")]
    Outdated(&'static str),
    #[error("{0}")]
    SwitchedOff(FlagsState),
    #[error("{0}")]
    LeftToPerson(String),
}

/// A draft whose parent is no longer active, and what has changed since.
#[derive(Clone, Debug, Error)]
#[error(
    "{name}: {refusal}{}: {}; use force to activate the draft anyway",
    activated_by(.by),
    list(.changes)
)]
pub struct StaleDraft {
    pub name: String,
    pub refusal: Refusal,
    /// Who activated the active version, if that is recorded.
    pub by: Option<String>,
    /// From the draft's parent to the active version.
    pub changes: Vec<ParamChange>,
}

fn activated_by(actor: &Option<String>) -> String {
    actor.as_ref().map_or_else(String::new, |actor| format!(", activated by {actor}"))
}

fn list(changes: &[ParamChange]) -> String {
    if changes.is_empty() {
        return "its params are the same".to_owned();
    }
    changes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The writes and the audit entry of a change.
pub(in crate::store) struct Decided {
    pub writes: Vec<Write>,
    pub entry: AuditEntry,
}

impl Decided {
    /// Adds fields to the write of a document: a commit may write each document only once.
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

/// What a change is to do, as its audit entry records it.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Asked<'a> {
    pub action: Action,
    /// The `id` of the entry; `None` if it is known only in the transaction.
    pub id: Option<&'a str>,
}

impl<'a> Asked<'a> {
    pub fn of(action: Action, id: &'a str) -> Self {
        Self { action, id: Some(id) }
    }

    /// Whether the entry records this change of the actor.
    fn is_recorded_by(&self, entry: &AuditEntry, actor: &str) -> bool {
        entry.actor == actor && entry.is(self.action) && self.id.is_none_or(|id| entry.id == id)
    }
}

/// The place of a change's audit entry.
struct Place {
    id: String,
    /// The entry, if there is one.
    found: Option<AuditEntry>,
    /// What must be written with the entry.
    first: Option<Write>,
}

impl Store {
    /// Makes one change in a transaction: `decide` reads inside it and returns what to write, or why
    /// nothing is to be written. `target` names what is changed in errors.
    pub(in crate::store) async fn change<F>(
        &self,
        target: &str,
        asked: Asked<'_>,
        intent: &Intent,
        decide: impl Fn(Transaction) -> F,
    ) -> ChangeResult<Changed>
    where
        F: Future<Output = ChangeResult<Decided>>,
    {
        intent.check()?;
        let (unkeyed, decide) = (random_id(), &decide);
        self.db
            .in_transaction(target, Repeat::Idempotent, |transaction| {
                let unkeyed = unkeyed.clone();
                async move {
                    let place = match &intent.key {
                        None => self.entry_at(unkeyed, &transaction).await?,
                        Some(key) => self.keyed_place(asked, intent, key, &transaction).await?,
                    };
                    let Place { id: audit_id, found, first } = place;
                    if let Some(entry) = found {
                        return Ok((Vec::new(), repeated(asked, intent, audit_id, entry)));
                    }
                    match decide(transaction).await {
                        Ok(Decided { mut writes, entry }) => {
                            writes.push(self.audit_write_as(&audit_id, &entry)?);
                            writes.extend(first);
                            Ok((writes, Ok(Changed { audit_id, entry, replayed: false })))
                        }
                        // The transaction handles the errors of Firestore.
                        Err(ChangeError::Store(error)) => Err(error),
                        Err(refused) => Ok((Vec::new(), Err(refused))),
                    }
                }
            })
            .await?
    }

    /// The place of the entry of a request with an Idempotency-Key.
    async fn keyed_place(
        &self,
        asked: Asked<'_>,
        intent: &Intent,
        key: &IdempotencyKey,
        transaction: &Transaction,
    ) -> Result<Place> {
        let secret = self.audit_key(transaction).await?;
        let mut place = self.entry_at(secret.id(&intent.actor, &key.key), transaction).await?;
        place.first = secret.first_write(self);
        if place.found.is_some() {
            return Ok(place);
        }
        // Anyone can compute the ids of earlier versions, so that an entry under one of them that does
        // not record the request is ignored: it must not keep the service from carrying it out.
        let id = unkeyed_id(&intent.actor, &key.key);
        let earlier = self.db.get_in(AUDIT, &id, transaction).await?;
        let earlier = earlier.filter(|document| secret.is_older(document));
        let entry =
            earlier.and_then(|document| self.decode_audit(&document).ok()).map(|it| it.entry);
        let is_repeated = |entry: &AuditEntry| {
            entry.request.as_ref() == Some(&key.fingerprint)
                && asked.is_recorded_by(entry, &intent.actor)
        };
        match entry.filter(is_repeated) {
            Some(entry) => Ok(Place { id, found: Some(entry), first: None }),
            None => Ok(place),
        }
    }

    async fn entry_at(&self, id: String, transaction: &Transaction) -> Result<Place> {
        let found = match self.db.get_in(AUDIT, &id, transaction).await? {
            Some(document) => Some(self.decode_audit(&document)?.entry),
            None => None,
        };
        Ok(Place { id, found, first: None })
    }
}

/// The result if the entry exists: an earlier attempt of this call was applied, or the same request
/// was applied before, or another request had the same key.
fn repeated(
    asked: Asked<'_>,
    intent: &Intent,
    audit_id: String,
    entry: AuditEntry,
) -> ChangeResult<Changed> {
    let fingerprint = intent.key.as_ref().map(|key| &key.fingerprint);
    if fingerprint.is_some() && entry.request.is_none() {
        return Err(ChangeError::ForeignEntry(audit_id));
    }
    if entry.request.as_ref() != fingerprint {
        return Err(ChangeError::KeyReused);
    }
    if !asked.is_recorded_by(&entry, &intent.actor) {
        return Err(ChangeError::ForeignEntry(audit_id));
    }
    Ok(Changed { audit_id, entry, replayed: fingerprint.is_some() })
}
