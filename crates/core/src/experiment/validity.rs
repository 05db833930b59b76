//! Whether an experiment is still valid, given the current status of its two versions.

use std::fmt;

use semver::Version;

use super::{Kind, Status};
use crate::policy::PolicyStatus;

/// The status of both versions; `None` for a version that is missing, or that cannot be read
/// although it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionStatuses {
    pub control: Option<PolicyStatus>,
    pub candidate: Option<PolicyStatus>,
}

/// Why an experiment cannot continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidated {
    /// The status that the experiment ends with.
    pub status: Status,
    /// The version whose status is not the required one.
    pub version: Version,
    pub found: Option<PolicyStatus>,
}

impl VersionStatuses {
    /// Why the experiment cannot continue; `None` if it can.
    ///
    /// Admins may change a status directly in Firestore, which does not end the experiment. An A/B
    /// test requires an active control and a draft as candidate. A watch requires an active
    /// candidate, and a control to roll back to.
    pub fn invalidated(
        self,
        kind: Kind,
        control: &Version,
        candidate: &Version,
    ) -> Option<Invalidated> {
        use PolicyStatus::{Active, Archived, Draft};
        let of_candidate =
            |status| Invalidated { status, version: candidate.clone(), found: self.candidate };
        let of_control =
            |status| Invalidated { status, version: control.clone(), found: self.control };
        match (kind, self.control, self.candidate) {
            (Kind::Ab, Some(Active), Some(Draft))
            | (Kind::Watch, Some(Active | Archived), Some(Active)) => None,
            (Kind::Ab, _, Some(Active)) => Some(of_candidate(Status::Passed)),
            (Kind::Ab, _, Some(Draft)) => Some(of_control(Status::Superseded)),
            (Kind::Ab, _, _) => Some(of_candidate(Status::Stopped)),
            (Kind::Watch, _, Some(Active)) => Some(of_control(Status::Stopped)),
            (Kind::Watch, _, _) => Some(of_candidate(Status::Superseded)),
        }
    }
}

impl fmt::Display for Invalidated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.found {
            Some(status) => write!(f, "{} is now {status}", self.version),
            None => write!(f, "{} is missing or cannot be read", self.version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_experiment_continues_only_while_both_versions_have_the_required_status() {
        let statuses = || PolicyStatus::ALL.into_iter().map(Some).chain([None]);
        let (one, two) = (Version::new(1, 0, 0), Version::new(1, 0, 1));
        for kind in [Kind::Ab, Kind::Watch] {
            let mut valid = Vec::new();
            for control in statuses() {
                for candidate in statuses() {
                    match (VersionStatuses { control, candidate }).invalidated(kind, &one, &two) {
                        None => valid.push((control, candidate)),
                        Some(reason) => assert!(!reason.status.is_open(), "{reason:?}"),
                    }
                }
            }
            use PolicyStatus::{Active, Archived, Draft};
            let expected = match kind {
                Kind::Ab => vec![(Some(Active), Some(Draft))],
                Kind::Watch => vec![(Some(Active), Some(Active)), (Some(Archived), Some(Active))],
            };
            assert_eq!(valid, expected, "{kind:?}");
        }
    }
}
