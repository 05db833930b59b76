//! The audit trail, read from its beginning, gives the status of every version.

use std::collections::BTreeMap;

use semver::Version;
use thiserror::Error;

use super::{AuditEntry, action};
use crate::policy::PolicyStatus;
use crate::policy::lifecycle::StatusChange;

/// The status of each version of one policy.
pub type Statuses = BTreeMap<Version, PolicyStatus>;

/// Where the trail does not follow from what came before: somebody changed a status past the
/// service.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{action} at {ts} takes {version} from {}, but the trail before it says {}",
    name(*.told), name(*.known)
)]
pub struct ReplayError {
    pub ts: i64,
    pub action: String,
    pub version: Version,
    pub told: Option<PolicyStatus>,
    pub known: Option<PolicyStatus>,
}

fn name(status: Option<PolicyStatus>) -> &'static str {
    status.map_or("nothing", PolicyStatus::as_str)
}

/// Applies the entries of one policy, in the order of their commits. What contradicts the entries
/// before it is applied all the same, and told.
pub fn replay<'a>(
    entries: impl IntoIterator<Item = &'a AuditEntry>,
) -> (Statuses, Vec<ReplayError>) {
    let mut statuses = Statuses::new();
    let mut errors = Vec::new();
    for entry in entries {
        let repairing = matches!(entry.action.as_str(), action::REPAIR | action::ROLLBACK);
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
        told: change.from,
        known,
    }
}
