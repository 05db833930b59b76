//! The transitions that people make. Each is planned by `f0_learning_core::policy::lifecycle` from
//! what its transaction reads, and is written as a whole or not at all.

use firestore_kit::proto::Document;
use semver::Version;

use crate::store::Store;
use crate::store::change::{Asked, ChangeError, ChangeResult, Changed, Decided, StaleDraft};
use crate::store::lifecycle::{
    PolicySnapshot, check_policy_id, patch, policy_key, rejected_fields,
};
use f0_learning_core::audit::Action;
use f0_learning_core::document::Policy;
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::lifecycle::{self, Refusal};
use f0_learning_core::policy::{PolicyKey, PolicyStatus, diff};
use firestore_kit::{Transaction, value};

/// The tuner renews open drafts: a person activates what they have seen, or nothing.
fn require_seen(policy: &Policy, intent: &Intent) -> ChangeResult<()> {
    let Some(seen) = &intent.seen else { return Ok(()) };
    let digest = policy.evidence_digest();
    match digest.is_some_and(|it| it == seen) {
        true => Ok(()),
        false => Err(ChangeError::Renewed(policy.name())),
    }
}

impl Store {
    /// Makes a draft the active version.
    ///
    /// # Errors
    /// [`ChangeError::Stale`] if the draft's parent is no longer active, unless `force`.
    pub async fn activate(
        &self,
        key: &PolicyKey,
        force: bool,
        intent: &Intent,
    ) -> ChangeResult<Changed> {
        let target = format!("the activation of {key}");
        let asked = Asked::of(Action::Activate, &key.id);
        self.change(&target, asked, intent, |transaction| async move {
            let snapshot = self.snapshot(&key.id, &transaction).await?;
            let (document, policy) = self.require_version(key, &transaction).await?;
            require_seen(&policy, intent)?;
            match lifecycle::activate(&snapshot.versions(), &policy.facts(), force) {
                Ok(plan) => Ok(self.decide_activation(
                    &snapshot,
                    &plan,
                    &document,
                    Action::Activate,
                    intent,
                )?),
                Err(refusal @ Refusal::StaleParent { .. }) => {
                    Err(self.stale(&snapshot, &policy, refusal, &transaction).await?)
                }
                Err(refusal) => Err(snapshot.refused(Some(&key.version), refusal)),
            }
        })
        .await
    }

    /// Rejects a draft, and ends its A/B test if there is one.
    pub async fn reject(&self, key: &PolicyKey, intent: &Intent) -> ChangeResult<Changed> {
        let target = format!("the rejection of {key}");
        let asked = Asked::of(Action::Reject, &key.id);
        self.change(&target, asked, intent, |transaction| async move {
            let snapshot = self.snapshot(&key.id, &transaction).await?;
            let (document, policy) = self.require_version(key, &transaction).await?;
            let plan = lifecycle::reject(&policy.facts())
                .map_err(|refusal| ChangeError::Refused { name: key.to_string(), refusal })?;
            let mut entry = intent.entry(Action::Reject, &key.id);
            entry.from = Some(key.version.to_string());
            entry.changes = plan.changes;
            let mut writes = vec![patch(&document, rejected_fields(intent), &[])];
            writes.extend(snapshot.end_test_of(&key.version, intent, &mut entry));
            Ok(Decided { writes, entry })
        })
        .await
    }

    /// Makes an archived version active again; without a version, the one that was active before the
    /// present one and was not itself rolled back: an admin who reacts to a regression after the
    /// guard did must not reactivate the bad version.
    pub async fn roll_back(
        &self,
        id: &str,
        version: Option<&Version>,
        intent: &Intent,
    ) -> ChangeResult<Changed> {
        check_policy_id(id)?;
        let target = format!("the rollback of {id}");
        let asked = Asked::of(Action::Rollback, id);
        self.change(&target, asked, intent, |transaction| async move {
            let snapshot = self.snapshot(id, &transaction).await?;
            let (document, policy) = match version {
                Some(version) => {
                    self.require_version(&policy_key(id, version)?, &transaction).await?
                }
                None => self.previous(&snapshot, &transaction).await?,
            };
            let plan = lifecycle::roll_back(&snapshot.versions(), &policy.facts())
                .map_err(|refusal| snapshot.refused(Some(&policy.version), refusal))?;
            Ok(self.decide_activation(&snapshot, &plan, &document, Action::Rollback, intent)?)
        })
        .await
    }

    /// Restores exactly one active version: the highest of several, or the last one if there is none.
    pub async fn repair(&self, id: &str, intent: &Intent) -> ChangeResult<Changed> {
        check_policy_id(id)?;
        let target = format!("the repair of {id}");
        let asked = Asked::of(Action::Repair, id);
        self.change(&target, asked, intent, |transaction| async move {
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
            Ok(self.decide_activation(&snapshot, &plan, document, Action::Repair, intent)?)
        })
        .await
    }

    /// The version that was active before the present one.
    async fn previous(
        &self,
        snapshot: &PolicySnapshot,
        transaction: &Transaction,
    ) -> ChangeResult<(Document, Policy)> {
        let may_return = |policy: &Policy| policy.rolled_back_at.is_none();
        if let Some((_, document)) = snapshot.serving()
            && let Some(version) = value::as_str(&document.fields, "previousVersion")
            && let Ok(version) = version.parse()
            && let Ok(key) = PolicyKey::new(&snapshot.id, version)
        {
            match self.require_version(&key, transaction).await {
                Ok((document, policy))
                    if policy.status != PolicyStatus::Rejected && may_return(&policy) =>
                {
                    return Ok((document, policy));
                }
                Ok(_) | Err(ChangeError::UnknownVersion(_)) => {}
                Err(error) => return Err(error),
            }
        }
        match self.last_archived(&snapshot.id, may_return, transaction).await? {
            Some(found) => Ok(found),
            None => {
                self.require_policy(&snapshot.id, transaction).await?;
                Err(ChangeError::NothingBefore(snapshot.id.clone()))
            }
        }
    }

    /// The archived version that was active last and that `is_allowed`; of those without a recorded
    /// time the highest.
    async fn last_archived(
        &self,
        id: &str,
        is_allowed: impl Fn(&Policy) -> bool,
        transaction: &Transaction,
    ) -> ChangeResult<Option<(Document, Policy)>> {
        let archived = self.documents_with_status(id, PolicyStatus::Archived, transaction).await?;
        let readable = archived.into_iter().filter_map(|document| {
            let policy = self.decode_policy(&document).ok()?;
            is_allowed(&policy).then_some((document, policy))
        });
        let order = |policy: &Policy| (policy.archived_at, policy.version.clone());
        Ok(readable.max_by_key(|(_, policy)| order(policy)))
    }

    /// The refusal of a stale draft, with what has changed since its parent was active.
    async fn stale(
        &self,
        snapshot: &PolicySnapshot,
        draft: &Policy,
        refusal: Refusal,
        transaction: &Transaction,
    ) -> ChangeResult<ChangeError> {
        let Some((_, document)) = snapshot.serving() else {
            return Ok(snapshot.refused(Some(&draft.version), refusal));
        };
        let active = self.decode_policy(document)?;
        let parent = match &draft.parent_version {
            Some(version) => match PolicyKey::new(&draft.id, version.clone()) {
                Ok(key) => self.require_version(&key, transaction).await.ok(),
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
}
