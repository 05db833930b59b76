//! The audit trail: who did what, when, why and on which evidence.
//!
//! An [`AuditEntry`] is written in the same commit as the change that it records. [`replay()`]
//! derives the status of every version from the entries, and reports changes that were made without
//! the service.

mod replay;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use strum::{Display, EnumString, IntoStaticStr, VariantArray, VariantNames};

use crate::policy::lifecycle::StatusChange;
use crate::variants::UnknownVariant;

pub use replay::{ReplayError, Statuses, replay};

/// What an entry records. Other programs may write entries with actions of their own, so that
/// [`AuditEntry::action`] is a text.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    VariantNames,
)]
#[strum(
    serialize_all = "camelCase",
    const_into_str,
    parse_err_ty = UnknownVariant,
    parse_err_fn = unknown_action
)]
pub enum Action {
    /// The first version of a policy was written: by `seed`, or by a person who created it.
    Seed,
    /// The tuner drafted a version.
    Propose,
    /// A newer draft replaced an open one.
    Supersede,
    Activate,
    Reject,
    Rollback,
    /// A version was written by hand.
    Override,
    Pin,
    Unpin,
    /// A range of weights was approved, within which the tuner may publish versions.
    EnvelopeApprove,
    /// A person stopped the tuner from publishing versions.
    EnvelopeFreeze,
    /// One active version was restored where several or none were active.
    Repair,
    Flags,
    /// A document of `config` other than the flags was changed.
    Config,
    /// A draft was given a share of the units.
    ExperimentStart,
    /// The draft was given a larger share.
    ExperimentRamp,
    /// The draft is proven to be better and awaits approval.
    ExperimentSuccess,
    ExperimentEnd,
}

impl Action {
    pub const ALL: &[Self] = <Self as VariantArray>::VARIANTS;

    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

fn unknown_action(text: &str) -> UnknownVariant {
    UnknownVariant::new::<Action>("action", text)
}

/// An entry of `ops_audit`. Entries are only created, never changed, each in the commit of the
/// change that it records.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Epoch milliseconds by Firestore's clock, shortly before the commit. The order of entries is the
    /// order of their commits, which Firestore records as the creation time of each document.
    pub ts: i64,
    /// Who acted: the subject of a verified token, or the name that a command was given.
    pub actor: String,
    /// The name that the caller gave in addition to a credential that does not name a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_name: Option<String>,
    /// The name of an [`Action`], or an action of another program.
    pub action: String,
    /// The id of the policy, `flags`, or the path of a document of `config`.
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Every version whose status the action changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<StatusChange>,
    /// A draft was activated although its parent was no longer active.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
    /// The experiment that the action started, advanced or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
    /// `off` if the caller asked that the activation not be watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
    /// The fingerprint of the request that its Idempotency-Key belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The evidence for the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Json>,
}

/// The reason of an entry that renewed the evidence of an open draft.
pub const RENEWED: &str = "evidence renewed";

impl AuditEntry {
    /// Whether the entry is a proposal that renewed the evidence of an open draft.
    pub fn is_renewal(&self) -> bool {
        self.is(Action::Propose) && self.reason.as_deref() == Some(RENEWED)
    }

    /// The versions, or the values, that the entry is about: `1.0.0 → 1.0.1`, `1.0.1 by 1.0.2` for a draft
    /// that a newer one replaced; empty if it names none.
    pub fn versions(&self) -> String {
        match (self.from.as_deref(), self.to.as_deref()) {
            (Some(from), Some(to)) if self.is(Action::Supersede) => format!("{from} by {to}"),
            (Some(from), Some(to)) if from != to => format!("{from} → {to}"),
            (from, to) => to.or(from).unwrap_or_default().to_owned(),
        }
    }

    /// Whether the entry records this action.
    pub fn is(&self, action: Action) -> bool {
        self.action == action.as_str()
    }
}
