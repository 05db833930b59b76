//! Pins: jobs do not change a pinned policy. The pin is recorded on the active version, where
//! components and people see it, and moves with every transition.

use crate::store::Store;
use crate::store::change::{Asked, ChangeError, ChangeResult, Changed, Decided};
use crate::store::lifecycle::{PIN_FIELDS, check_policy_id, patch};
use f0_learning_core::audit::Action;
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::lifecycle::Refusal;
use firestore_kit::Transaction;
use firestore_kit::value::{self, Fields};

impl Store {
    /// Keeps jobs from changing a policy. The intent must have a reason.
    pub async fn pin(&self, id: &str, intent: &Intent) -> ChangeResult<Changed> {
        let reason = intent.reason.clone().ok_or(ChangeError::NoReason)?;
        self.change_pin(id, true, &reason, intent).await
    }

    /// Lets jobs change a policy again.
    pub async fn unpin(&self, id: &str, intent: &Intent) -> ChangeResult<Changed> {
        self.change_pin(id, false, "", intent).await
    }

    async fn change_pin(
        &self,
        id: &str,
        pinned: bool,
        reason: &str,
        intent: &Intent,
    ) -> ChangeResult<Changed> {
        check_policy_id(id)?;
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
        let asked = Asked::of(if pinned { Action::Pin } else { Action::Unpin }, id);
        self.change(&target, asked, intent, |transaction| async move {
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
        transaction: &Transaction,
    ) -> ChangeResult<Decided> {
        let snapshot = self.snapshot(id, transaction).await?;
        if snapshot.active.is_empty() {
            self.require_policy(id, transaction).await?;
            return Err(ChangeError::Refused { name: id.to_owned(), refusal: Refusal::NoneActive });
        }
        match pinned {
            true => snapshot.require_unpinned()?,
            false if snapshot.pin().is_empty() => {
                return Err(ChangeError::NotPinned(id.to_owned()));
            }
            false => {}
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
