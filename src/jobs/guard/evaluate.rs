//! Evaluates an experiment: what was observed of its versions, and what follows.

use crate::store::{Result, Store};
use f0_learning_core::document::Experiment;
use f0_learning_core::experiment::{Baseline, Comparison, Judgement, compare, judge};
use f0_learning_core::reward::RewardConfig;

/// What is known of an experiment at a moment.
#[derive(Clone, Debug)]
pub struct Evaluation {
    pub comparison: Comparison,
    pub judgement: Judgement,
    pub(super) counted: Baseline,
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
