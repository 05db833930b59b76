//! The ends of experiments: stopped by a person, or as their comparison requires.

use firestore_kit::proto::Document;

use super::ramp::{require_open, require_serving, require_unchanged};
use crate::store::change::{Asked, ChangeError, ChangeResult, Changed, Decided};
use crate::store::collection::POLICIES;
use crate::store::lifecycle::{
    ROLLED_BACK_AT, clear_candidate, ended_fields, frozen, patch, policy_key, rejected_fields,
};
use crate::store::{Store, StoreError};
use f0_learning_core::audit::{Action, AuditEntry};
use f0_learning_core::document::{Experiment, Policy};
use f0_learning_core::experiment::{Breach, Comparison, Effect, Kind, Status, Verdict};
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::policy::lifecycle;
use firestore_kit::Transaction;
use firestore_kit::value::{self, Fields};

/// What an end is based on.
#[derive(Clone, Copy, Debug)]
struct Basis<'a> {
    comparison: Option<&'a Comparison>,
    breach: Option<Breach>,
}

impl Store {
    /// Ends an experiment at the request of a person. The candidate of an A/B test gets no units any
    /// more and stays a draft; the candidate of a watch is unchanged.
    pub async fn stop_experiment(&self, id: &str, intent: &Intent) -> ChangeResult<Changed> {
        let found = match self.experiment(id).await {
            Err(StoreError::Decode { .. }) => return self.discard_experiment(id, intent).await,
            found => found?,
        };
        let Some(experiment) = found else {
            return Err(ChangeError::UnknownExperiment(id.to_owned()));
        };
        // A repeated request gets the result of the first one.
        if !experiment.open && intent.key.is_none() {
            return Err(ChangeError::ExperimentOver(experiment.id));
        }
        let why = intent.reason.clone().unwrap_or_else(|| "no reason was given".to_owned());
        let basis = Basis { comparison: None, breach: None };
        self.end(&experiment, Status::Stopped, &why, basis, intent).await
    }

    /// Ends an experiment as its comparison requires. The candidate of an A/B test is rejected if it
    /// is worse or not better; a watch with enough samples records its verdict.
    pub async fn end_experiment(
        &self,
        experiment: &Experiment,
        status: Status,
        why: &str,
        comparison: Option<&Comparison>,
        breach: Option<Breach>,
        intent: &Intent,
    ) -> ChangeResult<Changed> {
        let basis = Basis { comparison, breach };
        self.end(experiment, status, why, basis, intent).await
    }

    async fn end(
        &self,
        experiment: &Experiment,
        status: Status,
        why: &str,
        basis: Basis<'_>,
        intent: &Intent,
    ) -> ChangeResult<Changed> {
        let target = format!("the end of experiment {}", experiment.id);
        let asked = Asked::of(Action::ExperimentEnd, &experiment.policy);
        self.change(&target, asked, intent, |transaction| async move {
            let snapshot = self.snapshot(&experiment.policy, &transaction).await?;
            let open = match status {
                Status::Stopped => require_open(&snapshot, experiment)?,
                _ => require_unchanged(&snapshot, experiment)?,
            };
            let mut entry = end_entry(experiment, status, why, basis, intent)?;
            let mut writes =
                vec![patch(&open.document, end_fields(status, why, basis, intent)?, &[])];
            if experiment.kind == Kind::Ab {
                writes.extend(clear_candidate(&snapshot));
            }
            let rejects = matches!(status, Status::Breached | Status::NoGain);
            let found = self.candidate_of(experiment, &transaction).await;
            let Some((document, policy)) = readable(found)? else {
                return Ok(Decided { writes, entry });
            };
            let mut fields = Fields::default();
            if experiment.kind == Kind::Ab && rejects && policy.status == PolicyStatus::Draft {
                let plan = lifecycle::reject(&policy.facts())
                    .map_err(|refusal| ChangeError::Refused { name: policy.name(), refusal })?;
                entry.changes = plan.changes;
                fields.extend(rejected_fields(intent));
            }
            if status != Status::Stopped {
                fields.extend(verdict_fields(experiment, &policy, basis, intent.now)?);
            }
            if !fields.is_empty() {
                writes.push(patch(&document, fields, &[]));
            }
            Ok(Decided { writes, entry })
        })
        .await
    }

