//! The score job: gives every observation its reward, and counts it exactly once.
//!
//! A pass works through the observations behind the cursor in *chunks*. Each chunk is announced
//! in the cursor document, its rewards are created, and then its statistics and the cursor's move
//! are committed together; `store::cursor` says why that is exact. While the rewards of one chunk
//! are being written, the next is being read, and its announcement rides in the commit that ends
//! the first: in steady state a chunk costs its reads, its rewards, and one commit.

mod fold;
mod write;

use tokio_util::sync::CancellationToken;

use crate::domain::reward::RewardConfig;
use crate::store::{
    Cached, Checkpoint, Chunk, Cursor, Pending, Position, REWARD_CONFIG_TTL, Result, Store,
};
use fold::Ledger;

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

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScoreReport {
    /// Valid observations that were scored and counted.
    pub scored: u64,
    /// Observations that could not be scored.
    pub quarantined: u64,
    /// Commits of statistics.
    pub checkpoints: u64,
    /// Components whose windows were renewed because time had passed.
    pub refreshed: u64,
    /// Whether the pass stopped before the work was done, because it was told to.
    pub interrupted: bool,
}

/// Hears of progress: how many observations have been counted so far in this pass.
pub type Progress<'a> = &'a (dyn Fn(u64) + Send + Sync);

/// How often a pass begins again because another worker was first, before it leaves the work to
/// that worker.
const MAX_CONFLICTS: u32 = 3;

/// Components renewed in one commit: at most four writes each, far below a request's 10 MiB.
const REFRESHED_AT_ONCE: usize = 50;

/// The job with what it keeps in memory between passes. What it keeps only saves reads: it is
/// thrown away as soon as the cursor is not as this worker left it.
#[derive(Debug)]
pub struct ScoreJob {
    store: Store,
    options: ScoreOptions,
    config: Cached<RewardConfig>,
    ledger: Ledger,
}

impl ScoreJob {
    pub fn new(store: Store, options: ScoreOptions) -> Self {
        let config = Cached::new(REWARD_CONFIG_TTL);
        Self { store, options, config, ledger: Ledger::default() }
    }

    /// How many observations a pass at `now` would find waiting.
    pub async fn backlog(&self, now: i64) -> Result<u64> {
        let cursor = self.store.cursor().await?;
        self.store.backlog(cursor.position.as_ref(), now - self.options.settle_ms).await
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
        let mut report = ScoreReport::default();
        let mut conflicts = 0;
        loop {
            match self.run(now, stop, progress, &mut report).await {
                Err(error) if error.is_conflict() => {
                    self.ledger.forget();
                    conflicts += 1;
                    if conflicts > MAX_CONFLICTS {
                        tracing::info!("another worker keeps being first; leaving the work to it");
                        report.interrupted = true;
                        return Ok(report);
                    }
                    tracing::debug!(%error, "another worker was first; reading the cursor again");
                }
                Err(error) => {
                    self.ledger.forget();
                    return Err(error);
                }
                Ok(()) => return Ok(report),
            }
        }
    }

    async fn run(
        &mut self,
        now: i64,
        stop: &CancellationToken,
        progress: Progress<'_>,
        report: &mut ScoreReport,
    ) -> Result<()> {
        let mut cursor = self.store.cursor().await?;
        self.ledger.expect(&cursor);
        let mut chunk = match &cursor.pending {
            Some(pending) => {
                tracing::info!(end = pending.end.ts_ms(), "completing a chunk announced before");
                self.store.pending_chunk(cursor.position.as_ref(), pending).await?
            }
            None => {
                let chunk = self.read(cursor.position.as_ref(), now).await?;
                if let Some(pending) = self.announcement(&chunk, now).await? {
                    cursor = self.store.announce(&cursor, pending).await?;
                }
                chunk
            }
        };
        while let Some(pending) = cursor.pending.clone() {
            if stop.is_cancelled() {
                report.interrupted = true;
                return Ok(());
            }
            let full = chunk.full;
            let (written, next) = tokio::join!(
                self.write(&chunk, &pending.config, now),
                self.read_ahead(full, stop, &pending.end, now),
            );
            written?;
            let next = next?;
            let announced = self.announcement(&next, now).await?;
            cursor = self.count(cursor, &chunk, &pending, announced, now, report, progress).await?;
            chunk = next;
        }
        if !stop.is_cancelled() {
            self.refresh(cursor, now, report).await?;
        }
        Ok(())
    }

