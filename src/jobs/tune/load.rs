//! Loads what a decision is based on. Nothing here writes to the store.

use std::collections::BTreeMap;

use super::{TuneJob, TuneOptions};
use crate::store::{Cached, ComponentSeries, Result, StoreError, TUNER, TunerMemory};
use f0_learning_core::document::Policy;
use f0_learning_core::estimate::ArmLog;
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::stats::Timeline;
use f0_learning_core::tuning::blocks::{Block, Logs};
use f0_learning_core::tuning::memory::Memory;
use f0_learning_core::tuning::{
    ArmInput, LastDraft, PolicyTuning, TuningConfig, TuningInput, max_weight,
};
use semver::Version;

/// The configuration of a pass.
pub(super) struct Configs {
    pub rewards: RewardConfig,
    pub tuning: TuningConfig,
}

/// Everything that a decision about one policy is based on, except the last draft.
pub(super) struct Loaded {
    pub input: TuningInput,
    pub memory: NextMemory,
}

/// The tuner's memory of a policy, as it is stored and as this pass will store it.
pub(super) struct NextMemory {
    pub stored: TunerMemory,
    pub next: Memory,
}

/// The timelines of a policy version's arms, kept between passes.
#[derive(Debug)]
pub(super) struct KeptTimelines {
    pub arms: usize,
    known: Cached<Known>,
    versions: Cached<Vec<(Version, BTreeMap<String, f64>)>>,
}

/// What was counted of the arms, over time and by version.
#[derive(Clone, Debug, Default)]
struct Known {
    timelines: BTreeMap<String, Timeline>,
    versions: BTreeMap<String, Block>,
}

impl TuneJob {
    /// What is known of a policy's arms now; `None` where the policy is not tuned.
    ///
    /// # Errors
    /// What Firestore refused.
    pub async fn look(&mut self, policy: &Policy, now: i64) -> Result<Option<TuningInput>> {
        let configs = self.configs(now).await?;
        match (policy.params.model_weights(), configs.tuning.policies.get(&policy.id)) {
            (Ok(Some(weights)), Some(bounds)) => {
                Ok(Some(self.load(policy, weights, bounds, &configs, now).await?.input))
            }
            _ => Ok(None),
        }
    }

    pub(super) async fn configs(&mut self, now: i64) -> Result<Configs> {
        let store = self.store.clone();
        let rewards = self.reward_config.get(now, store.reward_config()).await?;
        let tuning = self.tuning_config.get(now, store.tuning_config()).await?;
        Ok(Configs { rewards, tuning })
    }

    pub(super) async fn load(
        &mut self,
        policy: &Policy,
        weights: BTreeMap<String, f64>,
        bounds: &PolicyTuning,
        configs: &Configs,
        now: i64,
    ) -> Result<Loaded> {
        let Known { timelines, versions } = self.known(policy, &weights, bounds, now).await?;
        let max_weight = max_weight(&timelines, bounds.least_probability());
        let stored = self.store.tuner_memory(&policy.id).await?;
        let next = stored.memory.advanced(&timelines, &versions, max_weight, now);
        let memory = NextMemory { next, stored };
        let input = TuningInput {
            policy_id: policy.id.clone(),
            parent: policy.version.clone(),
            arms: ArmInput::of_all(&timelines, &memory.next),
            max_weight,
            routed: self.routed(policy, &weights, bounds).await?,
            blocks: Some(memory.next.blocks(weights.keys(), versions)),
            weights,
            rewards: configs.rewards.clone(),
            config: bounds.clone(),
            tuning_version: configs.tuning.version.clone(),
            last_draft: None,
            as_of: now,
        };
        Ok(Loaded { input, memory })
    }

