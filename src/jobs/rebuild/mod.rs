//! Recounts statistics from observations and rewards, beside the running service, and repairs the
//! documents that counting depends on. `docs/decisions/2026-11-28-rebuild.md` explains why nothing is
//! counted twice or lost, whichever moment the process dies at.

mod archived;
mod compare;
mod recount;
mod report;
mod verify;

use std::collections::HashSet;

use chrono::DateTime;

use crate::archive::{Archive, ArchiveError};
use crate::store::{
    CountedReward, Cut, Evidence, Known, MAX_CHUNK, Repair, StateKind, Statistic, Store,
    StoreError, Sums, Swapped, state_id, state_path,
};
pub use compare::Difference;
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::stats::Timeline;
use f0_learning_core::time::DAY_MS;
use recount::Recount;
pub use recount::Totals;
pub use report::{RebuildReport, VerifyReport};

/// How a rebuild works; the defaults suit production.
#[derive(Clone, Copy, Debug)]
pub struct RebuildOptions {
    /// Count only documents with a `ts` from this time on, in epoch milliseconds.
    pub from: Option<i64>,
    /// The most observations that a worker announces in one range: as many are counted again if the
    /// position of a cursor is lost.
    pub tail: usize,
}

impl Default for RebuildOptions {
    fn default() -> Self {
        Self { from: None, tail: MAX_CHUNK }
    }
}

/// Rewards read together, with their observations.
const PAGE: usize = 500;

/// Rewards whose observation is looked for in the archive together.
const COMPLETED_AT_ONCE: usize = 10_000;

/// Statistics that are recounted in one pass over the archive.
const TOGETHER: usize = 50;

/// How often a recount begins again because another rebuild was first.
const ATTEMPTS: u32 = 4;

#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(
        "cannot recount {of}: documents before {before} are archived; set ARCHIVE_URL, or pass \
         --from {before} to count only what is not"
    )]
    Archived { of: String, before: String },
    #[error(
        "cannot recount from the archive: the file {path} is not finished; run `f0-learning retain`"
    )]
    Unfinished { path: String },
    #[error("cannot recount {of}: it changed during every attempt; run the command again")]
    Contended { of: String },
    #[error("cannot rebuild {document}: {reason}")]
    Refused { document: String, reason: String },
}

type Result<T, E = RebuildError> = std::result::Result<T, E>;

/// Rebuilds and verifies.
#[derive(Debug)]
pub struct RebuildJob {
    store: Store,
    archive: Option<Archive>,
    options: RebuildOptions,
}

/// What every recount of a pass needs.
struct Basis {
    versions: HashSet<String>,
    config: RewardConfig,
}

impl RebuildJob {
    pub fn new(store: Store, archive: Option<Archive>, options: RebuildOptions) -> Self {
        Self { store, archive, options }
    }

    /// Repairs everything: the layout, the cursors and the state of reconciliation, then every series
    /// and tally.
    pub async fn all(&self, now: i64) -> Result<RebuildReport> {
        let mut report = self.counting(now).await?;
        let statistics = self.store.statistics().await?;
        self.statistics(&statistics, now, &mut report).await?;
        Ok(report)
    }

    /// Recounts the series of a component.
    pub async fn component(&self, component: &str, now: i64) -> Result<RebuildReport> {
        let mut report = RebuildReport::default();
        let series = Statistic::Series(component.to_owned());
        self.statistics(&[series], now, &mut report).await?;
        Ok(report)
    }

