//! The score job: gives every observation its reward, and counts it exactly once.
//!
//! A pass works through the observations behind the cursor of each shard in *chunks*. Each chunk
//! is announced in the cursor document, its rewards are created, and then its statistics and the
//! cursor's move are committed together; `store::cursor` explains why that is exact. While the
//! rewards of one chunk are written, the next chunk is read, and its announcement is part of the
//! commit that ends the first: in steady state a chunk costs its reads, its rewards, and one
//! commit.

mod count;
mod layout;
pub(super) mod ledger;
pub mod preview;
mod report;
pub(super) mod scored;
pub(super) mod write;

use std::collections::HashMap;

use tokio_util::sync::CancellationToken;

use super::leases::{Leases, work_of};
use super::limits::CurrentLimits;
use super::{Job, JobName, PassContext};
use crate::store::{
    Announced, Cached, Changes, Chunk, Cursor, Item, MAX_CHUNK, POLICIES_TTL, Pending, Position,
    REWARD_CONFIG_TTL, Result, Store, StoreError, StoredLayout, StoredReward,
};
use count::Step;
use f0_learning_core::observation::Observation;
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::sharding::{Layout, Shard};
use ledger::Ledger;
pub use report::ScoreReport;
pub(super) use report::{damaged_lines, with_remedies};
use scored::Scored;

/// How the job works; the defaults suit production.
#[derive(Clone, Copy, Debug)]
pub struct ScoreOptions {
    /// Observations in a chunk. A chunk costs about four writes for each component in it, so that
    /// larger chunks cost fewer writes an observation. Memory holds two chunks at a time, at about
    /// half a kilobyte an observation.
    pub chunk: usize,
    /// How long an observation is left alone after its `ts`, in milliseconds. A component stamps
    /// an observation before it writes it; one that arrives behind the cursor is late.
    pub settle_ms: i64,
}

impl Default for ScoreOptions {
    fn default() -> Self {
        Self { chunk: MAX_CHUNK, settle_ms: 10_000 }
    }
}

/// Called with how many observations the pass has counted up to now.
pub type Progress<'a> = &'a (dyn Fn(u64) + Send + Sync);

/// How often a pass over one shard restarts because another worker changed the cursor, before it
/// leaves the shard to that worker.
const MAX_CONFLICTS: u32 = 5;

/// Components whose windows are renewed together, in as many commits as their sizes need.
const REFRESHED_AT_ONCE: usize = 50;

/// The job with what it keeps in memory between passes, which only saves reads.
#[derive(Debug)]
pub struct ScoreJob {
    store: Store,
    options: ScoreOptions,
    leases: Option<Leases>,
    config: Cached<RewardConfig>,
    limits: CurrentLimits,
    requested_layout: Cached<Layout>,
    active_layout: Cached<StoredLayout>,
    ledger: Ledger,
    /// Whether counts were parked when a pass last looked: until none are, each pass names them.
    counts_are_parked: bool,
}

/// What one pass hands down.
#[derive(Clone, Copy)]
struct Pass<'a> {
    now: i64,
    /// Whether only the announced chunks are completed.
    only_announced: bool,
    stop: &'a CancellationToken,
    progress: Progress<'a>,
}

impl Job for ScoreJob {
    const NAME: JobName = JobName::Score;
    type Report = ScoreReport;
    type Error = StoreError;

    async fn run(&mut self, context: &PassContext) -> Result<ScoreReport> {
        self.pass(context.now, &context.stop, &|_| ()).await
    }

    fn use_leases(&mut self, leases: Leases) {
        self.leases = Some(leases);
    }

    async fn end(&mut self) {
        if let Some(leases) = &mut self.leases {
            leases.release_all().await;
        }
    }
}

impl ScoreJob {
    /// A job that works on every shard, even if other workers do.
    pub fn new(store: Store, options: ScoreOptions) -> Self {
        Self {
            store,
            options,
            leases: None,
            config: Cached::new(REWARD_CONFIG_TTL),
            limits: CurrentLimits::new(),
            requested_layout: Cached::new(POLICIES_TTL),
            active_layout: Cached::new(POLICIES_TTL),
            ledger: Ledger::default(),
            counts_are_parked: false,
        }
    }

    /// A job that works only on the shards whose lease it gets, and shares them with other workers.
    #[must_use]
    pub fn with_leases(self, leases: Leases) -> Self {
        Self { leases: Some(leases), ..self }
    }

    /// How many observations a pass at `now` would find to score.
    pub async fn backlog(&self, now: i64) -> Result<u64> {
        let layout = self.store.layout().await?.layout;
        let mut backlog = 0;
        for cursor in self.store.cursors(&layout.shards()).await? {
            backlog += self.store.backlog(&cursor, now - self.options.settle_ms).await?;
        }
        Ok(backlog)
    }

