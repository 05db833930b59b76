//! Invariant 1 under crashes and rivals: exactly one reward for each observation, each counted
//! exactly once.

use std::task::Poll;

use f0_learning::domain::observation::Outcome;
use f0_learning::domain::stats::Window;
use f0_learning::store::Store;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio_util::sync::CancellationToken;

use crate::support::{START, job, record, score, seeded_store};

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
async fn die_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
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
async fn passes_that_die_anywhere_lose_nothing_and_count_nothing_twice() {
    for seed in 0..12 {
        let mut rng = StdRng::seed_from_u64(seed);
        let store = seeded_store().await;
        fill(&store).await;
        let stop = CancellationToken::new();
        let mut deaths = 0;
        loop {
            let mut job = job(&store, rng.random_range(1..40));
            let pass = job.pass(START + 1_000, &stop, &|_| ());
            match die_after(rng.random_range(1..60), pass).await {
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
async fn workers_side_by_side_count_each_observation_once() {
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
