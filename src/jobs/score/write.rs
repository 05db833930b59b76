//! Writes the rewards of a chunk, in parallel batches, and its invalid items into quarantine.

use std::collections::{HashMap, HashSet};

use tokio::task::JoinSet;

use super::scored::Scored;
use crate::store::{Announced, Result, Store, StoreError};
use firestore_kit::{Created, MAX_BATCH};

/// Batches that run at once. Firestore answers a batch of 500 in 100 to 300 ms, so that eight
/// carry over ten thousand rewards a second; more would only queue, or exceed the ramp of 500/50/5
/// that Firestore asks new traffic to keep.
const IN_FLIGHT: usize = 8;

/// Writes the rewards and the quarantine, and returns the items that this announcement counts: those
/// that were not counted before, at another place. Repeating it changes nothing.
pub async fn all<'a>(
    store: &Store,
    mut items: Vec<Scored<'a>>,
    announced: Announced,
    config_version: &str,
    now: i64,
) -> Result<Vec<Scored<'a>>> {
    let (mut counted, scores) = rewards(store, &items, announced, config_version).await?;
    for item in &mut items {
        // A reward is never rewritten: what counts is the score that it has.
        if let Scored::Valid { observation, reward, .. } = item
            && let Some(score) = scores.get(&observation.id)
        {
            reward.score = *score;
        }
    }
    counted.extend(scored_before(store, &items).await?);
    let invalid: Vec<_> = items
        .iter()
        .filter_map(Scored::invalid)
        .filter(|invalid| !counted.contains(&invalid.id))
        .collect();
    counted.extend(store.quarantine(&invalid, false, now).await?);
    if !counted.is_empty() {
        tracing::debug!(count = counted.len(), "written again after they were counted");
        items.retain(|item| !counted.contains(item.id()));
    }
    Ok(items)
}

/// The ids of the invalid items that were scored when they were valid: they stay counted as they were.
async fn scored_before(store: &Store, items: &[Scored<'_>]) -> Result<HashSet<String>> {
    let ids: Vec<_> =
        items.iter().filter_map(Scored::invalid).map(|invalid| invalid.id.as_str()).collect();
    Ok(store.few_rewards_of(&ids).await?.into_keys().collect())
}

/// Creates the reward of each valid item; existing rewards are left as they are. Returns the ids of
/// those whose reward is of another announcement, and the scores of the others that exist.
async fn rewards(
    store: &Store,
    items: &[Scored<'_>],
    announced: Announced,
    config_version: &str,
) -> Result<(HashSet<String>, HashMap<String, f64>)> {
    let mut running = JoinSet::new();
    let valid: Vec<_> = items
        .iter()
        .filter_map(|item| match item {
            Scored::Valid { observation, shard, reward } => Some((*observation, *shard, reward)),
            Scored::Invalid(_) => None,
        })
        .collect();
    let mut existing = Vec::new();
    let mut finish = |outcome: Option<Result<_, _>>| -> Result<()> {
        let Some(outcome) = outcome else { return Ok(()) };
        let (from, created): (usize, Result<Created>) =
            outcome.map_err(|panic: tokio::task::JoinError| StoreError::Task(panic.to_string()))?;
        existing.extend(created?.existing_at.into_iter().map(|index| valid[from + index]));
        Ok(())
    };
    for (number, batch) in valid.chunks(MAX_BATCH).enumerate() {
        if running.len() >= IN_FLIGHT {
            finish(running.join_next().await)?;
        }
        let writes: Vec<_> = batch
            .iter()
            .map(|(observation, shard, reward)| {
                store.reward_write(observation, *shard, reward, config_version, announced)
            })
            .collect();
        let store = store.clone();
        let from = number * MAX_BATCH;
        running.spawn(async move { (from, store.create_rewards(&writes).await) });
    }
    while let Some(outcome) = running.join_next().await {
        finish(Some(outcome))?;
    }
    let ids: Vec<_> = existing.iter().map(|(observation, ..)| observation.id.as_str()).collect();
    let found = store.rewards_of(&ids).await?;
    let counted_before = existing.iter().filter(|(observation, shard, _)| {
        found.get(&observation.id).is_some_and(|reward| match announced {
            Announced::Range => !reward.is_of_range(observation, *shard),
            Announced::Batch => !reward.is_late(),
        })
    });
    let counted = counted_before.map(|(observation, ..)| observation.id.clone()).collect();
    let scores = found.values().filter_map(|it| Some((it.id.clone(), it.score()?))).collect();
    Ok((counted, scores))
}
