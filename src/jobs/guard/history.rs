//! What each activation of a policy promised, and the effect that it had.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use semver::Version;
use serde::Serialize;

use super::others::{Activated, others};
use crate::store::{AuditRecord, GUARD, Result, Store};
use f0_learning_core::audit::{Action, AuditEntry};
use f0_learning_core::document::Policy;
use f0_learning_core::experiment::{Baseline, GuardConfig, Kind, Verdict, compare_beyond};
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::tuning::{ArmEvidence, Evidence, Gain, MoveCause};

/// A version that is or was active.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivationRecord {
    pub version: Version,
    pub status: PolicyStatus,
    pub activated_at: i64,
    pub activated_by: String,
    /// Why the tuner moved the weights; absent without a proposal, and for one by proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<MoveCause>,
    /// What the tuner moved and what it believed, in a line; absent without a proposal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The proposal's expected gain in mean reward; absent without a proposal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promised: Option<Gain>,
    /// Its effect; absent until it and its parent have been observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Whether the verdict is recorded and final.
    pub settled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolled_back_at: Option<i64>,
}

/// When and how a version became active.
struct Activation {
    version: Version,
    at: i64,
    by: String,
    /// Whether the version became active for the first time, or after a decision on new evidence,
    /// and not because a rollback or a repair restored it.
    is_new: bool,
    /// The version that was active before.
    replaced: Option<Version>,
    /// When the guard rolled it back.
    rolled_back_at: Option<i64>,
    /// When another version became active.
    until: Option<i64>,
    /// Whether the version had been active before.
    is_repeated: bool,
}

/// The latest activations of a policy, newest first: one record for each, so that a version that
/// became active twice has two. Without a recorded verdict, the verdict is what is known now, against
/// the version that the proposal was made from.
pub async fn history(store: &Store, id: &str, now: i64) -> Result<Vec<ActivationRecord>> {
    // An old version that became active again is not among the recent ones.
    let standing = store.standing_policies(id).await?;
    let versions = store.recent_versions(id).await?.into_iter().chain(standing);
    let trail = store.changes(id, None).await?;
    of_trail(store, versions, &trail, usize::MAX, now).await
}

/// The same for these versions and these entries of the audit trail, oldest first. Only the newest `most`
/// activations without a recorded verdict have what is known now, each several reads.
pub async fn of_trail(
    store: &Store,
    versions: impl Iterator<Item = Policy>,
    trail: &[AuditRecord],
    most: usize,
    now: i64,
) -> Result<Vec<ActivationRecord>> {
    let active_once = versions.filter(|it| it.activated_at.is_some());
    let versions: BTreeMap<Version, Policy> =
        active_once.map(|it| (it.version.clone(), it)).collect();
    let mut activations = activations(trail.iter().map(|it| &it.entry));
    // An activation by hand is not in the audit trail.
    let missing = |it: &&Policy| !activations.iter().any(|found| found.version == it.version);
    let unrecorded: Vec<_> = versions.values().filter(missing).map(unrecorded).collect();
    activations.extend(unrecorded);
    activations.sort_by_key(|it| (Reverse(it.at), it.version.clone()));
    let rewards = store.reward_config().await?;
    let guard = store.tuning_config().await?.guard;
    let (mut outcomes, mut unsettled) = (Vec::new(), 0);
    for activation in activations {
        let Some(policy) = versions.get(&activation.version) else { continue };
        let recorded = policy.verdict.clone().filter(|it| activation.includes(it.at));
        unsettled += usize::from(recorded.is_none());
        let known = match &recorded {
            None if unsettled <= most => {
                so_far(store, policy, &activation, guard, rewards.bounds.max_cost_usd, now).await?
            }
            _ => None,
        };
        outcomes.push(outcome(policy, activation, recorded, known));
    }
    Ok(outcomes)
}

/// The activations in the audit trail of a policy, in its order.
fn activations<'a>(trail: impl Iterator<Item = &'a AuditEntry>) -> Vec<Activation> {
    let mut found: Vec<Activation> = Vec::new();
    for entry in trail {
        let entered = entry.changes.iter().find(|change| {
            change.to == PolicyStatus::Active && change.from != Some(PolicyStatus::Active)
        });
        let Some(entered) = entered else { continue };
        for before in found.iter_mut().filter(|it| it.until.is_none()) {
            before.until = Some(entry.ts);
            if entry.is(Action::Rollback) && entry.actor == GUARD {
                before.rolled_back_at = Some(entry.ts);
            }
        }
        found.push(Activation {
            version: entered.version.clone(),
            at: entry.ts,
            by: entry.actor.clone(),
            is_new: !entry.is(Action::Rollback) && !entry.is(Action::Repair),
            replaced: entry.from.as_deref().and_then(|it| it.parse().ok()),
            rolled_back_at: None,
            until: None,
            is_repeated: found.iter().any(|it| it.version == entered.version),
        });
    }
    found
}

