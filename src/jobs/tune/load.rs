//! Loads what a decision is based on. Nothing here writes to the store.

use std::collections::BTreeMap;

use super::TuneJob;
use crate::store::{Cached, ComponentSeries, Result, StoreError, TUNER, TunerMemory};
use f0_learning_core::document::Policy;
use f0_learning_core::estimate::ArmLog;
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use f0_learning_core::reward::{RewardConfig, ScoredUnder};
use f0_learning_core::stats::{Tally, Timeline};
use f0_learning_core::tuning::memory::Memory;
use f0_learning_core::tuning::rewards::{self, Stamps};
use f0_learning_core::tuning::{
    ArmInput, Evidence, LastDraft, Past, PastDraft, PolicyTuning, Refusal, Shift, Signals, Step,
    TuningConfig, TuningInput, Unmatched, max_weight,
};

/// The configuration of a pass.
pub(super) struct Configs {
    pub rewards: RewardConfig,
    pub tuning: TuningConfig,
}

/// Everything that a decision about one policy is based on, except the last draft.
pub(super) struct Loaded {
    pub input: TuningInput,
    pub memory: NextMemory,
    pub timelines: BTreeMap<String, Timeline>,
    /// The observations that name the active version.
    pub named: u64,
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
    known: Cached<KnownArms>,
}

/// What was counted of the arms of a policy version.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownArms {
    timelines: BTreeMap<String, Timeline>,
    /// The configs that the rewards of the arms were scored under.
    scored_under: Stamps,
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
        let KnownArms { timelines, scored_under } =
            self.known_arms(policy, &weights, bounds, now).await?;
        let max_weight = max_weight(&timelines, bounds.least_probability());
        let stored = self.store.tuner_memory(&policy.id).await?;
        let tally = match PolicyKey::new(&policy.id, policy.version.clone()) {
            Ok(key) => Some(self.store.stamped_tally(&key).await?),
            Err(_) => None,
        };
        let next = stored.memory.advanced(&timelines, max_weight, now).restarted(&scored_under);
        let memory = NextMemory { next, stored };
        let mut arms = ArmInput::of_all(&timelines, &memory.next);
        let shifts = timelines.iter().map(|(arm, timeline)| {
            (arm.clone(), Shift::within(timeline, memory.next.of(arm).since))
        });
        let shifts = shifts.filter(|(_, shifts)| !shifts.is_empty()).collect();
        let reward_restart = rewards::leave_out(&mut arms, &scored_under, now);
        let latest = rewards::latest(&scored_under);
        let Routed { routed, unmatched } = tally
            .as_ref()
            .map(|tally| Routed::of(tally, &weights, bounds, latest))
            .unwrap_or_default();
        let input = TuningInput {
            policy_id: policy.id.clone(),
            parent: policy.version.clone(),
            arms,
            max_weight,
            routed,
            weights,
            rewards: configs.rewards.clone(),
            config: bounds.clone(),
            tuning_version: configs.tuning.version.clone(),
            last_draft: None,
            as_of: now,
            signals: Signals { unmatched, reward_restart, shifts },
        };
        let named = tally.map_or(0, |(tally, _)| tally.stats().n);
        Ok(Loaded { input, memory, timelines, named })
    }

    async fn known_arms(
        &mut self,
        policy: &Policy,
        weights: &BTreeMap<String, f64>,
        bounds: &PolicyTuning,
        now: i64,
    ) -> Result<KnownArms> {
        let ttl = self.options.stats_ttl;
        let kept = self
            .timelines
            .entry(policy.name())
            .or_insert_with(|| KeptTimelines { arms: 0, known: Cached::new(ttl) });
        let store = self.store.clone();
        let load = async {
            let arms: BTreeMap<String, &String> =
                weights.keys().map(|arm| (bounds.component_of(arm), arm)).collect();
            let components: Vec<&str> = arms.keys().map(String::as_str).collect();
            let found = store.series(&components).await?;
            let mut known = KnownArms::default();
            for ComponentSeries { component, mut series, scored_under, .. } in found {
                series.advance(now);
                let Some(arm) = arms.get(&component) else { continue };
                known.timelines.insert((*arm).clone(), series.timeline().clone());
                known.scored_under.extend(scored_under.map(|stamp| ((*arm).clone(), stamp)));
            }
            Ok::<_, StoreError>(known)
        };
        let known = kept.known.get(now, load).await?;
        kept.arms = known.timelines.len();
        Ok(known)
    }
}

