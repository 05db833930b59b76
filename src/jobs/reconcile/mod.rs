//! The reconcile job: finds late observations, which scoring has missed, and scores them.
//!
//! Scoring walks observations in the order of (`ts`, id) and never goes back. So it misses
//! observations written behind its cursor (a component with a slow clock, a retry queue), without
//! a number as `ts` (no range of times contains them), with a `ts` far in the future, and, where
//! observations are sharded, without a shard. This job compares counts of observations with counts
//! of rewards and quarantined documents, range by range. Where they differ it halves the range
//! until the missing ones are found. A range whose counts match costs a read for each thousand
//! documents in it.
//!
//! Counts are not identity: where as many observations were deleted as were written, they match. So
//! the pass once a day also compares ids (`ids.rs`), of a part of the observations at a time.

mod ids;
mod known;
mod late;
mod report;
mod requeue;
mod times;

use tokio_util::sync::CancellationToken;

use super::limits::CurrentLimits;
use super::score::ledger::Ledger;
use super::{Job, JobName, PassContext};
use crate::store::{
    Admission, Cached, Changes, Group, Item, REWARD_CONFIG_TTL, Result, Store, StoreError,
    StoredItem, Unordered,
};
use f0_learning_core::observation::{MAX_AHEAD_OF_WRITING_MS, MIN_TS};
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::sharding::Shard;
use f0_learning_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use known::{Known, name_in, print_of};
pub use report::ReconcileReport;
pub use requeue::RequeueReport;

/// How the job works; the defaults suit production.
#[derive(Clone, Copy, Debug)]
pub struct ReconcileOptions {
    /// How far back each pass looks, in milliseconds.
    pub recent_ms: i64,
    /// How far back a pass looks once a day: the longest window of the statistics. Once a week a
    /// pass looks at everything.
    pub deep_ms: i64,
    /// How long a settled observation is left to the score job, in milliseconds.
    pub lag_ms: i64,
    /// The fewest observations whose ids the pass once a day compares with those of rewards and
    /// quarantine; it compares a thirtieth of all observations if that is more.
    pub compared: u64,
}

impl Default for ReconcileOptions {
    fn default() -> Self {
        Self { recent_ms: 3 * HOUR_MS, deep_ms: 7 * DAY_MS, lag_ms: MINUTE_MS, compared: 50_000 }
    }
}

/// A range with no more observations than this is read instead of cut further: at about two reads each,
/// against the six of counting both halves.
const SMALL: u64 = 8;

/// A range of which at least this share is missing, one in so many, is read at once.
const MANY_MISSING: u64 = 8;

/// Observations that scoring never reaches, because of their `ts`, are looked for once at least this
/// share of them is missing, one in so many, and once a day: all of them are read to find the missing
/// ones, at up to three reads each. So a component with a wrong clock costs a number of reads for each
/// document that it writes, and not for each that it ever wrote.
const UNREACHED_MISSING: u64 = 4;

/// How often a pass restarts because another worker has changed the stored state.
const MAX_CONFLICTS: u32 = 5;

#[derive(Debug)]
pub struct ReconcileJob {
    store: Store,
    options: ReconcileOptions,
    config: Cached<RewardConfig>,
    limits: CurrentLimits,
    ledger: Ledger,
}

impl Job for ReconcileJob {
    const NAME: JobName = JobName::Reconcile;
    type Report = ReconcileReport;
    type Error = StoreError;

    async fn run(&mut self, context: &PassContext) -> Result<ReconcileReport> {
        self.pass(context.now, false, &context.stop).await
    }
}

impl ReconcileJob {
    pub fn new(store: Store, options: ReconcileOptions) -> Self {
        let config = Cached::new(REWARD_CONFIG_TTL);
        let limits = CurrentLimits::new();
        Self { store, options, config, limits, ledger: Ledger::default() }
    }

