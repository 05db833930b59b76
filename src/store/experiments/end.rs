//! How experiments end.

use firestore_kit::proto::Document;

use super::ROLLED_BACK_AT;
use super::document::{OpenExperiment, json_fields};
use super::follow::{ended, without_candidate};
use crate::store::Store;
use crate::store::StoreError;
use crate::store::change::{ChangeError, Changed, Decided};
use crate::store::collection::POLICIES;
use crate::store::policies::{PolicySnapshot, patch};
use f0_learning_core::audit::{Action, AuditEntry};
use f0_learning_core::document::Experiment;
use f0_learning_core::document::Policy;
use f0_learning_core::experiment::{Breach, Comparison, Effect, Kind, Status, Verdict};
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::lifecycle;
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use firestore_kit::TransactionId;
use firestore_kit::value::{self, Fields};

type Change<T> = Result<T, ChangeError>;

/// What an end rests on.
#[derive(Clone, Copy, Debug)]
struct Ground<'a> {
    comparison: Option<&'a Comparison>,
    breach: Option<Breach>,
}

impl Store {
    /// Ends an experiment because somebody says so. The candidate of an A/B test has no units any
    /// more and stays a draft; that of a watch stays as it is.
    pub async fn stop_experiment(&self, id: &str, intent: &Intent) -> Change<Changed> {
        let found = match self.experiment(id).await {
            Err(StoreError::Decode { .. }) => return self.discard_experiment(id, intent).await,
            found => found?,
        };
        let Some(experiment) = found else {
            return Err(ChangeError::UnknownExperiment(id.to_owned()));
        };
        // Whoever repeats the request is told of what it did.
        if !experiment.open && intent.key.is_none() {
            return Err(ChangeError::ExperimentOver(experiment.id));
        }
        let why = intent.reason.clone().unwrap_or_else(|| "no reason was given".to_owned());
        let ground = Ground { comparison: None, breach: None };
        self.end(&experiment, Status::Stopped, &why, ground, intent).await
    }

    /// Ends an experiment as its comparison says. The candidate of an A/B test that is no better,
    /// or worse, is rejected; of a watch that saw enough, the verdict is written down.
    pub async fn end_experiment(
        &self,
        experiment: &Experiment,
        status: Status,
        why: &str,
        comparison: Option<&Comparison>,
        breach: Option<Breach>,
        intent: &Intent,
    ) -> Change<Changed> {
        let ground = Ground { comparison, breach };
        self.end(experiment, status, why, ground, intent).await
    }

    async fn end(
        &self,
        experiment: &Experiment,
        status: Status,
        why: &str,
        ground: Ground<'_>,
        intent: &Intent,
    ) -> Change<Changed> {
        let target = format!("the end of experiment {}", experiment.id);
        self.change(&target, intent, |transaction| async move {
            let snapshot = self.snapshot(&experiment.policy, &transaction).await?;
            let open = match status {
                Status::Stopped => snapshot.goes_on(experiment)?,
                _ => snapshot.still(experiment)?,
            };
            let mut entry = entry_of(experiment, status, why, ground, intent);
            let mut writes = vec![patch(&open.document, closed(status, why, ground, intent), &[])];
            if experiment.kind == Kind::Ab {
                writes.extend(without_candidate(&snapshot));
            }
            let takes_back = matches!(status, Status::Breached | Status::NoGain);
            let found = self.candidate_of(experiment, &transaction).await;
            let Some((document, policy)) = readable(found)? else {
                return Ok(Decided { writes, entry });
            };
            let mut fields = Fields::default();
            if experiment.kind == Kind::Ab && takes_back && policy.status == PolicyStatus::Draft {
                let plan = lifecycle::reject(&policy.facts())
                    .map_err(|refusal| ChangeError::Refused { name: policy.name(), refusal })?;
                entry.changes = plan.changes;
                fields.extend(rejected(intent));
            }
            if status != Status::Stopped {
                fields.extend(verdict(experiment, &policy, ground, intent.now));
            }
            if !fields.is_empty() {
                writes.push(patch(&document, fields, &[]));
            }
            Ok(Decided { writes, entry })
        })
        .await
    }

