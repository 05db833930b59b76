//! The transitions that people make: each plans in `domain::policy::lifecycle` on what it reads
//! inside its transaction, and writes all of the plan or nothing.

use std::collections::HashMap;

use firestore_kit::proto::{Document, Write};
use semver::Version;

use super::document::{PIN_FIELDS, document_id, pin_of};
use crate::store::Store;
use crate::store::StoreError;
use crate::store::change::{ChangeError, Changed, Decided, StaleDraft};
use crate::store::collection::POLICIES;
use crate::store::experiments::{CANDIDATE, OpenExperiment, ROLLED_BACK_AT};
use f0_learning_core::audit::Action;
use f0_learning_core::document::Policy;
use f0_learning_core::experiment::GuardConfig;
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::lifecycle::{self, Plan, Refusal, StatusChange, serving};
use f0_learning_core::policy::{PolicyKey, PolicyStatus, diff};
use firestore_kit::TransactionId;
use firestore_kit::value::{self, Fields};
use firestore_kit::write;

type Change<T> = Result<T, ChangeError>;

/// What a transaction has read of one policy.
pub(in crate::store) struct PolicySnapshot {
    pub(in crate::store) id: String,
    /// The active versions, by version.
    pub(in crate::store) active: Vec<(Version, Document)>,
    /// What is being compared of the policy.
    pub(in crate::store) experiments: Vec<OpenExperiment>,
    /// What activations are held to.
    pub(in crate::store) guard: GuardConfig,
}

impl PolicySnapshot {
    pub(in crate::store) fn versions(&self) -> Vec<Version> {
        self.active.iter().map(|(version, _)| version.clone()).collect()
    }

    /// The version in force.
    pub(in crate::store) fn serving(&self) -> Option<&(Version, Document)> {
        self.active.iter().max_by(|a, b| a.0.cmp(&b.0))
    }

    /// The pin of the policy, wherever it stands.
    pub(in crate::store) fn pin(&self) -> Fields {
        let pins = self.active.iter().map(|(_, document)| pin_of(&document.fields));
        pins.max_by_key(HashMap::len).unwrap_or_default()
    }

    pub(in crate::store) fn refused(
        &self,
        version: Option<&Version>,
        refusal: Refusal,
    ) -> ChangeError {
        let name = version.map_or_else(|| self.id.clone(), |it| document_id(&self.id, it));
        ChangeError::Refused { name, refusal }
    }
}

impl Store {
    /// Makes a draft the active version.
    ///
    /// # Errors
    /// [`ChangeError::Stale`] where the draft's parent is no longer active, unless `force`.
    pub async fn activate(&self, key: &PolicyKey, force: bool, intent: &Intent) -> Change<Changed> {
        let target = format!("the activation of {key}");
        self.change(&target, intent, |transaction| async move {
            let snapshot = self.snapshot(&key.id, &transaction).await?;
            let (document, policy) = self.target(key, &transaction).await?;
            match lifecycle::activate(&snapshot.versions(), &policy.facts(), force) {
                Ok(plan) => {
                    Ok(self.entering(&snapshot, &plan, &document, Action::Activate, intent))
                }
                Err(refusal @ Refusal::StaleParent { .. }) => {
                    Err(self.stale(&snapshot, &policy, refusal, &transaction).await?)
                }
                Err(refusal) => Err(snapshot.refused(Some(&key.version), refusal)),
            }
        })
        .await
    }

    /// Says no to a draft. If it is being tested, the test ends with it.
    pub async fn reject(&self, key: &PolicyKey, intent: &Intent) -> Change<Changed> {
        let target = format!("the rejection of {key}");
        self.change(&target, intent, |transaction| async move {
            let snapshot = self.snapshot(&key.id, &transaction).await?;
            let (document, policy) = self.target(key, &transaction).await?;
            let plan = lifecycle::reject(&policy.facts())
                .map_err(|refusal| ChangeError::Refused { name: key.to_string(), refusal })?;
            let fields = value::fields([
                ("status", value::string(PolicyStatus::Rejected.as_str())),
                ("rejectedAt", value::int(intent.now)),
                ("rejectedBy", value::string(intent.actor.as_str())),
            ]);
            let mut entry = intent.entry(Action::Reject, &key.id);
            entry.from = Some(key.version.to_string());
            entry.changes = plan.changes;
            let mut writes = vec![patch(&document, fields, &[])];
            writes.extend(snapshot.test_ends(&key.version, intent, &mut entry));
            Ok(Decided { writes, entry })
        })
        .await
    }

    /// Makes an archived version active again; without a version, the one that was active last
    /// before the present one, and was not taken back: whoever saw a regression too, and was later
    /// than the guard, must not bring it back.
    pub async fn roll_back(
        &self,
        id: &str,
        version: Option<&Version>,
        intent: &Intent,
    ) -> Change<Changed> {
        check_id(id)?;
        let target = format!("the rollback of {id}");
        self.change(&target, intent, |transaction| async move {
            let snapshot = self.snapshot(id, &transaction).await?;
            let (document, policy) = match version {
                Some(version) => self.target(&key(id, version)?, &transaction).await?,
                None => self.previous(&snapshot, &transaction).await?,
            };
            let plan = lifecycle::roll_back(&snapshot.versions(), &policy.facts())
                .map_err(|refusal| snapshot.refused(Some(&policy.version), refusal))?;
            Ok(self.entering(&snapshot, &plan, &document, Action::Rollback, intent))
        })
        .await
    }

