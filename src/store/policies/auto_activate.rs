//! Activation by the tune job, where the flags allow it.

use std::collections::BTreeMap;

use super::TUNER;
use crate::store::change::{ChangeError, Changed};
use crate::store::{Result, Store};
use f0_learning_core::audit::Action;
use f0_learning_core::document::Policy;
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::{PolicyKey, lifecycle};
use f0_learning_core::time::DAY_MS;

/// What became of a draft that the job would activate.
#[derive(Clone, Debug, PartialEq)]
pub enum AutoOutcome {
    Activated(Box<Changed>),
    /// Why the draft is left to a person, or to a later pass.
    AwaitingApproval(String),
}

impl Store {
    /// Activates a draft of the tuner's whose `weights` were checked against the bounds. The flags,
    /// the pin, the draft, its parent, and how many were activated in the last 24 hours are all
    /// read inside the transaction that writes.
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
                if !snapshot.pin().is_empty() {
                    let why = "an admin pinned it".to_owned();
                    return Err(ChangeError::Pinned(key.id.clone(), why));
                }
                snapshot.require_no_test()?;
                let (document, policy) = self.target(key, &transaction).await?;
                require_as_checked(&policy, weights)?;
                let since = now - DAY_MS;
                let done = self.activations_since(&key.id, TUNER, since, &transaction).await?;
                if done >= max_per_day as usize {
                    return Err(ChangeError::LeftToPerson(format!(
                        "{done} versions of {} were activated automatically in the last 24 hours, \
                         the most that config/tuning allows",
                        key.id
                    )));
                }
                let plan = lifecycle::activate(&snapshot.versions(), &policy.facts(), false)
                    .map_err(|refusal| ChangeError::Refused { name: key.to_string(), refusal })?;
                Ok(self.entering(&snapshot, &plan, &document, Action::Activate, intent))
            })
            .await;
        match outcome {
            Ok(changed) => Ok(AutoOutcome::Activated(Box::new(changed))),
            Err(ChangeError::Store(error)) => Err(error),
            Err(refused) => Ok(AutoOutcome::AwaitingApproval(refused.to_string())),
        }
    }
}

/// Only what the tuner made, and only as it was checked.
fn require_as_checked(policy: &Policy, weights: &BTreeMap<String, f64>) -> Result<(), ChangeError> {
    if policy.created_by != TUNER {
        let by = &policy.created_by;
        return Err(ChangeError::LeftToPerson(format!("{} was made by {by}", policy.name())));
    }
    match policy.params.model_weights() {
        Ok(Some(found)) if found == *weights => Ok(()),
        _ => Err(ChangeError::LeftToPerson(format!("{} was changed by hand", policy.name()))),
    }
}