    async fn known(
        &mut self,
        policy: &Policy,
        weights: &BTreeMap<String, f64>,
        bounds: &PolicyTuning,
        now: i64,
    ) -> Result<Known> {
        let TuneOptions { stats_ttl, policies_ttl } = self.options;
        let kept = self.timelines.entry(policy.name()).or_insert_with(|| KeptTimelines {
            arms: 0,
            known: Cached::new(stats_ttl),
            versions: Cached::new(policies_ttl),
        });
        let store = self.store.clone();
        let mut versions = kept.versions.get(now, store.weights_of_versions(&policy.id)).await?;
        if !versions.iter().any(|(version, _)| *version == policy.version) {
            versions.push((policy.version.clone(), weights.clone()));
        }
        let load = async {
            let arms: BTreeMap<String, &String> =
                weights.keys().map(|arm| (bounds.component_of(arm), arm)).collect();
            let components: Vec<&str> = arms.keys().map(String::as_str).collect();
            let found = store.series(&components).await?;
            let named = |mut found: ComponentSeries| {
                found.series.advance(now);
                let arm = arms.get(&found.component)?;
                Some(((*arm).clone(), found.series.timeline().clone()))
            };
            let timelines = found.into_iter().filter_map(named).collect();
            // Read after the timelines: an arm that restarts is compared from here on.
            let counted = store.tallies(&policy.id, versions.iter().map(|it| &it.0)).await?;
            let block = |(version, weights): &(Version, BTreeMap<String, f64>)| {
                let logs = logs(counted.get(version)?.rewards()?, weights, bounds);
                Some((version.to_string(), Block { weights: weights.clone(), logs }))
            };
            let versions = versions.iter().filter_map(block).collect();
            Ok::<_, StoreError>(Known { timelines, versions })
        };
        let known: Known = kept.known.get(now, load).await?;
        kept.arms = known.timelines.len();
        Ok(known)
    }

    /// By arm, the rewards of the observations that name the version; `None` where too many
    /// components name it.
    async fn routed(
        &self,
        policy: &Policy,
        weights: &BTreeMap<String, f64>,
        bounds: &PolicyTuning,
    ) -> Result<Option<BTreeMap<String, ArmLog>>> {
        let Ok(key) = PolicyKey::new(&policy.id, policy.version.clone()) else { return Ok(None) };
        let tally = self.store.tally(&key).await?;
        let Some(rewards) = tally.rewards() else { return Ok(None) };
        let of = |arm: &String| {
            let found = rewards.get(&bounds.component_of(arm)).cloned();
            (arm.clone(), found.unwrap_or_default())
        };
        Ok(Some(weights.keys().map(of).collect()))
    }
}

/// The rewards of a version's arms, also of those that the active version does not have: they are
/// actions of that version as well.
fn logs(rewards: &Logs, weights: &BTreeMap<String, f64>, bounds: &PolicyTuning) -> Logs {
    let of = |arm: &String| Some((arm.clone(), rewards.get(&bounds.component_of(arm))?.clone()));
    weights.keys().filter_map(of).collect()
}

/// The tuner's last draft from the served version that is open or was refused. One that was rolled
/// back counts as rejected: its evidence did not hold.
pub(super) fn last_draft(policy: &Policy, versions: &[Policy]) -> Option<LastDraft> {
    let last = versions
        .iter()
        .filter(|version| version.parent_version.as_ref() == Some(&policy.version))
        .filter(|version| version.created_by == TUNER)
        .filter(|version| status_as_draft(version).is_some())
        .max_by(|a, b| a.version.cmp(&b.version))?;
    Some(LastDraft {
        version: last.version.clone(),
        weights: last.params.model_weights().ok()??,
        status: status_as_draft(last)?,
    })
}

/// `None` for a version that was activated and not rolled back.
fn status_as_draft(version: &Policy) -> Option<PolicyStatus> {
    match version.status {
        status @ (PolicyStatus::Draft | PolicyStatus::Rejected) => Some(status),
        PolicyStatus::Archived if version.rolled_back_at.is_some() => Some(PolicyStatus::Rejected),
        _ => None,
    }
}
