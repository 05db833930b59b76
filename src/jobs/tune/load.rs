//! Loads what a decision is based on. Nothing here writes to the store.

use std::collections::BTreeMap;

use super::{TuneJob, TuneOptions};
use crate::store::{Cached, ComponentSeries, Result, StoreError, TUNER, TunerMemory};
use f0_learning_core::document::Policy;
use f0_learning_core::estimate::ArmLog;
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::reward::{RewardConfig, ScoredUnder};
use f0_learning_core::stats::{Tally, Timeline};
use f0_learning_core::tuning::blocks::{Block, Logs};
use f0_learning_core::tuning::envelope::Envelope;
use f0_learning_core::tuning::memory::Memory;
use f0_learning_core::tuning::rewards::{self, Stamps};
use f0_learning_core::tuning::{
    Allocation, ArmInput, Assessment, Basis, Evidence, LastDraft, Past, PastDraft, PolicyTuning,
    Refusal, Shift, Signals, Step, TuningConfig, TuningInput, Unmatched, max_weight,
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
    envelope: Cached<Option<Envelope>>,
    versions: Cached<Vec<(Version, BTreeMap<String, f64>)>>,
}

/// What was counted of the arms of a policy version, over time and by version.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownArms {
    timelines: BTreeMap<String, Timeline>,
    /// The configs that the rewards of the arms were scored under.
    scored_under: Stamps,
    /// The versions whose rewards were scored under the latest config.
    versions: BTreeMap<String, Block>,
    /// What was counted of the active version, and the config that its rewards were scored under;
    /// `None` if its name is not that of a version.
    active: Option<(Tally, Option<ScoredUnder>)>,
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
        let KnownArms { timelines, scored_under, versions, active: tally } =
            self.known_arms(policy, &weights, bounds, now).await?;
        let max_weight = max_weight(&timelines, bounds.least_probability());
        let stored = self.store.tuner_memory(&policy.id).await?;
        let next = stored.memory.advanced(&timelines, &versions, max_weight, now);
        let next = next.restarted(&scored_under);
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
        let by_belief = bounds.allocation == Allocation::Belief;
        let envelope = match by_belief {
            true => self.envelope(policy, now).await?.filter(|it| it.closed(now).is_none()),
            false => None,
        };
        let belief = by_belief.then(|| {
            let made_by_tuner = policy.activated_at.filter(|_| policy.created_by == TUNER);
            Basis::new(&timelines, memory.stored.memory.belief.clone(), made_by_tuner, envelope)
        });
        let input = TuningInput {
            policy_id: policy.id.clone(),
            parent: policy.version.clone(),
            arms,
            max_weight,
            routed,
            blocks: Some(memory.next.blocks(weights.keys(), versions)),
            weights,
            rewards: configs.rewards.clone(),
            config: bounds.clone(),
            tuning_version: configs.tuning.version.clone(),
            last_draft: None,
            as_of: now,
            signals: Signals { unmatched, reward_restart, shifts },
            belief,
        };
        let named = tally.map_or(0, |(tally, _)| tally.stats().n);
        Ok(Loaded { input, memory, timelines, named })
    }

    /// The envelope of a policy. One that is out of date costs a pass at most: the transaction that
    /// activates reads it again.
    async fn envelope(&mut self, policy: &Policy, now: i64) -> Result<Option<Envelope>> {
        let store = self.store.clone();
        self.kept(policy).envelope.get(now, store.envelope(&policy.id)).await
    }

    /// Makes the next pass read the envelope again.
    pub(super) fn forget_envelope(&mut self, policy: &str) {
        let of_policy = self.timelines.iter_mut().filter(|(name, _)| is_of(name, policy));
        of_policy.for_each(|(_, kept)| kept.envelope.forget());
    }

    fn kept(&mut self, policy: &Policy) -> &mut KeptTimelines {
        let TuneOptions { stats_ttl, policies_ttl } = self.options;
        self.timelines.entry(policy.name()).or_insert_with(|| KeptTimelines {
            arms: 0,
            known: Cached::new(stats_ttl),
            envelope: Cached::new(policies_ttl),
            versions: Cached::new(policies_ttl),
        })
    }

    async fn known_arms(
        &mut self,
        policy: &Policy,
        weights: &BTreeMap<String, f64>,
        bounds: &PolicyTuning,
        now: i64,
    ) -> Result<KnownArms> {
        let store = self.store.clone();
        let kept = self.kept(policy);
        let mut versions = kept.versions.get(now, store.weights_of_versions(&policy.id)).await?;
        if !versions.iter().any(|(version, _)| *version == policy.version) {
            versions.push((policy.version.clone(), weights.clone()));
        }
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
            // Read after the timelines: an arm that restarts is compared from here on.
            let counted = store.tallies(&policy.id, versions.iter().map(|it| &it.0)).await?;
            known.active = match (counted.get(&policy.version), policy.key()) {
                (Some(it), _) => Some((it.tally.clone(), it.scored_under.clone())),
                // None yet, or counts that cannot be read, which is an error.
                (None, Some(key)) => Some(store.stamped_tally(&key).await?),
                (None, None) => None,
            };
            let latest = rewards::latest(&known.scored_under);
            let block = |(version, weights): &(Version, BTreeMap<String, f64>)| {
                let tally = counted.get(version)?;
                let stamp = tally.scored_under.as_ref();
                if latest.is_some() && !ScoredUnder::is_same(stamp, latest) {
                    return None;
                }
                let logs = logs(tally.tally.rewards()?, weights, bounds);
                let rewards_since = stamp.filter(|it| it.replaced.is_some()).map(|it| it.since);
                let weights = weights.clone();
                Some((version.to_string(), Block { weights, logs, rewards_since }))
            };
            known.versions = versions.iter().filter_map(block).collect();
            Ok::<_, StoreError>(known)
        };
        let known = kept.known.get(now, load).await?;
        kept.arms = known.timelines.len();
        Ok(known)
    }
}

/// Whether `{id}@{version}` is a version of the policy.
fn is_of(name: &str, policy: &str) -> bool {
    name.rsplit_once('@').is_some_and(|(id, _)| id == policy)
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

/// The rewards of a version's arms, also of those that the active version does not have: they are
/// actions of that version as well.
fn logs(rewards: &Logs, weights: &BTreeMap<String, f64>, bounds: &PolicyTuning) -> Logs {
    let of = |arm: &String| Some((arm.clone(), rewards.get(&bounds.component_of(arm))?.clone()));
    weights.keys().filter_map(of).collect()
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
    /// Adds what the pass believes to what the tuner remembers.
    pub fn remember(&mut self, assessment: &Assessment, now: i64) {
        let next = std::mem::take(&mut self.memory.next);
        let envelope = self.input.belief.as_ref().and_then(|it| it.envelope.as_ref());
        let approved_at = envelope.map_or(now, |it| it.approved_at);
        self.memory.next = next.pressed(assessment.pressing(), approved_at, now);
        if let Some(belief) = assessment.belief() {
            self.memory.next.belief = belief.clone();
        }
    }

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