    /// Scores all observations that have settled by `now`.
    ///
    /// # Errors
    /// What Firestore refused. Nothing is lost: the next pass continues from the stored cursors.
    pub async fn pass(
        &mut self,
        now: i64,
        stop: &CancellationToken,
        progress: Progress<'_>,
    ) -> Result<ScoreReport> {
        let pass = Pass { now, only_announced: false, stop, progress };
        self.ledger.begin_pass();
        let mut report = ScoreReport::default();
        let mut failed = None;
        let shards = self.layout(pass, &mut report).await?.shards();
        let several = shards.len() > 1;
        let mut left = self.fair_share(shards.len()).await?;
        if shards.len() > 1 {
            // Other workers count for the same components: most of what is kept is out of date.
            self.ledger.forget();
        }
        for shard in self.in_order(shards) {
            if stop.is_cancelled() {
                report.interrupted = true;
                break;
            }
            match self.work_on(shard, &mut left, pass, &mut report).await {
                Ok(()) => {}
                // The other shards do not depend on a cursor that cannot be read.
                Err(StoreError::Decode { document, detail, .. }) if several => {
                    report.damaged.insert(document, detail);
                }
                // A failure at one shard's cursor must not delay the other shards.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        // Windows expire whether or not the cursor can be read.
        let is_reachable =
            failed.as_ref().is_none_or(|error| matches!(error, StoreError::Decode { .. }));
        if !stop.is_cancelled() && is_reachable {
            self.refresh(now, &mut report).await?;
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if self.counts_are_parked || !report.damaged.is_empty() {
            let parked = self.store.parked().await?;
            self.counts_are_parked = !parked.is_empty();
            report.damaged.extend(parked.into_iter().map(|it| (it.document, it.why)));
        }
        if !report.windows.is_empty() {
            let store = self.store.clone();
            match self.config.get(now, store.reward_config()).await {
                Ok(config) => report.min_acceptable = config.thresholds.min_acceptable,
                // Which windows are below it is not known. Scoring fails where it needs the config.
                Err(_) => report.windows.clear(),
            }
        }
        report.leases = self.leases.as_ref().map_or(0, Leases::held);
        Ok(report)
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

    /// Scores a shard if this worker may still take one and gets its lease.
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
        if !self.holds_lease(shard).await? {
            report.left_to_others += 1;
            return Ok(());
        }
        *left -= 1;
        self.shard(shard, pass, report).await
    }

    async fn holds_lease(&mut self, shard: Shard) -> Result<bool> {
        match &mut self.leases {
            Some(leases) => leases.hold(&work_of(shard)).await,
            None => Ok(true),
        }
    }

    /// Works through one shard, and restarts where another worker has changed the cursor.
    async fn shard(
        &mut self,
        shard: Shard,
        pass: Pass<'_>,
        report: &mut ScoreReport,
    ) -> Result<()> {
        let mut conflicts = 0;
        while let Err(error) = self.chunks(shard, pass, report).await {
            self.ledger.forget();
            if !error.needs_reread() {
                return Err(error);
            }
            conflicts += 1;
            if conflicts > MAX_CONFLICTS {
                return leave(error, report);
            }
            tracing::debug!(%error, "reading the cursor again");
            self.store.pause(conflicts).await;
        }
        Ok(())
    }

    /// Completes the announced chunk of a shard and, unless `only_announced`, those that follow.
    async fn chunks(
        &mut self,
        shard: Shard,
        pass: Pass<'_>,
        report: &mut ScoreReport,
    ) -> Result<()> {
        let mut cursor = self.store.cursor(shard).await?;
        if cursor.retired {
            self.active_layout.forget();
            return Ok(());
        }
        if shard == Shard::All {
            self.ledger.expect(cursor.sequence);
        }
        let mut chunk = match &cursor.pending {
            Some(pending) => {
                tracing::info!(end = pending.end.ts_ms(), "completing a chunk announced before");
                let mut chunk = self.store.pending_chunk(&cursor, pending).await?;
                chunk.items = self.store.checked(chunk.items, pending.admission());
                cursor = self.forget_moved(cursor, &chunk).await?;
                chunk
            }
            None if pass.only_announced => return Ok(()),
            None => {
                let chunk = self.read(shard, cursor.position.as_ref(), pass.now).await?;
                if let Some(pending) = self.announcement(&chunk, pass.now).await? {
                    cursor = self.store.announce(&cursor, pending).await?;
                }
                chunk
            }
        };
        while let Some(pending) = cursor.pending.clone() {
            if pass.stop.is_cancelled() || !self.holds_lease(shard).await? {
                report.interrupted = true;
                return Ok(());
            }
            chunk.items = self.store.checked(chunk.items, pending.admission());
            let reads_ahead = !pass.only_announced && chunk.full && !pass.stop.is_cancelled();
            let items = Scored::all(&chunk.items, &pending.config);
            let version = &pending.config.version;
            let (items, next) = tokio::join!(
                write::all(&self.store, items, Announced::Range, version, pass.now),
                self.read_ahead(reads_ahead, shard, &pending.end, pass.now),
            );
            let (items, next) = (items?, next?);
            let announced = self.announcement(&next, pass.now).await?;
            let step = Step { items: &items, pending: &pending, announced, pass };
            cursor = self.count(cursor, step, report).await?;
            chunk = next;
        }
        Ok(())
    }

    /// Deletes the rewards that an earlier attempt at the announced range left behind for observations
    /// that have since moved away, were deleted or became invalid. They are not counted, and with
    /// their reward they would never be.
    async fn forget_moved(&self, cursor: Cursor, chunk: &Chunk) -> Result<Cursor> {
        let Some(pending) = cursor.pending.clone() else { return Ok(cursor) };
        let rewards = self.store.announced_rewards(&cursor, &pending).await?;
        if rewards.is_empty() {
            return Ok(cursor);
        }
        let members: HashMap<&str, (&Observation, i64)> = chunk
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Valid { observation, shard } => Some((item.id(), (observation, *shard))),
                Item::Invalid(_) => None,
            })
            .collect();
        let is_member = |reward: &&StoredReward| {
            let member = members.get(reward.id.as_str());
            member.is_some_and(|(observation, shard)| reward.is_of_range(observation, *shard))
        };
        let moved: Vec<_> = rewards.iter().filter(|reward| !is_member(reward)).collect();
        self.store.announce_without(cursor, &pending, &moved).await
    }

    async fn read(&self, shard: Shard, from: Option<&Position>, now: i64) -> Result<Chunk> {
        let horizon = now - self.options.settle_ms;
        self.store.next_chunk(shard, from, horizon, self.options.chunk).await
    }

    /// The chunk after `end`; an empty one where it is not wanted.
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
        let archived_before = self.archived_before(chunk, now).await?;
        let limits = Some(self.limits.get(&store, now).await?);
        Ok(Some(Pending { end, read_time, config, archived_before, limits }))
    }

