//! Applies what was decided about an experiment, each step in one transaction.

use super::report::unversioned_note;
use super::{Evaluation, GuardAction, GuardJob};
use crate::store::{ChangeError, GUARD};
use f0_learning_core::document::{Experiment, FlagsState};
use f0_learning_core::experiment::{
    Breach, Comparison, Judgement, Kind, MissingCosts, STAGES, Status,
};
use f0_learning_core::intent::Intent;
use f0_learning_core::plural::{clause, count};

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
        let Evaluation { comparison, judgement, counted, unversioned, .. } = evaluation;
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
                let why = inconclusive(experiment, &comparison, unversioned);
                let why = comparison.qualified(experiment.kind, why);
                end(Status::Inconclusive, &why, None).await
            }
        }
    }
}

/// Why nothing was proven: how much was observed, and what to do if that is nothing.
fn inconclusive(experiment: &Experiment, comparison: &Comparison, unversioned: u64) -> String {
    let Experiment { control, candidate, policy, guard, .. } = experiment;
    let days = guard.max_days;
    let counts = [(control, comparison.control_n), (candidate, comparison.candidate_n)];
    let [of_control, of_candidate] =
        counts.map(|(version, n)| format!("{} {version}", clause(n, "observation", "name")));
    let days = count(days, "day");
    let mut why = format!("no difference was proven in {days}: {of_control}, {of_candidate}");
    let unseen = counts.iter().filter(|(_, n)| *n == 0).map(|(version, _)| version);
    let unseen: Vec<String> = unseen.map(|version| format!("{policy}@{version}")).collect();
    if !unseen.is_empty() {
        let names = unseen.join(" and ");
        why += &format!(
            "; let the components write {names} in policyVersion, see docs/integration.md"
        );
    }
    if unversioned > 0 {
        why += &format!("; {}", unversioned_note(unversioned));
    }
    if comparison.lacks_rewards() {
        why += "; the rewards were not compared, because config/reward_config changed and those of the \
                two versions were scored under different versions of it";
    }
    if let Some(MissingCosts { control: of_control, candidate: of_candidate }) =
        comparison.missing_costs
    {
        why += &format!(
            "; {candidate} states a cost for {:.0}% of its observations and {control} for {:.0}%, and a \
             missing cost earns more: they were compared without reward and cost; let the components \
             record costUsd as often (0 if it is free)",
            of_candidate * 100.0,
            of_control * 100.0
        );
    }
    why
}

#[cfg(test)]
mod tests {
    use f0_learning_core::experiment::compare;
    use f0_learning_core::observation::Observation;
    use f0_learning_core::reward::{RewardConfig, score};
    use f0_learning_core::stats::Samples;

    use super::*;

    fn experiment() -> Experiment {
        serde_json::from_value(serde_json::json!({
            "id": "e", "kind": "watch", "policy": "p", "control": "1.0.0", "candidate": "1.0.1",
            "metric": "reward", "status": "running", "open": true, "share": 1.0, "stage": 0,
            "startedAt": 1, "stageStartedAt": 1, "startedBy": "ada",
            "guard": f0_learning_core::experiment::GuardConfig::default(),
        }))
        .unwrap()
    }

    fn samples(costs: bool) -> Samples {
        let mut samples = Samples::default();
        let mut json = serde_json::json!({
            "ts": 1_780_000_000_000_i64, "component": "c", "outcome": "success", "durationMs": 1,
        });
        if costs {
            json["costUsd"] = 0.05.into();
        }
        let observation = Observation::parse("o", json.as_object().unwrap()).unwrap();
        for _ in 0..100 {
            samples.add(&observation, &score(&RewardConfig::default(), &observation));
        }
        samples
    }

    #[test]
    fn an_inconclusive_end_names_a_changed_reward_config() {
        let mut comparison = compare(&samples(true), &samples(true), 0.1, 1.0, 0.01);
        let why = inconclusive(&experiment(), &comparison, 0);
        assert!(!why.contains("reward_config"), "{why}");
        comparison.reward = None;
        let why = inconclusive(&experiment(), &comparison, 0);
        assert!(why.contains("config/reward_config changed"), "{why}");
    }

    #[test]
    fn an_inconclusive_end_names_missing_costs_and_missing_versions() {
        let comparison = compare(&samples(true), &samples(false), 0.1, 1.0, 0.01);
        let why = inconclusive(&experiment(), &comparison, 12);
        assert!(why.contains("1.0.1 states a cost for 0% of its observations"), "{why}");
        assert!(why.contains("12 observations"), "{why}");
    }
}
