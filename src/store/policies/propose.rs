//! The drafts of the tuner.

use firestore_kit::proto::{Document, Write};
use semver::Version;
use serde_json::Value as Json;

use crate::store::change::{Asked, ChangeError, ChangeResult, Decided};
use crate::store::collection::{CONFIG, POLICIES};
use crate::store::config::{FLAGS, flags_of};
use crate::store::lifecycle::{
    CANDIDATE, PARAMS, TUNER, document_id, has_status, params_over, pin_of,
};
use crate::store::{Result, Store, StoreError};
use f0_learning_core::audit::{Action, AuditEntry};
use f0_learning_core::document::FlagsState;
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::lifecycle::StatusChange;
use f0_learning_core::policy::{Params, PolicyKey, PolicyStatus};
use firestore_kit::value::{self, Fields};
use firestore_kit::{Timestamp, Transaction, write};

/// A draft that the tune job wants to write.
#[derive(Clone, Debug)]
pub struct NewDraft {
    pub key: PolicyKey,
    pub parent: Version,
    pub params: Params,
    pub notes: String,
    pub expected_gain: f64,
    pub evidence: Json,
    /// The input of the decision, encoded by
    /// [`TuningInput::encode`](f0_learning_core::tuning::TuningInput::encode).
    pub decision: Option<Vec<u8>>,
    /// The open drafts of the tuner that this one replaces.
    pub supersedes: Vec<Version>,
    pub now: i64,
}

/// The outcome of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProposeOutcome {
    Proposed,
    /// The flags forbid it; they are read in the transaction that would write the draft.
    SwitchedOff(FlagsState),
    /// The policy is pinned.
    Pinned,
    /// The policy changed since the evidence was evaluated; the next pass decides again.
    Conflict(&'static str),
}

impl Store {
    /// Writes a draft with its audit entry and rejects the drafts it supersedes, in one transaction
    /// that reads the flags and the parent again.
    pub async fn propose(&self, draft: &NewDraft) -> Result<ProposeOutcome> {
        let intent = Intent::new(TUNER, draft.now);
        let target = "a proposal in ops_policies";
        let proposed = self
            .change(
                target,
                Asked::of(Action::Propose, &draft.key.id),
                &intent,
                |transaction| async move { self.decide_proposal(draft, &transaction).await },
            )
            .await;
        match proposed {
            Ok(_) => Ok(ProposeOutcome::Proposed),
            Err(ChangeError::SwitchedOff(flags)) => Ok(ProposeOutcome::SwitchedOff(flags)),
            Err(ChangeError::Pinned(..)) => Ok(ProposeOutcome::Pinned),
            Err(ChangeError::Outdated(why)) => Ok(ProposeOutcome::Conflict(why)),
            Err(ChangeError::Store(error)) => Err(error),
            Err(refused) => Err(StoreError::Encode { detail: format!("{}: {refused}", draft.key) }),
        }
    }

