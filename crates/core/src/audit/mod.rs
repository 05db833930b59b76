//! The audit trail: who did what, when, and on what it rested.

mod replay;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::policy::lifecycle::StatusChange;

pub use replay::{ReplayError, Statuses, replay};

/// The names of what is done.
pub mod action {
    /// A project was seeded with its first version of a policy.
    pub const SEED: &str = "seed";
    /// The tuner drafted a version.
    pub const PROPOSE: &str = "propose";
    /// A newer draft took the place of an open one.
    pub const SUPERSEDE: &str = "supersede";
    pub const ACTIVATE: &str = "activate";
    pub const REJECT: &str = "reject";
    pub const ROLLBACK: &str = "rollback";
    /// A version was written by hand.
    pub const OVERRIDE: &str = "override";
    pub const PIN: &str = "pin";
    pub const UNPIN: &str = "unpin";
    /// One active version was restored where there were several or none.
    pub const REPAIR: &str = "repair";
    pub const FLAGS: &str = "flags";
    /// A draft was given a share of the units.
    pub const EXPERIMENT_START: &str = "experimentStart";
    /// It was given more.
    pub const EXPERIMENT_RAMP: &str = "experimentRamp";
    /// It is proven to be better, and waits for somebody's yes.
    pub const EXPERIMENT_SUCCESS: &str = "experimentSuccess";
    pub const EXPERIMENT_END: &str = "experimentEnd";

    pub const ALL: [&str; 15] = [
        SEED,
        PROPOSE,
        SUPERSEDE,
        ACTIVATE,
        REJECT,
        ROLLBACK,
        OVERRIDE,
        PIN,
        UNPIN,
        REPAIR,
        FLAGS,
        EXPERIMENT_START,
        EXPERIMENT_RAMP,
        EXPERIMENT_SUCCESS,
        EXPERIMENT_END,
    ];
}

/// An entry of `ops_audit`. Entries are only ever created, each in the commit that makes the
/// change it tells of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Epoch milliseconds, by the clock of whoever acted. The order of entries is that of their
    /// commits, which Firestore keeps as each document's creation time.
    pub ts: i64,
    /// Who acted, as far as it was proven: a token's subject, or the name that a command gave.
    pub actor: String,
    /// The name that the caller gave beside a proof that names nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_name: Option<String>,
    /// One of [`action`], or what others write.
    pub action: String,
    /// What it was done to: a policy's id, or `flags`.
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Every version whose status changed with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<StatusChange>,
    /// A draft was activated although its parent was no longer active.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
    /// The experiment that it began, moved or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
    /// `off` where somebody asked that an activation not be watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
    /// The fingerprint of the request that an Idempotency-Key stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// What the decision rested on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Json>,
}
