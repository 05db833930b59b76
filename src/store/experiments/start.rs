//! How experiments begin: A/B tests because somebody asks, watches with an activation.

use firestore_kit::proto::Write;
use semver::Version;
use uuid::Uuid;

use super::document::json_fields;
use super::read::state_id;
use super::{CANDIDATE, GUARD};
use crate::store::Store;
use crate::store::change::{ChangeError, Changed, Decided};
use crate::store::collection::STATE;
use crate::store::policies::{PolicySnapshot, patch};
use f0_learning_core::audit::Action;
use f0_learning_core::document::Experiment;
use f0_learning_core::document::{Candidate, Policy};
use f0_learning_core::experiment::{Baseline, GuardConfig, Kind, Metric, STAGES, Status};
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::lifecycle::Refusal;
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use firestore_kit::value::{self, Fields};
use firestore_kit::write;

/// What somebody wants of an A/B test; what is not said is as `config/tuning` has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExperimentRequest {
    pub metric: Metric,
    pub min_effect: Option<f64>,
    pub min_samples: Option<u64>,
    pub stage_minutes: Option<u32>,
    pub max_days: Option<u32>,
}

impl ExperimentRequest {
    fn over(&self, guard: GuardConfig) -> GuardConfig {
        GuardConfig {
            min_effect: self.min_effect.unwrap_or(guard.min_effect),
            min_samples: self.min_samples.unwrap_or(guard.min_samples),
            stage_minutes: self.stage_minutes.unwrap_or(guard.stage_minutes),
            max_days: self.max_days.unwrap_or(guard.max_days),
            ..guard
        }
    }
}

impl PolicySnapshot {
    /// The A/B test that goes on.
    pub(in crate::store) fn test(&self) -> Option<&Experiment> {
        let all = self.experiments.iter().map(|it| &it.experiment);
        all.into_iter().find(|it| it.kind == Kind::Ab)
    }

    /// Jobs leave a policy alone while it is being tested.
    pub(in crate::store) fn require_no_test(&self) -> Result<(), ChangeError> {
        match self.test() {
            Some(test) => Err(ChangeError::ExperimentRuns {
                policy: self.id.clone(),
                experiment: test.id.clone(),
            }),
            None => Ok(()),
        }
    }
}

impl Store {
    /// Gives a draft the first stage's share of the units. The change's `experiment` is its id.
    ///
    /// # Errors
    /// [`ChangeError::ExperimentRuns`] where the policy has an A/B test already,
    /// [`ChangeError::NoMinEffect`] where costs are compared and none is asked for.
    pub async fn start_experiment(
        &self,
        candidate: &PolicyKey,
        asked: &ExperimentRequest,
        intent: &Intent,
    ) -> Result<Changed, ChangeError> {
        // The configured one is of rewards: of dollars a request it would be more than most cost.
        if asked.metric == Metric::CostUsd && asked.min_effect.is_none() {
            return Err(ChangeError::NoMinEffect);
        }
        let target = format!("an experiment with {candidate}");
        self.change(&target, intent, |transaction| async move {
            let snapshot = self.snapshot(&candidate.id, &transaction).await?;
            let (_, draft) = self.target(candidate, &transaction).await?;
            snapshot.require_no_test()?;
            let (control, document) = match snapshot.active.as_slice() {
                [active] => active,
                [] => return Err(snapshot.refused(None, Refusal::NoneActive)),
                _ => return Err(snapshot.refused(None, Refusal::SeveralActive)),
            };
            let refused = |refusal| snapshot.refused(Some(&candidate.version), refusal);
            require_testable(&draft).map_err(refused)?;
            let guard = asked.over(snapshot.guard);
            guard.validate().map_err(ChangeError::Experiment)?;
            let experiment = Experiment {
                metric: asked.metric,
                ..new(Kind::Ab, &candidate.id, [control, &candidate.version], guard, intent)
            };
            let (counted, _) = self.counted(&experiment).await?;
            let named = Candidate {
                experiment: experiment.id.clone(),
                version: candidate.version.clone(),
                share: experiment.share,
                params: draft.params,
            };
            let mut entry = intent.entry(Action::ExperimentStart, &candidate.id);
            entry.from = Some(control.to_string());
            entry.to = Some(candidate.version.to_string());
            entry.experiment = Some(experiment.id.clone());
            let writes = vec![
                self.create_experiment(&experiment),
                self.baseline_write(&experiment.id, &counted),
                patch(document, naming(&named), &[]),
            ];
            Ok(Decided { writes, entry })
        })
        .await
    }

    pub(in crate::store) fn baseline_write(&self, experiment: &str, baseline: &Baseline) -> Write {
        let fields = value::fields([
            ("experiment", value::string(experiment)),
            ("baseline", value::bytes(baseline.encode())),
        ]);
        write::set(self.db.name(STATE, &state_id(experiment)), fields)
    }

    /// The write that begins to watch an activation.
    pub(in crate::store) fn watch(
        &self,
        snapshot: &PolicySnapshot,
        versions: [&Version; 2],
        intent: &Intent,
    ) -> (String, Write) {
        let begun = new(Kind::Watch, &snapshot.id, versions, snapshot.guard, intent);
        let begun = Experiment { started_by: GUARD.to_owned(), ..begun };
        (begun.id.clone(), self.create_experiment(&begun))
    }
}

fn require_testable(draft: &Policy) -> Result<(), Refusal> {
    let facts = draft.facts();
    if draft.status != PolicyStatus::Draft {
        return Err(Refusal::WrongStatus {
            version: facts.version,
            status: draft.status,
            required: PolicyStatus::Draft,
            wanted: "tested",
        });
    }
    facts.params.map_err(Refusal::Params)
}

fn new(
    kind: Kind,
    policy: &str,
    [control, candidate]: [&Version; 2],
    guard: GuardConfig,
    intent: &Intent,
) -> Experiment {
    Experiment {
        id: Uuid::new_v4().to_string(),
        policy: policy.to_owned(),
        kind,
        status: Status::Running,
        open: true,
        control: control.clone(),
        candidate: candidate.clone(),
        metric: Metric::Reward,
        stage: 0,
        share: if kind == Kind::Ab { STAGES[0] } else { 1.0 },
        guard,
        started_at: intent.now,
        started_by: intent.actor.clone(),
        stage_started_at: intent.now,
        ended_at: None,
        ended_by: None,
        reason: None,
        breach: None,
        comparison: None,
    }
}

/// The field of the active version that names its candidate.
pub(in crate::store) fn naming(candidate: &Candidate) -> Fields {
    value::fields([(CANDIDATE, value::map(json_fields(candidate)))])
}
