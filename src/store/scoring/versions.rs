//! `ops_state/version|{id}@{version}`: the rewards of each version of a policy, counted in the commits
//! that move the scoring cursor.
//!
//! Only versions that exist in `ops_policies` are counted: components may write any text into
//! `policyVersion`, which must not create an unbounded number of documents.

use std::collections::{BTreeMap, HashMap};

use firestore_kit::Timestamp;
use firestore_kit::proto::{Document, Write};
use semver::Version;

use crate::store::collection::{POLICIES, STATE};
use crate::store::scoring::cursor::{IS_REBUILDING, REBUILDING};
use crate::store::scoring::parking::Parking;
use crate::store::scoring::stored_fields::{SCORED_UNDER, scored_under, scored_under_field};
use crate::store::{DOCUMENT_BYTES, Store};
use crate::store::{Result, StoreError};
use f0_learning_core::effectiveness::Earned;
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::reward::ScoredUnder;
use f0_learning_core::stats::Tally;
use firestore_kit::{value, write};

/// The version of the document. A reader reads every version up to this one: the bytes name their own
/// format.
const FORMAT: i64 = 4;

/// A version and everything that was counted of it.
#[derive(Clone, Debug)]
pub struct VersionTally {
    pub key: PolicyKey,
    pub tally: Tally,
    /// The config that the rewards in its samples were scored under.
    pub scored_under: Option<ScoredUnder>,
    /// The size when last encoded, in bytes.
    pub weight: usize,
    /// Why the stored tally cannot be read. This one then holds what was counted since, in a document of
    /// its own (see `store::scoring::parked`).
    pub parked: Option<Parking>,
    /// The update time of the stored document; `None` if there is none.
    pub(in crate::store) update_time: Option<Timestamp>,
}

impl VersionTally {
    pub(in crate::store) fn new(key: &PolicyKey) -> Self {
        Self {
            key: key.clone(),
            tally: Tally::default(),
            scored_under: None,
            weight: 0,
            parked: None,
            update_time: None,
        }
    }
}

pub(in crate::store) fn state_id(key: &PolicyKey) -> String {
    format!("version|{key}")
}

impl Store {
    /// The tallies of the versions among `keys` that exist, to count into: where the stored one cannot
    /// be read, what was counted since.
    pub async fn tallies_to_count(&self, keys: &[PolicyKey]) -> Result<Vec<VersionTally>> {
        let mut tallies = Vec::new();
        for (_, key, tally) in self.stored_tallies(keys).await? {
            tallies.push(match tally {
                Ok(tally) => tally,
                Err(StoreError::Decode { detail, .. }) => self.parked_tally(&key, detail).await?,
                Err(error) => return Err(error),
            });
        }
        Ok(tallies)
    }

    /// The tallies of the versions among `keys` that exist, each with the policy document of its version.
    pub(in crate::store) async fn versions_with_tallies(
        &self,
        keys: &[PolicyKey],
    ) -> Result<Vec<(Document, VersionTally)>> {
        let found = self.stored_tallies(keys).await?;
        found.into_iter().map(|(document, _, tally)| Ok((document, tally?))).collect()
    }

    async fn stored_tallies(
        &self,
        keys: &[PolicyKey],
    ) -> Result<Vec<(Document, PolicyKey, Result<VersionTally>)>> {
        let policies = keys.iter().map(|key| self.db.name(POLICIES, &key.to_string()));
        let states = keys.iter().map(|key| self.db.name(STATE, &state_id(key)));
        let mut found = self.db.get_many(policies.chain(states).collect()).await?;
        let mut existing = Vec::new();
        for key in keys {
            let Some(version) = found.remove(&self.db.name(POLICIES, &key.to_string())) else {
                continue;
            };
            let tally = match found.get(&self.db.name(STATE, &state_id(key))) {
                Some(document) => self.decode_tally(key, document),
                None => Ok(VersionTally::new(key)),
            };
            existing.push((version, key.clone(), tally));
        }
        Ok(existing)
    }

    /// The stored tally of a version; an empty one if there is none.
    pub(in crate::store) async fn stored_tally(&self, key: &PolicyKey) -> Result<VersionTally> {
        match self.db.get(STATE, &state_id(key)).await? {
            Some(document) => self.decode_tally(key, &document),
            None => Ok(VersionTally::new(key)),
        }
    }

