//! Applies a decision: stores the tuner's memory, writes the draft, and activates it where the
//! flags allow that.

use std::collections::{BTreeMap, BTreeSet};

use semver::Version;

use super::TuneJob;
use super::load::NextMemory;
use super::report::{TuneOutcome, unusable};
use crate::jobs::JobName;
use crate::store::{
    AutoLimits, AutoOutcome, ChangeError, NewDraft, ProposeOutcome, Result, StoreError, TUNER,
};
use f0_learning_core::document::{FlagsState, Policy};
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::{PolicyKey, PolicyStatus, next_free_patch};
use f0_learning_core::tuning::{Assessment, Decision, LastDraft, Proposal, Reason, TuningInput};

/// A decision about one policy, and what it was made from.
pub(super) struct Plan {
    pub assessment: Assessment,
    pub memory: NextMemory,
    /// The recent versions, the latest first; read only for a change.
    pub versions: Vec<Policy>,
    /// The audit entries of the refusals that the decision took into account.
    pub refusals: BTreeSet<String>,
    pub decision: Decision,
}

impl Plan {
    pub fn new(assessment: Assessment, memory: NextMemory, decision: Decision) -> Self {
        let (versions, refusals) = (Vec::new(), BTreeSet::new());
        Self { assessment, memory, versions, refusals, decision }
    }
}

impl TuneJob {
    pub(super) async fn apply(
        &mut self,
        policy: &Policy,
        plan: Plan,
        flags: &FlagsState,
    ) -> Result<TuneOutcome> {
        let Plan { assessment, memory, versions, refusals, decision } = plan;
        let input = assessment.input();
        if !self.remember(policy, &memory).await? {
            return Ok(TuneOutcome::Conflict("another worker evaluated the policy"));
        }
        let (outcome, draft) = match decision {
            Decision::None(reason) => {
                let open = open_draft(policy, &reason, input.last_draft.as_ref());
                (TuneOutcome::NoChange(reason), open)
            }
            Decision::Propose(proposal) => {
                let weights = proposal.weights.clone();
                let outcome = self.propose(policy, &versions, *proposal, input).await?;
                let draft = match &outcome {
                    TuneOutcome::Proposed { key, .. } | TuneOutcome::Renewed { key, .. } => {
                        Some((key.clone(), weights))
                    }
                    _ => None,
                };
                (outcome, draft)
            }
        };
        match draft {
            Some((key, weights)) if flags.auto_activation_enabled() => {
                self.activate(outcome, &assessment, refusals, key, &weights).await
            }
            _ => Ok(outcome),
        }
    }

