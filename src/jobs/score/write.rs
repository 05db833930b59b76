//! Writes the rewards of a chunk, in parallel batches, and its invalid items into quarantine.

use tokio::task::JoinSet;

use super::scored::Scored;
use crate::store::{Result, Store, StoreError};
use firestore_kit::MAX_BATCH;

/// Batches that run at once. Firestore answers a batch of 500 in 100 to 300 ms, so that eight
/// carry over ten thousand rewards a second; more would only queue, or exceed the ramp of 500/50/5
/// that Firestore asks new traffic to keep.
const IN_FLIGHT: usize = 8;

/// Writes the rewards and the quarantine. Repeating it changes nothing.
pub async fn all(
    store: &Store,
    items: &[Scored<'_>],
    config_version: &str,
    now: i64,
) -> Result<()> {
    rewards(store, items, config_version).await?;
    let invalid: Vec<_> = items.iter().filter_map(Scored::invalid).collect();
    store.quarantine(&invalid, now).await
}

/// Creates the reward of each valid item; existing rewards are left as they are.
async fn rewards(store: &Store, items: &[Scored<'_>], config_version: &str) -> Result<()> {
    let mut running = JoinSet::new();
    let valid: Vec<_> = items
        .iter()
        .filter_map(|item| match item {
            Scored::Valid { observation, shard, reward } => Some((observation, *shard, reward)),
            Scored::Invalid(_) => None,
        })
        .collect();
    for batch in valid.chunks(MAX_BATCH) {
        if running.len() >= IN_FLIGHT {
            finish(running.join_next().await)?;
        }
        let writes: Vec<_> = batch
            .iter()
            .map(|(observation, shard, reward)| {
                store.reward_write(observation, *shard, reward, config_version)
            })
            .collect();
        let store = store.clone();
        running.spawn(async move { store.create_rewards(&writes).await });
    }
    while let Some(outcome) = running.join_next().await {
        finish(Some(outcome))?;
    }
    Ok(())
}

fn finish(outcome: Option<Result<Result<usize>, tokio::task::JoinError>>) -> Result<()> {
    match outcome {
        None => Ok(()),
        Some(Ok(written)) => written.map(|_| ()),
        Some(Err(panic)) => Err(StoreError::Task(panic.to_string())),
    }
}
