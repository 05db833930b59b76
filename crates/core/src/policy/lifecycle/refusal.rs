//! Why a transition is not made.

use semver::Version;
use thiserror::Error;

use crate::policy::{ParamsError, PolicyStatus};

#[derive(Clone, Debug, PartialEq, Error)]
pub enum Refusal {
    #[error(
        "{version} is {status}; only a version that is {required} can be {wanted}{}",
        hint(*.status, .wanted)
    )]
    WrongStatus {
        version: Version,
        status: PolicyStatus,
        required: PolicyStatus,
        wanted: &'static str,
    },
    #[error("its parent {parent} is no longer the active version, {}", in_force(.active.as_ref()))]
    StaleParent { parent: Version, active: Option<Version> },
    #[error("nothing could act by its params: {0}")]
    Params(ParamsError),
    #[error("no version is active; `policies repair` or a rollback restores one first")]
    NoneActive,
    #[error("several versions are active; `policies repair` leaves one of them")]
    SeveralActive,
    #[error("exactly one version is active; there is nothing to repair")]
    NothingToRepair,
    #[error("no version of it was ever active; activate a draft")]
    NeverActive,
}

fn hint(status: PolicyStatus, wanted: &str) -> &'static str {
    match (status, wanted) {
        (PolicyStatus::Archived, "activated") => " (roll back to it instead)",
        (PolicyStatus::Draft, "rolled back to") => " (activate it instead)",
        _ => "",
    }
}

fn in_force(active: Option<&Version>) -> String {
    active.map_or_else(|| "none is".to_owned(), |version| format!("{version} is"))
}
