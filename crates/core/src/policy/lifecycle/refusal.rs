//! Why a transition is refused.

use semver::Version;
use thiserror::Error;

use crate::policy::{ParamsError, PolicyStatus};

/// Why a transition is refused.
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
    #[error("its parent {parent} is no longer the active version; {}", describe(.active.as_ref()))]
    StaleParent { parent: Version, active: Option<Version> },
    #[error("its params are invalid: {0}")]
    Params(ParamsError),
    #[error("no version is active; restore one with `policies repair` or a rollback first")]
    NoneActive,
    #[error("several versions are active; run `policies repair` to keep one of them")]
    SeveralActive,
    #[error("exactly one version is active; there is nothing to repair")]
    NothingToRepair,
    #[error("no version was ever active; activate a draft instead")]
    NeverActive,
}

fn hint(status: PolicyStatus, wanted: &str) -> &'static str {
    match (status, wanted) {
        (PolicyStatus::Archived, "activated") => " (roll back to it instead)",
        (PolicyStatus::Draft, "rolled back to") => " (activate it instead)",
        _ => "",
    }
}

fn describe(active: Option<&Version>) -> String {
    active
        .map_or_else(|| "no version is active".to_owned(), |version| format!("{version} is active"))
}
