//! The tune job: weighs the evidence on each active policy, and writes a draft where that carries
//! a change.
//!
//! Load, decide, apply: the decision is `domain::tuning::decide`; this file reads what goes in
//! and stores what comes out. The flags are read first, and again in the transaction that writes.

pub mod replay;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use semver::Version;

use crate::store::{
    AutoOutcome, Cached, ComponentSeries, DOCUMENT_BYTES, NewDraft, POLICIES_TTL, ProposeOutcome,
    REWARD_CONFIG_TTL, Result, STATS_TTL, Store, StoreError, TUNER,
};
use f0_learning_core::document::{FlagsState, Policy};
use f0_learning_core::estimate::ArmLog;
use f0_learning_core::policy::{PolicyKey, PolicyStatus, next_free_patch};
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::stats::Timeline;
use f0_learning_core::tuning::memory::Memory;
use f0_learning_core::tuning::{
    ArmInput, Decision, LastDraft, PolicyTuning, Proposal, Reason, TuningConfig, TuningInput,
    decide, max_weight, within_bounds,
};

/// How long what the job reads may be kept; the defaults are the specification's.
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

/// What a pass decided, policy by policy.
#[derive(Clone, Debug, PartialEq)]
pub enum TuneReport {
    /// The flags forbid tuning.
    SwitchedOff(FlagsState),
    Decided(Vec<(String, TuneOutcome)>),
}

/// What became of one policy.
#[derive(Clone, Debug, PartialEq)]
pub enum TuneOutcome {
    Proposed {
        key: PolicyKey,
        supersedes: Vec<Version>,
        notes: String,
        /// Why the job left it to a person, where it might have activated it.
        left: Option<String>,
    },
    /// The flags let the job activate its draft.
    Activated {
        key: PolicyKey,
        replaced: Option<String>,
        audit_id: String,
    },
    NoChange(Reason),
    /// An admin pinned the policy, and why.
    Pinned(String),
    /// Somebody else changed the policy meanwhile; the next pass decides anew.
    Conflict(&'static str),
    /// `config/tuning` does not name the policy.
    NotTuned,
    /// The policy has no `modelWeights` to tune.
    NoWeights,
    /// What is stored cannot be used; the other policies are not held up by it.
    Unusable(String),
}

/// The job with what it keeps in memory between passes.
#[derive(Debug)]
pub struct TuneJob {
    store: Store,
    options: TuneOptions,
    reward_config: Cached<RewardConfig>,
    tuning_config: Cached<TuningConfig>,
    policies: Cached<Vec<Policy>>,
    /// By policy version, what is known of its arms by time.
    timelines: BTreeMap<String, Cached<BTreeMap<String, Timeline>>>,
}

/// Arms whose timelines are kept between passes; with more of them all are read again each time.
const KEPT_ARMS: usize = 1_000;

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
    /// rest.
    pub async fn pass(&mut self, now: i64) -> Result<TuneReport> {
        let flags = self.store.flags().await?;
        if !flags.tuning_enabled() {
            return Ok(TuneReport::SwitchedOff(flags));
        }
        let store = self.store.clone();
        let rewards = self.reward_config.get(now, store.reward_config()).await?;
        let tuning = self.tuning_config.get(now, store.tuning_config()).await?;
        let active = self.policies.get(now, store.active_policies()).await?;
        let mut verdicts = Vec::new();
        for policy in serving(&active) {
            let verdict = match tuning.policies.get(&policy.id) {
                None => TuneOutcome::NotTuned,
                Some(_) => match self.tune(policy, &rewards, &tuning, &flags, now).await? {
                    TuneOutcome::Conflict(why) => {
                        // What is kept of the policies is out of date.
                        self.policies.forget();
                        TuneOutcome::Conflict(why)
                    }
                    verdict => verdict,
                },
            };
            verdicts.push((policy.id.clone(), verdict));
        }
        let kept: usize = verdicts.len() * self.timelines.len();
        if kept > KEPT_ARMS {
            self.timelines.clear();
        }
        Ok(TuneReport::Decided(verdicts))
    }