    /// Repairs one document of `ops_state`, by its path.
    pub async fn document(&self, document: &str, now: i64) -> Result<RebuildReport> {
        let refused = |reason: &str| RebuildError::Refused {
            document: document.to_owned(),
            reason: reason.to_owned(),
        };
        let Some(id) = state_id(document) else {
            let example = state_path("cursor");
            return Err(refused(&format!("expected a document of state, such as {example}")));
        };
        let mut report = RebuildReport::default();
        match StateKind::of_id(id) {
            StateKind::Statistic(statistic) => {
                self.statistics(&[statistic], now, &mut report).await?;
            }
            StateKind::Counting => report = self.counting(now).await?,
            StateKind::Retention => self.retention(&mut report).await?,
            StateKind::Tuner(_) | StateKind::Decision | StateKind::AuditKey => {
                if self.store.state_damage(id).await?.is_none() {
                    report.done.push(format!("{document} can be read, and is unchanged"));
                } else if self.store.restart_state(id).await? {
                    report.done.push(format!("{document} is deleted: what it held begins again"));
                }
            }
            StateKind::Lease => {
                if self.store.restart_state(id).await? {
                    report.done.push(format!("{document} is deleted: a worker takes it anew"));
                }
            }
            StateKind::Experiment(experiment) => {
                let reason = format!("run `f0-learning experiments stop {experiment}`");
                return Err(refused(&reason));
            }
            StateKind::Unknown => {
                return Err(refused(
                    "it is not a document of the service; delete it if it is yours",
                ));
            }
        }
        Ok(report)
    }

    /// Repairs what of the layout, the cursors and the state of reconciliation cannot be read.
    pub async fn counting(&self, now: i64) -> Result<RebuildReport> {
        let mut report = RebuildReport::default();
        let mut repair = self.store.begin_repair(self.options.tail, now).await?;
        self.end(&mut repair, now, &mut report).await?;
        if report.done.is_empty() {
            report.done.push("the cursors and the state of reconciliation can be read".to_owned());
        }
        Ok(report)
    }

    async fn end(&self, repair: &mut Repair, now: i64, report: &mut RebuildReport) -> Result<()> {
        if !repair.is_done() {
            let statistics = std::mem::take(&mut repair.statistics);
            self.statistics(&statistics, now, report).await?;
            self.store.end_repair(repair, now).await?;
        }
        report.done.append(&mut repair.done);
        Ok(())
    }

    async fn retention(&self, report: &mut RebuildReport) -> Result<()> {
        let document = state_path("retention");
        if self.store.state_damage("retention").await?.is_none() {
            report.done.push(format!("{document} can be read, and is unchanged"));
            return Ok(());
        }
        let (day, sequence) = match &self.archive {
            Some(archive) => archived::extent(archive).await?,
            None => {
                let reason = "set ARCHIVE_URL: the names of its files say what was archived";
                return Err(RebuildError::Refused { document, reason: reason.to_owned() });
            }
        };
        let start = day.as_deref().and_then(|day| format!("{day}T00:00:00Z").parse().ok());
        let before = start.map(|start: DateTime<chrono::Utc>| start.timestamp_millis() + DAY_MS);
        self.store.replace_damaged_retention(sequence, before).await?;
        report.done.push(format!("{document} is written again, from the names of the files"));
        Ok(())
    }

    /// Recounts statistics and replaces each in one commit.
    async fn statistics(
        &self,
        statistics: &[Statistic],
        now: i64,
        report: &mut RebuildReport,
    ) -> Result<()> {
        let basis = self.basis().await?;
        for some in statistics.chunks(TOGETHER) {
            let (sequence, archived) = self.archived(some, &basis, now).await?;
            for (statistic, archived) in archived {
                let rebuilding = self.rebuild(&statistic, &archived, sequence, &basis, now);
                // Boxed, because its state would make that of every caller large.
                let totals = Box::pin(rebuilding).await?;
                report.rebuilt += 1;
                report.totals.add(totals);
                if self.options.from.is_none() {
                    let found = Box::pin(self.compare(&statistic, &archived, &basis)).await?;
                    report.differences.extend(found.differences);
                }
            }
        }
        Ok(())
    }

    async fn basis(&self) -> Result<Basis> {
        let versions = self.store.version_names().await?;
        // A config that cannot be read is repaired by itself; rewards name theirs.
        let config = match self.store.reward_config().await {
            Err(StoreError::Decode { .. }) => RewardConfig::default(),
            config => config?,
        };
        Ok(Basis { versions, config })
    }

