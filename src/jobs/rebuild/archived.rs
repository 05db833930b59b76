//! What was archived of a statistic. A reward leaves Firestore only after its observation.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use chrono::DateTime;
use parquet::errors::ParquetError;

use super::recount::Recount;
use crate::archive::{Archive, ArchiveError, Row, read_rows};
use crate::jobs::retain::archived_documents;
use crate::store::{
    Archived, CountedReward, Known, Statistic, counted_observation, observation_of_reward,
    rejected_of_entry,
};
use f0_learning_core::document::DocumentKey;
use firestore_kit::value;

type Result<T> = std::result::Result<T, ArchiveError>;

/// Adds everything that is archived to the recounts, one file at a time.
pub(super) async fn recount(
    archive: &Archive,
    recounts: &mut [(Statistic, Recount)],
    versions: &HashSet<String>,
) -> Result<()> {
    for path in archive.files(Archived::Rewards.as_str()).await? {
        let file = archive.read(&path).await?;
        let statistics: Vec<_> = recounts.iter().map(|(statistic, _)| statistic.clone()).collect();
        let is_wanted = |counted: &CountedReward| {
            statistics.iter().any(|statistic| counts_in(statistic, counted))
        };
        let mut from = 0;
        loop {
            let (mut wanted, next) = rewards_of(file.clone(), &path, from, is_wanted)?;
            complete(archive, &mut wanted).await?;
            for counted in &wanted {
                for (statistic, recount) in &mut *recounts {
                    if counts_in(statistic, counted) {
                        recount.add(counted, versions);
                    }
                }
            }
            let Some(next) = next else { break };
            from = next;
        }
    }
    for path in archive.files(Archived::Quarantine.as_str()).await? {
        archived_documents(
            archive.read(&path).await?,
            |_| true,
            |_, entry| {
                let rejected = rejected_of_entry(&entry);
                for (statistic, recount) in &mut *recounts {
                    let is_of = match statistic {
                        Statistic::Series(component) => {
                            rejected.origin.component.as_ref() == Some(component)
                        }
                        Statistic::Tally(key) => {
                            rejected.origin.policy_version == Some(key.to_string())
                        }
                    };
                    if is_of {
                        recount.reject(&rejected, versions);
                    }
                }
            },
        )?;
    }
    Ok(())
}

fn counts_in(statistic: &Statistic, counted: &CountedReward) -> bool {
    let observation = &counted.observation;
    match statistic {
        Statistic::Series(component) => observation.component == *component,
        Statistic::Tally(key) => observation.policy_version == Some(key.to_string()),
    }
}

/// The bytes of memory after which the rewards that were read are counted.
const REWARD_BYTES: usize = 16 << 20;

/// The wanted rewards in a file from a row on, each with what it says of its observation, and the row
/// at which to read on: they are as many as fit into [`REWARD_BYTES`].
fn rewards_of(
    file: Bytes,
    path: &str,
    from: usize,
    is_wanted: impl Fn(&CountedReward) -> bool,
) -> Result<(Vec<CountedReward>, Option<usize>)> {
    let texts = ["component", "policyVersion", "configVersion"];
    let mut rewards = Vec::new();
    let (mut row, mut bytes, mut next) = (0, 0, None);
    let read = read_rows(file, &texts, &["score", "successBoost"], |it| {
        if row >= from && bytes < REWARD_BYTES {
            if let Some(counted) = reward_of(it).filter(&is_wanted) {
                bytes += size_of::<CountedReward>()
                    + counted.observation.id.len()
                    + counted.observation.component.len();
                rewards.push(counted);
            }
        } else if row >= from && next.is_none() {
            next = Some(row);
        }
        row += 1;
        Ok::<_, ParquetError>(())
    });
    read.map_err(|error| ArchiveError::Differs {
        path: path.to_owned(),
        detail: error.to_string(),
    })?;
    Ok((rewards, next))
}

fn reward_of(row: Row) -> Option<CountedReward> {
    let Row { key, texts, numbers } = row;
    let [component, version, config] = <[_; 3]>::try_from(texts).ok()?;
    let [score, boost] = <[_; 2]>::try_from(numbers).ok()?;
    let mut fields = value::fields([("ts", value::int(key.ts))]);
    for (name, text) in [("component", component), ("policyVersion", version)] {
        fields.extend(text.map(|text| (name.to_owned(), value::string(text))));
    }
    let details = value::fields([("successBoost", value::double(boost.unwrap_or_default()))]);
    fields.insert("details".to_owned(), value::map(details));
    Some(CountedReward {
        observation: observation_of_reward(&key.id, &fields)?,
        score: score?,
        config_version: config.unwrap_or_default(),
        // A reward is never rewritten: it was created when it was updated.
        created: key.updated,
        known: Known::Reward,
    })
}

/// Completes rewards of which only the reward is known, with the archived observations of their days.
pub(super) async fn complete(archive: &Archive, wanted: &mut [CountedReward]) -> Result<()> {
    let mut open: HashMap<String, usize> = HashMap::new();
    let mut days = BTreeSet::new();
    for (index, counted) in wanted.iter().enumerate() {
        if counted.known == Known::Reward {
            open.insert(counted.observation.id.clone(), index);
            days.insert(day_of(counted.observation.ts));
        }
    }
    for day in days {
        let folder = format!("{}/day={day}", Archived::Observations.as_str());
        for path in archive.files(&folder).await? {
            let is_open = |key: &DocumentKey| open.contains_key(&key.id);
            archived_documents(archive.read(&path).await?, is_open, |key, document| {
                let Some(index) = open.get(&key.id) else { return };
                let counted = &mut wanted[*index];
                let reward = counted.place();
                if let Some(observation) = counted_observation(&key.id, &document, &reward) {
                    let is_changed = key.updated > counted.created;
                    counted.known = if is_changed { Known::Changed } else { Known::Whole };
                    counted.observation = observation;
                }
            })?;
        }
    }
    Ok(())
}

fn day_of(ts: i64) -> String {
    DateTime::from_timestamp_millis(ts).unwrap_or_default().format("%Y-%m-%d").to_string()
}

/// The time before which documents are archived, and the number of the last file, by the names of the
/// files.
pub(super) async fn extent(archive: &Archive) -> Result<(Option<String>, i64)> {
    let mut days = BTreeSet::new();
    let mut last = 0;
    for archived in Archived::ALL {
        for path in archive.files(archived.as_str()).await? {
            let part = |prefix: &str| {
                path.split('/').find_map(|part| part.strip_prefix(prefix)).map(str::to_owned)
            };
            days.extend(part("day="));
            let number = part("part-").and_then(|it| it.trim_end_matches(".parquet").parse().ok());
            last = number.unwrap_or(0).max(last);
        }
    }
    Ok((days.pop_last(), last))
}
