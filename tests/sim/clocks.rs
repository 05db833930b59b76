//! Steps with wrong clocks: the clocks of workers' machines jump, also during a pass, and leases end at
//! absurd times. The oracle knows nothing of them: only Firestore's time decides what is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use f0_learning::jobs::leases::{LEASE_MS, Leases};
use f0_learning::store::Store;
use f0_learning_core::Clock;
use f0_learning_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::collection;
use crate::oracle::{Checked, ensure};
use crate::world::World;

/// How far a clock may jump.
const JUMPS: [i64; 6] =
    [10 * MINUTE_MS, HOUR_MS, DAY_MS, 40 * DAY_MS, 3 * 365 * DAY_MS, 1_000 * 365 * DAY_MS];

/// The longest that a request of a pass is in flight: what the pass writes then may be this old.
const LONGEST_FLIGHT_MS: i64 = 20 * MINUTE_MS;

/// The clock of a worker's machine.
#[derive(Clone, Debug)]
pub struct Machine {
    server: Arc<AtomicI64>,
    /// By how much it is ahead of the server's.
    ahead: Arc<AtomicI64>,
}

impl Machine {
    pub fn new(server: Arc<AtomicI64>) -> Self {
        Self { server, ahead: Arc::default() }
    }

    pub fn clock(&self) -> Clock {
        let Self { server, ahead } = self.clone();
        Clock::from_fn(move || server.load(Ordering::Relaxed) + ahead.load(Ordering::Relaxed))
    }

    /// Jumps in either direction, or is corrected.
    pub fn jump(&self, rng: &mut StdRng) -> i64 {
        let distance = JUMPS[rng.random_range(0..JUMPS.len())];
        let ahead = [0, distance, -distance, distance][rng.random_range(0..4)];
        self.ahead.store(ahead, Ordering::Relaxed);
        ahead
    }
}

/// How long a request is in flight while a clock jumps.
pub fn flight(rng: &mut StdRng) -> i64 {
    match rng.random_range(0..3) {
        0 => 0,
        1 => rng.random_range(1..30_000),
        _ => rng.random_range(30_000..LONGEST_FLIGHT_MS),
    }
}

impl World {
    pub fn a_clock_jumps(&mut self) -> String {
        let index = self.rng.random_range(0..self.workers.len());
        let ahead = self.workers[index].machine.jump(&mut self.rng);
        self.tally.jumps += 1;
        format!("the clock of a worker jumps to {} s ahead", ahead / 1_000)
    }

    /// A broken worker stores a lease or an announcement that ends at any time. A sound worker must get
    /// the work once its length is over.
    pub async fn a_lease_is_absurd(&mut self) -> String {
        let now = self.now();
        let untils = [
            json!(32_503_680_000_000_i64),
            json!(i64::MAX),
            json!(i64::MIN),
            json!(-1),
            json!(now + 25 * MINUTE_MS),
            json!(now + 20 * LEASE_MS),
            json!("tomorrow"),
            Value::Null,
        ];
        let lengths = [json!(LEASE_MS), json!(LEASE_MS), json!(0), json!(i64::MAX), Value::Null];
        let until = untils[self.rng.random_range(0..untils.len())].clone();
        let length = lengths[self.rng.random_range(0..lengths.len())].clone();
        let work = ["score", "score|0", "score|2"][self.rng.random_range(0..3)];
        let lease = json!({ "holder": "ghost", "until": until, "fence": 9, "lengthMs": length });
        self.put(collection::STATE, &format!("lease|{work}"), &lease).await;
        let announced = json!({ "worker": "ghost", "workerUntil": until, "lengthMs": length });
        self.put(collection::STATE, "worker|ghost", &announced).await;
        // One that does not say how long it lasts ends after an hour at the latest.
        let lasts = if length == json!(LEASE_MS) { LEASE_MS } else { HOUR_MS };
        self.advance(lasts + 1_000);
        let got = self.sound_leases("after-ghost").hold(work).await;
        if !matches!(got, Ok(true)) {
            self.truth.false_answer =
                Some(format!("{lease} still holds {work} {} s later: {got:?}", lasts / 1_000));
        }
        self.tally.absurd += 1;
        format!("the lease of {work} ends at {until} and lasts {length}")
    }

    /// The leases of a worker whose clock is the server's.
    fn sound_leases(&self, name: &str) -> Leases {
        Leases::named(self.store.clone(), self.clock(), format!("{name}-{}", self.now()))
    }

    /// No worker, whatever its clock said, keeps work from a sound one for longer than a lease.
    pub async fn check_leases(&self) -> Checked {
        self.advance(LEASE_MS + 1_000);
        for work in ["score", "score|0", "score|1", "score|2"] {
            let lease = Store::lease(&self.store, work).await.map_err(|error| error.to_string())?;
            if lease.is_some() {
                let got = self.sound_leases("last").hold(work).await;
                ensure(matches!(got, Ok(true)), || {
                    format!("{work} is held by {lease:?}: {got:?}")
                })?;
            }
        }
        Ok(())
    }

    /// Every change carries the time of its commit, or of the beginning of its pass.
    pub async fn check_times_of_changes(&mut self) -> Checked {
        let trail = self.store.trail("router-core", None).await.map_err(|it| it.to_string())?;
        for record in trail.iter().skip(self.truth.times_checked) {
            let committed = record.committed_us / 1_000;
            let (from, ts) = (committed - LONGEST_FLIGHT_MS, record.entry.ts);
            ensure((from..=committed).contains(&ts), || {
                format!(
                    "{} carries the time {ts}, but was committed at {committed}",
                    record.entry.action
                )
            })?;
        }
        self.truth.times_checked = trail.len();
        Ok(())
    }
}
