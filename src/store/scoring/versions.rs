//! `ops_state/version|{id}@{version}`: the rewards of each version of a policy, counted in the commits
//! that move the scoring cursor.
//!
//! Only versions that exist in `ops_policies` are counted: components may write any text into
//! `policyVersion`, which must not create an unbounded number of documents.

use std::collections::BTreeMap;

use firestore_kit::Timestamp;
use firestore_kit::proto::{Document, Write};
use semver::Version;

use crate::store::collection::{POLICIES, STATE};
use crate::store::{DOCUMENT_BYTES, Store};
use crate::store::{Result, StoreError};
use f0_learning_core::effectiveness::Earned;
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::stats::Tally;
use firestore_kit::{value, write};

/// The version of the encoding. A reader refuses any other.
const FORMAT: i64 = 4;

/// A version and everything that was counted of it.
#[derive(Clone, Debug)]
pub struct VersionTally {
    pub key: PolicyKey,
    pub tally: Tally,
    /// The size when last encoded, in bytes.
    pub weight: usize,
    /// The update time of the stored document; `None` if there is none.
    pub(in crate::store) update_time: Option<Timestamp>,
}

fn state_id(key: &PolicyKey) -> String {
    format!("version|{key}")
}

impl Store {
    /// The tallies of the versions among `keys` that exist.
    pub async fn version_tallies(&self, keys: &[PolicyKey]) -> Result<Vec<VersionTally>> {
        let found = self.versions_with_tallies(keys).await?;
        Ok(found.into_iter().map(|(_, tally)| tally).collect())
    }

    /// The same, each with the policy document of its version.
    pub(in crate::store) async fn versions_with_tallies(
        &self,
        keys: &[PolicyKey],
    ) -> Result<Vec<(Document, VersionTally)>> {
        let policies = keys.iter().map(|key| self.db.name(POLICIES, &key.to_string()));
        let states = keys.iter().map(|key| self.db.name(STATE, &state_id(key)));
        let mut found = self.db.get_many(policies.chain(states).collect()).await?;
        let mut existing = Vec::new();
        for key in keys {
            let Some(version) = found.remove(&self.db.name(POLICIES, &key.to_string())) else {
                continue;
            };
            let tally = match found.get(&self.db.name(STATE, &state_id(key))) {
                Some(document) => self.decode_tally(key, document)?,
                None => VersionTally {
                    key: key.clone(),
                    tally: Tally::default(),
                    weight: 0,
                    update_time: None,
                },
            };
            existing.push((version, tally));
        }
        Ok(existing)
    }

    /// Everything that was counted of a version; empty if no observation names it.
    pub async fn tally(&self, key: &PolicyKey) -> Result<Tally> {
        match self.db.get(STATE, &state_id(key)).await? {
            Some(document) => Ok(self.decode_tally(key, &document)?.tally),
            None => Ok(Tally::default()),
        }
    }

    /// Everything that was counted of these versions of a policy; versions that no observation names
    /// are left out.
    pub async fn tallies<'a>(
        &self,
        id: &str,
        versions: impl IntoIterator<Item = &'a Version>,
    ) -> Result<BTreeMap<Version, Tally>> {
        let keys: Vec<_> = versions
            .into_iter()
            .filter_map(|version| PolicyKey::new(id, version.clone()).ok())
            .collect();
        let names = keys.iter().map(|key| self.db.name(STATE, &state_id(key))).collect();
        let found = self.db.get_many(names).await?;
        let mut tallies = BTreeMap::new();
        for key in keys {
            if let Some(document) = found.get(&self.db.name(STATE, &state_id(&key))) {
                let tally = self.decode_tally(&key, document)?.tally;
                tallies.insert(key.version, tally);
            }
        }
        Ok(tallies)
    }

    /// The rewards of these versions of a policy; versions that no observation names are left out.
    pub async fn earned<'a>(
        &self,
        id: &str,
        versions: impl IntoIterator<Item = &'a Version>,
    ) -> Result<BTreeMap<Version, Earned>> {
        let tallies = self.tallies(id, versions).await?;
        let earned = tallies
            .into_iter()
            .filter_map(|(version, it)| Some((version, Earned::of(&it.stats())?)));
        Ok(earned.collect())
    }

    /// The write of a tally. The figures next to it are for people who read the document.
    pub(in crate::store) fn tally_write(&self, version: &mut VersionTally) -> Write {
        let encoded = version.tally.encode_within(DOCUMENT_BYTES);
        version.weight = encoded.len();
        let stats = version.tally.stats();
        let mut fields = value::fields([
            ("policyVersion", value::string(version.key.to_string())),
            ("format", value::int(FORMAT)),
            ("n", value::int(i64::try_from(stats.n).unwrap_or(i64::MAX))),
            ("population", value::double(stats.population)),
            ("avgReward", value::double(stats.avg_reward)),
            ("successRate", value::double(stats.success_rate)),
            ("p95Latency", value::double(stats.p95_latency)),
            ("tally", value::bytes(encoded)),
        ]);
        if let Some(cost) = stats.avg_cost_usd {
            fields.insert("avgCostUsd".to_owned(), value::double(cost));
        }
        let name = self.db.name(STATE, &state_id(&version.key));
        write::set_if_unchanged(name, fields, version.update_time)
    }

    fn decode_tally(&self, key: &PolicyKey, document: &Document) -> Result<VersionTally> {
        let malformed = |detail: &str| {
            StoreError::decode(self.db.short_name(&document.name), "a version's tally", detail)
        };
        if value::as_int(&document.fields, "format") != Some(FORMAT) {
            return Err(malformed("this version of the service cannot read its format"));
        }
        let encoded = value::as_bytes(&document.fields, "tally");
        let encoded = encoded.ok_or_else(|| malformed("tally is missing"))?;
        let tally = Tally::decode(encoded).map_err(|error| malformed(&error.to_string()))?;
        Ok(VersionTally {
            key: key.clone(),
            tally,
            weight: encoded.len(),
            update_time: document.update_time,
        })
    }
}