    async fn tune(
        &mut self,
        policy: &Policy,
        rewards: &RewardConfig,
        tuning: &TuningConfig,
        flags: &FlagsState,
        now: i64,
    ) -> Result<TuneOutcome> {
        if let Some(why) = policy.pin_reason_text() {
            return Ok(TuneOutcome::Pinned(why.to_owned()));
        }
        let weights = match policy.params.model_weights() {
            Ok(Some(weights)) => weights,
            Ok(None) => return Ok(TuneOutcome::NoWeights),
            Err(error) => return Ok(unusable(&error)),
        };
        let Some(mut input) = self.input(policy, weights, rewards, tuning, now).await? else {
            return Ok(TuneOutcome::Conflict("another worker looked at the same time"));
        };
        // What was drafted before matters only where there is something to draft.
        if let Decision::None(reason) = decide(&input) {
            return Ok(TuneOutcome::NoChange(reason));
        }
        // Nor does how much room it takes. What is kept has to be what was decided from.
        input.fit(DOCUMENT_BYTES);
        let versions = self.store.recent_versions(&policy.id).await?;
        input.last_draft = last_draft(policy, &versions);
        let (verdict, draft) = match decide(&input) {
            Decision::None(reason) => {
                let open = open_draft(policy, &reason, input.last_draft.as_ref());
                (TuneOutcome::NoChange(reason), open)
            }
            Decision::Propose(proposal) => {
                let weights = proposal.weights.clone();
                let verdict = self.propose(policy, &versions, *proposal, &input).await?;
                let key = match &verdict {
                    TuneOutcome::Proposed { key, .. } => Some((key.clone(), weights)),
                    _ => None,
                };
                (verdict, key)
            }
        };
        match draft {
            Some((key, weights)) if flags.auto_activation_enabled() => {
                self.activate(verdict, &input, key, &weights, now).await
            }
            _ => Ok(verdict),
        }
    }

    /// What is known of a policy's arms now, as a decision would have it; none where the policy is
    /// not tuned, or another worker looked at the same time.
    ///
    /// # Errors
    /// What Firestore refused.
    pub async fn look(&mut self, policy: &Policy, now: i64) -> Result<Option<TuningInput>> {
        let store = self.store.clone();
        let rewards = self.reward_config.get(now, store.reward_config()).await?;
        let tuning = self.tuning_config.get(now, store.tuning_config()).await?;
        match policy.params.model_weights() {
            Ok(Some(weights)) if tuning.policies.contains_key(&policy.id) => {
                self.input(policy, weights, &rewards, &tuning, now).await
            }
            _ => Ok(None),
        }
    }

    /// Everything that a decision rests on but the last draft.
    async fn input(
        &mut self,
        policy: &Policy,
        weights: BTreeMap<String, f64>,
        rewards: &RewardConfig,
        tuning: &TuningConfig,
        now: i64,
    ) -> Result<Option<TuningInput>> {
        let Some(bounds) = tuning.policies.get(&policy.id) else { return Ok(None) };
        let timelines = self.timelines_of(policy, &weights, bounds, now).await?;
        let max_weight = max_weight(&timelines, bounds.least_probability());
        let Some(memory) = self.memory_of(policy, &timelines, max_weight, now).await? else {
            return Ok(None);
        };
        Ok(Some(TuningInput {
            policy_id: policy.id.clone(),
            parent: policy.version.clone(),
            arms: ArmInput::of_all(&timelines, &memory),
            max_weight,
            routed: self.routed(policy, &weights, bounds).await?,
            weights,
            rewards: rewards.clone(),
            config: bounds.clone(),
            tuning_version: tuning.version.clone(),
            last_draft: None,
            as_of: now,
        }))
    }

    /// Activates the job's own draft, within the bounds as they are now.
    async fn activate(
        &mut self,
        verdict: TuneOutcome,
        input: &TuningInput,
        key: PolicyKey,
        weights: &BTreeMap<String, f64>,
        now: i64,
    ) -> Result<TuneOutcome> {
        let outcome = if within_bounds(input, weights) {
            let most = input.config.max_auto_activations_per_day;
            self.store.auto_activate(&key, weights, most, now).await?
        } else {
            AutoOutcome::AwaitingApproval("it is beyond the bounds of config/tuning".to_owned())
        };
        Ok(match (outcome, verdict) {
            (AutoOutcome::Activated(changed), _) => {
                self.policies.forget();
                let (replaced, audit_id) = (changed.entry.from, changed.audit_id);
                TuneOutcome::Activated { key, replaced, audit_id }
            }
            (
                AutoOutcome::AwaitingApproval(why),
                TuneOutcome::Proposed { key, supersedes, notes, .. },
            ) => TuneOutcome::Proposed { key, supersedes, notes, left: Some(why) },
            (AutoOutcome::AwaitingApproval(why), verdict) => {
                tracing::info!(job = "tune", %key, why, "the draft is left to a person");
                verdict
            }
        })
    }

