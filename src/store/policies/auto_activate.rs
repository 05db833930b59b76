//! Activation by the tune job, if the flags allow it.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::change::{Asked, ChangeError, ChangeResult, Changed};
use crate::store::lifecycle::{OpenExperiment, PARAMS, PolicySnapshot, TUNER, policy_key};
use crate::store::{AuditRecord, Result, Store};
use f0_learning_core::audit::Action;
use f0_learning_core::document::Policy;
use f0_learning_core::experiment::Kind;
use f0_learning_core::intent::Intent;
use f0_learning_core::plural::{count, were};
use f0_learning_core::policy::{PolicyKey, lifecycle};
use f0_learning_core::time::{DAY_MS, HOUR_MS};
use f0_learning_core::tuning::envelope::Envelope;
use f0_learning_core::tuning::{PolicyTuning, Step, refuses};
use firestore_kit::proto::Value;
use firestore_kit::{Transaction, value};

/// The outcome of an automatic activation.
#[derive(Clone, Debug, PartialEq)]
pub enum AutoOutcome {
    Activated(Box<Changed>),
    /// Why the draft waits for an admin or a later pass.
    AwaitingApproval(String),
}

/// The limits of automatic activations, and the refusals that the decision took into account.
#[derive(Clone, Debug)]
pub struct AutoLimits {
    pub max_per_day: u32,
    /// Observations that must name a watched version before another replaces it.
    pub min_samples: u64,
    /// How long to wait instead if no observation names it.
    pub min_hours: u32,
    /// How long refusals hold.
    pub veto_hours: u32,
    /// The audit entries of the refusals that the decision took into account.
    pub known: BTreeSet<String>,
}

impl AutoLimits {
    pub fn new(config: &PolicyTuning, known: BTreeSet<String>) -> Self {
        Self {
            max_per_day: config.max_auto_activations_per_day,
            min_samples: config.min_samples,
            min_hours: config.min_hours_between_steps,
            veto_hours: config.veto_hours,
            known,
        }
    }
}

impl Store {
    /// Requires that no version was refused since the decision was made.
    async fn require_known_refusals(
        &self,
        id: &str,
        limits: &AutoLimits,
        now: i64,
        transaction: &Transaction,
    ) -> ChangeResult<()> {
        let since = now - i64::from(limits.veto_hours) * HOUR_MS;
        let is_new = |it: &AuditRecord| {
            limits.veto_hours > 0
                && refuses(&it.entry, TUNER)
                && !limits.known.contains(&it.audit_id)
        };
        match self.newest_change_in(id, since, transaction, is_new).await? {
            None => Ok(()),
            Some(AuditRecord { entry, .. }) => Err(ChangeError::LeftToPerson(format!(
                "{} decided on {id} ({}) while the evidence was evaluated; the next pass decides \
                 again",
                entry.actor, entry.action
            ))),
        }
    }

    /// Requires that the watch of the active version has seen enough to judge it.
    async fn require_seen_watch(
        &self,
        snapshot: &PolicySnapshot,
        limits: &AutoLimits,
        now: i64,
    ) -> ChangeResult<()> {
        let Some((serving, _)) = snapshot.serving() else { return Ok(()) };
        let watches = |open: &&OpenExperiment| {
            open.experiment.kind == Kind::Watch && open.experiment.candidate == *serving
        };
        let Some(watch) = snapshot.experiments.iter().find(watches) else { return Ok(()) };
        // Counts only grow, so that they need not be read in the transaction.
        let named = self.tally(&policy_key(&snapshot.id, serving)?).await?.stats().n;
        let active_since = watch.experiment.started_at;
        let step = Step { version: serving.clone(), active_since, named };
        match step.awaited(limits.min_samples, limits.min_hours, now) {
            None => Ok(()),
            Some(reason) => Err(ChangeError::LeftToPerson(format!(
                "the watch of {serving} has not seen enough: {reason}"
            ))),
        }
    }

