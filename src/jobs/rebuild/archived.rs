//! What was archived of a statistic. A reward leaves Firestore only after its observation.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Display;

use chrono::DateTime;

use super::recount::Recount;
use crate::archive::{Archive, ArchiveError, read_keys, read_numbers, read_texts};
use crate::jobs::retain::archived_documents;
use crate::store::{
    Archived, CountedReward, Known, Statistic, counted_observation, observation_of_reward,
    rejected_of_entry,
};
use firestore_kit::value::{self, Fields};

type Result<T> = std::result::Result<T, ArchiveError>;

/// Adds everything that is archived to the recounts, one file at a time.
pub(super) async fn recount(
    archive: &Archive,
    recounts: &mut [(Statistic, Recount)],
    versions: &HashSet<String>,
) -> Result<()> {
    for path in archive.files(Archived::Rewards.as_str()).await? {
        let rewards = rewards_of(archive, &path).await?;
        let is_wanted = |(_, reward): &&(CountedReward, Fields)| {
            recounts.iter().any(|(statistic, _)| counts_in(statistic, reward))
        };
        let mut wanted: Vec<_> = rewards.iter().filter(is_wanted).cloned().collect();
        complete(archive, &mut wanted).await?;
        for (counted, reward) in &wanted {
            for (statistic, recount) in &mut *recounts {
                if counts_in(statistic, reward) {
                    recount.add(counted, versions);
                }
            }
        }
    }
    for path in archive.files(Archived::Quarantine.as_str()).await? {
        for (_, entry) in archived_documents(archive.read(&path).await?)? {
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
        }
    }
    Ok(())
}

fn counts_in(statistic: &Statistic, reward: &Fields) -> bool {
    match statistic {
        Statistic::Series(component) => {
            value::as_str(reward, "component").as_ref() == Some(component)
        }
        Statistic::Tally(key) => value::as_str(reward, "policyVersion") == Some(key.to_string()),
    }
}

/// The rewards in a file, each with what it says of its observation.
async fn rewards_of(archive: &Archive, path: &str) -> Result<Vec<(CountedReward, Fields)>> {
    let failed = |error: &dyn Display| ArchiveError::Differs {
        path: path.to_owned(),
        detail: error.to_string(),
    };
    let file = archive.read(path).await?;
    let keys = read_keys(file.clone()).map_err(|error| failed(&error))?;
    let names = ["component", "policyVersion", "configVersion"];
    let (_, texts) = read_texts(file.clone(), &names).map_err(|error| failed(&error))?;
    let mut numbers = Vec::new();
    for name in ["score", "successBoost"] {
        numbers.push(read_numbers(file.clone(), name).map_err(|error| failed(&error))?);
    }
    let text = |column: usize, row: usize| texts[column].as_ref()?.get(row)?.clone();
    let number = |column: usize, row: usize| *numbers[column].as_ref()?.get(row)?;
    let mut rewards = Vec::with_capacity(keys.len());
    for (row, key) in keys.into_iter().enumerate() {
        let mut fields = value::fields([("ts", value::int(key.ts))]);
        let named = [("component", text(0, row)), ("policyVersion", text(1, row))];
        for (name, text) in named {
            fields.extend(text.map(|text| (name.to_owned(), value::string(text))));
        }
        let boost = number(1, row).unwrap_or_default();
        let details = value::fields([("successBoost", value::double(boost))]);
        fields.insert("details".to_owned(), value::map(details));
        let (Some(observation), Some(score)) =
            (observation_of_reward(&key.id, &fields), number(0, row))
        else {
            continue;
        };
        let config_version = text(2, row).unwrap_or_default();
        // A reward is never rewritten: it was created when it was updated.
        let (created, known) = (key.updated, Known::Reward);
        rewards
            .push((CountedReward { observation, score, config_version, created, known }, fields));
    }
    Ok(rewards)
}

/// Completes rewards of which only the reward is known, with the archived observations of their days.
pub(super) async fn complete(
    archive: &Archive,
    wanted: &mut [(CountedReward, Fields)],
) -> Result<()> {
    let mut open: HashMap<String, usize> = HashMap::new();
    let mut days = BTreeSet::new();
    for (index, (counted, _)) in wanted.iter().enumerate() {
        if counted.known == Known::Reward {
            open.insert(counted.observation.id.clone(), index);
            days.insert(day_of(counted.observation.ts));
        }
    }
    for day in days {
        let folder = format!("{}/day={day}", Archived::Observations.as_str());
        for path in archive.files(&folder).await? {
            for (key, document) in archived_documents(archive.read(&path).await?)? {
                let Some(index) = open.get(&key.id) else { continue };
                let (counted, reward) = &mut wanted[*index];
                if let Some(observation) = counted_observation(&key.id, &document, reward) {
                    let is_changed = key.updated > counted.created;
                    counted.known = if is_changed { Known::Changed } else { Known::Whole };
                    counted.observation = observation;
                }
            }
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
