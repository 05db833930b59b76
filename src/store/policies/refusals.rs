//! What people and the guard refused, from the audit trail.

use std::collections::{BTreeMap, BTreeSet};

use semver::Version;

use crate::store::lifecycle::{GUARD, TUNER};
use crate::store::{Result, Store};
use f0_learning_core::audit::AuditEntry;
use f0_learning_core::document::Policy;
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::time::HOUR_MS;
use f0_learning_core::tuning::{
    PastVersion, Refusal, named_versions, refusals, refuses, veto_note,
};

/// The refusals of a policy.
#[derive(Clone, Debug, Default)]
pub struct PastRefusals {
    /// Those that are not overruled, the oldest first.
    pub standing: Vec<Refusal>,
    /// The audit entries of all.
    pub entries: BTreeSet<String>,
}

impl Store {
    /// What was refused in the last `hours`. `versions` are those that were read already; others are
    /// read if an entry names them.
    pub async fn past_refusals(
        &self,
        id: &str,
        hours: u32,
        versions: &[Policy],
        now: i64,
    ) -> Result<PastRefusals> {
        if hours == 0 {
            return Ok(PastRefusals::default());
        }
        let trail = self.changes(id, Some(now - i64::from(hours) * HOUR_MS)).await?;
        if !trail.iter().any(|it| refuses(&it.entry, TUNER)) {
            return Ok(PastRefusals::default());
        }
        let is_refusal = trail.iter().filter(|it| refuses(&it.entry, TUNER));
        let entries = is_refusal.map(|it| it.audit_id.clone()).collect();
        let trail: Vec<AuditEntry> = trail.into_iter().map(|it| it.entry).collect();
        let mut known: BTreeMap<Version, PastVersion> = BTreeMap::new();
        known.extend(versions.iter().filter_map(past_version));
        let named: BTreeSet<Version> = named_versions(&trail).collect();
        self.read_missing(id, &named, &mut known).await?;
        let of_named = known.iter().filter(|(version, _)| named.contains(*version));
        let parents = of_named.filter_map(|(_, it)| it.parent.clone()).collect();
        self.read_missing(id, &parents, &mut known).await?;
        let standing = refusals(&trail, TUNER, |version| known.get(version).cloned());
        Ok(PastRefusals { standing, entries })
    }

    async fn read_missing(
        &self,
        id: &str,
        wanted: &BTreeSet<Version>,
        known: &mut BTreeMap<Version, PastVersion>,
    ) -> Result<()> {
        for version in wanted {
            if known.contains_key(version) {
                continue;
            }
            let Ok(key) = PolicyKey::new(id, version.clone()) else { continue };
            match self.policy(&key).await {
                Ok(found) => known.extend(found.as_ref().and_then(past_version)),
                // A version that was corrupted by hand refuses nothing.
                Err(error) if error.concerns_one_document() => {
                    tracing::warn!(%error, "a refusal is ignored: its version cannot be read");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What the answer to a refusal says about the tuner; `None` if the policy is not tuned, or the
    /// configuration cannot be read: the change was made, and that is what the answer must say.
    pub async fn veto_note(&self, entry: &AuditEntry) -> Option<String> {
        let config = self.tuning_config().await.ok()?;
        let hours = config.policies.get(&entry.id)?.veto_hours;
        veto_note(entry, &[TUNER, GUARD], hours)
    }
}

fn past_version(policy: &Policy) -> Option<(Version, PastVersion)> {
    let weights = policy.params.model_weights().ok()??;
    let parent = policy.parent_version.clone();
    Some((policy.version.clone(), PastVersion { weights, parent }))
}
