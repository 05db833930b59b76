//! The start of an A/B test. A watch starts with an activation (see `store::lifecycle`).

use firestore_kit::proto::{Document, Write};

use super::read::{SCORED_UNDER_FIELDS, state_id};
use crate::store::change::{Asked, ChangeError, ChangeResult, Changed, Decided};
use crate::store::collection::STATE;
use crate::store::lifecycle::{CANDIDATE, PARAMS, new_experiment, patch};
use crate::store::scoring::stored_fields::stamp_value;
use crate::store::{Result, Store};
use f0_learning_core::audit::Action;
use f0_learning_core::document::{Candidate, Experiment, Policy};
use f0_learning_core::experiment::{Baseline, GuardConfig, Kind, Metric};
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::lifecycle::Refusal;
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use firestore_kit::value::{self, Fields};
use firestore_kit::write;

/// The settings of an A/B test; those that are left out are taken from `config/tuning`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExperimentRequest {
    pub metric: Metric,
    pub min_effect: Option<f64>,
    pub min_samples: Option<u64>,
    pub stage_minutes: Option<u32>,
    pub max_days: Option<u32>,
}

impl ExperimentRequest {
    pub(super) fn over(&self, guard: GuardConfig) -> GuardConfig {
        GuardConfig {
            min_effect: self.min_effect.unwrap_or(guard.min_effect),
            min_samples: self.min_samples.unwrap_or(guard.min_samples),
            stage_minutes: self.stage_minutes.unwrap_or(guard.stage_minutes),
            max_days: self.max_days.unwrap_or(guard.max_days),
            ..guard
        }
    }
}

impl Store {
    /// Gives a draft the first stage's share of the units. The id of the experiment is the `experiment`
    /// of the audit entry.
    ///
    /// # Errors
    /// [`ChangeError::ExperimentRuns`] if the policy already has an A/B test,
    /// [`ChangeError::NoMinEffect`] if costs are compared and the request has no `min_effect`.
    pub async fn start_experiment(
        &self,
        candidate: &PolicyKey,
        request: &ExperimentRequest,
        intent: &Intent,
    ) -> ChangeResult<Changed> {
        // The configured one is in units of reward; as dollars it would exceed most costs.
        if request.metric == Metric::CostUsd && request.min_effect.is_none() {
            return Err(ChangeError::NoMinEffect);
        }
        let target = format!("an experiment with {candidate}");
        let asked = Asked::of(Action::ExperimentStart, &candidate.id);
        self.change(&target, asked, intent, |transaction| async move {
            let snapshot = self.snapshot(&candidate.id, &transaction).await?;
            let (of_draft, draft) = self.require_version(candidate, &transaction).await?;
            snapshot.require_no_test()?;
            let (control, document) = match snapshot.active.as_slice() {
                [active] => active,
                [] => return Err(snapshot.refused(None, Refusal::NoneActive)),
                _ => return Err(snapshot.refused(None, Refusal::SeveralActive)),
            };
            let refused = |refusal| snapshot.refused(Some(&candidate.version), refusal);
            require_testable(&draft).map_err(refused)?;
            let guard = request.over(snapshot.guard);
            guard.validate().map_err(ChangeError::Experiment)?;
            let experiment = Experiment {
                metric: request.metric,
                ..new_experiment(
                    Kind::Ab,
                    &candidate.id,
                    [control, &candidate.version],
                    guard,
                    intent,
                )
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
                self.create_experiment(&experiment)?,
                self.baseline_write(&experiment.id, &counted),
                patch(document, candidate_fields(&named, &of_draft)?, &[]),
            ];
            Ok(Decided { writes, entry })
        })
        .await
    }

    pub(in crate::store) fn baseline_write(&self, experiment: &str, baseline: &Baseline) -> Write {
        let mut fields = value::fields([
            ("experiment", value::string(experiment)),
            ("baseline", value::bytes(baseline.encode())),
        ]);
        for (stamp, field) in baseline.scored_under.iter().zip(SCORED_UNDER_FIELDS) {
            if let Some(stamp) = stamp {
                fields.insert(field.to_owned(), stamp_value(stamp));
            }
        }
        write::set(self.db.name(STATE, &state_id(experiment)), fields)
    }
}

fn require_testable(draft: &Policy) -> std::result::Result<(), Refusal> {
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

/// The field of the active version with its candidate. Its params are those of the draft's document,
/// with the types that they have there.
pub(super) fn candidate_fields(candidate: &Candidate, draft: &Document) -> Result<Fields> {
    let mut fields = value::to_fields(candidate)?;
    fields.extend(draft.fields.get(PARAMS).map(|params| (PARAMS.to_owned(), params.clone())));
    Ok(value::fields([(CANDIDATE, value::map(fields))]))
}