    async fn decide_proposal(
        &self,
        draft: &NewDraft,
        transaction: &Transaction,
    ) -> ChangeResult<Decided> {
        let flags_name = self.db.name(CONFIG, FLAGS);
        let parent_name = self.version_name(draft, &draft.parent);
        let draft_name = self.db.name(POLICIES, &draft.key.to_string());
        let superseded: Vec<_> = draft
            .supersedes
            .iter()
            .map(|version| (version, self.version_name(draft, version)))
            .collect();
        let mut names = vec![flags_name.clone(), parent_name.clone(), draft_name.clone()];
        names.extend(superseded.iter().map(|(_, name)| name.clone()));
        let found = self.db.get_many_in(names, transaction).await?;

        let flags = flags_of(found.get(&flags_name));
        if !flags.tuning_enabled() {
            return Err(ChangeError::SwitchedOff(flags));
        }
        let parent = found.get(&parent_name);
        if let Some(pin) = parent.map(|parent| pin_of(&parent.fields)).filter(|it| !it.is_empty()) {
            let reason = value::as_str(&pin, "pinReason").unwrap_or_default();
            return Err(ChangeError::Pinned(draft.key.id.clone(), reason));
        }
        let Some(parent) = parent.filter(|it| has_status(Some(it), PolicyStatus::Active)) else {
            return Err(ChangeError::Outdated("another version became active"));
        };
        if draft.supersedes.iter().any(|version| is_tested(parent, version)) {
            return Err(ChangeError::Outdated("the open draft is tested"));
        }
        if found.contains_key(&draft_name) {
            return Err(ChangeError::Outdated("the version number was taken"));
        }
        let params = params_over(parent, &draft.params)
            .map_err(|source| ChangeError::Params { name: draft.key.to_string(), source })?;
        let mut writes = vec![write::create(draft_name, draft_fields(draft, params))];
        writes.extend(draft.decision.clone().map(|input| self.decision_write(&draft.key, input)));
        for (version, name) in superseded {
            let superseded = found.get(&name);
            if !has_status(superseded, PolicyStatus::Draft) {
                return Err(ChangeError::Outdated("the open draft was decided on"));
            }
            let update_time = superseded.and_then(|document| document.update_time);
            writes.push(supersede_write(name, draft, update_time.unwrap_or_default()));
            writes.push(self.audit_write(&supersede_entry(draft, version))?);
        }
        Ok(Decided { writes, entry: proposal_entry(draft) })
    }

    fn version_name(&self, draft: &NewDraft, version: &Version) -> String {
        self.db.name(POLICIES, &document_id(&draft.key.id, version))
    }
}

/// Whether the active version names this draft as its candidate.
fn is_tested(active: &Document, draft: &Version) -> bool {
    let candidate = value::as_map(&active.fields, CANDIDATE);
    let version = candidate.and_then(|fields| value::as_str(fields, "version"));
    version.is_some_and(|version| version == draft.to_string())
}

fn draft_fields(draft: &NewDraft, params: Fields) -> Fields {
    value::fields([
        ("id", value::string(draft.key.id.as_str())),
        ("version", value::string(draft.key.version.to_string())),
        ("status", value::string(PolicyStatus::Draft.as_str())),
        ("createdAt", value::int(draft.now)),
        ("createdBy", value::string(TUNER)),
        ("notes", value::string(draft.notes.as_str())),
        ("parentVersion", value::string(draft.parent.to_string())),
        ("expectedGain", value::double(draft.expected_gain)),
        ("evidence", value::from_json(&draft.evidence)),
        (PARAMS, value::map(params)),
    ])
}

fn supersede_write(name: String, draft: &NewDraft, update_time: Timestamp) -> Write {
    let fields = value::fields([
        ("status", value::string(PolicyStatus::Rejected.as_str())),
        ("supersededBy", value::string(draft.key.version.to_string())),
    ]);
    write::patch_if_unchanged(name, fields, update_time)
}

fn proposal_entry(draft: &NewDraft) -> AuditEntry {
    let change =
        StatusChange { version: draft.key.version.clone(), from: None, to: PolicyStatus::Draft };
    AuditEntry {
        ts: draft.now,
        actor: TUNER.to_owned(),
        action: Action::Propose.to_string(),
        id: draft.key.id.clone(),
        from: Some(draft.parent.to_string()),
        to: Some(draft.key.version.to_string()),
        reason: Some(draft.notes.clone()),
        changes: vec![change],
        evidence: Some(draft.evidence.clone()),
        ..AuditEntry::default()
    }
}

fn supersede_entry(draft: &NewDraft, superseded: &Version) -> AuditEntry {
    let change = StatusChange {
        version: superseded.clone(),
        from: Some(PolicyStatus::Draft),
        to: PolicyStatus::Rejected,
    };
    AuditEntry {
        ts: draft.now,
        actor: TUNER.to_owned(),
        action: Action::Supersede.to_string(),
        id: draft.key.id.clone(),
        from: Some(superseded.to_string()),
        to: Some(draft.key.version.to_string()),
        reason: Some("newer evidence favours other weights".to_owned()),
        changes: vec![change],
        ..AuditEntry::default()
    }
}
