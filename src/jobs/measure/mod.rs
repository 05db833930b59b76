//! The measure job: looks at what waits and at what was changed, for the metrics. Every worker runs it,
//! because each answers for itself at `/metrics`. It writes nothing.

mod trail;

use std::fmt;

use super::{Job, JobName, JobReport, LogLine, PassContext, ReportingError};
use crate::observability::health::Health;
use crate::observability::metrics::Waiting;
use crate::store::{Result, Store, StoreError};
use f0_learning_core::intent::Author;
use f0_learning_core::plural::{clause, count};
use trail::Trail;

/// The most documents that a count looks at: a read for each 1,000.
const MAX_COUNTED: usize = 10_000;

/// The job with what it has seen of the audit trail.
#[derive(Debug)]
pub struct MeasureJob {
    store: Store,
    settle_ms: i64,
    trail: Trail,
}

/// What a pass found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeasureReport {
    pub waiting: Waiting,
    /// New entries of the audit trail, by action and who made them.
    pub changes: Vec<(&'static str, Author, u64)>,
}

impl MeasureJob {
    /// A job for a service whose scoring leaves observations alone for `settle_ms` milliseconds.
    pub fn new(store: Store, settle_ms: i64) -> Self {
        Self { store, settle_ms, trail: Trail::default() }
    }

    /// # Errors
    /// What Firestore refused. The metrics stay as they were.
    pub async fn pass(&mut self, now: i64) -> Result<MeasureReport> {
        let waiting = waiting(&self.store, self.settle_ms, now).await?;
        let changes = self.trail.follow(&self.store, now).await?;
        Ok(MeasureReport { waiting, changes })
    }
}

impl Job for MeasureJob {
    const NAME: JobName = JobName::Measure;
    type Report = MeasureReport;
    type Error = ReportingError;

    async fn run(&mut self, context: &PassContext) -> Result<MeasureReport, ReportingError> {
        Ok(self.pass(context.now).await?)
    }
}

/// What waits: seven reads, and two for each further shard.
pub(super) async fn waiting(store: &Store, settle_ms: i64, now: i64) -> Result<Waiting> {
    let (flags, quarantined, drafts, experiments) = tokio::try_join!(
        store.flags(),
        store.quarantine_count(MAX_COUNTED),
        store.draft_count(MAX_COUNTED),
        store.open_experiment_count(MAX_COUNTED),
    )?;
    let (backlog, backlog_age_ms) = backlog(store, now - settle_ms).await?;
    Ok(Waiting {
        backlog,
        backlog_age_ms,
        quarantined,
        drafts,
        experiments,
        learning_enabled: flags.tuning_enabled(),
        publishing_enabled: flags.auto_activation_enabled(),
    })
}

/// The observations up to `horizon` that wait for scoring, and for how long the oldest one does. A cursor
/// that cannot be read stops its shard, which scoring reports.
async fn backlog(store: &Store, horizon: i64) -> Result<(u64, i64)> {
    let shards = match store.layout().await {
        Err(StoreError::Decode { .. }) => return Ok((0, 0)),
        found => found?.layout.shards(),
    };
    let (mut backlog, mut age) = (0, 0);
    for (_, cursor) in store.each_cursor(&shards).await? {
        let Ok(cursor) = cursor else { continue };
        let Some(oldest) = store.oldest_after(&cursor).await?.filter(|ts| *ts <= horizon) else {
            continue;
        };
        backlog += store.backlog_up_to(&cursor, horizon, MAX_COUNTED).await?;
        age = age.max(horizon - oldest);
    }
    Ok((backlog, age))
}

impl JobReport for MeasureReport {
    fn log_lines(&self) -> Vec<LogLine> {
        Vec::new()
    }

    fn observe(&self, health: &Health) {
        health.metrics().service().set_waiting(self.waiting);
        for (action, by, entries) in &self.changes {
            health.metrics().policies().add_changes(action, *by, *entries);
        }
    }
}

impl fmt::Display for MeasureReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Waiting { backlog, backlog_age_ms, quarantined, drafts, experiments, .. } =
            self.waiting;
        write!(
            f,
            "{} for scoring, the oldest for {} s; {quarantined} in quarantine, {}, {experiments} tests \
             and watches",
            clause(backlog, "observation", "wait"),
            backlog_age_ms / 1_000,
            count(drafts, "draft")
        )
    }
}
