//! Pinning: the tuner leaves a policy alone until it is unpinned. The pin stands on the active
//! version, where components and people see it, and moves with every transition.

use super::document::PIN_FIELDS;
use super::transition::{check_id, patch};
use crate::store::Store;
use crate::store::change::{ChangeError, Changed, Decided};
use f0_learning_core::audit::Action;
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::lifecycle::Refusal;
use firestore_kit::TransactionId;
use firestore_kit::value::{self, Fields};

impl Store {
    /// Keeps the tuner off a policy. `intent` must give the reason.
    pub async fn pin(&self, id: &str, intent: &Intent) -> Result<Changed, ChangeError> {
        let reason = intent.reason.clone().ok_or(ChangeError::NoReason)?;
        self.change_pin(id, true, &reason, intent).await
    }

    /// Lets the tuner at a policy again.
    pub async fn unpin(&self, id: &str, intent: &Intent) -> Result<Changed, ChangeError> {
        self.change_pin(id, false, "", intent).await
    }

    async fn change_pin(
        &self,
        id: &str,
        pinned: bool,
        reason: &str,
        intent: &Intent,
    ) -> Result<Changed, ChangeError> {
        check_id(id)?;
        let fields = match pinned {
            true => value::fields([
                ("pinned", value::boolean(true)),
                ("pinReason", value::string(reason)),
                ("pinnedBy", value::string(intent.actor.as_str())),
                ("pinnedAt", value::int(intent.now)),
            ]),
            false => Fields::default(),
        };
        let target = format!("the pin of {id}");
        let fields = &fields;
        self.change(&target, intent, |transaction| async move {
            self.decide_pin(id, pinned, fields, intent, &transaction).await
        })
        .await
    }

    async fn decide_pin(
        &self,
        id: &str,
        pinned: bool,
        fields: &Fields,
        intent: &Intent,
        transaction: &TransactionId,
    ) -> Result<Decided, ChangeError> {
        let snapshot = self.snapshot(id, transaction).await?;
        if snapshot.active.is_empty() {
            self.require_policy(id, transaction).await?;
            return Err(ChangeError::Refused { name: id.to_owned(), refusal: Refusal::NoneActive });
        }
        let held = snapshot.pin();
        match (pinned, !held.is_empty()) {
            (true, true) => {
                let why = value::as_str(&held, "pinReason").unwrap_or_default();
                return Err(ChangeError::Pinned(id.to_owned(), why));
            }
            (false, false) => return Err(ChangeError::NotPinned(id.to_owned())),
            _ => {}
        }
        let writes = snapshot
            .active
            .iter()
            .map(|(_, document)| patch(document, fields.clone(), &PIN_FIELDS))
            .collect();
        let action = if pinned { Action::Pin } else { Action::Unpin };
        Ok(Decided { writes, entry: intent.entry(action, id) })
    }
}