    /// Takes a version back that is proven to be worse than the one it replaced: the latter becomes
    /// active again. Not where the kill switch is off or the policy is pinned.
    pub async fn roll_back_breached(
        &self,
        experiment: &Experiment,
        breach: Breach,
        comparison: &Comparison,
        intent: &Intent,
    ) -> Change<Changed> {
        let target = format!("taking back {}@{}", experiment.policy, experiment.candidate);
        self.change(&target, intent, |transaction| async move {
            self.require_enabled(&transaction).await?;
            let mut snapshot = self.snapshot(&experiment.policy, &transaction).await?;
            snapshot.require_unpinned()?;
            let ground = Ground { comparison: Some(comparison), breach: Some(breach) };
            let why = breach.to_string();
            let open = snapshot.stands(experiment)?;
            let end = patch(&open.document, closed(Status::Breached, &why, ground, intent), &[]);
            let (document, policy) = self.control_of(experiment, &transaction).await?;
            let refused = |refusal| ChangeError::Refused { name: policy.name(), refusal };
            let plan =
                lifecycle::roll_back(&snapshot.versions(), &policy.facts()).map_err(refused)?;
            // It ends here, and not as one that was overtaken.
            snapshot.experiments.retain(|it| it.experiment.id != experiment.id);
            let mut decided = self.entering(&snapshot, &plan, &document, Action::Rollback, intent);
            let candidate = readable(self.candidate_of(experiment, &transaction).await)?;
            let mut fields = candidate.map_or_else(Fields::default, |(_, candidate)| {
                verdict(experiment, &candidate, ground, intent.now)
            });
            fields.insert(ROLLED_BACK_AT.to_owned(), value::int(intent.now));
            let candidate = key(experiment, &experiment.candidate)?;
            decided.add_to(&self.db.name(POLICIES, &candidate.to_string()), fields);
            decided.writes.push(end);
            decided.entry.experiment = Some(experiment.id.clone());
            decided.entry.evidence = evidence(ground);
            Ok(decided)
        })
        .await
    }

    /// Makes the candidate of an A/B test, proven to be better, the active version, where the flags
    /// let jobs do that and nobody pinned the policy.
    pub async fn promote(
        &self,
        experiment: &Experiment,
        comparison: &Comparison,
        intent: &Intent,
    ) -> Change<Changed> {
        let target = format!("the promotion of {}@{}", experiment.policy, experiment.candidate);
        self.change(&target, intent, |transaction| async move {
            let flags = self.flags_in(&transaction).await?;
            if !flags.auto_activation_enabled() {
                return Err(ChangeError::SwitchedOff(flags));
            }
            let mut snapshot = self.snapshot(&experiment.policy, &transaction).await?;
            snapshot.require_unpinned()?;
            let ground = Ground { comparison: Some(comparison), breach: None };
            let why = "the candidate is proven to be better";
            let open = snapshot.stands(experiment)?;
            let end = patch(&open.document, closed(Status::Passed, why, ground, intent), &[]);
            let (document, policy) = self.candidate_of(experiment, &transaction).await?;
            let refused = |refusal| ChangeError::Refused { name: policy.name(), refusal };
            // What it was drafted from does not matter: it was compared with what is active.
            let plan = lifecycle::activate(&snapshot.versions(), &policy.facts(), true)
                .map_err(refused)?;
            snapshot.experiments.retain(|it| it.experiment.id != experiment.id);
            let mut decided = self.entering(&snapshot, &plan, &document, Action::Activate, intent);
            let fields = verdict(experiment, &policy, ground, intent.now);
            decided.add_to(&document.name, fields);
            decided.writes.push(end);
            decided.entry.evidence = evidence(ground);
            Ok(decided)
        })
        .await
    }