    /// Restores exactly one active version: of several the highest, of none the last.
    pub async fn repair(&self, id: &str, intent: &Intent) -> Change<Changed> {
        check_id(id)?;
        let target = format!("the repair of {id}");
        self.change(&target, intent, |transaction| async move {
            let snapshot = self.snapshot(id, &transaction).await?;
            let last = match snapshot.active.is_empty() {
                true => self.last_archived(id, |_| true, &transaction).await?,
                false => None,
            };
            let facts = last.as_ref().map(|(_, policy)| policy.facts());
            let plan = match lifecycle::repair(&snapshot.versions(), facts.as_ref()) {
                Err(Refusal::NeverActive) => {
                    self.require_policy(id, &transaction).await?;
                    return Err(snapshot.refused(None, Refusal::NeverActive));
                }
                plan => plan.map_err(|refusal| snapshot.refused(None, refusal))?,
            };
            let kept = snapshot.serving().map(|(_, document)| document);
            let document = last.as_ref().map(|(document, _)| document).or(kept);
            let document = document.ok_or_else(|| ChangeError::UnknownPolicy(id.to_owned()))?;
            Ok(self.entering(&snapshot, &plan, document, Action::Repair, intent))
        })
        .await
    }

    pub(in crate::store) async fn snapshot(
        &self,
        id: &str,
        transaction: &TransactionId,
    ) -> Change<PolicySnapshot> {
        let mut active = Vec::new();
        for document in self.active_documents(id, transaction).await? {
            // Only the version is needed: one that somebody spoilt otherwise can be replaced.
            let version = value::as_str(&document.fields, "version");
            let version =
                version.and_then(|text| text.parse::<Version>().ok()).ok_or_else(|| {
                    let name = self.db.short_name(&document.name);
                    StoreError::decode(name, "a policy version", "its version is not semantic")
                })?;
            active.push((version, document));
        }
        active.sort_by(|a, b| a.0.cmp(&b.0));
        let experiments = self.open_experiments_of(id, transaction).await?;
        let guard = self.guard_config(transaction).await?;
        Ok(PolicySnapshot { id: id.to_owned(), active, experiments, guard })
    }

    pub(in crate::store) async fn target(
        &self,
        key: &PolicyKey,
        transaction: &TransactionId,
    ) -> Change<(Document, Policy)> {
        let name = self.db.name(POLICIES, &key.to_string());
        let document = self.db.get_many(vec![name.clone()], Some(transaction)).await?.remove(&name);
        let document = document.ok_or_else(|| ChangeError::UnknownVersion(key.to_string()))?;
        let policy = self.decode_policy(&document)?;
        Ok((document, policy))
    }

    /// The version that was active before the one in force.
    async fn previous(
        &self,
        snapshot: &PolicySnapshot,
        transaction: &TransactionId,
    ) -> Change<(Document, Policy)> {
        let kept = |policy: &Policy| policy.rolled_back_at.is_none();
        if let Some((_, document)) = snapshot.serving()
            && let Some(version) = value::as_str(&document.fields, "previousVersion")
            && let Ok(version) = version.parse()
            && let Ok(key) = PolicyKey::new(&snapshot.id, version)
        {
            match self.target(&key, transaction).await {
                Ok(found) if found.1.status != PolicyStatus::Rejected && kept(&found.1) => {
                    return Ok(found);
                }
                Ok(_) | Err(ChangeError::UnknownVersion(_)) => {}
                Err(error) => return Err(error),
            }
        }
        match self.last_archived(&snapshot.id, kept, transaction).await? {
            Some(found) => Ok(found),
            None => {
                self.require_policy(&snapshot.id, transaction).await?;
                Err(ChangeError::NothingBefore(snapshot.id.clone()))
            }
        }
    }

    /// The archived version that was active last, as far as that is on record; of those without a
    /// record the highest. Only those that `may` be it.
    async fn last_archived(
        &self,
        id: &str,
        may: impl Fn(&Policy) -> bool,
        transaction: &TransactionId,
    ) -> Change<Option<(Document, Policy)>> {
        let archived = self.documents_with_status(id, PolicyStatus::Archived, transaction).await?;
        let sound = archived.into_iter().filter_map(|document| {
            let policy = self.decode_policy(&document).ok()?;
            may(&policy).then_some((document, policy))
        });
        let order = |policy: &Policy| (policy.archived_at, policy.version.clone());
        Ok(sound.max_by_key(|(_, policy)| order(policy)))
    }

    pub(in crate::store) async fn require_policy(
        &self,
        id: &str,
        transaction: &TransactionId,
    ) -> Change<()> {
        let any =
            firestore_kit::Query::of(POLICIES).equal("id", value::string(id)).limit(1).build();
        match self.db.query_in(POLICIES, any, transaction).await?.is_empty() {
            true => Err(ChangeError::UnknownPolicy(id.to_owned())),
            false => Ok(()),
        }
    }

