//! Invariant 1 under crashes and rivals: exactly one reward for each observation, each counted
//! exactly once.

use std::task::Poll;

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

use crate::support::{START, document, fields, job, put, record, score, seeded_store};

const COMPONENTS: usize = 5;
const OBSERVATIONS: usize = 60;

async fn fill(store: &Store) {
    for n in 0..OBSERVATIONS {
        let component = format!("c{}", n % COMPONENTS);
        record(store, &component, Outcome::Success, 100.0, START + n as i64).await;
    }
}

async fn assert_exact(store: &Store, why: &str) {
    let (rewards, _) = store.counts().await.unwrap();
    assert_eq!(rewards, OBSERVATIONS as u64, "rewards, {why}");
    for stats in store.all_stats(None).await.unwrap() {
        let expected = (OBSERVATIONS / COMPONENTS) as u64;
        assert_eq!(stats.stats.n, expected, "{} {}, {why}", stats.component, stats.window);
    }
    assert_eq!(store.all_stats(None).await.unwrap().len(), COMPONENTS * Window::ALL.len(), "{why}");
}

/// Polls a future so many times, waking it in between, and drops it if it is not done by then:
/// what it awaited when it died is left to chance by the seed.
pub async fn crash_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    tokio::pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_that_crash_at_any_await_lose_nothing_and_count_nothing_twice() {
    for seed in 0..12 {
        let mut rng = StdRng::seed_from_u64(seed);
        let store = seeded_store().await;
        fill(&store).await;
        let stop = CancellationToken::new();
        let mut deaths = 0;
        loop {
            let mut job = job(&store, rng.random_range(1..40));
            let pass = job.pass(START + 1_000, &stop, &|_| ());
            match crash_after(rng.random_range(1..60), pass).await {
                Some(outcome) => {
                    outcome.unwrap();
                    break;
                }
                None => deaths += 1,
            }
            assert!(deaths < 1_000, "seed {seed} makes no progress");
        }
        assert_exact(&store, &format!("seed {seed} after {deaths} deaths")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_workers_count_each_observation_once() {
    for seed in 0..8 {
        let mut rng = StdRng::seed_from_u64(seed);
        let store = seeded_store().await;
        fill(&store).await;
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
        // Workers that lost too often left the rest to the others; a last pass finds none left.
        score(&store, now).await;
        assert_exact(&store, &format!("seed {seed}")).await;
    }
}

/// The version of the reward config that an observation was scored under, if it was.
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
    store.announce(&cursor, Pending { end, read_time, config }).await.unwrap();

    // The worker that announced dies here; before the next comes, the world moves on.
    change_reward_config(&store, "2.0.0").await;
    let late = record(&store, "c", Outcome::Success, 100.0, START + 5).await;
    let after = record(&store, "c", Outcome::Success, 100.0, START + 500).await;
    assert_eq!(score(&store, now).await.scored, 4);

    for id in &announced {
        assert_eq!(scored_under(&store, id).await.as_deref(), Some("1.0.0"));
    }
    assert_eq!(scored_under(&store, &after).await.as_deref(), Some("2.0.0"));
    assert_eq!(scored_under(&store, &late).await, None, "late, and to be found as such");
    for stats in store.all_stats(None).await.unwrap() {
        assert_eq!(stats.stats.n, 4, "{}", stats.window);
    }
}

/// What lands behind the cursor while rivals work and die is late; `store::cursor` promises that whatever
/// is there, it has a reward if and only if it was counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observation_that_arrives_amid_crashes_has_a_reward_if_and_only_if_it_is_counted() {
    for seed in 0..8 {
        let mut rng = StdRng::seed_from_u64(seed);
        let store = seeded_store().await;
        fill(&store).await;
        let stop = CancellationToken::new();
        for round in 0..40 {
            let component = format!("c{}", rng.random_range(0..COMPONENTS));
            let ts = START + rng.random_range(0..OBSERVATIONS as i64 * 2);
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
        assert!(rewards >= OBSERVATIONS as u64 / 2, "seed {seed} scored {rewards}");
        assert_eq!(quarantined, 0, "seed {seed}");
        for window in Window::ALL {
            let mut stats = store.all_stats(None).await.unwrap();
            stats.retain(|stats| stats.window == window);
            let counted: u64 = stats.iter().map(|stats| stats.stats.n).sum();
            assert_eq!(counted, rewards, "seed {seed}, {window}");
        }
    }
}
