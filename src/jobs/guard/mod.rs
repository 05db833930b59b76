//! The guard job: looks at what is being compared, and moves it on, ends it or takes it back.
//!
//! Load, judge, apply, as the tune job: what follows from the observations is
//! `domain::experiment::judge`; each step is one transaction that finds the experiment as it was
//! judged, or leaves it to the next pass.

pub mod history;

use std::fmt;

use crate::store::{Cached, ChangeError, GUARD, REWARD_CONFIG_TTL, Result, Store, StoreError};
use f0_learning_core::document::{Experiment, FlagsState};
use f0_learning_core::experiment::{
    Baseline, Breach, Comparison, Judgement, Kind, STAGES, Status, compare, judge,
};
use f0_learning_core::intent::Intent;
use f0_learning_core::reward::RewardConfig;

/// The job with what it keeps in memory between passes.
#[derive(Debug)]
pub struct GuardJob {
    store: Store,
    reward_config: Cached<RewardConfig>,
}

/// What became of the experiments that go on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GuardReport {
    pub outcomes: Vec<GuardOutcome>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct GuardOutcome {
    pub experiment: Experiment,
    pub action: GuardAction,
}

/// What was done about one experiment.
#[derive(Clone, Debug, PartialEq)]
pub enum GuardAction {
    /// Nothing follows yet.
    NoChange,
    NextStage {
        share: f64,
    },
    /// The candidate is proven to be better, and somebody is asked to activate it.
    AwaitingApproval,
    Promoted,
    /// The candidate was taken back.
    RolledBack(Breach),
    /// It ended, and the active version stays as it is.
    Ended(Status),
    /// Something followed, and was not done.
    Skipped(String),
}

/// What is known of an experiment at a moment.
#[derive(Clone, Debug)]
pub struct Evaluation {
    pub comparison: Comparison,
    pub judgement: Judgement,
    counted: Baseline,
}

impl GuardJob {
    pub fn new(store: Store) -> Self {
        Self { store, reward_config: Cached::new(REWARD_CONFIG_TTL) }
    }

    /// Looks at every experiment that goes on.
    ///
    /// # Errors
    /// What Firestore refused. Steps that were made before stay; the next pass makes the rest.
    pub async fn pass(&mut self, now: i64) -> Result<GuardReport> {
        let open = self.store.open_experiments().await?;
        if open.is_empty() {
            return Ok(GuardReport::default());
        }
        let flags = self.store.flags().await?;
        let store = self.store.clone();
        let rewards = self.reward_config.get(now, store.reward_config()).await?;
        let mut outcomes = Vec::new();
        for experiment in open {
            let action = match self.step(&experiment, &rewards, &flags, now).await {
                Ok(step) => step,
                Err(ChangeError::Store(error)) if !error.is_isolated() => return Err(error),
                // Somebody else was first, it is forbidden, or a document cannot be read: the
                // others are looked at all the same, and the next pass looks again.
                Err(refused) => GuardAction::Skipped(refused.to_string()),
            };
            outcomes.push(GuardOutcome { experiment, action });
        }
        Ok(GuardReport { outcomes })
    }

