//! What an experiment stands on: the status of its two versions.

use std::fmt;

use semver::Version;

use super::{Kind, Status};
use crate::policy::PolicyStatus;

/// The status of both versions; `None` of one that is gone, or that cannot be read where it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footing {
    pub control: Option<PolicyStatus>,
    pub candidate: Option<PolicyStatus>,
}

/// Why an experiment cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Void {
    /// How it ends.
    pub status: Status,
    /// The version that is not as it must be.
    pub version: Version,
    pub found: Option<PolicyStatus>,
}

impl Footing {
    /// Admins may change a status straight in Firestore, which ends no experiment. A test needs an
    /// active control and a draft; a watch an active candidate, and a control to go back to.
    pub fn void(self, kind: Kind, control: &Version, candidate: &Version) -> Option<Void> {
        use PolicyStatus::{Active, Archived, Draft};
        let of_candidate =
            |status| Void { status, version: candidate.clone(), found: self.candidate };
        let of_control = |status| Void { status, version: control.clone(), found: self.control };
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

impl fmt::Display for Void {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.found {
            Some(status) => write!(f, "{} is {status} now", self.version),
            None => write!(f, "{} is gone, or cannot be read", self.version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_experiment_goes_on_only_where_both_versions_have_their_places() {
        let statuses = || PolicyStatus::ALL.into_iter().map(Some).chain([None]);
        let (one, two) = (Version::new(1, 0, 0), Version::new(1, 0, 1));
        for kind in [Kind::Ab, Kind::Watch] {
            let mut going_on = Vec::new();
            for control in statuses() {
                for candidate in statuses() {
                    match (Footing { control, candidate }).void(kind, &one, &two) {
                        None => going_on.push((control, candidate)),
                        Some(void) => assert!(!void.status.is_open(), "{void:?}"),
                    }
                }
            }
            use PolicyStatus::{Active, Archived, Draft};
            let expected = match kind {
                Kind::Ab => vec![(Some(Active), Some(Draft))],
                Kind::Watch => vec![(Some(Active), Some(Active)), (Some(Archived), Some(Active))],
            };
            assert_eq!(going_on, expected, "{kind:?}");
        }
    }
}
