//! The life cycle of versions: every transition between statuses, and what it requires.
//!
//! ```text
//!   propose             activate             replaced
//!  ---------> draft ---------------> active ----------> archived
//!               |                      ^  ^                |
//!               | reject, supersede    |  |    roll back   |
//!               v                      |  +----------------+
//!            rejected       override --+
//! ```
//!
//! At most one version of a policy is active. Each function takes the stored versions and returns
//! a [`Plan`] of status changes that must be committed together, or a [`Refusal`]. A version that
//! becomes active archives *every* version that was active. Any activation therefore also repairs a
//! policy that has several active versions because of a manual edit.

mod refusal;

#[cfg(test)]
mod tests;

use semver::Version;
use serde::{Deserialize, Serialize};

pub use refusal::Refusal;

use super::{ParamsError, PolicyStatus};

/// Whether a version may change from one status to another; `None` is a version that does not exist.
pub const fn may_become(from: Option<PolicyStatus>, to: PolicyStatus) -> bool {
    use PolicyStatus::{Active, Archived, Draft, Rejected};
    matches!(
        (from, to),
        (None, Draft | Active)
            | (Some(Draft), Active | Rejected)
            | (Some(Active), Archived)
            | (Some(Archived), Active)
    )
}

/// A version that changes from one status to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusChange {
    pub version: Version,
    /// Absent if the version is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PolicyStatus>,
    pub to: PolicyStatus,
}

impl StatusChange {
    /// Whether the life cycle allows this change. Only a repair may also confirm an active version.
    pub fn is_allowed(&self, repairing: bool) -> bool {
        let confirms = self.from == Some(PolicyStatus::Active) && self.to == PolicyStatus::Active;
        may_become(self.from, self.to) || (repairing && confirms)
    }
}

/// The facts about a version that a transition depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionFacts {
    pub version: Version,
    pub status: PolicyStatus,
    pub parent: Option<Version>,
    /// Whether its params are valid.
    pub params: Result<(), ParamsError>,
}

/// The status changes of a transition.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// First the versions that stop being active, then the version that gets a new status.
    pub changes: Vec<StatusChange>,
    /// The version that was active before, if there was one.
    pub replaced: Option<Version>,
    /// Whether a draft was activated although its parent is no longer active.
    pub forced: bool,
}

/// The version that components use: the highest, if several are active.
pub fn serving(active: &[Version]) -> Option<&Version> {
    active.iter().max()
}

/// `draft` to `active`. Refused if the draft was made from a version that is no longer active,
/// unless `force` is set: its evidence compares with that version. A draft without a parent has no
/// such evidence.
///
/// # Errors
/// The reason why the version cannot be activated.
pub fn activate(active: &[Version], target: &VersionFacts, force: bool) -> Result<Plan, Refusal> {
    require(target, PolicyStatus::Draft, "activated")?;
    target.params.clone().map_err(Refusal::Params)?;
    let stale = target.parent.as_ref().is_some_and(|parent| !active.contains(parent));
    if stale && !force {
        let parent = target.parent.clone().unwrap_or_else(|| target.version.clone());
        return Err(Refusal::StaleParent { parent, active: serving(active).cloned() });
    }
    Ok(Plan { forced: stale, ..make_active(active, &target.version, Some(PolicyStatus::Draft)) })
}

/// `draft` to `rejected`.
///
/// # Errors
/// The reason why the version cannot be rejected.
pub fn reject(target: &VersionFacts) -> Result<Plan, Refusal> {
    require(target, PolicyStatus::Draft, "rejected")?;
    let change = StatusChange {
        version: target.version.clone(),
        from: Some(PolicyStatus::Draft),
        to: PolicyStatus::Rejected,
    };
    Ok(Plan { changes: vec![change], replaced: None, forced: false })
}

/// `archived` to `active`. Rolling back to one of several active versions archives the others.
///
/// # Errors
/// The reason why the policy cannot be rolled back to this version.
pub fn roll_back(active: &[Version], target: &VersionFacts) -> Result<Plan, Refusal> {
    target.params.clone().map_err(Refusal::Params)?;
    if target.status == PolicyStatus::Active && active.len() > 1 {
        return Ok(keep_only(active, &target.version));
    }
    require(target, PolicyStatus::Archived, "rolled back to")?;
    Ok(make_active(active, &target.version, Some(PolicyStatus::Archived)))
}

/// Adds a version that was written by hand; it is `active` from the start.
///
/// # Errors
/// The reason why the version cannot be added.
pub fn override_with(active: &[Version], new: &Version) -> Result<Plan, Refusal> {
    if active.is_empty() {
        return Err(Refusal::NoneActive);
    }
    Ok(make_active(active, new, None))
}

/// Makes exactly one version active: the highest if several are active, and `last_active` if none
/// is.
///
/// # Errors
/// The reason why there is nothing to repair, or no version to restore.
pub fn repair(active: &[Version], last_active: Option<&VersionFacts>) -> Result<Plan, Refusal> {
    match (active, last_active) {
        ([_], _) => Err(Refusal::NothingToRepair),
        ([], None) => Err(Refusal::NeverActive),
        ([], Some(last)) => {
            last.params.clone().map_err(Refusal::Params)?;
            require(last, PolicyStatus::Archived, "restored")?;
            Ok(make_active(active, &last.version, Some(PolicyStatus::Archived)))
        }
        (several, _) => {
            let highest = serving(several).ok_or(Refusal::NeverActive)?;
            Ok(keep_only(several, highest))
        }
    }
}

fn require(
    target: &VersionFacts,
    status: PolicyStatus,
    wanted: &'static str,
) -> Result<(), Refusal> {
    if target.status == status {
        return Ok(());
    }
    let version = target.version.clone();
    Err(Refusal::WrongStatus { version, status: target.status, required: status, wanted })
}

/// Makes one version active and archives all that were active.
fn make_active(active: &[Version], version: &Version, from: Option<PolicyStatus>) -> Plan {
    let mut changes: Vec<_> = active.iter().map(archived).collect();
    changes.push(StatusChange { version: version.clone(), from, to: PolicyStatus::Active });
    Plan { changes, replaced: serving(active).cloned(), forced: false }
}

/// Keeps one of several active versions. The plan also lists the kept version, so that the audit
/// trail records which version is active after a change that it did not record.
fn keep_only(active: &[Version], kept: &Version) -> Plan {
    let mut changes: Vec<_> = active.iter().filter(|it| *it != kept).map(archived).collect();
    let status = PolicyStatus::Active;
    changes.push(StatusChange { version: kept.clone(), from: Some(status), to: status });
    Plan { changes, replaced: serving(active).cloned(), forced: false }
}

fn archived(version: &Version) -> StatusChange {
    StatusChange {
        version: version.clone(),
        from: Some(PolicyStatus::Active),
        to: PolicyStatus::Archived,
    }
}