    async fn step(
        &self,
        experiment: &Experiment,
        rewards: &RewardConfig,
        flags: &FlagsState,
        now: i64,
    ) -> std::result::Result<GuardAction, ChangeError> {
        match evaluate(&self.store, experiment, rewards, now).await {
            Ok(seen) => self.act(experiment, seen, flags, now).await,
            // What is counted may be readable to another version of the service, and later to this
            // one; but not for ever.
            Err(error @ StoreError::Decode { .. })
                if experiment.guard.is_over(experiment.started_at, now) =>
            {
                let status = Status::Inconclusive;
                let intent = Intent::new(GUARD, now);
                let why = error.to_string();
                self.store.end_experiment(experiment, status, &why, None, None, &intent).await?;
                Ok(GuardAction::Ended(status))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn act(
        &self,
        experiment: &Experiment,
        seen: Evaluation,
        flags: &FlagsState,
        now: i64,
    ) -> std::result::Result<GuardAction, ChangeError> {
        let store = &self.store;
        let Evaluation { comparison, judgement, counted } = seen;
        let because = |why: String| Intent::new(GUARD, now).because(why);
        let end = async |status: Status, why: &str, breach| {
            let intent = because(why.to_owned());
            let comparison = Some(&comparison);
            store.end_experiment(experiment, status, why, comparison, breach, &intent).await
        };
        // What waits for an answer is watched for breaches, and asks no more than once.
        let waits = experiment.status == Status::Succeeded;
        match judgement {
            Judgement::Invalidated(invalidated) => {
                end(invalidated.status, &invalidated.to_string(), None).await?;
                Ok(GuardAction::Ended(invalidated.status))
            }
            Judgement::Breach(breach) if experiment.kind == Kind::Ab => {
                end(Status::Breached, &breach.to_string(), Some(breach)).await?;
                Ok(GuardAction::RolledBack(breach))
            }
            Judgement::Breach(breach) => {
                let intent = because(breach.to_string());
                store.roll_back_breached(experiment, breach, &comparison, &intent).await?;
                Ok(GuardAction::RolledBack(breach))
            }
            Judgement::Success if flags.auto_activation_enabled() => {
                let intent = because("an A/B test proved it better".to_owned());
                match store.promote(experiment, &comparison, &intent).await {
                    Ok(_) => Ok(GuardAction::Promoted),
                    // It is for somebody to decide, who is asked once.
                    Err(ChangeError::Pinned(..)) if waits => Ok(GuardAction::NoChange),
                    Err(ChangeError::Pinned(..)) => {
                        store.await_answer(experiment, &comparison, &intent).await?;
                        Ok(GuardAction::AwaitingApproval)
                    }
                    Err(refused) => Err(refused),
                }
            }
            _ if waits => Ok(GuardAction::NoChange),
            Judgement::Continue => Ok(GuardAction::NoChange),
            Judgement::NextStage if !flags.tuning_enabled() => Ok(GuardAction::NoChange),
            Judgement::NextStage => {
                let intent = because("no guardrail is broken".to_owned());
                store.ramp(experiment, &counted, &comparison, &intent).await?;
                let share = STAGES.get(experiment.stage + 1).copied().unwrap_or(1.0);
                Ok(GuardAction::NextStage { share })
            }
            Judgement::Success => {
                let intent = because("an A/B test proved it better".to_owned());
                store.await_answer(experiment, &comparison, &intent).await?;
                Ok(GuardAction::AwaitingApproval)
            }
            Judgement::Passed => {
                end(Status::Passed, "what it did is known, and is within bounds", None).await?;
                Ok(GuardAction::Ended(Status::Passed))
            }
            Judgement::NoGain => {
                let least = experiment.guard.min_effect;
                let why = format!("it is proven to gain less than {least}");
                end(Status::NoGain, &why, None).await?;
                Ok(GuardAction::Ended(Status::NoGain))
            }
            Judgement::Inconclusive => {
                let days = experiment.guard.max_days;
                let why = format!("{days} days did not suffice to tell them apart");
                end(Status::Inconclusive, &why, None).await?;
                Ok(GuardAction::Ended(Status::Inconclusive))
            }
        }
    }
}

/// What is known of an experiment now, and what follows.
pub async fn evaluate(
    store: &Store,
    experiment: &Experiment,
    rewards: &RewardConfig,
    now: i64,
) -> Result<Evaluation> {
    let (counted, statuses) = store.counted(experiment).await?;
    let samples = store.compared(experiment, &counted).await?;
    let most = rewards.bounds.max_cost_usd;
    let (rate, tail) = (experiment.guard.min_sample_rate, experiment.tail());
    let comparison = compare(&samples.control, &samples.candidate, most, rate, tail);
    let invalidated =
        statuses.invalidated(experiment.kind, &experiment.control, &experiment.candidate);
    let judgement = invalidated.map_or_else(
        || judge(&experiment.setting(), &experiment.guard, &comparison, now),
        Judgement::Invalidated,
    );
    Ok(Evaluation { comparison, judgement, counted })
}

impl GuardReport {
    /// Tells the log: what was taken back or held loudly, what waits quietly.
    pub fn log(&self) {
        for outcome in &self.outcomes {
            match &outcome.action {
                GuardAction::RolledBack(_) | GuardAction::Skipped(_) => {
                    tracing::warn!(job = "guard", "{outcome}");
                }
                GuardAction::NoChange => tracing::debug!(job = "guard", "{outcome}"),
                _ => tracing::info!(job = "guard", "{outcome}"),
            }
        }
    }

    /// How many versions were taken back.
    pub fn rolled_back(&self) -> usize {
        self.outcomes.iter().filter(|it| matches!(it.action, GuardAction::RolledBack(_))).count()
    }
}

impl fmt::Display for GuardReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.outcomes.is_empty() {
            return f.write_str("nothing is being tested or watched");
        }
        for (index, outcome) in self.outcomes.iter().enumerate() {
            let line = if index == 0 { "" } else { "\n" };
            write!(f, "{line}{outcome}")?;
        }
        Ok(())
    }
}

impl fmt::Display for GuardOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Experiment { policy, candidate, control, kind, .. } = &self.experiment;
        let doing = match kind {
            Kind::Ab => "tested against",
            Kind::Watch => "watched against",
        };
        write!(f, "{policy}@{candidate}, {doing} {control}: ")?;
        match &self.action {
            GuardAction::NoChange => f.write_str("nothing follows yet"),
            GuardAction::NextStage { share } => {
                write!(f, "has {:.0}% of the units now", share * 100.0)
            }
            GuardAction::AwaitingApproval => {
                f.write_str("proven to be better; activate it, or stop the experiment")
            }
            GuardAction::Promoted => f.write_str("proven to be better, and activated"),
            GuardAction::RolledBack(breach) => write!(f, "taken back: {breach}"),
            GuardAction::Ended(status) => write!(f, "ended: {}", status.as_str()),
            GuardAction::Skipped(why) => write!(f, "nothing was done: {why}"),
        }
    }
}