    /// Stores the memory if it has changed; `false` where another worker has changed it meanwhile.
    async fn remember(&self, policy: &Policy, memory: &NextMemory) -> Result<bool> {
        let NextMemory { stored, next } = memory;
        if *next == stored.memory {
            return Ok(true);
        }
        match self.store.remember(&policy.id, stored, next).await {
            Ok(()) => Ok(true),
            Err(error) if error.needs_reread() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn propose(
        &self,
        policy: &Policy,
        versions: &[Policy],
        proposal: Proposal,
        input: &TuningInput,
    ) -> Result<TuneOutcome> {
        if let Some(renewed) = &proposal.renews {
            return self.renew(policy, renewed.clone(), &proposal, input).await;
        }
        let taken = versions.iter().map(|version| &version.version);
        let version = next_free_patch(&policy.version, taken);
        let key = match PolicyKey::new(&policy.id, version) {
            Ok(key) => key,
            Err(error) => return Ok(unusable(&error)),
        };
        let supersedes = open_drafts(policy, versions);
        let draft = new_draft(policy, key.clone(), &proposal, input, supersedes)?;
        Ok(match self.store.propose(&draft).await? {
            ProposeOutcome::Proposed => TuneOutcome::Proposed {
                key,
                supersedes: draft.supersedes,
                notes: proposal.notes,
                left: None,
            },
            ProposeOutcome::Pinned => TuneOutcome::Conflict("an admin pinned the policy"),
            ProposeOutcome::Conflict(why) => TuneOutcome::Conflict(why),
            ProposeOutcome::SwitchedOff(_) => TuneOutcome::Conflict("tuning was disabled"),
        })
    }

    /// Renews the evidence of the open draft with the same weights.
    async fn renew(
        &self,
        policy: &Policy,
        version: Version,
        proposal: &Proposal,
        input: &TuningInput,
    ) -> Result<TuneOutcome> {
        let key = match PolicyKey::new(&policy.id, version) {
            Ok(key) => key,
            Err(error) => return Ok(unusable(&error)),
        };
        let draft = new_draft(policy, key.clone(), proposal, input, Vec::new())?;
        match self.store.renew_draft(&draft).await {
            Ok(_) => Ok(TuneOutcome::Renewed { key, notes: proposal.notes.clone(), left: None }),
            Err(ChangeError::Store(error)) => Err(error),
            Err(refused) => {
                tracing::info!(job = JobName::Tune.as_str(), %key, %refused, "not renewed");
                Ok(TuneOutcome::Conflict("the open draft cannot be renewed"))
            }
        }
    }

    /// Activates the tuner's own draft if it is within the current bounds.
    async fn activate(
        &mut self,
        outcome: TuneOutcome,
        assessment: &Assessment,
        refusals: BTreeSet<String>,
        key: PolicyKey,
        weights: &BTreeMap<String, f64>,
    ) -> Result<TuneOutcome> {
        let input = assessment.input();
        let is_question = input.belief.as_ref().is_some_and(|it| !it.pressed.is_empty());
        let activated = if is_question {
            let why =
                "belief wants to pass an approved bound: approve the draft, or a wider envelope";
            AutoOutcome::AwaitingApproval(why.to_owned())
        } else if let Some(why) = assessment.spent() {
            AutoOutcome::AwaitingApproval(why.to_owned())
        } else if let Some(why) = self.holdback_verdict(input).await? {
            AutoOutcome::AwaitingApproval(why)
        } else if assessment.within_bounds(weights) {
            let limits = AutoLimits::new(&input.config, refusals);
            self.store.auto_activate(&key, weights, &limits, input.as_of).await?
        } else {
            AutoOutcome::AwaitingApproval("it is beyond the bounds of config/tuning".to_owned())
        };
        if matches!(activated, AutoOutcome::AwaitingApproval(_)) {
            // The envelope may be another one than the decision was made within.
            self.forget_envelope(&input.policy_id);
        }
        Ok(match (activated, outcome) {
            (AutoOutcome::Activated(changed), _) => {
                self.policies.forget();
                let (replaced, audit_id) = (changed.entry.from, changed.audit_id);
                TuneOutcome::Activated { key, replaced, audit_id }
            }
            (
                AutoOutcome::AwaitingApproval(why),
                TuneOutcome::Proposed { key, supersedes, notes, .. },
            ) => TuneOutcome::Proposed { key, supersedes, notes, left: Some(why) },
            (AutoOutcome::AwaitingApproval(why), TuneOutcome::Renewed { key, notes, .. }) => {
                TuneOutcome::Renewed { key, notes, left: Some(why) }
            }
            (AutoOutcome::AwaitingApproval(left), TuneOutcome::NoChange(_)) => {
                TuneOutcome::AwaitingApproval { key, left }
            }
            (AutoOutcome::AwaitingApproval(_), outcome) => outcome,
        })
    }
}

impl TuneJob {
    /// Compares what was published under the envelope with its holdback, and freezes the envelope if the
    /// holdback is proven to be better. Returns why nothing is published then.
    async fn holdback_verdict(&self, input: &TuningInput) -> Result<Option<String>> {
        let envelope = input.belief.as_ref().and_then(|it| it.envelope.as_ref());
        let Some(envelope) = envelope.filter(|it| it.holdback > 0.0) else { return Ok(None) };
        let Some(counted) = self.store.holdback_counts(envelope).await? else { return Ok(None) };
        let Some(why) = envelope.beaten_by_holdback(&counted, &input.rewards, &input.config) else {
            return Ok(None);
        };
        let intent = Intent::new(TUNER, input.as_of).because(why.as_str());
        match self.store.freeze_numbered(&input.policy_id, envelope.number, &intent).await {
            Ok(_) => Ok(Some(why)),
            Err(ChangeError::Store(error)) => Err(error),
            Err(refused) => Ok(Some(refused.to_string())),
        }
    }
}

fn new_draft(
    policy: &Policy,
    key: PolicyKey,
    proposal: &Proposal,
    input: &TuningInput,
    supersedes: Vec<Version>,
) -> Result<NewDraft> {
    Ok(NewDraft {
        parent: policy.version.clone(),
        params: policy.params.with_model_weights(&proposal.weights),
        notes: proposal.notes.clone(),
        expected_gain: proposal.expected_gain,
        evidence: serde_json::to_value(&proposal.evidence)
            .map_err(|error| StoreError::decode(key.to_string(), "evidence", error))?,
        decision: Some(input.encode()),
        supersedes,
        now: input.as_of,
        key,
    })
}

/// The tuner's open drafts, which a new draft supersedes. Those of an earlier parent are among
/// them: their evidence is about another version. A draft in an A/B test is not.
fn open_drafts(policy: &Policy, versions: &[Policy]) -> Vec<Version> {
    let tested = policy.candidate.as_ref().map(|it| &it.version);
    let open = |it: &&Policy| {
        it.status == PolicyStatus::Draft && it.created_by == TUNER && Some(&it.version) != tested
    };
    versions.iter().filter(open).map(|policy| policy.version.clone()).collect()
}

/// The open draft that already proposes the decision, which may still be activated.
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
