//! Writing what scoring a chunk gives: rewards in parallel batches, and the quarantine.

use tokio::task::JoinSet;

use crate::store::{Item, Result, Store, StoreError};
use f0_learning_core::reward::{self, RewardConfig};
use firestore_kit::MAX_BATCH;

/// Batches under way at once. Firestore answers a batch of 500 in some 100 to 300 ms, so that
/// eight carry over ten thousand rewards a second; more would only queue, or outrun the ramp of
/// 500/50/5 that Firestore asks new traffic to keep.
const IN_FLIGHT: usize = 8;

/// Writes what scoring these items gives. Repeating it changes nothing.
pub async fn all(store: &Store, items: &[Item], config: &RewardConfig, now: i64) -> Result<()> {
    rewards(store, items, config).await?;
    quarantine(store, items, now).await
}

/// Creates the reward of each valid item; rewards that exist are left as they are.
async fn rewards(store: &Store, items: &[Item], config: &RewardConfig) -> Result<()> {
    let mut under_way = JoinSet::new();
    let valid: Vec<_> = items
        .iter()
        .filter_map(|item| match item {
            Item::Valid { observation, shard } => Some((observation, *shard)),
            Item::Invalid(_) => None,
        })
        .collect();
    for batch in valid.chunks(MAX_BATCH) {
        if under_way.len() >= IN_FLIGHT {
            finish(under_way.join_next().await)?;
        }
        let writes: Vec<_> = batch
            .iter()
            .map(|(observation, shard)| {
                let reward = reward::score(config, observation);
                store.reward_write(observation, *shard, &reward, &config.version)
            })
            .collect();
        let store = store.clone();
        under_way.spawn(async move { store.create_rewards(&writes).await });
    }
    while let Some(outcome) = under_way.join_next().await {
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

/// Puts the invalid items into quarantine.
pub async fn quarantine(store: &Store, items: &[Item], now: i64) -> Result<()> {
    let rejected: Vec<_> = items
        .iter()
        .filter_map(|item| match item {
            Item::Valid { .. } => None,
            Item::Invalid(invalid) => Some(&**invalid),
        })
        .collect();
    store.quarantine(&rejected, now).await
}
