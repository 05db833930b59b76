//! Which of several replicas does what: leases that run out unless they are renewed.

use std::collections::HashMap;

use uuid::Uuid;

use crate::store::{Lease, Result, Store, WorkerAnnouncement};
use f0_learning_core::Clock;
use f0_learning_core::sharding::Shard;

/// How long a lease lasts. A worker that dies holds up its work for so long at most; each lease in
/// use costs a write for each half of it.
pub const LEASE_MS: i64 = 180_000;

/// After how many durations of a lease a worker that announces itself no more is forgotten: long
/// enough that clocks which differ and a pause of a machine forget nobody who is at work.
pub const GONE_AFTER: i64 = 10;

/// The leases of one worker.
#[derive(Debug)]
pub struct Leases {
    store: Store,
    worker: String,
    clock: Clock,
    lasting_ms: i64,
    held: HashMap<String, Lease>,
    announced_until: i64,
    others: usize,
}

impl Leases {
    pub fn new(store: Store, clock: Clock) -> Self {
        Self::named(store, clock, Uuid::new_v4().to_string())
    }

    /// The same under a name that no other worker has.
    pub fn named(store: Store, clock: Clock, worker: String) -> Self {
        Self {
            store,
            worker,
            clock,
            lasting_ms: LEASE_MS,
            held: HashMap::new(),
            announced_until: 0,
            others: 0,
        }
    }

    /// The same with leases of another duration, in milliseconds.
    #[must_use]
    pub fn lasting(self, lasting_ms: i64) -> Self {
        Self { lasting_ms, ..self }
    }

    /// Whether this worker may do `work` now, taking or renewing the lease where that is needed.
    /// A lease is renewed when half of it is over, so that clocks may differ by as much.
    ///
    /// # Errors
    /// What Firestore refused; the work is then better left alone.
    pub async fn hold(&mut self, work: &str) -> Result<bool> {
        let now = self.clock.now();
        if let Some(lease) = self.held.get(work)
            && lease.until - now > self.lasting_ms / 2
        {
            return Ok(true);
        }
        let until = now + self.lasting_ms;
        if let Some(lease) = self.held.remove(work)
            && self.take(work, Some(&lease), until).await?
        {
            return Ok(true);
        }
        let current = self.store.lease(work).await?;
        if current.as_ref().is_some_and(|lease| lease.holder != self.worker && lease.until > now) {
            return Ok(false);
        }
        self.take(work, current.as_ref(), until).await
    }

    async fn take(&mut self, work: &str, current: Option<&Lease>, until: i64) -> Result<bool> {
        match self.store.take_lease(work, current, &self.worker, until).await {
            Ok(lease) => {
                self.held.insert(work.to_owned(), lease);
                Ok(true)
            }
            Err(error) if error.needs_reread() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives a lease back, so that nobody has to wait until it runs out.
    pub async fn release(&mut self, work: &str) {
        let Some(lease) = self.held.remove(work) else { return };
        if let Err(error) = self.store.take_lease(work, Some(&lease), &self.worker, 0).await {
            tracing::debug!(work, %error, "a lease could not be given back; it will run out");
        }
    }

    /// Gives all of them back.
    pub async fn release_all(&mut self) {
        let all: Vec<String> = self.held.keys().cloned().collect();
        for work in all {
            self.release(&work).await;
        }
        if self.announced_until > 0
            && let Err(error) = self.store.forget_worker(&self.worker).await
        {
            tracing::debug!(%error, "this worker could not be signed off");
        }
    }

    /// How many of `shards` this worker should score: an equal share among those at work.
    pub async fn share(&mut self, shards: usize) -> Result<usize> {
        let now = self.clock.now();
        if self.announced_until - now <= self.lasting_ms / 2 {
            let until = now + self.lasting_ms;
            self.store.announce_worker(&self.worker, until).await?;
            self.announced_until = until;
            let workers = self.store.workers().await?;
            let at_work = workers.iter().filter(|it| it.until >= now && it.worker != self.worker);
            self.others = at_work.count();
            self.forget_the_gone(&workers, now).await;
        }
        Ok(shards.div_ceil(self.others + 1))
    }

    /// A worker that crashed does not sign itself off.
    async fn forget_the_gone(&self, workers: &[WorkerAnnouncement], now: i64) {
        let gone_since = now - GONE_AFTER * self.lasting_ms;
        let gone: Vec<_> = workers.iter().filter(|it| it.until < gone_since).collect();
        if let Err(error) = self.store.forget_workers(&gone).await {
            tracing::debug!(%error, "workers that are gone could not be signed off");
        }
    }

    /// The shards in the order in which this worker tries them: those it holds first, and the
    /// others from a place of its own on, so that not all workers reach for the same.
    pub fn order(&self, mut shards: Vec<Shard>) -> Vec<Shard> {
        let first =
            self.worker.bytes().fold(0_usize, |sum, byte| sum * 31 % 65_521 + byte as usize);
        if !shards.is_empty() {
            let middle = first % shards.len();
            shards.rotate_left(middle);
        }
        shards.sort_by_key(|shard| !self.held.contains_key(&work_of(*shard)));
        shards
    }
}

/// What the lease of scoring a shard is called.
pub fn work_of(shard: Shard) -> String {
    match shard {
        Shard::All => "score".to_owned(),
        Shard::One(number) => format!("score|{number}"),
    }
}