    async fn candidate_of(
        &self,
        experiment: &Experiment,
        transaction: &TransactionId,
    ) -> Change<(Document, Policy)> {
        self.target(&key(experiment, &experiment.candidate)?, transaction).await
    }

    async fn control_of(
        &self,
        experiment: &Experiment,
        transaction: &TransactionId,
    ) -> Change<(Document, Policy)> {
        self.target(&key(experiment, &experiment.control)?, transaction).await
    }
}

/// Neither an end nor a rollback waits for a version that somebody deleted or spoilt by hand.
fn readable(found: Change<(Document, Policy)>) -> Change<Option<(Document, Policy)>> {
    match found {
        Err(ChangeError::UnknownVersion(_) | ChangeError::Store(StoreError::Decode { .. })) => {
            Ok(None)
        }
        found => found.map(Some),
    }
}

fn key(experiment: &Experiment, version: &semver::Version) -> Change<PolicyKey> {
    PolicyKey::new(&experiment.policy, version.clone())
        .map_err(|error| ChangeError::PolicyId(experiment.policy.clone(), error))
}

impl PolicySnapshot {
    fn goes_on(&self, experiment: &Experiment) -> Change<&OpenExperiment> {
        let found = self.experiments.iter().find(|it| it.experiment.id == experiment.id);
        found.ok_or_else(|| ChangeError::ExperimentOver(experiment.id.clone()))
    }

    fn require_unpinned(&self) -> Change<()> {
        let pin = self.pin();
        if pin.is_empty() {
            return Ok(());
        }
        let why = value::as_str(&pin, "pinReason").unwrap_or_default();
        Err(ChangeError::Pinned(self.id.clone(), why))
    }
}

fn closed(status: Status, why: &str, ground: Ground<'_>, intent: &Intent) -> Fields {
    let mut fields = ended(status, why, intent);
    if let Some(comparison) = ground.comparison {
        fields.insert("comparison".to_owned(), value::map(json_fields(comparison)));
    }
    if let Some(breach) = ground.breach {
        fields.insert("breach".to_owned(), value::map(json_fields(&breach)));
    }
    fields
}

fn rejected(intent: &Intent) -> Fields {
    value::fields([
        ("status", value::string(PolicyStatus::Rejected.as_str())),
        ("rejectedAt", value::int(intent.now)),
        ("rejectedBy", value::string(intent.actor.as_str())),
    ])
}

/// What the candidate's record is to say of what it did, if that is known. What a test has proven
/// says more than a watch, unless the watch has found a reason to take it back.
fn verdict(experiment: &Experiment, candidate: &Policy, ground: Ground<'_>, now: i64) -> Fields {
    let proven = candidate.verdict.as_ref().is_some_and(|it| it.effect != Effect::Unclear);
    let known = proven && experiment.kind == Kind::Watch && ground.breach.is_none();
    let verdict = ground.comparison.filter(|_| !known).and_then(|comparison| {
        let against = experiment.control.to_string();
        let promised = candidate.expected_gain;
        Verdict::of(against, experiment.kind, comparison.clone(), promised, now)
    });
    verdict.map_or_else(Fields::default, |verdict| {
        value::fields([("verdict", value::map(json_fields(&verdict)))])
    })
}

fn evidence(ground: Ground<'_>) -> Option<serde_json::Value> {
    serde_json::to_value(ground.comparison?).ok()
}

fn entry_of(
    experiment: &Experiment,
    status: Status,
    why: &str,
    ground: Ground<'_>,
    intent: &Intent,
) -> AuditEntry {
    let mut entry = intent.entry(Action::ExperimentEnd, &experiment.policy);
    entry.from = Some(experiment.control.to_string());
    entry.to = Some(experiment.candidate.to_string());
    entry.reason = Some(format!("{}: {why}", status.as_str()));
    entry.experiment = Some(experiment.id.clone());
    entry.evidence = evidence(ground);
    entry
}
