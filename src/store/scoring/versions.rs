//! `ops_state/version|{id}@{version}`: what each version of a policy has earned, counted in the
//! commits that move the scoring cursor.
//!
//! Only versions that exist in `ops_policies` are counted: what a component writes into
//! `policyVersion` is its own affair, and must not make documents without end.

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

/// The layout of these documents. A reader that meets another refuses it.
const FORMAT: i64 = 4;

/// A version, and all that was counted of it.
#[derive(Clone, Debug)]
pub struct VersionTally {
    pub key: PolicyKey,
    pub tally: Tally,
    /// Size when last encoded, in bytes.
    pub weight: usize,
    /// The update time of the stored document; none where there is none.
    pub(in crate::store) seen: Option<Timestamp>,
}

fn state_id(key: &PolicyKey) -> String {
    format!("version|{key}")
}

impl Store {
    /// The tallies of those among `keys` that are versions of a policy.
    pub async fn version_tallies(&self, keys: &[PolicyKey]) -> Result<Vec<VersionTally>> {
        let found = self.versions_with_tallies(keys).await?;
        Ok(found.into_iter().map(|(_, tally)| tally).collect())
    }

    /// The same, each with the document of its version.
    pub(in crate::store) async fn versions_with_tallies(
        &self,
        keys: &[PolicyKey],
    ) -> Result<Vec<(Document, VersionTally)>> {
        let policies = keys.iter().map(|key| self.db.name(POLICIES, &key.to_string()));
        let states = keys.iter().map(|key| self.db.name(STATE, &state_id(key)));
        let mut found = self.db.get_many(policies.chain(states).collect(), None).await?;
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
                    seen: None,
                },
            };
            existing.push((version, tally));
        }
        Ok(existing)
    }

    /// All that was counted of a version that exists; nothing where no observation names it.
    pub async fn tally(&self, key: &PolicyKey) -> Result<Tally> {
        match self.db.get(STATE, &state_id(key)).await? {
            Some(document) => Ok(self.decode_tally(key, &document)?.tally),
            None => Ok(Tally::default()),
        }
    }

    /// What these versions of a policy have earned; one that no observation names is left out.
    pub async fn earned<'a>(
        &self,
        id: &str,
        versions: impl IntoIterator<Item = &'a Version>,
    ) -> Result<BTreeMap<Version, Earned>> {
        let keys: Vec<_> = versions
            .into_iter()
            .filter_map(|version| PolicyKey::new(id, version.clone()).ok())
            .collect();
        let names = keys.iter().map(|key| self.db.name(STATE, &state_id(key))).collect();
        let found = self.db.get_many(names, None).await?;
        let mut earned = BTreeMap::new();
        for key in keys {
            if let Some(document) = found.get(&self.db.name(STATE, &state_id(&key))) {
                let stats = self.decode_tally(&key, document)?.tally.stats();
                earned.extend(Earned::of(&stats).map(|it| (key.version, it)));
            }
        }
        Ok(earned)
    }

    /// The figures stand beside the tally for those who look into Firestore.
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
        write::set_if_unchanged(self.db.name(STATE, &state_id(&version.key)), fields, version.seen)
    }

    fn decode_tally(&self, key: &PolicyKey, document: &Document) -> Result<VersionTally> {
        let wrong = |detail: &str| {
            StoreError::decode(self.db.short_name(&document.name), "a version's tally", detail)
        };
        if value::as_int(&document.fields, "format") != Some(FORMAT) {
            return Err(wrong("format is unknown to this version of the service"));
        }
        let encoded = value::as_bytes(&document.fields, "tally");
        let encoded = encoded.ok_or_else(|| wrong("tally is missing"))?;
        let tally = Tally::decode(encoded).map_err(|error| wrong(&error.to_string()))?;
        Ok(VersionTally {
            key: key.clone(),
            tally,
            weight: encoded.len(),
            seen: document.update_time,
        })
    }
}