    /// Runs one pass: over everything if `full`, else as deep as is due.
    ///
    /// # Errors
    /// What Firestore refused. The next pass continues from the stored state.
    pub async fn pass(
        &mut self,
        now: i64,
        full: bool,
        stop: &CancellationToken,
    ) -> Result<ReconcileReport> {
        let mut report = ReconcileReport::default();
        let mut conflicts = 0;
        let mut failed = None;
        while let Err(error) = self.attempt(now, full, stop, &mut report).await {
            self.ledger.forget();
            conflicts += 1;
            if !error.needs_reread() || conflicts > MAX_CONFLICTS {
                failed = Some(error);
                break;
            }
            self.store.pause(conflicts).await;
        }
        // Parked counts do not depend on the state of reconciliation.
        if failed.as_ref().is_none_or(|error| matches!(error, StoreError::Decode { .. })) {
            self.unpark(now, &mut report).await?;
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(report),
        }
    }

    async fn unpark(&self, now: i64, report: &mut ReconcileReport) -> Result<()> {
        let unparked = self.store.unpark(now).await?;
        report.damaged.extend(unparked.damaged.into_iter().map(|it| (it.document, it.why)));
        report.merged = unparked.merged;
        Ok(())
    }

    async fn attempt(
        &mut self,
        now: i64,
        full: bool,
        stop: &CancellationToken,
        report: &mut ReconcileReport,
    ) -> Result<()> {
        // Scoring counts for the same components: commits over kept series would be refused.
        self.ledger.forget();
        let mut known = self.read_state(now, full).await?;
        report.damaged.extend(known.damaged());
        if let Some(batch) = known.state.pending.clone() {
            self.complete(&mut known, batch, report).await?;
        }
        #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53")]
        let ms = |time: i64| time as f64;
        let since = self.since(&known).await?;
        let future = now + MAX_AHEAD_OF_WRITING_MS;
        let ranges = [
            f64::NEG_INFINITY..ms(MIN_TS),
            ms(since)..ms(known.horizon),
            ms(future)..f64::INFINITY,
        ];
        let shards = self.shards(&known, known.deep).await?;
        for shard in &shards {
            for range in ranges.clone() {
                self.check_times(&mut known, *shard, range, stop, report).await?;
            }
            self.check_unordered(&mut known, *shard, Unordered::Type, stop, report).await?;
            if known.deep {
                self.check_unordered(&mut known, *shard, Unordered::Missing, stop, report).await?;
            }
        }
        if known.deep && known.layout.shards > 0 {
            self.check_unsharded(&mut known, &shards, stop, report).await?;
        }
        if known.deep {
            self.compare_ids(&mut known, stop, report).await?;
        }
        if stop.is_cancelled() {
            report.interrupted = true;
            return Ok(());
        }
        self.finish(known).await
    }

    /// Scores every late observation with a `ts` before `before`. Returns whether all observations
    /// before it are accounted for: `false` where scoring has not reached it.
    pub(super) async fn settle_before(
        &mut self,
        before: i64,
        now: i64,
        stop: &CancellationToken,
    ) -> Result<bool> {
        self.ledger.forget();
        let mut known = self.read_state(now, false).await?;
        let mut report = ReconcileReport::default();
        if let Some(batch) = known.state.pending.clone() {
            self.complete(&mut known, batch, &mut report).await?;
        }
        if known.horizon < before || !known.unreadable.is_empty() {
            return Ok(false);
        }
        #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53")]
        let range = MIN_TS as f64..before as f64;
        for shard in self.shards(&known, true).await? {
            self.check_times(&mut known, shard, range.clone(), stop, &mut report).await?;
        }
        Ok(!stop.is_cancelled())
    }

    /// The shards of the layout, and with `others` also those of other layouts that observations
    /// carry.
    async fn shards(&self, known: &Known, others: bool) -> Result<Vec<Shard>> {
        let mut shards = known.layout.shards();
        if others && known.layout.shards > 0 {
            let found = self.store.observed_shards().await?;
            shards.extend(found.into_iter().filter(|it| !known.cursors.contains_key(it)));
        }
        Ok(shards)
    }

