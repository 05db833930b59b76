//! Applies what was decided about an experiment, each step in one transaction.

use super::{Evaluation, GuardAction, GuardJob};
use crate::store::{ChangeError, GUARD};
use f0_learning_core::document::{Experiment, FlagsState};
use f0_learning_core::experiment::{Breach, Comparison, Judgement, Kind, STAGES, Status};
use f0_learning_core::intent::Intent;

/// Why a candidate is activated, or an admin is asked to activate it.
const PROVEN_BETTER: &str = "proven to be better in an A/B test";

type Result<T> = std::result::Result<T, ChangeError>;

impl GuardJob {
    pub(super) async fn apply(
        &self,
        experiment: &Experiment,
        evaluation: Evaluation,
        flags: &FlagsState,
        now: i64,
    ) -> Result<GuardAction> {
        let Evaluation { comparison, judgement, counted } = evaluation;
        let end = async |status: Status, why: &str, breach: Option<Breach>| {
            let intent = Intent::new(GUARD, now).because(why);
            let comparison = Some(&comparison);
            self.store.end_experiment(experiment, status, why, comparison, breach, &intent).await?;
            Ok(GuardAction::Ended(status))
        };
        // A candidate that awaits approval is still watched for breaches. An admin is asked once.
        let is_awaiting = experiment.status == Status::Succeeded;
        match judgement {
            Judgement::Invalidated(it) => end(it.status, &it.to_string(), None).await,
            Judgement::Breach(breach) if experiment.kind == Kind::Ab => {
                end(Status::Breached, &breach.to_string(), Some(breach)).await?;
                Ok(GuardAction::RolledBack(breach))
            }
            Judgement::Breach(breach) => {
                let why = comparison.qualified(experiment.kind, breach);
                let intent = Intent::new(GUARD, now).because(why);
                self.store.roll_back_breached(experiment, breach, &comparison, &intent).await?;
                Ok(GuardAction::RolledBack(breach))
            }
            Judgement::Success if flags.auto_activation_enabled() => {
                let intent = Intent::new(GUARD, now).because(PROVEN_BETTER);
                match self.store.promote(experiment, &comparison, &intent).await {
                    Ok(_) => Ok(GuardAction::Promoted),
                    Err(ChangeError::Pinned(..)) if is_awaiting => Ok(GuardAction::NoChange),
                    Err(ChangeError::Pinned(..)) => {
                        self.store.await_answer(experiment, &comparison, &intent).await?;
                        Ok(GuardAction::AwaitingApproval)
                    }
                    Err(refused) => Err(refused),
                }
            }
            _ if is_awaiting => Ok(GuardAction::NoChange),
            Judgement::Continue => Ok(GuardAction::NoChange),
            Judgement::NextStage if !flags.tuning_enabled() => Ok(GuardAction::NoChange),
            Judgement::NextStage => {
                let intent = Intent::new(GUARD, now).because("no guardrail is broken");
                self.store.ramp(experiment, &counted, &comparison, &intent).await?;
                let share = STAGES.get(experiment.stage + 1).copied().unwrap_or(1.0);
                Ok(GuardAction::NextStage { share })
            }
            Judgement::Success => {
                let intent = Intent::new(GUARD, now).because(PROVEN_BETTER);
                self.store.await_answer(experiment, &comparison, &intent).await?;
                Ok(GuardAction::AwaitingApproval)
            }
            Judgement::Passed => {
                let why = "its effect is known and within the bounds";
                let why = comparison.qualified(experiment.kind, why);
                end(Status::Passed, &why, None).await
            }
            Judgement::NoGain => {
                let least = experiment.guard.min_effect;
                let why = format!("proven to gain less than {least}");
                end(Status::NoGain, &why, None).await
            }
            Judgement::Inconclusive => {
                let why = inconclusive(experiment, &comparison);
                let why = comparison.qualified(experiment.kind, why);
                end(Status::Inconclusive, &why, None).await
            }
        }
    }
}

/// Why nothing was proven: how much was observed, and what to do if that is nothing.
fn inconclusive(experiment: &Experiment, comparison: &Comparison) -> String {
    let Experiment { control, candidate, policy, guard, .. } = experiment;
    let days = guard.max_days;
    let counts = [(control, comparison.control_n), (candidate, comparison.candidate_n)];
    let [of_control, of_candidate] =
        counts.map(|(version, n)| format!("{n} observations name {version}"));
    let mut why = format!("no difference was proven in {days} days: {of_control}, {of_candidate}");
    let unseen = counts.iter().filter(|(_, n)| *n == 0).map(|(version, _)| version);
    let unseen: Vec<String> = unseen.map(|version| format!("{policy}@{version}")).collect();
    if !unseen.is_empty() {
        let names = unseen.join(" and ");
        why += &format!(
            "; let the components write {names} in policyVersion, see docs/integration.md"
        );
    }
    why
}