    /// What is archived of the statistics, and the number of the last file.
    async fn archived(
        &self,
        statistics: &[Statistic],
        basis: &Basis,
        now: i64,
    ) -> Result<(i64, Vec<(Statistic, Recount)>)> {
        let new = |it: &Statistic| (it.clone(), Recount::new(it, self.options.from, now));
        let mut recounts: Vec<_> = statistics.iter().map(new).collect();
        let retention = self.store.retention_state().await?;
        let Some(before) = retention.archived_before else {
            return Ok((retention.sequence, recounts));
        };
        // What is older than a series reaches back, and what is not asked for, is not missed.
        let oldest = |statistic: &Statistic| match statistic {
            Statistic::Series(_) => now - Timeline::SPAN_MS - DAY_MS,
            Statistic::Tally(_) => i64::MIN,
        };
        let from = self.options.from.unwrap_or(i64::MIN);
        let missed = statistics.iter().find(|it| before > oldest(it).max(from));
        let Some(missed) = missed else { return Ok((retention.sequence, recounts)) };
        let Some(archive) = &self.archive else {
            let before = DateTime::from_timestamp_millis(before).unwrap_or_default();
            let before = before.format("%Y-%m-%d").to_string();
            return Err(RebuildError::Archived { of: missed.to_string(), before });
        };
        if let Some(pending) = retention.pending {
            return Err(RebuildError::Unfinished { path: pending.manifest.path });
        }
        archived::recount(archive, &mut recounts, &basis.versions).await?;
        Ok((retention.sequence, recounts))
    }

    async fn rebuild(
        &self,
        statistic: &Statistic,
        archived: &Recount,
        sequence: i64,
        basis: &Basis,
        now: i64,
    ) -> Result<Totals> {
        for _ in 0..ATTEMPTS {
            let fence = self.store.fence(statistic, now).await?;
            let mut recount = archived.clone();
            recount.merge(self.recount(statistic, &fence.cut, basis, now).await?);
            if self.store.retention_state().await?.sequence != sequence {
                let path = "of the documents that are old enough".to_owned();
                return Err(RebuildError::Unfinished { path });
            }
            let totals = recount.totals;
            let recounted = recount.finish(&basis.config, fence.scored_under.as_ref());
            if self.store.swap(&fence, &recounted, now).await? == Swapped::Done {
                return Ok(totals);
            }
            tracing::info!(%statistic, "recounting again: it was changed meanwhile");
        }
        Err(RebuildError::Contended { of: statistic.to_string() })
    }

    /// Recounts what is in Firestore, as of a cut.
    async fn recount(
        &self,
        statistic: &Statistic,
        cut: &Cut,
        basis: &Basis,
        now: i64,
    ) -> Result<Recount> {
        let mut recount = Recount::new(statistic, self.options.from, now);
        let mut incomplete = Vec::new();
        for source in [Evidence::Rewards, Evidence::Quarantine] {
            let mut after: Option<String> = None;
            loop {
                let after_name = after.as_deref();
                let page = self.store.evidence(statistic, cut, source, after_name, PAGE).await?;
                for counted in page.rewards {
                    match (counted.known, &self.archive) {
                        (Known::Reward, Some(_)) => incomplete.push(counted),
                        _ => recount.add(&counted, &basis.versions),
                    }
                }
                for rejected in &page.rejected {
                    recount.reject(rejected, &basis.versions);
                }
                after = page.next;
                if incomplete.len() >= COMPLETED_AT_ONCE || after.is_none() {
                    self.complete(&mut incomplete, basis, &mut recount).await?;
                }
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(recount)
    }

    /// Counts rewards whose observation is not in Firestore any more.
    async fn complete(
        &self,
        incomplete: &mut Vec<CountedReward>,
        basis: &Basis,
        recount: &mut Recount,
    ) -> Result<()> {
        let Some(archive) = &self.archive else { return Ok(()) };
        archived::complete(archive, incomplete).await?;
        incomplete.drain(..).for_each(|counted| recount.add(&counted, &basis.versions));
        Ok(())
    }
}

/// The time of a series; `None` for a tally, which has none.
fn time_of(sums: &Sums) -> Option<i64> {
    match sums {
        Sums::Series(series) => Some(series.now()),
        Sums::Tally(_) => None,
    }
}