    /// Activates a draft of the tuner if its weights are still those that were checked against the
    /// bounds. The transaction that writes also reads the flags, the pin, the draft, its parent,
    /// the number of activations in the last 24 hours, and what people decided since.
    pub async fn auto_activate(
        &self,
        key: &PolicyKey,
        weights: &BTreeMap<String, f64>,
        limits: &AutoLimits,
        now: i64,
    ) -> Result<AutoOutcome> {
        let intent = Intent::new(TUNER, now).because("autoActivatePolicies is on");
        let target = format!("the automatic activation of {key}");
        let intent = &intent;
        let outcome = self
            .change(&target, Asked::of(Action::Activate, &key.id), intent, |transaction| async move {
                let flags = self.flags_in(&transaction).await?;
                if !flags.auto_activation_enabled() {
                    return Err(ChangeError::SwitchedOff(flags));
                }
                let mut snapshot = self.snapshot(&key.id, &transaction).await?;
                snapshot.require_unpinned()?;
                snapshot.require_no_test()?;
                let (document, policy) = self.require_version(key, &transaction).await?;
                require_unchanged(&policy, weights)?;
                require_budget(&policy)?;
                self.require_known_refusals(&key.id, limits, now, &transaction).await?;
                self.require_seen_watch(&snapshot, limits, now).await?;
                let held = held_weights(&snapshot);
                let envelope = self
                    .require_within_envelope(&key.id, TUNER, (&held, weights), now, &transaction)
                    .await?;
                let (most, allows) = match &envelope {
                    Some(envelope) => (envelope.versions_a_day, "the envelope"),
                    None => (limits.max_per_day, "config/tuning"),
                };
                let since = now - DAY_MS;
                let done = self.activations_since(&key.id, TUNER, since, &transaction).await?;
                if done >= most as usize {
                    return Err(ChangeError::LeftToPerson(format!(
                        "{} of {} {} activated automatically in the last 24 hours, and {allows} allows \
                         no more",
                        count(done, "version"),
                        key.id,
                        were(done)
                    )));
                }
                let plan = lifecycle::activate(&snapshot.versions(), &policy.facts(), false)
                    .map_err(|refusal| ChangeError::Refused { name: key.to_string(), refusal })?;
                if let Some(envelope) = &envelope {
                    snapshot.guard = envelope.guard(snapshot.guard);
                }
                let action = Action::Activate;
                let mut decided =
                    self.decide_activation(&snapshot, &plan, &document, action, intent)?;
                decided.entry.reason = Some(reason(&policy, envelope.as_ref()));
                Ok(decided)
            })
            .await;
        match outcome {
            Ok(changed) => Ok(AutoOutcome::Activated(Box::new(changed))),
            Err(ChangeError::Store(error)) => Err(error),
            Err(refused) => Ok(AutoOutcome::AwaitingApproval(refused.to_string())),
        }
    }
}

/// The weights of the version that is served.
fn held_weights(snapshot: &PolicySnapshot) -> BTreeMap<String, f64> {
    let params = snapshot.serving().and_then(|(_, it)| value::as_map(&it.fields, PARAMS));
    let weights = params.and_then(|params| value::as_map(params, "modelWeights"));
    let of = |(arm, it): (&String, &Value)| Some((arm.clone(), value::to_json(it).as_f64()?));
    weights.map(|it| it.iter().filter_map(of).collect()).unwrap_or_default()
}

/// Why the version is activated: the cause that its evidence states, and what allows it.
fn reason(policy: &Policy, envelope: Option<&Envelope>) -> String {
    let allowed = match envelope {
        Some(Envelope { policy, number, .. }) => format!("within envelope {policy}@{number}"),
        None => "within the bounds of config/tuning".to_owned(),
    };
    match policy.cause() {
        Some(cause) => {
            format!("{}: {}, {allowed}", cause.as_str(), cause.in_words())
        }
        None => format!("autoActivatePolicies is on, {allowed}"),
    }
}

/// Requires that the regret budget of the envelope is not spent, as the evidence of the draft says.
fn require_budget(policy: &Policy) -> ChangeResult<()> {
    let belief = policy.evidence.as_ref().and_then(|it| it.get("belief"));
    match belief.and_then(|it| it.get("spent")).and_then(|it| it.as_str()) {
        Some(why) => Err(ChangeError::LeftToPerson(why.to_owned())),
        None => Ok(()),
    }
}

/// Requires that the tuner created the draft, and that its weights are those that were checked.
fn require_unchanged(policy: &Policy, weights: &BTreeMap<String, f64>) -> ChangeResult<()> {
    if policy.created_by != TUNER {
        let by = &policy.created_by;
        return Err(ChangeError::LeftToPerson(format!("{} was created by {by}", policy.name())));
    }
    match policy.params.model_weights() {
        Ok(Some(found)) if found == *weights => Ok(()),
        _ => Err(ChangeError::LeftToPerson(format!("{} was changed by hand", policy.name()))),
    }
}