    /// Everything that was counted of a version; empty if no observation names it.
    pub async fn tally(&self, key: &PolicyKey) -> Result<Tally> {
        Ok(self.stamped_tally(key).await?.0)
    }

    /// The same, with the config that the rewards in its samples were scored under.
    pub async fn stamped_tally(&self, key: &PolicyKey) -> Result<(Tally, Option<ScoredUnder>)> {
        match self.db.get(STATE, &state_id(key)).await? {
            Some(document) => {
                let found = self.decode_tally(key, &document)?;
                Ok((found.tally, found.scored_under))
            }
            None => Ok((Tally::default(), None)),
        }
    }

    /// Everything that was counted of these versions of a policy; versions that no observation names,
    /// or whose counts cannot be read, are left out.
    pub async fn tallies<'a>(
        &self,
        id: &str,
        versions: impl IntoIterator<Item = &'a Version>,
    ) -> Result<BTreeMap<Version, VersionTally>> {
        let keys: Vec<_> = versions
            .into_iter()
            .filter_map(|version| PolicyKey::new(id, version.clone()).ok())
            .collect();
        let name = |key: &PolicyKey| self.db.name(STATE, &state_id(key));
        let by_name: HashMap<_, _> = keys.iter().map(|key| (name(key), key)).collect();
        let names: Vec<_> = by_name.keys().cloned().collect();
        let decode = |document: Document| {
            let key = by_name.get(&document.name)?;
            let tally = self.decode_tally(key, &document);
            // The counts of one version say nothing about the others.
            tally
                .inspect_err(|error| tracing::warn!(%error, "a version's counts are left out"))
                .ok()
        };
        let found = self.db.get_map(&names, None, decode).await?.into_values().flatten();
        Ok(found.map(|tally| (tally.key.version.clone(), tally)).collect())
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
            .filter_map(|(version, it)| Some((version, Earned::of(&it.tally.stats())?)));
        Ok(earned.collect())
    }

    /// The write of a tally. The figures next to it are for people who read the document.
    pub(in crate::store) fn tally_write(&self, version: &mut VersionTally) -> Write {
        if let Some(parking) = version.parked.clone() {
            return self.parked_tally_write(version, &parking);
        }
        let encoded = version.tally.encode_within(DOCUMENT_BYTES);
        version.weight = encoded.len();
        let stats = version.tally.stats();
        let mut fields = value::fields([
            ("policyVersion", value::string(version.key.to_string())),
            ("format", value::int(FORMAT)),
            ("n", value::int(i64::try_from(stats.n).unwrap_or(i64::MAX))),
            ("rejected", value::int(i64::try_from(stats.rejected).unwrap_or(i64::MAX))),
            ("population", value::double(stats.population)),
            ("avgReward", value::double(stats.avg_reward)),
            ("successRate", value::double(stats.success_rate)),
            ("p95Latency", value::double(stats.p95_latency)),
            ("tally", value::bytes(encoded)),
        ]);
        if let Some(cost) = stats.avg_cost_usd {
            fields.insert("avgCostUsd".to_owned(), value::double(cost));
        }
        fields.extend(scored_under_field(version.scored_under.as_ref()));
        let name = self.db.name(STATE, &state_id(&version.key));
        write::set_if_unchanged(name, fields, version.update_time)
    }

    pub(in crate::store) fn decode_tally(
        &self,
        key: &PolicyKey,
        document: &Document,
    ) -> Result<VersionTally> {
        let malformed = |detail: &str| {
            StoreError::decode(self.db.short_name(&document.name), "a version's tally", detail)
        };
        if document.fields.contains_key(REBUILDING) {
            return Err(malformed(IS_REBUILDING));
        }
        match value::as_whole(&document.fields, "format") {
            Some(..=FORMAT) => {}
            Some(format) => {
                let detail = format!("format {format} is of a later version of the service");
                return Err(malformed(&detail));
            }
            None => return Err(malformed("format is missing")),
        }
        let encoded = value::as_bytes(&document.fields, "tally");
        let encoded = encoded.ok_or_else(|| malformed("tally is missing"))?;
        let tally = Tally::decode(encoded).map_err(|error| malformed(&error.to_string()))?;
        Ok(VersionTally {
            key: key.clone(),
            tally,
            scored_under: scored_under(&document.fields, SCORED_UNDER)
                .map_err(|detail| malformed(&detail))?,
            weight: encoded.len(),
            parked: None,
            update_time: document.update_time,
        })
    }
}
