//! Ids that people abbreviate: a command takes the beginning of an id, if no other id begins the same.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use f0_learning::store::Store;
use f0_learning_core::policy::PolicyKey;

/// The most ids that are named where a text is ambiguous.
const CANDIDATES: usize = 10;

/// The id of the policy that a person means; the text itself if no id begins with it.
pub async fn policy(store: &Store, text: &str) -> Result<String> {
    if PolicyKey::check_id(text).is_err() {
        return Ok(text.to_owned());
    }
    completed("policy", text, &store.policy_ids_from(text, CANDIDATES).await?)
}

/// `ID` or `ID@VERSION`, with the whole id.
pub async fn version(store: &Store, text: &str) -> Result<String> {
    match text.split_once('@') {
        Some((id, version)) => Ok(format!("{}@{version}", policy(store, id).await?)),
        None => policy(store, text).await,
    }
}

pub async fn key(store: &Store, key: &PolicyKey) -> Result<PolicyKey> {
    Ok(PolicyKey::new(&policy(store, &key.id).await?, key.version.clone())?)
}

pub async fn experiment(store: &Store, text: &str) -> Result<String> {
    let is_id = |it: char| it.is_ascii_alphanumeric() || it == '-';
    if text.is_empty() || !text.chars().all(is_id) {
        return Ok(text.to_owned());
    }
    completed("experiment", text, &store.experiment_ids_from(text, CANDIDATES).await?)
}

/// The ids of quarantined observations. The whole id of an observation that left the quarantine stands for
/// no other.
pub async fn quarantined(store: &Store, texts: &[String]) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for text in texts {
        let found = match text.is_empty() {
            true => BTreeSet::new(),
            false => store.quarantined_ids_from(text, CANDIDATES).await?,
        };
        if !found.is_empty() && !found.contains(text) && store.has_observation(text).await? {
            ids.push(text.clone());
            continue;
        }
        ids.push(completed("observation", text, &found)?);
    }
    Ok(ids)
}

/// The one id that begins with a text. A command that changes something must not do so unnoticed.
fn completed(what: &str, text: &str, found: &BTreeSet<String>) -> Result<String> {
    let id = the_one(what, text, found)?;
    if id != text {
        complain!("{what} {text:?} means {id}");
    }
    Ok(id)
}

fn the_one(what: &str, text: &str, found: &BTreeSet<String>) -> Result<String> {
    if found.contains(text) {
        return Ok(text.to_owned());
    }
    match found.iter().collect::<Vec<_>>().as_slice() {
        [] => Ok(text.to_owned()),
        [id] => Ok((*id).clone()),
        several => {
            let ids: Vec<_> = several.iter().map(|it| it.as_str()).collect();
            let more = if ids.len() < CANDIDATES { "" } else { ", and perhaps more" };
            bail!("ambiguous {what} {text:?}: it may be {}{more}; type more of it", ids.join(", "))
        }
    }
}