    async fn stale(
        &self,
        snapshot: &PolicySnapshot,
        draft: &Policy,
        refusal: Refusal,
        transaction: &TransactionId,
    ) -> Change<ChangeError> {
        let Some((_, document)) = snapshot.serving() else {
            return Ok(snapshot.refused(Some(&draft.version), refusal));
        };
        let active = self.decode_policy(document)?;
        let parent = match &draft.parent_version {
            Some(version) => match PolicyKey::new(&draft.id, version.clone()) {
                Ok(key) => self.target(&key, transaction).await.ok(),
                Err(_) => None,
            },
            None => None,
        };
        let before = parent.map(|(_, policy)| policy.params).unwrap_or_default();
        Ok(ChangeError::Stale(Box::new(StaleDraft {
            name: draft.name(),
            refusal,
            by: active.activated_by,
            changes: diff(&before, &active.params),
        })))
    }

    /// The writes of a plan that makes an existing document active.
    pub(in crate::store) fn entering(
        &self,
        snapshot: &PolicySnapshot,
        plan: &Plan,
        document: &Document,
        action: Action,
        intent: &Intent,
    ) -> Decided {
        let mut writes = archiving(snapshot, plan, intent.now);
        let mut fields = activated(snapshot, plan, intent);
        fields.extend(snapshot.pin());
        // What is confirmed as active keeps what it says of when it became so.
        let confirmed = plan.changes.iter().any(is_confirmation);
        if confirmed {
            fields.retain(|name, _| PIN_FIELDS.contains(&name.as_str()));
            fields.insert("status".to_owned(), value::string(PolicyStatus::Active.as_str()));
        }
        // A candidate of old has no units, and whoever was taken back is somebody's choice now.
        let cleared: &[&str] = if confirmed { &[CANDIDATE] } else { &[CANDIDATE, ROLLED_BACK_AT] };
        writes.push(patch(document, fields, cleared));
        let mut entry = entry_of(plan, action, &snapshot.id, intent);
        writes.extend(self.experiments_after(snapshot, plan, action, intent, &mut entry));
        Decided { writes, entry }
    }
}

fn is_confirmation(change: &StatusChange) -> bool {
    change.from == Some(PolicyStatus::Active) && change.to == PolicyStatus::Active
}

/// The writes that archive what was active, with the pin taken off, which moves on, and without its
/// candidate.
pub(super) fn archiving(snapshot: &PolicySnapshot, plan: &Plan, now: i64) -> Vec<Write> {
    let leaving = plan.changes.iter().filter(|change| change.to == PolicyStatus::Archived);
    let documents = leaving.filter_map(|change| {
        snapshot.active.iter().find(|(version, _)| *version == change.version)
    });
    let fields = || {
        value::fields([
            ("status", value::string(PolicyStatus::Archived.as_str())),
            ("archivedAt", value::int(now)),
        ])
    };
    let cleared: Vec<_> = PIN_FIELDS.into_iter().chain([CANDIDATE]).collect();
    documents.map(|(_, document)| patch(document, fields(), &cleared)).collect()
}

/// What an active version says of how it became so.
pub(super) fn activated(snapshot: &PolicySnapshot, plan: &Plan, intent: &Intent) -> Fields {
    let mut fields = value::fields([
        ("status", value::string(PolicyStatus::Active.as_str())),
        ("activatedAt", value::int(intent.now)),
        ("activatedBy", value::string(intent.actor.as_str())),
    ]);
    if let Some(previous) = serving(&snapshot.versions()).or(plan.replaced.as_ref()) {
        fields.insert("previousVersion".to_owned(), value::string(previous.to_string()));
    }
    fields
}

pub(super) fn entry_of(
    plan: &Plan,
    action: Action,
    id: &str,
    intent: &Intent,
) -> f0_learning_core::audit::AuditEntry {
    let mut entry = intent.entry(action, id);
    let entered = plan.changes.iter().find(|change| change.to == PolicyStatus::Active);
    entry.from = plan.replaced.as_ref().map(ToString::to_string);
    entry.to = entered.map(|change| change.version.to_string());
    entry.forced = plan.forced;
    entry.changes.clone_from(&plan.changes);
    entry
}

/// Changes these fields and clears those, if the document is still as it was read.
pub(in crate::store) fn patch(document: &Document, fields: Fields, cleared: &[&str]) -> Write {
    let seen = document.update_time.unwrap_or_default();
    write::patch_and_clear_if_unchanged(document.name.clone(), fields, cleared, seen)
}

pub(super) fn check_id(id: &str) -> Change<()> {
    PolicyKey::check_id(id).map_err(|error| ChangeError::PolicyId(id.to_owned(), error))
}

fn key(id: &str, version: &Version) -> Change<PolicyKey> {
    PolicyKey::new(id, version.clone()).map_err(|error| ChangeError::PolicyId(id.to_owned(), error))
}
