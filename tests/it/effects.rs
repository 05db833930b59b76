//! The reward of each version, and the effect of activating it.

use crate::collection;
use f0_learning::store::{Store, TUNER};
use f0_learning_client::{NewObservation, record_observation};
use f0_learning_core::intent::Intent;
use f0_learning_core::observation::Outcome;
use f0_learning_core::time::HOUR_MS;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio_util::sync::CancellationToken;

use crate::support::{START, crash_after, document, draft, job, score, seeded_store};

async fn observe(store: &Store, policy: &str, outcome: Outcome, ts: i64, sample_rate: Option<f64>) {
    let observation = NewObservation {
        ts: Some(ts),
        policy_version: Some(policy.to_owned()),
        sample_rate,
        ..NewObservation::new("router:gpt-5", outcome, 100.0)
    };
    record_observation(store.db(), observation, ts).await.unwrap();
}

#[tokio::test]
async fn each_activation_shows_the_reward_before_and_after_it() {
    let store = seeded_store().await;
    let second = draft(&store, "1.0.1", "1.0.0").await;
    for n in 0..4 {
        observe(&store, "router-core@1.0.0", Outcome::Failure, START + n, None).await;
    }
    // One success in ten is kept, so that it counts as ten.
    observe(&store, "router-core@1.0.0", Outcome::Success, START + 5, Some(0.1)).await;
    let intent = Intent::new("ada", START + HOUR_MS);
    store.activate(&second, false, &intent).await.unwrap();
    for n in 0..3 {
        observe(&store, "router-core@1.0.1", Outcome::Success, START + HOUR_MS + n, None).await;
    }
    // Observations of an unknown version are scored but not tallied.
    for name in ["router-core@9.9.9", "unknown@1.0.0"] {
        observe(&store, name, Outcome::Success, START + HOUR_MS, None).await;
    }
    assert_eq!(score(&store, START + 2 * HOUR_MS).await.scored, 10);
    let unknown = document(&store, collection::STATE, "version|router-core@9.9.9").await;
    assert_eq!(unknown, None);

    let effect = store.effectiveness("router-core", 30, START + 24 * HOUR_MS).await.unwrap();
    assert_eq!((effect.proposed, effect.activated, effect.auto_activated), (1, 1, 0));
    assert_eq!(effect.median_decision_ms, Some(HOUR_MS));
    let activation = &effect.activations[0];
    let (before, after) = (activation.before.as_ref().unwrap(), activation.after.as_ref().unwrap());
    assert_eq!((before.n, before.population, after.n), (5, 14.0, 3));
    assert!((before.success_rate - 10.0 / 14.0).abs() < 1e-9, "{before:?}");
    let change = activation.change.unwrap();
    assert!((change - (after.avg_reward - before.avg_reward)).abs() < 1e-12 && change > 0.1);
}

#[tokio::test]
async fn activations_by_the_tuner_are_counted_apart_from_those_by_admins() {
    let store = seeded_store().await;
    for (version, parent, actor) in [("1.0.1", "1.0.0", "ada"), ("1.0.2", "1.0.1", TUNER)] {
        let key = draft(&store, version, parent).await;
        store.activate(&key, false, &Intent::new(actor, START + 1)).await.unwrap();
    }
    let effect = store.effectiveness("router-core", 1, START + 2).await.unwrap();
    assert_eq!((effect.activated, effect.auto_activation_rate), (2, Some(0.5)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_tallies_count_each_observation_once_despite_crashes() {
    const OBSERVATIONS: u32 = 60;
    for seed in 0..6 {
        let mut rng = StdRng::seed_from_u64(seed);
        let store = seeded_store().await;
        draft(&store, "1.0.1", "1.0.0").await;
        for n in 0..i64::from(OBSERVATIONS) {
            let version = if n % 3 == 0 { "router-core@1.0.0" } else { "router-core@1.0.1" };
            observe(&store, version, Outcome::Success, START + n, None).await;
        }
        let stop = CancellationToken::new();
        for _ in 0..30 {
            let (mut one, mut other) = (job(&store, 7), job(&store, 11));
            let now = START + 1_000;
            tokio::join!(
                crash_after(rng.random_range(1..60), one.pass(now, &stop, &|_| ())),
                crash_after(rng.random_range(1..60), other.pass(now, &stop, &|_| ())),
            );
        }
        score(&store, START + 1_000).await;
        let versions = ["1.0.0", "1.0.1"].map(|version| version.parse().unwrap());
        let earned = store.earned("router-core", &versions).await.unwrap();
        let counted: Vec<_> = versions.iter().map(|version| earned[version].n).collect();
        assert_eq!(counted, [OBSERVATIONS / 3, OBSERVATIONS * 2 / 3].map(u64::from), "seed {seed}");
    }
}