fn unrecorded(policy: &Policy) -> Activation {
    Activation {
        version: policy.version.clone(),
        at: policy.activated_at.unwrap_or_default(),
        by: policy.activated_by.clone().unwrap_or_default(),
        is_new: true,
        replaced: policy.previous_version.clone(),
        rolled_back_at: policy.rolled_back_at,
        until: None,
        is_repeated: false,
    }
}

impl Activation {
    /// Whether a verdict of this time is about this activation. That of an A/B test is recorded
    /// before the first one.
    fn includes(&self, at: i64) -> bool {
        at <= self.until.unwrap_or(i64::MAX) && (at >= self.at || !self.is_repeated)
    }
}

fn outcome(
    policy: &Policy,
    activation: Activation,
    recorded: Option<Verdict>,
    so_far: Option<Verdict>,
) -> ActivationRecord {
    let evidence = policy.evidence.clone().map(serde_json::from_value::<Evidence>);
    let why = evidence.as_ref().and_then(|it| it.as_ref().ok()).map(in_a_line);
    let promised = match evidence {
        Some(Ok(evidence)) => Some(evidence.gain),
        _ => policy.expected_gain.map(|expected| Gain { expected, low: None, high: None }),
    };
    ActivationRecord {
        version: activation.version,
        status: policy.status,
        activated_at: activation.at,
        activated_by: activation.by,
        cause: policy.cause(),
        why,
        promised,
        settled: recorded.is_some(),
        verdict: recorded.or(so_far),
        rolled_back_at: activation.rolled_back_at,
    }
}

/// The arms that a proposal moved, the largest move first, and what was known of each.
fn in_a_line(evidence: &Evidence) -> String {
    /// The evidence contains all of them.
    const SHOWN: usize = 3;
    let mut moved: Vec<&ArmEvidence> =
        evidence.arms.iter().filter(|it| it.proposed != it.weight).collect();
    let by = |it: &ArmEvidence| (it.proposed - it.weight).abs();
    moved.sort_by(|a, b| by(b).total_cmp(&by(a)));
    let of = |it: &&ArmEvidence| {
        let known = evidence.belief.as_ref().and_then(|belief| belief.arms.get(&it.arm));
        let p_best = known.map_or(it.p_best, |known| known.probability_best);
        let ArmEvidence { arm, weight, proposed, n, .. } = it;
        format!("{arm} {weight:.2} → {proposed:.2} (best {p_best:.2}, n {n})")
    };
    let line: Vec<String> = moved.iter().take(SHOWN).map(of).collect();
    let more = moved.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", line.join(", "))
}

/// What is known of the effect: against the parent, which the promise is about. A version without a
/// parent is compared with the one that it replaced, unless a rollback or a repair restored it.
async fn so_far(
    store: &Store,
    policy: &Policy,
    activation: &Activation,
    guard: GuardConfig,
    max_cost_usd: f64,
    now: i64,
) -> Result<Option<Verdict>> {
    let replaced = activation.replaced.as_ref().filter(|_| activation.is_new);
    let Some(against) = policy.parent_version.as_ref().or(replaced) else { return Ok(None) };
    let counted = store.counted_of(&policy.id, against, &policy.version).await?;
    let samples = counted.comparable();
    let tail = guard.tail(Kind::Watch);
    let rate = guard.min_sample_rate;
    let activated = Activated {
        policy: &policy.id,
        control: against,
        candidate: &policy.version,
        at: activation.at,
    };
    // What others did since a version was replaced says nothing about it.
    let others = match activation.until {
        None => others(store, &activated, now).await?,
        Some(_) => Vec::new(),
    };
    let Baseline { control, candidate, .. } = &samples;
    let comparison = compare_beyond(control, candidate, &others, max_cost_usd, rate, tail);
    let expected = policy.expected_gain;
    Ok(Verdict::of(
        against.to_string(),
        Kind::Watch,
        comparison,
        guard.guardrails.rejected_share,
        expected,
        now,
    ))
}
