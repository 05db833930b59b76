//! The rewards and quarantined documents that a statistic counts, page by page, with their
//! observations.

use firestore_kit::Query;
use firestore_kit::proto::Document;
use firestore_kit::value::{self, Fields};

use super::Statistic;
use super::cut::{Cut, Kind, Place};
use crate::store::collection::{OBSERVATIONS, QUARANTINE, REWARDS};
use crate::store::scoring::observations::SCORED_FIELDS;
use crate::store::scoring::stored_fields::StoredFields;
use crate::store::{Result, Store};
use f0_learning_core::observation::{Malformed, Observation, Origin};

/// Where to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    Rewards,
    Quarantine,
}

/// What is known of the observation of a reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// All of it, as it was scored.
    Whole,
    /// It was written again after it was scored.
    Changed,
    /// Only what its reward says: the observation is not stored any more, or invalid now.
    Reward,
}

/// An observation that is counted, with its reward.
#[derive(Clone, Debug)]
pub struct CountedReward {
    pub observation: Observation,
    pub score: f64,
    pub config_version: String,
    /// When the reward was created, in epoch microseconds.
    pub created: i64,
    pub known: Known,
}

impl CountedReward {
    /// The fields of the reward that say where the observation was counted.
    pub fn place(&self) -> Fields {
        let observation = &self.observation;
        let mut fields = value::fields([
            ("ts", value::int(observation.ts)),
            ("component", value::string(observation.component.as_str())),
        ]);
        let version = observation.policy_version.as_deref();
        fields.extend(version.map(|it| ("policyVersion".to_owned(), value::string(it))));
        fields
    }
}

/// A document that is counted as rejected.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// Its component and version, and its time: if it has none, that of its rejection.
    pub origin: Origin,
}

/// A page of what is counted.
#[derive(Debug, Default)]
pub struct EvidencePage {
    pub rewards: Vec<CountedReward>,
    pub rejected: Vec<Rejected>,
    /// The name after which the next page starts; `None` for the last one.
    pub next: Option<String>,
}

const REWARD_FIELDS: &[&str] = &[
    "ts",
    "shard",
    "late",
    "component",
    "policyVersion",
    "score",
    "configVersion",
    "details.successBoost",
];

/// The copy of a document may have a mebibyte: only what says where it came from is read.
const ENTRY_FIELDS: &[&str] = &[
    "ts",
    "shard",
    "early",
    "obsTs",
    "component",
    "document.ts",
    "document.component",
    "document.policyVersion",
];

/// What a reward says of its observation. The outcome is a failure if it was not a success; `None` if
/// the reward cannot be read.
pub fn observation_of_reward(id: &str, reward: &Fields) -> Option<Observation> {
    let success = value::as_map(reward, "details")
        .and_then(|details| value::as_number(details, "successBoost"))
        .is_some_and(|boost| boost > 0.0);
    let known = value::fields([
        ("ts", value::int(value::as_int(reward, "ts")?)),
        ("component", value::string(value::as_str(reward, "component")?)),
        ("outcome", value::string(if success { "success" } else { "failure" })),
    ]);
    let mut observation = Observation::parse(id, &StoredFields(&known)).ok()?;
    // Nothing is malformed of what is only unknown.
    observation.malformed = Malformed::default();
    place(&mut observation, reward);
    Some(observation)
}

/// Gives an observation the place at which it was counted, whatever was written to it later.
fn place(observation: &mut Observation, reward: &Fields) {
    observation.ts = value::as_int(reward, "ts").unwrap_or(observation.ts);
    observation.component = value::as_str(reward, "component").unwrap_or_default();
    observation.policy_version = value::as_str(reward, "policyVersion");
}

/// An observation as it was counted, from its document and its reward.
pub fn counted_observation(id: &str, document: &Fields, reward: &Fields) -> Option<Observation> {
    let mut observation = Observation::parse(id, &StoredFields(document)).ok()?;
    place(&mut observation, reward);
    Some(observation)
}

