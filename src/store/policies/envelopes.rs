//! `ops_envelopes/{policy}`: the range of weights within which the tuner may publish versions of a policy
//! by itself. A person approves it, in one commit with the audit entry.

use std::collections::BTreeMap;

use firestore_kit::proto::{Document, Write};
use firestore_kit::value::{self, Fields};
use firestore_kit::{Transaction, write};
use semver::Version;

use super::holdback::{BASELINE, BASELINE_SCORED_UNDER};
use crate::store::change::{Asked, ChangeError, ChangeResult, Changed, Decided};
use crate::store::collection::ENVELOPES;
use crate::store::lifecycle::{HOLDBACK, check_policy_id, frozen, patch};
use crate::store::scoring::stored_fields::stamp_value;
use crate::store::{Result, Store};
use f0_learning_core::audit::Action;
use f0_learning_core::document::{Holdback, Policy};
use f0_learning_core::intent::Intent;
use f0_learning_core::plural::{count, were};
use f0_learning_core::time::HOUR_MS;
use f0_learning_core::tuning::envelope::{
    ApprovedGuardrails, Envelope, EnvelopeError, WeightRange,
};

/// What a person approves. Arms of the active version that are not listed may have any weight from the
/// floor to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvelopeTerms {
    pub arms: BTreeMap<String, WeightRange>,
    pub floor: f64,
    pub step_bound: f64,
    pub versions_an_hour: u32,
    pub versions_a_day: u32,
    pub holdback: f64,
    pub regret_budget: Option<f64>,
    /// The `alpha` of the watch of a version that the tuner activates; that of `config/tuning` if
    /// absent, like each guardrail.
    pub alpha: Option<f64>,
    pub guardrails: ApprovedGuardrails,
    /// How long it is valid, in hours.
    pub hours: u32,
}

impl Default for EnvelopeTerms {
    fn default() -> Self {
        Self {
            arms: BTreeMap::new(),
            floor: 0.02,
            step_bound: 0.2,
            versions_an_hour: 2,
            versions_a_day: 24,
            holdback: 0.0,
            regret_budget: None,
            alpha: None,
            guardrails: ApprovedGuardrails::default(),
            hours: 30 * 24,
        }
    }
}

impl Store {
    /// The envelope of a policy, if a person approved one.
    pub async fn envelope(&self, policy: &str) -> Result<Option<Envelope>> {
        let found = self.db.get(ENVELOPES, policy).await?;
        found.map(|it| self.decode_envelope(&it)).transpose()
    }

    /// Approves a range of weights for a policy. It replaces the one before, also if that one is frozen.
    ///
    /// # Errors
    /// Terms that no weights of the active version respect.
    pub async fn approve_envelope(
        &self,
        policy: &str,
        terms: &EnvelopeTerms,
        intent: &Intent,
    ) -> ChangeResult<Changed> {
        check_policy_id(policy)?;
        let target = format!("the envelope of {policy}");
        let asked = Asked::of(Action::EnvelopeApprove, policy);
        self.change(&target, asked, intent, |transaction| async move {
            let snapshot = self.snapshot(policy, &transaction).await?;
            let Some((version, document)) = snapshot.serving() else {
                return Err(ChangeError::UnknownPolicy(policy.to_owned()));
            };
            let active = self.decode_policy(document)?;
            let number = match self.db.get_in(ENVELOPES, policy, &transaction).await? {
                Some(before) => value::as_whole(&before.fields, "number").unwrap_or(0) + 1,
                None => 1,
            };
            let number = u32::try_from(number).unwrap_or(1);
            let envelope = envelope(policy, number, version, &active, terms, intent)
                .map_err(|error| ChangeError::Envelope(policy.to_owned(), error))?;
            let mut fields = value::to_fields(&envelope)?;
            if envelope.holdback > 0.0 {
                // Counts only grow, so that they need not be read in the transaction.
                let baseline = self.holdback_baseline(policy, version).await?;
                fields.insert(BASELINE.to_owned(), value::bytes(baseline.encode()));
                let stamp = baseline.scored_under[0].as_ref().map(stamp_value);
                fields.extend(stamp.map(|it| (BASELINE_SCORED_UNDER.to_owned(), it)));
            }
            let mut entry = intent.entry(Action::EnvelopeApprove, policy);
            entry.evidence = serde_json::to_value(&envelope).ok();
            let writes = vec![
                write::set(self.db.name(ENVELOPES, policy), fields),
                holdback_write(document, &envelope, &active)?,
            ];
            Ok(Decided { writes, entry })
        })
        .await
    }

    /// Stops the tuner from publishing versions by itself. The intent must have a reason.
    ///
    /// # Errors
    /// [`ChangeError::Outdated`] if the envelope is frozen already.
    pub async fn freeze_envelope(&self, policy: &str, intent: &Intent) -> ChangeResult<Changed> {
        self.freeze(policy, None, intent).await
    }

