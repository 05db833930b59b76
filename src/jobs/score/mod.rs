//! The score job: gives every observation its reward, and counts it exactly once.
//!
//! A pass works through the observations behind the cursor of each shard in *chunks*. Each chunk
//! is announced in the cursor document, its rewards are created, and then its statistics and the
//! cursor's move are committed together; `store::cursor` says why that is exact. While the rewards
//! of one chunk are being written, the next is being read, and its announcement rides in the
//! commit that ends the first: in steady state a chunk costs its reads, its rewards, and one
//! commit.

mod count;
mod layout;
pub(super) mod ledger;
mod report;
pub(super) mod write;

use tokio_util::sync::CancellationToken;

use super::leases::{Leases, work_of};
use crate::store::{
    Cached, Changes, Chunk, POLICIES_TTL, Pending, Position, REWARD_CONFIG_TTL, Result, Store,
    StoreError, StoredLayout,
};
use count::Step;
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::sharding::{Layout, Shard};
use ledger::Ledger;
pub use report::ScoreReport;

/// How the job works; the defaults suit production.
#[derive(Clone, Copy, Debug)]
pub struct ScoreOptions {
    /// Observations in a chunk. A chunk costs about four writes for each component that occurs
    /// in it, so that larger chunks spread that further; memory holds two at a time, at about
    /// half a kilobyte an observation.
    pub chunk: usize,
    /// How long to leave an observation alone after its `ts`, in milliseconds. A component stamps
    /// an observation before it writes it; one that arrives behind the cursor is late.
    pub settle_ms: i64,
}

impl Default for ScoreOptions {
    fn default() -> Self {
        Self { chunk: 25_000, settle_ms: 10_000 }
    }
}

/// Hears of progress: how many observations have been counted so far in this pass.
pub type Progress<'a> = &'a (dyn Fn(u64) + Send + Sync);

/// How often a pass over one shard begins again because another worker was first, before it leaves
/// the work to that worker.
const MAX_CONFLICTS: u32 = 5;

/// Components renewed in one commit: at most four writes each, far below a request's 10 MiB.
const REFRESHED_AT_ONCE: usize = 50;

/// The job with what it keeps in memory between passes. What it keeps only saves reads.
#[derive(Debug)]
pub struct ScoreJob {
    store: Store,
    options: ScoreOptions,
    leases: Option<Leases>,
    config: Cached<RewardConfig>,
    asked: Cached<Layout>,
    in_force: Cached<StoredLayout>,
    ledger: Ledger,
}

/// What one pass hands down.
#[derive(Clone, Copy)]
struct Pass<'a> {
    now: i64,
    stop: &'a CancellationToken,
    progress: Progress<'a>,
}

impl ScoreJob {
    /// A job that works on every shard, whoever else does.
    pub fn new(store: Store, options: ScoreOptions) -> Self {
        Self {
            store,
            options,
            leases: None,
            config: Cached::new(REWARD_CONFIG_TTL),
            asked: Cached::new(POLICIES_TTL),
            in_force: Cached::new(POLICIES_TTL),
            ledger: Ledger::default(),
        }
    }

    /// A job that works only on the shards whose lease it gets, and shares them with other workers.
    #[must_use]
    pub fn with_leases(self, leases: Leases) -> Self {
        Self { leases: Some(leases), ..self }
    }

    /// How many observations a pass at `now` would find waiting.
    pub async fn backlog(&self, now: i64) -> Result<u64> {
        let layout = self.store.layout().await?.layout;
        let mut waiting = 0;
        for cursor in self.store.cursors(&layout.shards()).await? {
            waiting += self.store.backlog(&cursor, now - self.options.settle_ms).await?;
        }
        Ok(waiting)
    }