    /// Rolls back a version that is proven to be worse than the one it replaced, which becomes active
    /// again. Refused while tuning is disabled or the policy is pinned.
    pub async fn roll_back_breached(
        &self,
        experiment: &Experiment,
        breach: Breach,
        comparison: &Comparison,
        intent: &Intent,
    ) -> ChangeResult<Changed> {
        let target = format!("the rollback of {}@{}", experiment.policy, experiment.candidate);
        let asked = Asked::of(Action::Rollback, &experiment.policy);
        self.change(&target, asked, intent, |transaction| async move {
            self.require_enabled(&transaction).await?;
            let mut snapshot = self.snapshot(&experiment.policy, &transaction).await?;
            snapshot.require_unpinned()?;
            let basis = Basis { comparison: Some(comparison), breach: Some(breach) };
            let why = comparison.qualified(experiment.kind, breach);
            let open = require_serving(&snapshot, experiment)?;
            let fields = end_fields(Status::Breached, &why, basis, intent)?;
            let end = patch(&open.document, fields, &[]);
            let (document, policy) = self.control_of(experiment, &transaction).await?;
            let refused = |refusal| ChangeError::Refused { name: policy.name(), refusal };
            let plan =
                lifecycle::roll_back(&snapshot.versions(), &policy.facts()).map_err(refused)?;
            // It ends here as breached, and not as superseded by the activation.
            snapshot.experiments.retain(|open| open.experiment.id != experiment.id);
            let mut decided =
                self.decide_activation(&snapshot, &plan, &document, Action::Rollback, intent)?;
            let candidate = readable(self.candidate_of(experiment, &transaction).await)?;
            let mut fields = match candidate {
                Some((_, candidate)) => verdict_fields(experiment, &candidate, basis, intent.now)?,
                None => Fields::default(),
            };
            fields.insert(ROLLED_BACK_AT.to_owned(), value::int(intent.now));
            let envelope = self.envelope_in(&experiment.policy, &transaction).await?;
            let freeze = envelope.filter(|(_, it)| it.frozen.is_none()).map(|(document, _)| {
                let why = format!("the guard rolled back {}: {why}", experiment.candidate);
                frozen(&document, &why)
            });
            let candidate = policy_key(&experiment.policy, &experiment.candidate)?;
            decided.add_to(&self.db.name(POLICIES, &candidate.to_string()), fields);
            decided.writes.push(end);
            decided.writes.extend(freeze);
            decided.entry.experiment = Some(experiment.id.clone());
            decided.entry.evidence = evidence(basis)?;
            Ok(decided)
        })
        .await
    }

    /// Makes the candidate of an A/B test that is proven to be better the active version, if the
    /// flags allow jobs to do that and the policy is not pinned.
    pub async fn promote(
        &self,
        experiment: &Experiment,
        comparison: &Comparison,
        intent: &Intent,
    ) -> ChangeResult<Changed> {
        let target = format!("the promotion of {}@{}", experiment.policy, experiment.candidate);
        let asked = Asked::of(Action::Activate, &experiment.policy);
        self.change(&target, asked, intent, |transaction| async move {
            let flags = self.flags_in(&transaction).await?;
            if !flags.auto_activation_enabled() {
                return Err(ChangeError::SwitchedOff(flags));
            }
            let mut snapshot = self.snapshot(&experiment.policy, &transaction).await?;
            snapshot.require_unpinned()?;
            let basis = Basis { comparison: Some(comparison), breach: None };
            let why = "the candidate is proven to be better";
            let open = require_serving(&snapshot, experiment)?;
            let fields = end_fields(Status::Passed, why, basis, intent)?;
            let end = patch(&open.document, fields, &[]);
            let (document, policy) = self.candidate_of(experiment, &transaction).await?;
            let refused = |refusal| ChangeError::Refused { name: policy.name(), refusal };
            // Its parent may be stale: it was compared with the active version.
            let plan = lifecycle::activate(&snapshot.versions(), &policy.facts(), true)
                .map_err(refused)?;
            snapshot.experiments.retain(|open| open.experiment.id != experiment.id);
            let mut decided =
                self.decide_activation(&snapshot, &plan, &document, Action::Activate, intent)?;
            let fields = verdict_fields(experiment, &policy, basis, intent.now)?;
            decided.add_to(&document.name, fields);
            decided.writes.push(end);
            decided.entry.evidence = evidence(basis)?;
            Ok(decided)
        })
        .await
    }

