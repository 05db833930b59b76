//! Invariant 1 under crashes and concurrent workers: each observation gets exactly one reward and
//! is counted exactly once.

use crate::collection;
use f0_learning::store::{Pending, Store};
use f0_learning_core::observation::Outcome;
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::sharding::Shard;
use f0_learning_core::stats::Window;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::{START, crash_after, document, fields, job, put, record, score, seeded_store};

const COMPONENTS: u32 = 5;
const OBSERVATIONS: u32 = 60;

/// A generator with a seed, and a store with observations that are not scored yet.
async fn filled_store(seed: u64) -> (StdRng, Store) {
    let store = seeded_store().await;
    for n in 0..OBSERVATIONS {
        let component = format!("c{}", n % COMPONENTS);
        record(&store, &component, Outcome::Success, 100.0, START + i64::from(n)).await;
    }
    (StdRng::seed_from_u64(seed), store)
}

async fn assert_exact(store: &Store, why: &str) {
    let (rewards, _) = store.counts().await.unwrap();
    assert_eq!(rewards, u64::from(OBSERVATIONS), "rewards, {why}");
    for stats in store.all_stats(None).await.unwrap() {
        let expected = u64::from(OBSERVATIONS / COMPONENTS);
        assert_eq!(stats.stats.n, expected, "{} {}, {why}", stats.component, stats.window);
    }
    let all = store.all_stats(None).await.unwrap();
    assert_eq!(all.len(), COMPONENTS as usize * Window::ALL.len(), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_that_crash_at_any_await_lose_nothing_and_count_nothing_twice() {
    for seed in 0..12 {
        let (mut rng, store) = filled_store(seed).await;
        let stop = CancellationToken::new();
        let mut crashes = 0;
        loop {
            let mut job = job(&store, rng.random_range(1..40));
            let pass = job.pass(START + 1_000, &stop, &|_| ());
            match crash_after(rng.random_range(1..60), pass).await {
                Some(outcome) => {
                    outcome.unwrap();
                    break;
                }
                None => crashes += 1,
            }
            assert!(crashes < 1_000, "seed {seed} makes no progress");
        }
        assert_exact(&store, &format!("seed {seed} after {crashes} crashes")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_workers_count_each_observation_once() {
    for seed in 0..8 {
        let (mut rng, store) = filled_store(seed).await;
        let stop = CancellationToken::new();
        let mut jobs = [1, 2, 3].map(|_| job(&store, rng.random_range(1..20)));
        let [a, b, c] = &mut jobs;
        let now = START + 1_000;
        let outcomes = tokio::join!(
            a.pass(now, &stop, &|_| ()),
            b.pass(now, &stop, &|_| ()),
            c.pass(now, &stop, &|_| ()),
        );
        for outcome in [outcomes.0, outcomes.1, outcomes.2] {
            outcome.unwrap();
        }
        // A worker that lost too many races left its rest to the others; this pass takes what is
        // left of it.
        score(&store, now).await;
        assert_exact(&store, &format!("seed {seed}")).await;
    }
}

/// The version of the reward config under which an observation was scored, if it was.
async fn scored_under(store: &Store, id: &str) -> Option<String> {
    let reward = document(store, collection::REWARDS, id).await?;
    Some(reward["configVersion"].as_str().unwrap().to_owned())
}

async fn change_reward_config(store: &Store, version: &str) {
    let config = RewardConfig { version: version.to_owned(), ..RewardConfig::default() };
    put(store, collection::CONFIG, "reward_config", fields(&json!(config))).await;
}

#[tokio::test]
async fn an_announced_chunk_is_completed_as_it_was_announced() {
    let store = seeded_store().await;
    let now = START + 1_000;
    let mut announced = Vec::new();
    for n in 0..3 {
        announced.push(record(&store, "c", Outcome::Success, 100.0, START + n * 10).await);
    }
    let chunk = store.next_chunk(Shard::All, None, now, 10).await.unwrap();
    let (end, read_time) = chunk.end.unwrap();
    let config = store.reward_config().await.unwrap();
    let cursor = store.cursor(Shard::All).await.unwrap();
    store
        .announce(&cursor, Pending { end, read_time, config, archived_before: None, limits: None })
        .await
        .unwrap();

    // The worker crashes after its announcement; before the next pass the config changes and more
    // observations arrive.
    change_reward_config(&store, "2.0.0").await;
    let late = record(&store, "c", Outcome::Success, 100.0, START + 5).await;
    let after = record(&store, "c", Outcome::Success, 100.0, START + 500).await;
    assert_eq!(score(&store, now).await.scored, 4);

    for id in &announced {
        assert_eq!(scored_under(&store, id).await.as_deref(), Some("1.0.0"));
    }
    assert_eq!(scored_under(&store, &after).await.as_deref(), Some("2.0.0"));
    assert_eq!(scored_under(&store, &late).await, None, "it is late, and left to reconciliation");
    for stats in store.all_stats(None).await.unwrap() {
        assert_eq!(stats.stats.n, 4, "{}", stats.window);
    }
}

/// An observation that arrives behind the cursor is late. `store::cursor` promises that it has a
/// reward if and only if it was counted, whichever worker crashes meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observation_that_arrives_amid_crashes_has_a_reward_if_and_only_if_it_is_counted() {
    for seed in 0..8 {
        let (mut rng, store) = filled_store(seed).await;
        let stop = CancellationToken::new();
        for round in 0..40 {
            let component = format!("c{}", rng.random_range(0..COMPONENTS));
            let ts = START + rng.random_range(0..i64::from(OBSERVATIONS) * 2);
            if round % 10 == 0 {
                change_reward_config(&store, &format!("2.0.{round}")).await;
            }
            let chunk = rng.random_range(1..20);
            let (mut one, mut other) = (job(&store, chunk), job(&store, chunk));
            let now = START + 1_000;
            let (one, other, _) = tokio::join!(
                crash_after(rng.random_range(1..60), one.pass(now, &stop, &|_| ())),
                crash_after(rng.random_range(1..60), other.pass(now, &stop, &|_| ())),
                record(&store, &component, Outcome::Timeout, 100.0, ts),
            );
            for outcome in [one, other].into_iter().flatten() {
                outcome.unwrap();
            }
        }
        score(&store, START + 1_000).await;
        let (rewards, quarantined) = store.counts().await.unwrap();
        assert!(rewards >= u64::from(OBSERVATIONS) / 2, "seed {seed} scored {rewards}");
        assert_eq!(quarantined, 0, "seed {seed}");
        for window in Window::ALL {
            let mut stats = store.all_stats(None).await.unwrap();
            stats.retain(|stats| stats.window == window);
            let counted: u64 = stats.iter().map(|stats| stats.stats.n).sum();
            assert_eq!(counted, rewards, "seed {seed}, {window}");
        }
    }
}
