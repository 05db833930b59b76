//! Activation by the tune job, if the flags allow it.

use std::collections::BTreeMap;

use crate::store::change::{ChangeError, ChangeResult, Changed};
use crate::store::lifecycle::TUNER;
use crate::store::{Result, Store};
use f0_learning_core::audit::Action;
use f0_learning_core::document::Policy;
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::{PolicyKey, lifecycle};
use f0_learning_core::time::DAY_MS;

/// The outcome of an automatic activation.
#[derive(Clone, Debug, PartialEq)]
pub enum AutoOutcome {
    Activated(Box<Changed>),
    /// Why the draft waits for an admin or a later pass.
    AwaitingApproval(String),
}

impl Store {
    /// Activates a draft of the tuner if its weights are still those that were checked against the
    /// bounds. The transaction that writes also reads the flags, the pin, the draft, its parent and
    /// the number of activations in the last 24 hours.
    pub async fn auto_activate(
        &self,
        key: &PolicyKey,
        weights: &BTreeMap<String, f64>,
        max_per_day: u32,
        now: i64,
    ) -> Result<AutoOutcome> {
        let intent = Intent::new(TUNER, now).because("autoActivatePolicies is on");
        let target = format!("the automatic activation of {key}");
        let intent = &intent;
        let outcome = self
            .change(&target, intent, |transaction| async move {
                let flags = self.flags_in(&transaction).await?;
                if !flags.auto_activation_enabled() {
                    return Err(ChangeError::SwitchedOff(flags));
                }
                let snapshot = self.snapshot(&key.id, &transaction).await?;
                snapshot.require_unpinned()?;
                snapshot.require_no_test()?;
                let (document, policy) = self.require_version(key, &transaction).await?;
                require_unchanged(&policy, weights)?;
                let since = now - DAY_MS;
                let done = self.activations_since(&key.id, TUNER, since, &transaction).await?;
                if done >= max_per_day as usize {
                    return Err(ChangeError::LeftToPerson(format!(
                        "{done} versions of {} were activated automatically in the last 24 hours, \
                         and config/tuning allows no more",
                        key.id
                    )));
                }
                let plan = lifecycle::activate(&snapshot.versions(), &policy.facts(), false)
                    .map_err(|refusal| ChangeError::Refused { name: key.to_string(), refusal })?;
                Ok(self.decide_activation(&snapshot, &plan, &document, Action::Activate, intent)?)
            })
            .await;
        match outcome {
            Ok(changed) => Ok(AutoOutcome::Activated(Box::new(changed))),
            Err(ChangeError::Store(error)) => Err(error),
            Err(refused) => Ok(AutoOutcome::AwaitingApproval(refused.to_string())),
        }
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