impl Store {
    /// A page of what the statistic counts at the cut, in the order of ids.
    pub async fn evidence(
        &self,
        statistic: &Statistic,
        cut: &Cut,
        source: Evidence,
        after: Option<&str>,
        limit: usize,
    ) -> Result<EvidencePage> {
        let (collection, fields) = match source {
            Evidence::Rewards => (REWARDS, REWARD_FIELDS),
            Evidence::Quarantine => (QUARANTINE, ENTRY_FIELDS),
        };
        let query = Query::of(collection).select(fields);
        let query = match (statistic, source) {
            (Statistic::Series(component), _) => {
                query.equal("component", value::string(component.as_str()))
            }
            (Statistic::Tally(key), Evidence::Rewards) => {
                query.equal("policyVersion", value::string(key.to_string()))
            }
            // The copy of a document is in no index: entries of other versions are left out below.
            (Statistic::Tally(_), Evidence::Quarantine) => query,
        };
        let query = query.ascending("__name__");
        let query = match after {
            Some(name) => query.start_after(vec![value::reference(name.to_owned())]),
            None => query,
        };
        let found = self.db.query_page(collection, query, limit).await?;
        let next = found.last().map(|last| last.name.clone());
        let documents = found.documents;
        let mut page = EvidencePage { next, ..EvidencePage::default() };
        match source {
            Evidence::Rewards => {
                page.rewards = self.counted_rewards(&documents, cut).await?;
            }
            Evidence::Quarantine => {
                page.rejected = self.rejected(&documents, cut).await?;
                if let Statistic::Tally(key) = statistic {
                    let version = Some(key.to_string());
                    page.rejected.retain(|it| it.origin.policy_version == version);
                }
            }
        }
        Ok(page)
    }

    async fn counted_rewards(&self, rewards: &[Document], cut: &Cut) -> Result<Vec<CountedReward>> {
        let is_counted = |reward: &&Document| {
            let id = value::document_id(reward);
            let late = value::as_bool(&reward.fields, "late").unwrap_or(false);
            let shard = value::as_int(&reward.fields, "shard");
            let position = self.place_of(reward, "ts");
            let kind = if late { Kind::Late } else { Kind::Range };
            cut.counts(reward, &Place { id, shard, position, kind })
        };
        let rewards: Vec<_> = rewards.iter().filter(is_counted).collect();
        let name = |reward: &&Document| self.db.name(OBSERVATIONS, value::document_id(reward));
        let names = rewards.iter().map(name).collect();
        let found = self.db.get_masked(names, SCORED_FIELDS).await?;
        let counted =
            rewards.into_iter().filter_map(|reward| counted(reward, found.get(&name(&reward))));
        Ok(counted.collect())
    }

    async fn rejected(&self, entries: &[Document], cut: &Cut) -> Result<Vec<Rejected>> {
        let is_early = |entry: &Document| value::as_bool(&entry.fields, "early") == Some(true);
        let is_counted = |entry: &&Document| {
            let id = value::document_id(entry);
            let shard = value::as_int(&entry.fields, "shard");
            let position = self.place_of(entry, "obsTs");
            cut.counts(entry, &Place { id, shard, position, kind: Kind::Entry })
        };
        let entries: Vec<_> = entries.iter().filter(is_counted).collect();
        // One that was quarantined ahead of its cursor may have been corrected before it was reached.
        let early = entries.iter().filter(|entry| is_early(entry));
        let early: Vec<_> = early.map(|entry| value::document_id(entry)).collect();
        let scored = self.rewards_of(&early).await?;
        let is_rejected = |entry: &&Document| !scored.contains_key(value::document_id(entry));
        Ok(entries
            .into_iter()
            .filter(is_rejected)
            .map(|it| rejected_of_entry(&it.fields))
            .collect())
    }
}

fn counted(reward: &Document, document: Option<&Document>) -> Option<CountedReward> {
    let id = value::document_id(reward);
    let fields = &reward.fields;
    let created = reward.create_time.as_ref().map_or(0, value::epoch_micros);
    let whole = document.and_then(|it| counted_observation(id, &it.fields, fields));
    let written = document.and_then(|it| it.update_time.as_ref()).map_or(0, value::epoch_micros);
    let known = match whole {
        None => Known::Reward,
        Some(_) if written > created => Known::Changed,
        Some(_) => Known::Whole,
    };
    Some(CountedReward {
        observation: whole.or_else(|| observation_of_reward(id, fields))?,
        score: value::as_number(fields, "score")?,
        config_version: value::as_str(fields, "configVersion").unwrap_or_default(),
        created,
        known,
    })
}

/// What an entry of quarantine says of the document that was rejected.
pub fn rejected_of_entry(entry: &Fields) -> Rejected {
    let copy = value::as_map(entry, "document").cloned().unwrap_or_default();
    let mut origin = Origin::of(&StoredFields(&copy));
    origin.component = value::as_str(entry, "component").or(origin.component);
    let time = |field| value::as_millis(entry, field);
    origin.ts = origin.ts.or_else(|| time("obsTs")).or_else(|| time("ts"));
    Rejected { origin }
}