    async fn timelines_of(
        &mut self,
        policy: &Policy,
        weights: &BTreeMap<String, f64>,
        bounds: &PolicyTuning,
        now: i64,
    ) -> Result<BTreeMap<String, Timeline>> {
        let ttl = self.options.stats_ttl;
        let kept = self.timelines.entry(policy.name()).or_insert_with(|| Cached::new(ttl));
        let store = self.store.clone();
        kept.get(now, async {
            let arms: BTreeMap<String, &String> =
                weights.keys().map(|arm| (bounds.component_of(arm), arm)).collect();
            let components: Vec<&str> = arms.keys().map(String::as_str).collect();
            let found = store.series(&components).await?;
            let named = |mut found: ComponentSeries| {
                found.series.advance(now);
                let arm = arms.get(&found.component)?;
                Some(((*arm).clone(), found.series.timeline().clone()))
            };
            Ok::<_, StoreError>(found.into_iter().filter_map(named).collect())
        })
        .await
    }

    /// Since when each arm counts, after this look; `None` where another worker has looked
    /// meanwhile.
    async fn memory_of(
        &self,
        policy: &Policy,
        timelines: &BTreeMap<String, Timeline>,
        max_weight: f64,
        now: i64,
    ) -> Result<Option<Memory>> {
        let stored = self.store.tuner_memory(&policy.id).await?;
        let next = stored.memory.advanced(timelines, max_weight, now);
        if next == stored.memory {
            return Ok(Some(next));
        }
        match self.store.remember(&policy.id, &stored, &next).await {
            Ok(()) => Ok(Some(next)),
            Err(error) if error.needs_reread() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// By arm, the rewards of what names the version; `None` where too many components do.
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

    async fn propose(
        &self,
        policy: &Policy,
        versions: &[Policy],
        proposal: Proposal,
        input: &TuningInput,
    ) -> Result<TuneOutcome> {
        let taken = versions.iter().map(|version| &version.version);
        let version = next_free_patch(&policy.version, taken);
        let key = match PolicyKey::new(&policy.id, version) {
            Ok(key) => key,
            Err(error) => return Ok(unusable(&error)),
        };
        let draft = NewDraft {
            key: key.clone(),
            parent: policy.version.clone(),
            params: policy.params.with_model_weights(&proposal.weights),
            notes: proposal.notes.clone(),
            expected_gain: proposal.expected_gain,
            evidence: serde_json::to_value(&proposal.evidence)
                .map_err(|error| StoreError::decode(key.to_string(), "evidence", error))?,
            decision: Some(input.encode()),
            supersedes: open_drafts(policy, versions),
            now: input.as_of,
        };
        Ok(match self.store.propose(&draft).await? {
            ProposeOutcome::Proposed => TuneOutcome::Proposed {
                key,
                supersedes: draft.supersedes,
                notes: proposal.notes,
                left: None,
            },
            ProposeOutcome::Pinned => TuneOutcome::Conflict("an admin pinned the policy"),
            ProposeOutcome::Conflict(why) => TuneOutcome::Conflict(why),
            ProposeOutcome::SwitchedOff(_) => TuneOutcome::Conflict("tuning was switched off"),
        })
    }
}

fn unusable(error: &dyn fmt::Display) -> TuneOutcome {
    TuneOutcome::Unusable(error.to_string())
}

/// Of each policy the version in force: the highest, should there be several active ones.
fn serving(active: &[Policy]) -> impl Iterator<Item = &Policy> {
    active.chunk_by(|a, b| a.id == b.id).filter_map(|versions| versions.last())
}

/// The drafts of the tuner's that await an answer. Those of an earlier parent claim what was true
/// of another world; a new draft takes their place as well. One that is being tested is left to the
/// test.
fn open_drafts(policy: &Policy, versions: &[Policy]) -> Vec<Version> {
    let tested = policy.candidate.as_ref().map(|it| &it.version);
    let open = |it: &&Policy| {
        it.status == PolicyStatus::Draft && it.created_by == TUNER && Some(&it.version) != tested
    };
    versions.iter().filter(open).map(|policy| policy.version.clone()).collect()
}

/// The draft that says already what would be proposed now, and may still be activated.
fn open_draft(
    policy: &Policy,
    reason: &Reason,
    last: Option<&LastDraft>,
) -> Option<(PolicyKey, BTreeMap<String, f64>)> {
    match (reason, last) {
        (Reason::AlreadyProposed { status: PolicyStatus::Draft, .. }, Some(last)) => {
            let key = PolicyKey::new(&policy.id, last.version.clone()).ok()?;
            Some((key, last.weights.clone()))
        }
        _ => None,
    }
}

/// The tuner's last draft from the version in force, whatever became of it. One that was taken back
/// counts as rejected: the evidence that it rested on did not keep its promise. `versions` are the
/// latest first.
fn last_draft(policy: &Policy, versions: &[Policy]) -> Option<LastDraft> {
    let last = versions
        .iter()
        .filter(|version| version.parent_version.as_ref() == Some(&policy.version))
        .filter(|version| version.created_by == TUNER)
        .filter(|version| answer_to(version).is_some())
        .max_by(|a, b| a.version.cmp(&b.version))?;
    Some(LastDraft {
        version: last.version.clone(),
        weights: last.params.model_weights().ok()??,
        status: answer_to(last)?,
    })
}

/// Whether a draft still waits, or was refused; none of one that came to something.
fn answer_to(version: &Policy) -> Option<PolicyStatus> {
    match version.status {
        status @ (PolicyStatus::Draft | PolicyStatus::Rejected) => Some(status),
        PolicyStatus::Archived if version.rolled_back_at.is_some() => Some(PolicyStatus::Rejected),
        _ => None,
    }
}

impl TuneReport {
    /// Tells the log: a proposal and a switch thrown loudly, the usual quietly.
    pub fn log(&self) {
        match self {
            Self::SwitchedOff(flags @ FlagsState::Set(_)) => {
                tracing::info!(job = "tune", %flags, "tuning is switched off");
            }
            Self::SwitchedOff(flags) => {
                tracing::error!(job = "tune", %flags, "no tuning: nobody can tell whether it is meant");
            }
            Self::Decided(verdicts) => {
                for (policy, verdict) in verdicts {
                    match verdict {
                        TuneOutcome::Proposed { .. } | TuneOutcome::Activated { .. } => {
                            tracing::info!(job = "tune", policy, "{verdict}");
                        }
                        TuneOutcome::Unusable(_) => {
                            tracing::warn!(job = "tune", policy, "{verdict}");
                        }
                        _ => tracing::debug!(job = "tune", policy, "{verdict}"),
                    }
                }
            }
        }
    }
}

impl fmt::Display for TuneReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SwitchedOff(flags) => write!(f, "no tuning: {flags}"),
            Self::Decided(verdicts) if verdicts.is_empty() => {
                write!(f, "no policy is active; `f0-learning seed` creates the first")
            }
            Self::Decided(verdicts) => {
                for (index, (policy, verdict)) in verdicts.iter().enumerate() {
                    let line = if index == 0 { "" } else { "\n" };
                    write!(f, "{line}{policy}: {verdict}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for TuneOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proposed { key, supersedes, notes, left } => {
                write!(f, "drafted {key}")?;
                for version in supersedes {
                    write!(f, ", which supersedes {version}")?;
                }
                if let Some(why) = left {
                    write!(f, ", and left it to a person: {why}")?;
                }
                write!(f, "\n{notes}")
            }
            Self::Activated { key, replaced, audit_id } => {
                write!(f, "activated {key}")?;
                if let Some(version) = replaced {
                    write!(f, " in place of {version}")?;
                }
                write!(f, " (audit entry {audit_id})")
            }
            Self::Pinned(why) => write!(f, "left alone: pinned ({why})"),
            Self::NoChange(reason) => write!(f, "nothing to propose: {reason}"),
            Self::Conflict(why) => write!(f, "not proposed: {why}; the next pass decides anew"),
            Self::NotTuned => f.write_str("not tuned: config/tuning does not name it"),
            Self::NoWeights => f.write_str("not tuned: it has no params.modelWeights"),
            Self::Unusable(why) => write!(f, "cannot be tuned: {why}"),
        }
    }
}
