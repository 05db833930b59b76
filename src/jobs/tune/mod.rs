//! The tune job: evaluates each active policy, and writes a draft where the evidence supports a
//! change.
//!
//! Load, decide, apply: `load` reads what a decision is based on and writes nothing; the decision
//! is `f0_learning_core::tuning::assess`, made once; `apply` stores the tuner's memory and the draft. The
//! flags are read first, and again in the transaction that writes.

mod apply;
mod load;
pub mod preview;
pub mod replay;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Job, JobName, PassContext};
use crate::store::{
    ActiveVersions, Cached, DOCUMENT_BYTES, POLICIES_TTL, REWARD_CONFIG_TTL, Result, STATS_TTL,
    Store, StoreError,
};
use apply::Plan;
use f0_learning_core::document::{FlagsState, Policy};
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::tuning::{Assessment, Decision, TuningConfig, assess};
use load::{Configs, KeptTimelines, Loaded};
use report::unusable;
pub use report::{TuneOutcome, TuneReport};

/// How long the job keeps what it has read; the defaults are the specification's.
#[derive(Clone, Copy, Debug)]
pub struct TuneOptions {
    pub policies_ttl: Duration,
    pub stats_ttl: Duration,
}

impl Default for TuneOptions {
    fn default() -> Self {
        Self { policies_ttl: POLICIES_TTL, stats_ttl: STATS_TTL }
    }
}

/// The job with what it keeps in memory between passes.
#[derive(Debug)]
pub struct TuneJob {
    store: Store,
    options: TuneOptions,
    reward_config: Cached<RewardConfig>,
    tuning_config: Cached<TuningConfig>,
    policies: Cached<ActiveVersions>,
    /// The timelines of the arms of each policy version.
    timelines: BTreeMap<String, KeptTimelines>,
}

/// Arms whose timelines are kept between passes; past this all are read again.
const KEPT_ARMS: usize = 1_000;

impl Job for TuneJob {
    const NAME: JobName = JobName::Tune;
    type Report = TuneReport;
    type Error = StoreError;

    async fn run(&mut self, context: &PassContext) -> Result<TuneReport> {
        self.pass(context.now).await
    }
}

impl TuneJob {
    pub fn new(store: Store) -> Self {
        Self::with_options(store, TuneOptions::default())
    }

    pub fn with_options(store: Store, options: TuneOptions) -> Self {
        Self {
            store,
            options,
            reward_config: Cached::new(REWARD_CONFIG_TTL),
            tuning_config: Cached::new(options.policies_ttl),
            policies: Cached::new(options.policies_ttl),
            timelines: BTreeMap::new(),
        }
    }

    /// Decides on every active policy, and writes the drafts.
    ///
    /// # Errors
    /// What Firestore refused. Drafts that were written before stay; the next pass decides on the
    /// other policies.
    pub async fn pass(&mut self, now: i64) -> Result<TuneReport> {
        let flags = self.store.flags().await?;
        if !flags.tuning_enabled() {
            return Ok(TuneReport::SwitchedOff(flags));
        }
        let configs = self.configs(now).await?;
        let store = self.store.clone();
        let active = self.policies.get(now, store.active_versions()).await?;
        if active.readable.is_empty() || !active.unreadable.is_empty() {
            // What is missing or cannot be read now may be there in the next pass.
            self.policies.forget();
        }
        if !configs.tuning.refused.is_empty() {
            self.tuning_config.forget();
        }
        let mut outcomes = Vec::new();
        for version in &active.unreadable {
            outcomes.push((version.policy.clone(), unusable(version)));
        }
        let refused = configs.tuning.refused.iter();
        outcomes.extend(refused.map(|(id, why)| (id.clone(), unusable(why))));
        // A policy with an active version that cannot be read is not tuned from another one.
        let skipped: BTreeSet<String> = outcomes.iter().map(|(id, _)| id.clone()).collect();
        for policy in served(&active.readable).filter(|policy| !skipped.contains(&policy.id)) {
            let outcome = match self.tune(policy, &configs, &flags, now).await {
                Err(error) if error.concerns_one_document() => unusable(&error),
                outcome => outcome?,
            };
            if matches!(outcome, TuneOutcome::Conflict(_)) {
                // The policies that are kept are out of date.
                self.policies.forget();
            }
            outcomes.push((policy.id.clone(), outcome));
        }
        let kept: usize = self.timelines.values().map(|kept| kept.arms).sum();
        if kept > KEPT_ARMS {
            self.timelines.clear();
        }
        Ok(TuneReport::Decided(outcomes))
    }

    async fn tune(
        &mut self,
        policy: &Policy,
        configs: &Configs,
        flags: &FlagsState,
        now: i64,
    ) -> Result<TuneOutcome> {
        let Some(bounds) = configs.tuning.policies.get(&policy.id) else {
            return Ok(TuneOutcome::NotTuned);
        };
        if let Some(why) = policy.pin_reason_text() {
            return Ok(TuneOutcome::Pinned(why.to_owned()));
        }
        let weights = match policy.params.model_weights() {
            Ok(Some(weights)) => weights,
            Ok(None) => return Ok(TuneOutcome::NoWeights),
            Err(error) => return Ok(unusable(&error)),
        };
        let mut loaded = self.load(policy, weights, bounds, configs, now).await?;
        let mut assessment = assess(loaded.input.clone());
        loaded.remember(&assessment, now);
        if let Some(reason) = assessment.reason().cloned() {
            let Some(question) = beyond(&assessment, &loaded) else {
                let plan = Plan::new(assessment, loaded.memory, Decision::None(reason));
                return self.apply(policy, plan, flags).await;
            };
            assessment = question;
        }
        // The last draft, and the size of the stored input, matter only to a change. The decision
        // must be made from exactly what is stored.
        let mut assessment = assessment.fit(DOCUMENT_BYTES);
        let versions = self.store.recent_versions(&policy.id).await?;
        let hours = bounds.veto_hours;
        let refused = self.store.past_refusals(&policy.id, hours, &versions, now).await?;
        let past = loaded.past(policy, &versions, refused.standing);
        let decision = assessment.decide_after(&past);
        let plan = Plan::new(assessment, loaded.memory, decision);
        self.apply(policy, Plan { versions, refusals: refused.entries, ..plan }, flags).await
    }
}

/// What belief would do beyond the approved bounds that have been in its way for hours, if there is
/// nothing left to do within them; `None` if that is nothing either.
fn beyond(assessment: &Assessment, loaded: &Loaded) -> Option<Assessment> {
    let lasting = loaded.memory.next.lasting();
    if lasting.is_empty() || !assessment.reason()?.is_at_best() {
        return None;
    }
    let question = assessment.beyond(lasting);
    question.reason().is_none().then_some(question)
}

/// Of each policy the version that is served: the highest, if several are active.
fn served(active: &[Policy]) -> impl Iterator<Item = &Policy> {
    active.chunk_by(|a, b| a.id == b.id).filter_map(Policy::highest)
}
