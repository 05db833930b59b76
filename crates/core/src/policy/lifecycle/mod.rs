//! The life of a policy's versions: every transition there is, and what each requires.
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
//! At most one version of a policy is active. Each function here takes what is stored, and answers
//! with the changes of status to make at once, or with the reason to make none. A version that
//! becomes active archives *every* version that was, so that any of them also mends a policy of
//! which somebody set two active by hand.

mod refusal;

#[cfg(test)]
mod tests;

use semver::Version;
use serde::{Deserialize, Serialize};

pub use refusal::Refusal;

use super::{ParamsError, PolicyStatus};

/// Whether a version may go from one status to another; `None` is a version that does not exist.
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

/// A version that goes from one status to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusChange {
    pub version: Version,
    /// Absent where the version is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PolicyStatus>,
    pub to: PolicyStatus,
}

impl StatusChange {
    /// Whether the life cycle has this change. Only repair may also confirm what is active.
    pub fn is_allowed(&self, repairing: bool) -> bool {
        let confirms = self.from == Some(PolicyStatus::Active) && self.to == PolicyStatus::Active;
        may_become(self.from, self.to) || (repairing && confirms)
    }
}

/// What must be known of a version to decide on it.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionFacts {
    pub version: Version,
    pub status: PolicyStatus,
    pub parent: Option<Version>,
    /// Whether its params could be acted by.
    pub params: Result<(), ParamsError>,
}

/// What a transition does.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In the order: what ceases to be active, then what becomes something.
    pub changes: Vec<StatusChange>,
    /// The version that was in force before, if there was one.
    pub replaced: Option<Version>,
    /// Whether the draft's parent is no longer active, and it was taken all the same.
    pub forced: bool,
}

/// The version in force: the highest, should several be active.
pub fn serving(active: &[Version]) -> Option<&Version> {
    active.iter().max()
}

/// `draft` to `active`. Refused where the draft was made from a version that is no longer the
/// active one, unless `force`d: what it claims is about another world. A draft without a parent
/// claims nothing.
pub fn activate(active: &[Version], target: &VersionFacts, force: bool) -> Result<Plan, Refusal> {
    require(target, PolicyStatus::Draft, "activated")?;
    target.params.clone().map_err(Refusal::Params)?;
    let stale = target.parent.as_ref().is_some_and(|parent| !active.contains(parent));
    if stale && !force {
        let parent = target.parent.clone().unwrap_or_else(|| target.version.clone());
        return Err(Refusal::StaleParent { parent, active: serving(active).cloned() });
    }
    Ok(Plan { forced: stale, ..enter(active, &target.version, Some(PolicyStatus::Draft)) })
}

/// `draft` to `rejected`.
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
pub fn roll_back(active: &[Version], target: &VersionFacts) -> Result<Plan, Refusal> {
    target.params.clone().map_err(Refusal::Params)?;
    if target.status == PolicyStatus::Active && active.len() > 1 {
        return Ok(keep_only(active, &target.version));
    }
    require(target, PolicyStatus::Archived, "rolled back to")?;
    Ok(enter(active, &target.version, Some(PolicyStatus::Archived)))
}

/// A version written by hand: `active` from the start.
pub fn override_with(active: &[Version], new: &Version) -> Result<Plan, Refusal> {
    if active.is_empty() {
        return Err(Refusal::NoneActive);
    }
    Ok(enter(active, new, None))
}

/// Makes exactly one version active: of several the highest, of none the one that `last_active`
/// names.
pub fn repair(active: &[Version], last_active: Option<&VersionFacts>) -> Result<Plan, Refusal> {
    match (active, last_active) {
        ([_], _) => Err(Refusal::NothingToRepair),
        ([], None) => Err(Refusal::NeverActive),
        ([], Some(last)) => {
            last.params.clone().map_err(Refusal::Params)?;
            require(last, PolicyStatus::Archived, "restored")?;
            Ok(enter(active, &last.version, Some(PolicyStatus::Archived)))
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

/// One version becomes active, and all that were are archived.
fn enter(active: &[Version], version: &Version, from: Option<PolicyStatus>) -> Plan {
    let mut changes: Vec<_> = active.iter().map(archived).collect();
    changes.push(StatusChange { version: version.clone(), from, to: PolicyStatus::Active });
    Plan { changes, replaced: serving(active).cloned(), forced: false }
}

/// One of several active versions stays; that it does is told too, for the audit trail to say
/// what is active after a change that it did not see.
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
