//! Replaying the audit trail: read from its beginning, it yields the status of every version.

use std::collections::BTreeMap;

use semver::Version;
use thiserror::Error;

use super::{Action, AuditEntry};
use crate::policy::PolicyStatus;
use crate::policy::lifecycle::StatusChange;

/// The status of each version of one policy.
pub type Statuses = BTreeMap<Version, PolicyStatus>;

/// A change that contradicts the entries before it: a status was changed without the service.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{action} at {ts} changes {version} from {}, but the entries before it say {}",
    name(*.recorded), name(*.known)
)]
pub struct ReplayError {
    pub ts: i64,
    pub action: String,
    pub version: Version,
    /// The status before the change, according to the entry.
    pub recorded: Option<PolicyStatus>,
    /// The status before the change, according to the earlier entries.
    pub known: Option<PolicyStatus>,
}

fn name(status: Option<PolicyStatus>) -> &'static str {
    status.map_or("nothing", PolicyStatus::as_str)
}

/// Applies the entries of one policy in the order of their commits. A change that contradicts the
/// entries before it is applied nevertheless, and reported.
pub fn replay<'a>(
    entries: impl IntoIterator<Item = &'a AuditEntry>,
) -> (Statuses, Vec<ReplayError>) {
    let mut statuses = Statuses::new();
    let mut errors = Vec::new();
    for entry in entries {
        let repairing = [Action::Repair, Action::Rollback].iter().any(|it| entry.is(*it));
        for change in &entry.changes {
            let known = statuses.insert(change.version.clone(), change.to);
            if known != change.from || !change.is_allowed(repairing) {
                errors.push(contradiction(entry, change, known));
            }
        }
    }
    (statuses, errors)
}

fn contradiction(
    entry: &AuditEntry,
    change: &StatusChange,
    known: Option<PolicyStatus>,
) -> ReplayError {
    ReplayError {
        ts: entry.ts,
        action: entry.action.clone(),
        version: change.version.clone(),
        recorded: change.from,
        known,
    }
}