    /// Scores all observations that have settled by `now`.
    ///
    /// # Errors
    /// What Firestore refused. Nothing is lost by it: the next pass goes on where this one was.
    pub async fn pass(
        &mut self,
        now: i64,
        stop: &CancellationToken,
        progress: Progress<'_>,
    ) -> Result<ScoreReport> {
        let pass = Pass { now, stop, progress };
        let mut report = ScoreReport::default();
        let mut failed = None;
        let shards = self.layout(pass, &mut report).await?.shards();
        let mut left = self.fair_share(shards.len()).await?;
        if shards.len() > 1 {
            // Others count for the same components, so that what was known is mostly out of date.
            self.ledger.forget();
        }
        for shard in self.in_order(shards) {
            if stop.is_cancelled() {
                report.interrupted = true;
                break;
            }
            match self.work_on(shard, &mut left, pass, &mut report).await {
                Ok(()) => {}
                // What is wrong with one shard's cursor must not keep the others waiting.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if !stop.is_cancelled() {
            self.refresh(now, &mut report).await?;
        }
        Ok(report)
    }

    /// Gives back what other workers wait for.
    pub async fn end(&mut self) {
        if let Some(leases) = &mut self.leases {
            leases.release_all().await;
        }
    }

    async fn fair_share(&mut self, shards: usize) -> Result<usize> {
        match &mut self.leases {
            Some(leases) if shards > 1 => leases.share(shards).await,
            _ => Ok(shards),
        }
    }

    fn in_order(&self, shards: Vec<Shard>) -> Vec<Shard> {
        match &self.leases {
            Some(leases) => leases.order(shards),
            None => shards,
        }
    }

    /// Scores a shard if it is among those that this worker may still take.
    async fn work_on(
        &mut self,
        shard: Shard,
        left: &mut usize,
        pass: Pass<'_>,
        report: &mut ScoreReport,
    ) -> Result<()> {
        if *left == 0 {
            if let Some(leases) = &mut self.leases {
                leases.release(&work_of(shard)).await;
            }
            report.left_to_others += 1;
            return Ok(());
        }
        if !self.may_go_on(shard).await? {
            report.left_to_others += 1;
            return Ok(());
        }
        *left -= 1;
        self.shard(shard, true, pass, report).await
    }

    async fn may_go_on(&mut self, shard: Shard) -> Result<bool> {
        match &mut self.leases {
            Some(leases) => leases.hold(&work_of(shard)).await,
            None => Ok(true),
        }
    }

    /// Works through one shard: what was announced and, where `further`, what follows.
    async fn shard(
        &mut self,
        shard: Shard,
        further: bool,
        pass: Pass<'_>,
        report: &mut ScoreReport,
    ) -> Result<()> {
        let mut conflicts = 0;
        loop {
            match self.run(shard, further, pass, report).await {
                Err(error) if error.needs_reread() => {
                    self.ledger.forget();
                    conflicts += 1;
                    if conflicts > MAX_CONFLICTS {
                        return leave(error, report);
                    }
                    tracing::debug!(%error, "reading the cursor again");
                    self.store.pause(conflicts).await;
                }
                Err(error) => {
                    self.ledger.forget();
                    return Err(error);
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    async fn run(
        &mut self,
        shard: Shard,
        further: bool,
        pass: Pass<'_>,
        report: &mut ScoreReport,
    ) -> Result<()> {
        let mut cursor = self.store.cursor(shard).await?;
        if cursor.retired {
            self.in_force.forget();
            return Ok(());
        }
        if shard == Shard::All {
            self.ledger.expect(cursor.sequence);
        }
        let mut chunk = match &cursor.pending {
            Some(pending) => {
                tracing::info!(end = pending.end.ts_ms(), "completing a chunk announced before");
                self.store.pending_chunk(&cursor, pending).await?
            }
            None if further => {
                let chunk = self.read(shard, cursor.position.as_ref(), pass.now).await?;
                if let Some(pending) = self.announcement(&chunk, pass.now).await? {
                    cursor = self.store.announce(&cursor, pending).await?;
                }
                chunk
            }
            None => return Ok(()),
        };
        while let Some(pending) = cursor.pending.clone() {
            if pass.stop.is_cancelled() || !self.may_go_on(shard).await? {
                report.interrupted = true;
                return Ok(());
            }
            let wanted = further && chunk.full && !pass.stop.is_cancelled();
            let (written, next) = tokio::join!(
                write::all(&self.store, &chunk.items, &pending.config, pass.now),
                self.read_ahead(wanted, shard, &pending.end, pass.now),
            );
            written?;
            let next = next?;
            let announced = self.announcement(&next, pass.now).await?;
            let step = Step { chunk: &chunk, pending: &pending, announced, pass };
            cursor = self.count(cursor, step, report).await?;
            chunk = next;
        }
        Ok(())
    }

    async fn read(&self, shard: Shard, from: Option<&Position>, now: i64) -> Result<Chunk> {
        let horizon = now - self.options.settle_ms;
        self.store.next_chunk(shard, from, horizon, self.options.chunk).await
    }

    /// The chunk after `end`, where there may be one and it is to be worked on.
    async fn read_ahead(
        &self,
        wanted: bool,
        shard: Shard,
        end: &Position,
        now: i64,
    ) -> Result<Chunk> {
        if wanted { self.read(shard, Some(end), now).await } else { Ok(Chunk::default()) }
    }

    async fn announcement(&mut self, chunk: &Chunk, now: i64) -> Result<Option<Pending>> {
        let Some((end, read_time)) = chunk.end.clone() else { return Ok(None) };
        let store = self.store.clone();
        let config = self.config.get(now, store.reward_config()).await?;
        Ok(Some(Pending { end, read_time, config }))
    }

    /// Renews the windows from which observations have dropped by the passing of time alone.
    async fn refresh(&mut self, now: i64, report: &mut ScoreReport) -> Result<()> {
        loop {
            let mut expired = self.store.expired_series(now, REFRESHED_AT_ONCE).await?;
            if expired.is_empty() {
                return Ok(());
            }
            let changes = Changes { series: expired.iter_mut().collect(), versions: Vec::new() };
            match self.store.renew(changes, now).await {
                Ok(()) => report.refreshed += expired.len() as u64,
                // Whoever was first has renewed some of them; the rest is for the next pass.
                Err(error) if error.needs_reread() => return Ok(()),
                Err(error) => return Err(error),
            }
            self.ledger.replace(expired);
        }
    }
}

/// Another worker keeps being first and does the work; but an answer that stays away is a failure.
fn leave(error: StoreError, report: &mut ScoreReport) -> Result<()> {
    if !error.is_conflict() {
        return Err(error);
    }
    tracing::info!("another worker keeps being first; leaving the work to it");
    report.interrupted = true;
    Ok(())
}
