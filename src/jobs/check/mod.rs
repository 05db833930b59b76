//! The check job: whether each policy has exactly one active version. The specification lets
//! admins set `status` directly in Firestore. This job reports policies that then have several
//! active versions, or none; `policies repair` or a rollback repairs them.

use f0_learning_core::plural::count;
use std::collections::BTreeMap;
use std::fmt;

use semver::Version;
use serde::Serialize;
use tracing::Level;

use super::{Job, JobName, JobReport, LogLine, PassContext};
use crate::observability::health::Health;
use crate::store::{Result, Store, StoreError};

/// A policy that has several active versions, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Irregularity {
    pub policy: String,
    /// The versions with status `active`; the highest is served.
    pub active: Vec<Version>,
    /// The active versions that cannot be read, and why. They are among those above.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
}

/// How many active versions each policy has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    pub active: BTreeMap<String, Vec<Version>>,
    /// By policy, the active versions that cannot be read, and why.
    pub unreadable: BTreeMap<String, Vec<String>>,
    /// What the job has logged before and logs only once.
    known: Vec<Irregularity>,
}

/// The job, with what it has logged.
#[derive(Debug)]
pub struct CheckJob {
    store: Store,
    known: Vec<Irregularity>,
}

impl CheckJob {
    pub fn new(store: Store) -> Self {
        Self { store, known: Vec::new() }
    }
}

impl Job for CheckJob {
    const NAME: JobName = JobName::Check;
    type Report = CheckReport;
    type Error = StoreError;

    async fn run(&mut self, _context: &PassContext) -> Result<CheckReport> {
        let report = CheckReport::take(&self.store).await?;
        let known = std::mem::replace(&mut self.known, report.irregular());
        Ok(CheckReport { known, ..report })
    }
}

impl CheckReport {
    /// Checks all policies: a read for each, and one for each active version.
    pub async fn take(store: &Store) -> Result<Self> {
        let ids = store.policy_ids().await?;
        let mut active: BTreeMap<_, Vec<_>> = ids.into_iter().map(|id| (id, Vec::new())).collect();
        let found = store.active_versions().await?;
        for policy in found.readable {
            active.entry(policy.id).or_default().push(policy.version);
        }
        let mut unreadable: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for version in found.unreadable {
            unreadable.entry(version.policy.clone()).or_default().push(version.to_string());
            active.entry(version.policy).or_default().extend(version.version);
        }
        Ok(Self { active, unreadable, known: Vec::new() })
    }

    pub fn irregular(&self) -> Vec<Irregularity> {
        let irregular = |(policy, active): (&String, &Vec<Version>)| {
            let unreadable = self.unreadable.get(policy).cloned().unwrap_or_default();
            let (policy, active) = (policy.clone(), active.clone());
            (active.len() != 1 || !unreadable.is_empty()).then_some(Irregularity {
                policy,
                active,
                unreadable,
            })
        };
        self.active.iter().filter_map(irregular).collect()
    }
}

impl JobReport for CheckReport {
    fn log_lines(&self) -> Vec<LogLine> {
        let irregular = self.irregular();
        let new = irregular.iter().filter(|it| !self.known.contains(it));
        new.map(|it| LogLine::new(Level::ERROR, it)).collect()
    }

    fn observe(&self, health: &Health) {
        let counts = self.active.iter().map(|(policy, active)| (policy.as_str(), active.len()));
        health.metrics().policies().set_active_versions(counts);
        health.set_irregular_policies(self.irregular().iter().map(ToString::to_string).collect());
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checked = count(self.active.len(), "policy");
        write!(f, "{checked} checked, {} to repair", self.irregular().len())
    }
}

impl fmt::Display for Irregularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = &self.policy;
        if !self.unreadable.is_empty() {
            let unreadable = self.unreadable.join("; ");
            return write!(
                f,
                "{unreadable}; correct the document, or run `f0-learning policies rollback {policy}`"
            );
        }
        match self.active.iter().max() {
            None => write!(
                f,
                "{policy} has no active version; activate a draft, or run `policies repair {policy}`"
            ),
            Some(highest) => {
                let all: Vec<_> = self.active.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "{policy} has {} active versions ({}); {highest} is served until `policies \
                     repair {policy}` or a rollback leaves one",
                    all.len(),
                    all.join(", ")
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_irregular_policy_is_logged_once() {
        let versions = vec![Version::new(1, 0, 1), Version::new(1, 0, 2)];
        let active = BTreeMap::from([("router-core".to_owned(), versions)]);
        let first = CheckReport { active, ..CheckReport::default() };
        let [line] = first.log_lines().try_into().unwrap();
        assert_eq!(line.level, Level::ERROR);
        assert!(line.text.contains("1.0.2 is served"), "{line:?}");
        let second = CheckReport { known: first.irregular(), ..first };
        assert_eq!(second.log_lines(), []);
    }
}