    async fn read(&self, from: Option<&Position>, now: i64) -> Result<Chunk> {
        self.store.next_chunk(from, now - self.options.settle_ms, self.options.chunk).await
    }

    /// The chunk after `end`, where there may be one and it is to be worked on.
    async fn read_ahead(
        &self,
        wanted: bool,
        stop: &CancellationToken,
        end: &Position,
        now: i64,
    ) -> Result<Chunk> {
        if wanted && !stop.is_cancelled() {
            self.read(Some(end), now).await
        } else {
            Ok(Chunk::default())
        }
    }

    async fn announcement(&mut self, chunk: &Chunk, now: i64) -> Result<Option<Pending>> {
        let Some((end, read_time)) = chunk.end.clone() else { return Ok(None) };
        let store = self.store.clone();
        let config = self.config.get(now, store.reward_config()).await?;
        Ok(Some(Pending { end, read_time, config }))
    }

    async fn write(&self, chunk: &Chunk, config: &RewardConfig, now: i64) -> Result<()> {
        write::rewards(&self.store, &chunk.items, config).await?;
        write::quarantine(&self.store, &chunk.items, now).await
    }

    /// Counts a chunk whose rewards exist, and moves the cursor over it. A chunk that touches so
    /// many components that one commit could not hold them is counted in several.
    #[expect(clippy::too_many_arguments, reason = "one step of `run`, which holds them all")]
    async fn count(
        &mut self,
        mut cursor: Cursor,
        chunk: &Chunk,
        pending: &Pending,
        announced: Option<Pending>,
        now: i64,
        report: &mut ScoreReport,
        progress: Progress<'_>,
    ) -> Result<Cursor> {
        let mut rest = chunk.items.as_slice();
        loop {
            let folded = self.ledger.fold(&self.store, rest, &pending.config, now).await?;
            rest = &rest[folded.taken..];
            let next = if rest.is_empty() {
                Checkpoint { position: Some(pending.end.clone()), pending: announced.clone() }
            } else {
                Checkpoint { position: folded.last, pending: Some(pending.clone()) }
            };
            cursor = self.ledger.commit(&self.store, &cursor, next, now).await?;
            report.scored += folded.scored;
            report.quarantined += folded.invalid;
            report.checkpoints += 1;
            progress(report.scored + report.quarantined);
            if rest.is_empty() {
                return Ok(cursor);
            }
        }
    }

    /// Renews the windows from which observations have dropped by the passing of time alone.
    async fn refresh(
        &mut self,
        mut cursor: Cursor,
        now: i64,
        report: &mut ScoreReport,
    ) -> Result<()> {
        loop {
            let mut expired = self.store.expired_series(now, REFRESHED_AT_ONCE).await?;
            if expired.is_empty() {
                return Ok(());
            }
            let next = Checkpoint { position: cursor.position.clone(), pending: None };
            cursor = self.store.checkpoint(&cursor, next, expired.iter_mut(), [], now).await?;
            report.refreshed += expired.len() as u64;
            self.ledger.replace(expired, &cursor);
        }
    }
}

impl std::fmt::Display for ScoreReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} observations scored, {} quarantined, {} checkpoints, {} components renewed",
            self.scored, self.quarantined, self.checkpoints, self.refreshed
        )?;
        if self.interrupted {
            f.write_str("; interrupted, the rest is for the next pass")
        } else {
            Ok(())
        }
    }
}