    /// The start of the range of times to check: a full hour, so that passes check the same ranges.
    async fn since(&self, known: &Known) -> Result<i64> {
        let back = if known.deep { self.options.deep_ms } else { self.options.recent_ms };
        let since = if known.full {
            self.oldest_ts(known).await?.unwrap_or(known.horizon)
        } else {
            (known.horizon - back).max(MIN_TS)
        };
        Ok(since.div_euclid(HOUR_MS) * HOUR_MS)
    }

    async fn oldest_ts(&self, known: &Known) -> Result<Option<i64>> {
        let mut oldest = None;
        for shard in self.shards(known, true).await? {
            let found = self.store.oldest_ts(shard, MIN_TS).await?;
            oldest = oldest.into_iter().chain(found).min();
        }
        Ok(oldest)
    }

    /// Stores which ranges were examined, if that has changed.
    async fn finish(&mut self, known: Known) -> Result<()> {
        let before = self.store.reconcile_state().await?;
        let mut next = known.state.clone();
        if known.deep {
            next.deep_at = known.now;
        }
        if known.full {
            next.full_at = known.now;
        }
        if next == known.state && before.settled == next.settled {
            return Ok(());
        }
        if !before.is_same(&known.state) {
            // Another worker has stored its own, which is as good.
            return Ok(());
        }
        self.store.commit_reconcile(&before, next, Changes::default(), known.now).await?;
        Ok(())
    }

    /// Scores, counts or quarantines observations that are not accounted for.
    async fn handle(
        &mut self,
        known: &mut Known,
        found: Vec<StoredItem>,
        report: &mut ReconcileReport,
    ) -> Result<()> {
        let archived_before = known.archived_before.known();
        let limits = self.limits.get(&self.store, known.now).await?;
        let admission = Admission { archived_before, limits: Some(&limits) };
        let found = found.into_iter().filter(|found| known.is_decidable(found));
        let found = found.map(|found| found.checked(admission)).collect::<Vec<_>>();
        let (late, ahead): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|found| known.is_behind_cursors(found));
        let early: Vec<_> = ahead
            .iter()
            .filter_map(|found| match &found.item {
                Item::Valid { .. } => None,
                Item::Invalid(invalid) => Some(&**invalid),
            })
            .collect();
        if !early.is_empty() {
            self.store.quarantine(&early, true, known.now).await?;
            report.early += early.len() as u64;
        }
        if late.is_empty() {
            return Ok(());
        }
        self.score_late(known, late, report).await
    }

    /// Checks the observations of a shard whose `ts` is missing or not a number.
    async fn check_unordered(
        &mut self,
        known: &mut Known,
        shard: Shard,
        kind: Unordered,
        stop: &CancellationToken,
        report: &mut ReconcileReport,
    ) -> Result<()> {
        let name = name_in(shard, kind.as_str());
        let counts = self.store.count_unordered(shard, kind).await?;
        let print = print_of(counts);
        if known.is_settled(&name, &print) {
            return Ok(());
        }
        let (found, quarantined) = counts;
        if kind == Unordered::Type && !is_due(known, found, quarantined) {
            return Ok(());
        }
        match kind {
            Unordered::Missing => self.walk(known, &Group::Shard(shard), stop, report).await?,
            Unordered::Type => self.read_types(known, shard, stop, report).await?,
        }
        let left = print_of(self.store.count_unordered(shard, kind).await?);
        // Counts that have changed since they were read may include an observation that was not.
        if left == print {
            known.settle(name, left, stop);
        }
        Ok(())
    }

    async fn read_types(
        &mut self,
        known: &mut Known,
        shard: Shard,
        stop: &CancellationToken,
        report: &mut ReconcileReport,
    ) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.store.unaccounted_of_type(shard, after.as_ref(), late::PAGE).await?;
            self.handle(known, page.0, report).await?;
            after = page.1;
            if after.is_none() || stop.is_cancelled() {
                return Ok(());
            }
        }
    }
}

/// Whether observations that scoring never reaches are looked for in this pass.
fn is_due(known: &Known, found: u64, accounted: u64) -> bool {
    known.deep || found.saturating_sub(accounted) * UNREACHED_MISSING >= found.max(1)
}