/// The observations that name the active version.
#[derive(Debug, Default)]
struct Routed {
    /// By arm; `None` where too many components name the version.
    routed: Option<BTreeMap<String, ArmLog>>,
    unmatched: Unmatched,
}

impl Routed {
    /// The rewards in the tally of the version; none while they are not of the `latest` config.
    fn of(
        (tally, scored_under): &(Tally, Option<ScoredUnder>),
        weights: &BTreeMap<String, f64>,
        bounds: &PolicyTuning,
        latest: Option<&ScoredUnder>,
    ) -> Self {
        let Some(rewards) = tally.rewards() else { return Self::default() };
        let arms: Vec<String> = weights.keys().map(|arm| bounds.component_of(arm)).collect();
        let counted = rewards.iter().map(|(component, log)| (component.as_str(), log.n()));
        let unmatched = Unmatched::of(counted, &arms);
        let is_latest = latest.is_none() || ScoredUnder::is_same(scored_under.as_ref(), latest);
        let of = |arm: &String| {
            let found = rewards.get(&bounds.component_of(arm)).cloned();
            (arm.clone(), found.unwrap_or_default())
        };
        let routed = is_latest.then(|| weights.keys().map(of).collect());
        Self { routed, unmatched }
    }
}

/// The tuner's last draft from the served version that is open, or was rejected by hand at an
/// unknown time. One that the tuner superseded was withdrawn, and one that was rejected or rolled
/// back at a known time is among the refusals.
fn last_draft(policy: &Policy, versions: &[Policy]) -> Option<PastDraft> {
    let last = versions
        .iter()
        .filter(|version| version.parent_version.as_ref() == Some(&policy.version))
        .filter(|version| version.created_by == TUNER && awaits_or_was_refused(version))
        .max_by(|a, b| a.version.cmp(&b.version))?;
    let evidence = last.evidence.clone().map(serde_json::from_value::<Evidence>);
    let candidate = policy.candidate.as_ref();
    Some(PastDraft {
        last: LastDraft {
            version: last.version.clone(),
            weights: last.params.model_weights().ok()??,
            status: last.status,
        },
        evidence: evidence.and_then(std::result::Result::ok),
        expected_gain: last.expected_gain,
        is_tested: candidate.is_some_and(|it| it.version == last.version),
    })
}

fn awaits_or_was_refused(version: &Policy) -> bool {
    match version.status {
        PolicyStatus::Draft => true,
        PolicyStatus::Rejected => version.superseded_by.is_none() && version.rejected_by.is_none(),
        _ => false,
    }
}

impl Loaded {
    /// What was decided about the policy before, as far as the decision takes it into account.
    pub fn past(&self, policy: &Policy, versions: &[Policy], refused: Vec<Refusal>) -> Past {
        let Self { input, memory, timelines, named } = self;
        let with_known = |it: Refusal| {
            it.with_known(timelines, &memory.next, input.max_weight, input.config.alpha)
        };
        let active_since = policy.activated_at.filter(|_| policy.created_by == TUNER);
        Past {
            draft: last_draft(policy, versions),
            refusals: refused.into_iter().map(with_known).collect(),
            step: active_since.map(|active_since| Step {
                version: policy.version.clone(),
                active_since,
                named: *named,
            }),
        }
    }
}
