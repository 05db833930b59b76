//! The guard job: evaluates A/B tests and watches, and ramps, ends or rolls them back.
//!
//! Load, decide, apply: [`evaluate`] reads what was observed and lets
//! `f0_learning_core::experiment::judge` decide; `apply` makes one step in one transaction, which
//! is refused unless the experiment is still as it was evaluated. The next pass then decides again.

mod apply;
mod evaluate;
pub mod history;
mod others;
mod report;

use super::{Job, JobName, PassContext};
use crate::store::{Cached, ChangeError, GUARD, REWARD_CONFIG_TTL, Result, Store, StoreError};
use evaluate::evaluate_step;
pub use evaluate::{Evaluation, evaluate};
use f0_learning_core::document::{Experiment, FlagsState};
use f0_learning_core::estimate::Measured;
use f0_learning_core::experiment::{Kind, Status};
use f0_learning_core::intent::Intent;
use f0_learning_core::reward::RewardConfig;
pub use report::{GuardAction, GuardOutcome, GuardReport, Notes};

/// The job with what it keeps in memory between passes.
#[derive(Debug)]
pub struct GuardJob {
    store: Store,
    reward_config: Cached<RewardConfig>,
}

impl Job for GuardJob {
    const NAME: JobName = JobName::Guard;
    type Report = GuardReport;
    type Error = StoreError;

    async fn run(&mut self, context: &PassContext) -> Result<GuardReport> {
        self.pass(context.now).await
    }
}

impl GuardJob {
    pub fn new(store: Store) -> Self {
        Self { store, reward_config: Cached::new(REWARD_CONFIG_TTL) }
    }

    /// Evaluates every open experiment.
    ///
    /// # Errors
    /// What Firestore refused. Steps that were made before stay; the next pass makes the rest.
    pub async fn pass(&mut self, now: i64) -> Result<GuardReport> {
        let (open, unreadable) = self.store.all_open_experiments().await?;
        let unreadable = unreadable.into_iter().map(|error| error.to_string());
        let mut unreadable: Vec<String> = unreadable.collect();
        if open.is_empty() {
            return Ok(GuardReport { outcomes: Vec::new(), unreadable });
        }
        let active = self.store.active_versions().await?.unreadable.into_iter();
        let concerned = active.filter(|it| open.iter().any(|open| open.policy == it.policy));
        unreadable.extend(concerned.map(|version| version.to_string()));
        let flags = self.store.flags().await?;
        let store = self.store.clone();
        let rewards = self.reward_config.get(now, store.reward_config()).await?;
        let mut outcomes = Vec::new();
        for experiment in open {
            let (mut notes, mut change) = (Notes::default(), None);
            let seen = (&mut notes, &mut change);
            let step = self.step(&experiment, &rewards, &flags, seen, now);
            let (action, basis) = match step.await {
                Ok(taken) => taken,
                Err(ChangeError::Store(error)) if !error.concerns_one_document() => {
                    return Err(error);
                }
                // Another change came first, the step is forbidden, or a document cannot be read.
                // The other experiments are still evaluated, and the next pass tries again.
                Err(refused) => (GuardAction::Skipped(refused.to_string()), None),
            };
            outcomes.push(GuardOutcome { experiment, action, basis, change, notes });
        }
        Ok(GuardReport { outcomes, unreadable })
    }

    async fn step(
        &self,
        experiment: &Experiment,
        rewards: &RewardConfig,
        flags: &FlagsState,
        (notes, change): (&mut Notes, &mut Option<Measured>),
        now: i64,
    ) -> std::result::Result<(GuardAction, Option<String>), ChangeError> {
        match evaluate_step(&self.store, experiment, rewards, now).await {
            Ok(evaluation) => {
                let unserved = evaluation.unserved.clone();
                *notes = Notes { unversioned: evaluation.unversioned, unserved };
                *change = evaluation.comparison.change_of_reward();
                let is_watch = experiment.kind == Kind::Watch;
                let basis = is_watch.then(|| evaluation.comparison.basis());
                Ok((self.apply(experiment, evaluation, flags, now).await?, basis))
            }
            // Another version of the service may be able to read the counts. The experiment waits
            // for it until its time is over.
            Err(error @ StoreError::Decode { .. })
                if experiment.guard.is_over(experiment.started_at, now) =>
            {
                let status = Status::Inconclusive;
                let intent = Intent::new(GUARD, now);
                let why = error.to_string();
                self.store.end_experiment(experiment, status, &why, None, None, &intent).await?;
                Ok((GuardAction::Ended(status), None))
            }
            Err(error) => Err(error.into()),
        }
    }
}
