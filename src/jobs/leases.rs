//! Divides work among replicas: leases that expire unless they are renewed.

use std::collections::HashMap;

use uuid::Uuid;

use super::{JobName, Time};
use crate::store::{Lease, Result, Store, WorkerAnnouncement};
use f0_learning_core::sharding::Shard;

/// How long a lease lasts. The work of a killed worker waits at most this long; each lease in use
/// costs one write for each half of it.
pub const LEASE_MS: i64 = 180_000;

/// After how many durations of a lease a worker that does not renew its announcement is forgotten:
/// long enough that differing clocks or a paused machine do not remove a running worker.
pub const GONE_AFTER: i64 = 10;

/// The leases of one worker.
#[derive(Debug)]
pub struct Leases {
    store: Store,
    worker: String,
    time: Time,
    lasting_ms: i64,
    held: HashMap<String, Lease>,
    announced_until: i64,
    others: usize,
}

impl Leases {
    pub fn new(store: Store, time: impl Into<Time>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "simulations name their workers")]
        let worker = Uuid::new_v4().to_string();
        Self::named(store, time, worker)
    }

    /// The same under a name, which must be unique among the workers.
    pub fn named(store: Store, time: impl Into<Time>, worker: String) -> Self {
        Self {
            store,
            worker,
            time: time.into(),
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

    /// Takes or renews the lease of `work` if needed, and returns whether this worker holds it.
    /// A lease is renewed when half of it is over, so that clocks may differ by half of it.
    ///
    /// # Errors
    /// What Firestore refused. The caller should then not do the work.
    pub async fn hold(&mut self, work: &str) -> Result<bool> {
        let now = self.time.estimate().await?;
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
        let is_anothers = |lease: &Lease| {
            lease.holder != self.worker && lease.until > now && self.is_plausible(lease.until, now)
        };
        if current.as_ref().is_some_and(is_anothers) {
            return Ok(false);
        }
        self.take(work, current.as_ref(), until).await
    }

    /// How many leases this worker has taken and not released.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Whether a worker may have written this end of a lease or an announcement. One that is further
    /// ahead is damaged, and would stop the work until then.
    fn is_plausible(&self, until: i64, now: i64) -> bool {
        until.saturating_sub(now) <= GONE_AFTER * self.lasting_ms
    }

    async fn take(&mut self, work: &str, current: Option<&Lease>, until: i64) -> Result<bool> {
        match self.store.take_lease(work, current, &self.worker, until, self.lasting_ms).await {
            Ok(lease) => {
                self.held.insert(work.to_owned(), lease);
                Ok(true)
            }
            Err(error) if error.needs_reread() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Releases a lease, so that no worker has to wait until it expires.
    pub async fn release(&mut self, work: &str) {
        let Some(lease) = self.held.remove(work) else { return };
        let length = self.lasting_ms;
        let released = self.store.take_lease(work, Some(&lease), &self.worker, 0, length).await;
        if let Err(error) = released {
            tracing::debug!(work, %error, "cannot release a lease; it will expire");
        }
    }

    /// Releases all leases, and removes the announcement of this worker.
    pub async fn release_all(&mut self) {
        let all: Vec<String> = self.held.keys().cloned().collect();
        for work in all {
            self.release(&work).await;
        }
        if self.announced_until > 0
            && let Err(error) = self.store.forget_worker(&self.worker).await
        {
            tracing::debug!(%error, "cannot remove the announcement of this worker");
        }
    }

    /// How many of `shards` this worker should score: an equal share among the running workers.
    pub async fn share(&mut self, shards: usize) -> Result<usize> {
        let now = self.time.estimate().await?;
        if self.announced_until - now <= self.lasting_ms / 2 {
            let until = now + self.lasting_ms;
            self.store.announce_worker(&self.worker, until, self.lasting_ms).await?;
            self.announced_until = until;
            let workers = self.store.workers().await?;
            let is_running = |it: &&WorkerAnnouncement| {
                it.until >= now && it.worker != self.worker && self.is_plausible(it.until, now)
            };
            self.others = workers.iter().filter(is_running).count();
            self.forget_crashed(&workers, now).await;
        }
        Ok(shards.div_ceil(self.others + 1))
    }

    /// A worker that crashed does not remove its announcement itself.
    async fn forget_crashed(&self, workers: &[WorkerAnnouncement], now: i64) {
        let crashed_before = now - GONE_AFTER * self.lasting_ms;
        let crashed: Vec<_> = workers.iter().filter(|it| it.until < crashed_before).collect();
        if let Err(error) = self.store.forget_workers(&crashed).await {
            tracing::debug!(%error, "cannot remove the announcements of crashed workers");
        }
    }

    /// The shards in the order in which this worker tries them: those that it holds first, then the
    /// others from a starting point of its own, so that workers do not all try the same shard first.
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

/// The name of the lease for scoring a shard.
pub fn work_of(shard: Shard) -> String {
    match shard {
        Shard::All => JobName::Score.to_string(),
        Shard::One(number) => format!("{}|{number}", JobName::Score),
    }
}
