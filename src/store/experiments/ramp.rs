//! An A/B test moves on: to its next stage, or to waiting for somebody's yes.

use super::document::{OpenExperiment, json_fields};
use super::start::naming;
use crate::store::Store;
use crate::store::change::{ChangeError, Changed, Decided};
use crate::store::policies::{PolicySnapshot, patch};
use f0_learning_core::audit::Action;
use f0_learning_core::document::Candidate;
use f0_learning_core::document::Experiment;
use f0_learning_core::experiment::{Baseline, Comparison, Kind, STAGES, Status};
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use firestore_kit::TransactionId;
use firestore_kit::value;

impl Store {
    /// Gives the candidate the next stage's share; what is known by now is left out from then on.
    pub async fn ramp(
        &self,
        experiment: &Experiment,
        counted: &Baseline,
        comparison: &Comparison,
        intent: &Intent,
    ) -> Result<Changed, ChangeError> {
        let stage = experiment.stage + 1;
        let Some(share) = STAGES.get(stage).copied() else {
            return Err(ChangeError::ExperimentOver(experiment.id.clone()));
        };
        let target = format!("the next stage of experiment {}", experiment.id);
        self.change(&target, intent, |transaction| async move {
            self.require_enabled(&transaction).await?;
            let snapshot = self.snapshot(&experiment.policy, &transaction).await?;
            let open = snapshot.stands(experiment)?;
            let control = snapshot.active.iter().find(|(it, _)| *it == experiment.control);
            let (_, document) = control.ok_or_else(|| moved(experiment))?;
            let key = PolicyKey::new(&experiment.policy, experiment.candidate.clone())
                .map_err(|error| ChangeError::PolicyId(experiment.policy.clone(), error))?;
            let (_, draft) = self.target(&key, &transaction).await?;
            if draft.status != PolicyStatus::Draft {
                return Err(moved(experiment));
            }
            let named = Candidate {
                experiment: experiment.id.clone(),
                version: draft.version,
                share,
                params: draft.params,
            };
            let fields = value::fields([
                ("stage", value::int(stage as i64)),
                ("share", value::double(share)),
                ("stageStartedAt", value::int(intent.now)),
                ("comparison", value::map(json_fields(comparison))),
            ]);
            let mut entry = intent.entry(Action::ExperimentRamp, &experiment.policy);
            entry.from = Some(format!("{:.0}%", experiment.share * 100.0));
            entry.to = Some(format!("{:.0}%", share * 100.0));
            entry.experiment = Some(experiment.id.clone());
            entry.evidence = serde_json::to_value(comparison).ok();
            let writes = vec![
                patch(&open.document, fields, &[]),
                self.baseline_write(&experiment.id, counted),
                patch(document, naming(&named), &[]),
            ];
            Ok(Decided { writes, entry })
        })
        .await
    }

    /// Notes that the candidate is proven to be better, and waits for somebody to activate it.
    pub async fn await_answer(
        &self,
        experiment: &Experiment,
        comparison: &Comparison,
        intent: &Intent,
    ) -> Result<Changed, ChangeError> {
        let target = format!("the success of experiment {}", experiment.id);
        self.change(&target, intent, |transaction| async move {
            let snapshot = self.snapshot(&experiment.policy, &transaction).await?;
            let open = snapshot.stands(experiment)?;
            let fields = value::fields([
                ("status", value::string(Status::Succeeded.as_str())),
                ("comparison", value::map(json_fields(comparison))),
            ]);
            let mut entry = intent.entry(Action::ExperimentSuccess, &experiment.policy);
            entry.from = Some(experiment.control.to_string());
            entry.to = Some(experiment.candidate.to_string());
            entry.experiment = Some(experiment.id.clone());
            entry.evidence = serde_json::to_value(comparison).ok();
            Ok(Decided { writes: vec![patch(&open.document, fields, &[])], entry })
        })
        .await
    }

    /// The kill switch, read where what depends on it is written.
    pub(in crate::store) async fn require_enabled(
        &self,
        transaction: &TransactionId,
    ) -> Result<(), ChangeError> {
        let flags = self.flags_in(transaction).await?;
        match flags.tuning_enabled() {
            true => Ok(()),
            false => Err(ChangeError::SwitchedOff(flags)),
        }
    }
}

impl PolicySnapshot {
    /// The experiment, if it is still as it was when it was judged.
    pub(in crate::store) fn still(
        &self,
        judged: &Experiment,
    ) -> Result<&OpenExperiment, ChangeError> {
        let as_judged = |it: &&OpenExperiment| {
            let it = &it.experiment;
            it.id == judged.id && it.stage == judged.stage && it.status == judged.status
        };
        self.experiments.iter().find(as_judged).ok_or_else(|| moved(judged))
    }

    /// The same, if also its version is still in force: the control of a test, the candidate of a
    /// watch. What somebody set active by hand meanwhile is not ours to replace.
    pub(in crate::store) fn stands(
        &self,
        judged: &Experiment,
    ) -> Result<&OpenExperiment, ChangeError> {
        let expected = match judged.kind {
            Kind::Ab => &judged.control,
            Kind::Watch => &judged.candidate,
        };
        match self.serving() {
            Some((version, _)) if version == expected => self.still(judged),
            _ => Err(moved(judged)),
        }
    }
}

fn moved(experiment: &Experiment) -> ChangeError {
    ChangeError::ExperimentMoved(experiment.id.clone())
}