    /// The time before which documents may have been archived, read after the chunk: a member whose
    /// reward was archived and deleted before it was read has an earlier `ts`, or was delivered again
    /// with a later one.
    async fn archived_before(&self, chunk: &Chunk, now: i64) -> Result<Option<i64>> {
        let archived = self.store.archived_before(now).await?;
        let is_unknown = |item: &Item| match item {
            Item::Valid { observation, .. } => archived.is_unknown_at(observation.ts),
            Item::Invalid(_) => false,
        };
        match archived.error() {
            Some(error) if chunk.items.iter().any(is_unknown) => Err(error),
            _ => Ok(archived.known()),
        }
    }

    /// Renews the windows that observations have left because time has passed.
    async fn refresh(&mut self, now: i64, report: &mut ScoreReport) -> Result<()> {
        let mut last = None;
        loop {
            let page = self.store.expired_series(now, REFRESHED_AT_ONCE, last.as_ref()).await?;
            // One that cannot be read keeps its windows until it can, and the others are renewed.
            let damaged = page.damaged.iter().map(|(document, error)| {
                let why = match error {
                    StoreError::Decode { detail, .. } => detail.clone(),
                    other => other.to_string(),
                };
                (document.clone(), why)
            });
            report.damaged.extend(damaged);
            let mut page = page;
            let mut expired = std::mem::take(&mut page.series);
            let mut rest = expired.as_mut_slice();
            while !rest.is_empty() {
                let (some, others) = rest.split_at_mut(ledger::fitting(rest));
                let (series, versions) = (some.iter_mut().collect(), Vec::new());
                match self.store.renew(Changes { series, versions }, now).await {
                    Ok(()) => {
                        report.refreshed += some.len() as u64;
                        ledger::show(&*some, &mut report.windows);
                    }
                    // Another worker has renewed some of them; the next pass renews the rest.
                    Err(error) if error.needs_reread() => return Ok(()),
                    Err(error) => return Err(error),
                }
                rest = others;
            }
            self.ledger.replace(expired);
            if page.is_last() {
                return Ok(());
            }
            last = Some(page);
        }
    }
}

/// A conflict means that another worker scores the shard; a lost answer is a failure.
fn leave(error: StoreError, report: &mut ScoreReport) -> Result<()> {
    if !error.is_conflict() {
        return Err(error);
    }
    tracing::info!("another worker keeps changing the cursor; leaving the shard to it");
    report.interrupted = true;
    Ok(())
}
