//! Evaluates an experiment: what was observed of its versions, and what follows.

use super::others::{Activated, others};
use crate::store::{Result, Store, StoreError};
use f0_learning_core::document::Experiment;
use f0_learning_core::experiment::{
    Baseline, Comparison, Judgement, Kind, OtherComponent, compare_beyond, judge,
};
use f0_learning_core::plural::count;
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::stats::Window;
use f0_learning_core::time::HOUR_MS;

/// What is known of an experiment at a moment.
#[derive(Clone, Debug)]
pub struct Evaluation {
    pub comparison: Comparison,
    pub judgement: Judgement,
    pub(super) counted: Baseline,
    /// Documents of the policy's components in the longest window that name no version, and so are not
    /// compared. Counted only where that may explain something: a version has no observations, or the
    /// time is over without a proof.
    pub unversioned: u64,
    /// That the components do not seem to use the candidate.
    pub unserved: Option<String>,
}

/// What is known of an experiment now, and what follows.
pub async fn evaluate(
    store: &Store,
    experiment: &Experiment,
    rewards: &RewardConfig,
    now: i64,
) -> Result<Evaluation> {
    evaluate_with(store, experiment, rewards, |_| true, now).await
}

/// The same for the next step. Other components are read only where something follows: they can only
/// keep a claim from being made.
pub(super) async fn evaluate_step(
    store: &Store,
    experiment: &Experiment,
    rewards: &RewardConfig,
    now: i64,
) -> Result<Evaluation> {
    let is_step = |judgement: &Judgement| *judgement != Judgement::Continue;
    evaluate_with(store, experiment, rewards, is_step, now).await
}

async fn evaluate_with(
    store: &Store,
    experiment: &Experiment,
    rewards: &RewardConfig,
    needs_controls: impl Fn(&Judgement) -> bool,
    now: i64,
) -> Result<Evaluation> {
    let (counted, statuses) = store.counted(experiment).await?;
    let samples = store.compared(experiment, &counted).await?;
    let most = rewards.bounds.max_cost_usd;
    let (rate, tail) = (experiment.guard.min_sample_rate, experiment.tail());
    let compared = |others: &[OtherComponent]| {
        compare_beyond(&samples.control, &samples.candidate, others, most, rate, tail)
    };
    let Experiment { kind, policy, control, candidate, started_at, .. } = experiment;
    let invalidated = statuses.invalidated(*kind, control, candidate);
    let judged = |comparison: &Comparison| match &invalidated {
        Some(why) => Judgement::Invalidated(why.clone()),
        None => judge(&experiment.setting(), &experiment.guard, comparison, now),
    };
    let mut comparison = compared(&[]);
    let mut judgement = judged(&comparison);
    if *kind == Kind::Watch && needs_controls(&judgement) {
        let activated = Activated { policy, control, candidate, at: *started_at };
        comparison = compared(&others(store, &activated, now).await?);
        judgement = judged(&comparison);
    }
    let is_unseen = comparison.control_n.min(comparison.candidate_n) == 0;
    let unversioned = match is_unseen || judgement == Judgement::Inconclusive {
        true => unversioned(store, experiment).await?,
        false => 0,
    };
    let unserved = unserved(experiment, &comparison, now);
    Ok(Evaluation { comparison, judgement, counted, unversioned, unserved })
}

/// How long a candidate may get no units before that is worth a note. Components read their policy every
/// few minutes.
const UNSERVED_MS: i64 = HOUR_MS;

/// The observations that a candidate should have by its share before having none is worth a note: that
/// many are missing by chance with a probability of e^-20.
const UNSERVED: f64 = 20.0;

/// That the candidate of an A/B test gets no units although the version it is tested against does: the
/// components choose without it.
fn unserved(experiment: &Experiment, comparison: &Comparison, now: i64) -> Option<String> {
    let Experiment { kind, share, stage_started_at, control, candidate, .. } = experiment;
    let Comparison { control_n, candidate_n, .. } = comparison;
    let lasted = now.saturating_sub(*stage_started_at);
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let expected = *control_n as f64 * share / (1.0 - share).max(f64::EPSILON);
    let is_served = *kind != Kind::Ab || !experiment.open || *candidate_n > 0;
    if is_served || lasted < UNSERVED_MS || expected < UNSERVED {
        return None;
    }
    Some(format!(
        "no observation names the candidate {candidate} in {}, although {control_n} name {control} \
         and {expected:.0} were to be expected: let the components use `candidate` of the active version, \
         see docs/integration.md",
        count(lasted / HOUR_MS, "hour")
    ))
}

/// A note for people: what cannot be read of configuration, policy or statistics counts as nothing.
async fn unversioned(store: &Store, experiment: &Experiment) -> Result<u64> {
    let read = async {
        let config = store.tuning_config().await?;
        let Some(tuning) = config.policies.get(&experiment.policy) else { return Ok(0) };
        let Ok(key) = PolicyKey::new(&experiment.policy, experiment.candidate.clone()) else {
            return Ok(0);
        };
        let policy = store.policy(&key).await?;
        let weights = policy.and_then(|policy| policy.params.model_weights().ok().flatten());
        let components: Vec<String> =
            weights.unwrap_or_default().keys().map(|arm| tuning.component_of(arm)).collect();
        let stats = store.stats_of(&components, Window::SevenDays).await?;
        Ok(stats.iter().map(|it| it.stats.unversioned).sum())
    };
    match read.await {
        Err(StoreError::Decode { .. }) => Ok(0),
        found => found,
    }
}