    /// The same for the envelope of this number only, unless it is frozen already.
    ///
    /// # Errors
    /// [`ChangeError::Outdated`] if a person approved another one, or froze it.
    pub async fn freeze_numbered(
        &self,
        policy: &str,
        number: u32,
        intent: &Intent,
    ) -> ChangeResult<Changed> {
        self.freeze(policy, Some(number), intent).await
    }

    async fn freeze(
        &self,
        policy: &str,
        number: Option<u32>,
        intent: &Intent,
    ) -> ChangeResult<Changed> {
        check_policy_id(policy)?;
        let reason = intent.reason.clone().ok_or(ChangeError::NoReason)?;
        let reason = &reason;
        let target = format!("the envelope of {policy}");
        let asked = Asked::of(Action::EnvelopeFreeze, policy);
        self.change(&target, asked, intent, |transaction| async move {
            let Some((document, envelope)) = self.envelope_in(policy, &transaction).await? else {
                return Err(ChangeError::NoEnvelope(policy.to_owned()));
            };
            let is_meant = |number| number == envelope.number && envelope.frozen.is_none();
            if !number.is_none_or(is_meant) {
                return Err(ChangeError::Outdated("the envelope was frozen or replaced"));
            }
            if envelope.frozen.is_some() {
                return Err(ChangeError::Outdated("the envelope is frozen already"));
            }
            let mut entry = intent.entry(Action::EnvelopeFreeze, policy);
            entry.evidence = serde_json::to_value(&envelope).ok();
            Ok(Decided { writes: vec![frozen(&document, reason)], entry })
        })
        .await
    }

    /// Requires that the envelope, if there is one, allows this move of weights now, and returns it.
    pub(in crate::store) async fn require_within_envelope(
        &self,
        policy: &str,
        actor: &str,
        (held, weights): (&BTreeMap<String, f64>, &BTreeMap<String, f64>),
        now: i64,
        transaction: &Transaction,
    ) -> ChangeResult<Option<Envelope>> {
        let Some((_, envelope)) = self.envelope_in(policy, transaction).await? else {
            return Ok(None);
        };
        let closed = envelope.closed(now);
        if let Some(why) = closed.or_else(|| envelope.leaves(held, weights)) {
            return Err(ChangeError::LeftToPerson(format!(
                "{why}; approve it with `policies activate`, or another range with `policies \
                 envelope approve {policy}`"
            )));
        }
        let since = now - HOUR_MS;
        let done = self.activations_since(policy, actor, since, transaction).await?;
        if done >= envelope.versions_an_hour as usize {
            return Err(ChangeError::LeftToPerson(format!(
                "{} of {policy} {} activated automatically in the last hour, and envelope {policy}@{} \
                 allows no more",
                count(done, "version"),
                were(done),
                envelope.number
            )));
        }
        Ok(Some(envelope))
    }
}

fn envelope(
    policy: &str,
    number: u32,
    version: &Version,
    active: &Policy,
    terms: &EnvelopeTerms,
    intent: &Intent,
) -> std::result::Result<Envelope, EnvelopeError> {
    let weights = active.params.model_weights().ok().flatten().unwrap_or_default();
    let mut arms = terms.arms.clone();
    for arm in weights.keys() {
        let any = WeightRange { min: terms.floor, max: 1.0 };
        arms.entry(arm.clone()).or_insert(any);
    }
    let envelope = Envelope {
        policy: policy.to_owned(),
        number,
        arms,
        floor: terms.floor,
        step_bound: terms.step_bound,
        versions_an_hour: terms.versions_an_hour,
        versions_a_day: terms.versions_a_day,
        holdback: terms.holdback,
        regret_budget: terms.regret_budget,
        alpha: terms.alpha,
        guardrails: terms.guardrails,
        expires_at: intent.now + i64::from(terms.hours) * HOUR_MS,
        approved_by: intent.actor.clone(),
        approved_at: intent.now,
        parent: version.to_string(),
        frozen: None,
    };
    envelope.validate(&weights)?;
    Ok(envelope)
}

/// The write that keeps a share of the units on the version that is active now. The field moves with
/// every transition, like a pin.
fn holdback_write(document: &Document, envelope: &Envelope, active: &Policy) -> Result<Write> {
    if envelope.holdback <= 0.0 {
        return Ok(patch(document, Fields::default(), &[HOLDBACK]));
    }
    let holdback = Holdback {
        id: format!("holdback|{}@{}", envelope.policy, envelope.number),
        version: active.version.clone(),
        share: envelope.holdback,
        params: active.params.clone(),
    };
    let fields = value::fields([(HOLDBACK, value::map(value::to_fields(&holdback)?))]);
    Ok(patch(document, fields, &[]))
}
