//! The check job: whether each policy has exactly one active version. The specification lets
//! admins set `status` straight in Firestore; what comes of that is told here, and mended by
//! `policies repair` or a rollback.

use std::collections::BTreeMap;
use std::fmt;

use semver::Version;
use serde::Serialize;

use crate::store::{Result, Store};

/// A policy that has several active versions, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Irregularity {
    pub policy: String,
    /// What is set active; the highest is in force.
    pub active: Vec<Version>,
}

/// How many active versions each policy has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    pub active: BTreeMap<String, Vec<Version>>,
}

impl CheckReport {
    /// Looks at all policies: a read for each, and one for each active version.
    pub async fn take(store: &Store) -> Result<Self> {
        let ids = store.policy_ids().await?;
        let mut active: BTreeMap<_, Vec<_>> = ids.into_iter().map(|id| (id, Vec::new())).collect();
        for policy in store.active_policies().await? {
            active.entry(policy.id).or_default().push(policy.version);
        }
        Ok(Self { active })
    }

    pub fn irregular(&self) -> Vec<Irregularity> {
        let irregular = self.active.iter().filter(|(_, active)| active.len() != 1);
        irregular
            .map(|(policy, active)| Irregularity { policy: policy.clone(), active: active.clone() })
            .collect()
    }
}

impl fmt::Display for Irregularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = &self.policy;
        match self.active.iter().max() {
            None => write!(
                f,
                "{policy} has no active version; activate a draft, or `policies repair {policy}`"
            ),
            Some(highest) => {
                let all: Vec<_> = self.active.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "{policy} has {} active versions ({}); {highest} is in force until `policies \
                     repair {policy}` or a rollback leaves one",
                    all.len(),
                    all.join(", ")
                )
            }
        }
    }
}