    async fn candidate_of(
        &self,
        experiment: &Experiment,
        transaction: &Transaction,
    ) -> ChangeResult<(Document, Policy)> {
        self.require_version(&policy_key(&experiment.policy, &experiment.candidate)?, transaction)
            .await
    }

    async fn control_of(
        &self,
        experiment: &Experiment,
        transaction: &Transaction,
    ) -> ChangeResult<(Document, Policy)> {
        self.require_version(&policy_key(&experiment.policy, &experiment.control)?, transaction)
            .await
    }
}

/// `None` for a version that was deleted or corrupted by hand: it must not block an end or a
/// rollback.
fn readable(found: ChangeResult<(Document, Policy)>) -> ChangeResult<Option<(Document, Policy)>> {
    match found {
        Err(ChangeError::UnknownVersion(_) | ChangeError::Store(StoreError::Decode { .. })) => {
            Ok(None)
        }
        found => found.map(Some),
    }
}

fn end_fields(
    status: Status,
    why: &str,
    basis: Basis<'_>,
    intent: &Intent,
) -> Result<Fields, StoreError> {
    let mut fields = ended_fields(status, why, intent);
    if let Some(comparison) = basis.comparison {
        fields.insert("comparison".to_owned(), value::map(value::to_fields(comparison)?));
    }
    if let Some(breach) = basis.breach {
        fields.insert("breach".to_owned(), value::map(value::to_fields(&breach)?));
    }
    Ok(fields)
}

/// The verdict to record on the candidate, if there is one. The proven verdict of a test is worth
/// more than that of a watch, unless the watch has found a breach.
fn verdict_fields(
    experiment: &Experiment,
    candidate: &Policy,
    basis: Basis<'_>,
    now: i64,
) -> Result<Fields, StoreError> {
    let proven =
        candidate.verdict.as_ref().is_some_and(|verdict| verdict.effect != Effect::Unclear);
    let keeps = proven && experiment.kind == Kind::Watch && basis.breach.is_none();
    let verdict = basis.comparison.filter(|_| !keeps).and_then(|comparison| {
        let against = experiment.control.to_string();
        let promised = candidate.expected_gain;
        let most = experiment.guard.guardrails.rejected_share;
        Verdict::of(against, experiment.kind, comparison.clone(), most, promised, now)
    });
    Ok(match verdict {
        Some(verdict) => value::fields([("verdict", value::map(value::to_fields(&verdict)?))]),
        None => Fields::default(),
    })
}

fn evidence(basis: Basis<'_>) -> Result<Option<serde_json::Value>, StoreError> {
    basis.comparison.map(value::encoded).transpose()
}

fn end_entry(
    experiment: &Experiment,
    status: Status,
    why: &str,
    basis: Basis<'_>,
    intent: &Intent,
) -> Result<AuditEntry, StoreError> {
    let mut entry = intent.entry(Action::ExperimentEnd, &experiment.policy);
    entry.from = Some(experiment.control.to_string());
    entry.to = Some(experiment.candidate.to_string());
    entry.reason = Some(format!("{}: {why}", status.as_str()));
    entry.experiment = Some(experiment.id.clone());
    entry.evidence = evidence(basis)?;
    Ok(entry)
}
