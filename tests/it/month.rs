//! A simulated month of proposals by two workers that restart before every pass: each decision can
//! be replayed from its stored input, bit for bit.

use f0_learning_core::time::HOUR_MS;
use std::collections::BTreeMap;

use f0_learning::jobs::tune::TuneJob;
use f0_learning::jobs::tune::replay::replay;
use f0_learning::store::{Store, TUNER};
use f0_learning_client::{NewObservation, record_observation};
use f0_learning_core::document::FlagChanges;
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::{PolicyStatus, draw_index};
use f0_learning_core::simulation::Scenario;
use firestore_kit::Connection;
use firestore_local::Clock;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::support::{START, assert_sound, score};

/// Passes are half a day apart.
const PASSES: u32 = 60;
/// Observations between two passes.
const EACH: u32 = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_proposal_of_a_month_replays_bit_for_bit() {
    let time = Arc::new(AtomicI64::new(START));
    let clock = time.clone();
    let clock = Clock::from_micros(move || clock.load(Ordering::Relaxed) * 1_000);
    let server = crate::support::server().clock(clock).start().await.unwrap();
    let connection = Connection::local("demo-month", server.addr());
    let stores =
        [Store::connect(&connection).await.unwrap(), Store::connect(&connection).await.unwrap()];
    let store = &stores[0];
    store.seed(START).await.unwrap();
    let on = FlagChanges { enabled: Some(true), auto_activate_policies: Some(true) };
    store.set_flags(on, &Intent::new("ada", START)).await.unwrap();
    let mut random = StdRng::seed_from_u64(11);
    let shift = Scenario::named("shift").unwrap();
    for pass in 0..PASSES {
        let now = START + i64::from(pass + 1) * 12 * HOUR_MS;
        time.store(now, Ordering::Relaxed);
        act(store, shift, pass, now, &mut random).await;
        score(store, now).await;
        // Each pass runs in a process that has just started: the first worker, the second, or both.
        let mut jobs = stores.each_ref().map(|store| TuneJob::new(store.clone()));
        let [a, b] = &mut jobs;
        match pass % 3 {
            0 => drop(a.pass(now).await.unwrap()),
            1 => drop(b.pass(now).await.unwrap()),
            _ => {
                let (a, b) = tokio::join!(a.pass(now), b.pass(now));
                drop((a.unwrap(), b.unwrap()));
            }
        }
    }
    let mut proposed = 0;
    for policy in store.policies(Some("router-core")).await.unwrap() {
        if policy.created_by != TUNER {
            continue;
        }
        let key = policy.name().parse().unwrap();
        let input = stores[1].decision(&key).await.unwrap().unwrap();
        assert_eq!(replay(&policy, &input), Vec::<String>::new(), "{}", policy.name());
        proposed += usize::from(policy.status != PolicyStatus::Draft);
    }
    assert!(proposed >= 5, "only {proposed} proposals were activated");
    assert_sound(store, "router-core", "after a month").await;
    server.shutdown().await;
}

/// Half a day of observations, with arms chosen by the active weights.
async fn act(store: &Store, shift: Scenario, pass: u32, now: i64, random: &mut StdRng) {
    let active = store.active_policies().await.unwrap().remove(0);
    let weights: BTreeMap<_, _> = active.params.model_weights().unwrap().unwrap();
    for n in 0..EACH {
        let arm = draw_index(weights.values().copied(), random.random()).unwrap();
        let action = shift.truth(arm, 3, f64::from(pass), f64::from(PASSES)).act(random);
        let ts = now - 11 * HOUR_MS + i64::from(n);
        let observation = NewObservation {
            ts: Some(ts),
            cost_usd: Some(action.cost_usd),
            policy_version: Some(active.name()),
            ..NewObservation::new(
                format!("router:{}", weights.keys().nth(arm).unwrap()),
                action.outcome,
                action.duration_ms,
            )
        };
        record_observation(store.db(), observation, ts).await.unwrap();
    }
}
