//! The advance of an A/B test: to its next stage, or to awaiting approval.

use super::start::candidate_fields;
use crate::store::Store;
use crate::store::change::{Asked, ChangeError, ChangeResult, Changed, Decided};
use crate::store::lifecycle::{OpenExperiment, PolicySnapshot, patch, policy_key};
use f0_learning_core::audit::Action;
use f0_learning_core::document::{Candidate, Experiment};
use f0_learning_core::experiment::{Baseline, Comparison, Kind, STAGES, Status};
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::PolicyStatus;
use firestore_kit::{Transaction, value};

impl Store {
    /// Gives the candidate the next stage's share; the new stage leaves out what was `counted` so far.
    pub async fn ramp(
        &self,
        experiment: &Experiment,
        counted: &Baseline,
        comparison: &Comparison,
        intent: &Intent,
    ) -> ChangeResult<Changed> {
        let stage = experiment.stage + 1;
        let Some(share) = STAGES.get(stage).copied() else {
            return Err(ChangeError::ExperimentOver(experiment.id.clone()));
        };
        let target = format!("the next stage of experiment {}", experiment.id);
        let asked = Asked::of(Action::ExperimentRamp, &experiment.policy);
        self.change(&target, asked, intent, |transaction| async move {
            self.require_enabled(&transaction).await?;
            let snapshot = self.snapshot(&experiment.policy, &transaction).await?;
            let open = require_serving(&snapshot, experiment)?;
            let control =
                snapshot.active.iter().find(|(version, _)| *version == experiment.control);
            let (_, document) = control.ok_or_else(|| moved(experiment))?;
            let key = policy_key(&experiment.policy, &experiment.candidate)?;
            let (of_draft, draft) = self.require_version(&key, &transaction).await?;
            if draft.status != PolicyStatus::Draft {
                return Err(moved(experiment));
            }
            let candidate = Candidate {
                experiment: experiment.id.clone(),
                version: draft.version,
                share,
                params: draft.params,
            };
            let fields = value::fields([
                ("stage", value::int(i64::try_from(stage).unwrap_or(i64::MAX))),
                ("share", value::double(share)),
                ("stageStartedAt", value::int(intent.now)),
                ("comparison", value::map(value::to_fields(comparison)?)),
            ]);
            let mut entry = intent.entry(Action::ExperimentRamp, &experiment.policy);
            entry.from = Some(format!("{:.0}%", experiment.share * 100.0));
            entry.to = Some(format!("{:.0}%", share * 100.0));
            entry.experiment = Some(experiment.id.clone());
            entry.evidence = Some(value::encoded(comparison)?);
            let writes = vec![
                patch(&open.document, fields, &[]),
                self.baseline_write(&experiment.id, counted),
                patch(document, candidate_fields(&candidate, &of_draft)?, &[]),
            ];
            Ok(Decided { writes, entry })
        })
        .await
    }

    /// Records that the candidate is proven to be better and awaits approval.
    pub async fn await_answer(
        &self,
        experiment: &Experiment,
        comparison: &Comparison,
        intent: &Intent,
    ) -> ChangeResult<Changed> {
        let target = format!("the success of experiment {}", experiment.id);
        let asked = Asked::of(Action::ExperimentSuccess, &experiment.policy);
        self.change(&target, asked, intent, |transaction| async move {
            let snapshot = self.snapshot(&experiment.policy, &transaction).await?;
            let open = require_serving(&snapshot, experiment)?;
            let fields = value::fields([
                ("status", value::string(Status::Succeeded.as_str())),
                ("comparison", value::map(value::to_fields(comparison)?)),
            ]);
            let mut entry = intent.entry(Action::ExperimentSuccess, &experiment.policy);
            entry.from = Some(experiment.control.to_string());
            entry.to = Some(experiment.candidate.to_string());
            entry.experiment = Some(experiment.id.clone());
            entry.evidence = Some(value::encoded(comparison)?);
            Ok(Decided { writes: vec![patch(&open.document, fields, &[])], entry })
        })
        .await
    }

    /// Requires that tuning is enabled, read in the transaction that depends on it.
    pub(in crate::store) async fn require_enabled(
        &self,
        transaction: &Transaction,
    ) -> ChangeResult<()> {
        let flags = self.flags_in(transaction).await?;
        match flags.tuning_enabled() {
            true => Ok(()),
            false => Err(ChangeError::SwitchedOff(flags)),
        }
    }
}

/// The experiment, if it is still open.
pub(super) fn require_open<'a>(
    snapshot: &'a PolicySnapshot,
    experiment: &Experiment,
) -> ChangeResult<&'a OpenExperiment> {
    let found = snapshot.experiments.iter().find(|open| open.experiment.id == experiment.id);
    found.ok_or_else(|| ChangeError::ExperimentOver(experiment.id.clone()))
}

/// The experiment, if its stage and status are those that were evaluated.
pub(super) fn require_unchanged<'a>(
    snapshot: &'a PolicySnapshot,
    evaluated: &Experiment,
) -> ChangeResult<&'a OpenExperiment> {
    let is_unchanged = |open: &&OpenExperiment| {
        let stored = &open.experiment;
        stored.id == evaluated.id
            && stored.stage == evaluated.stage
            && stored.status == evaluated.status
    };
    snapshot.experiments.iter().find(is_unchanged).ok_or_else(|| moved(evaluated))
}

/// The same, if its version is also still active: the control of a test, the candidate of a watch. A
/// version that an admin has activated since is not replaced.
pub(super) fn require_serving<'a>(
    snapshot: &'a PolicySnapshot,
    evaluated: &Experiment,
) -> ChangeResult<&'a OpenExperiment> {
    let expected = match evaluated.kind {
        Kind::Ab => &evaluated.control,
        Kind::Watch => &evaluated.candidate,
    };
    match snapshot.serving() {
        Some((version, _)) if version == expected => require_unchanged(snapshot, evaluated),
        _ => Err(moved(evaluated)),
    }
}

fn moved(experiment: &Experiment) -> ChangeError {
    ChangeError::ExperimentMoved(experiment.id.clone())
}
