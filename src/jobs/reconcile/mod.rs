//! The reconcile job: finds what scoring could not come by, and sees to it.
//!
//! Scoring walks observations in the order of (`ts`, id) and never goes back. So it misses what is
//! written behind its cursor (a component whose clock is late, a retry queue), what has no number
//! as `ts` (no range over times holds it), what claims to be far in the future, and, where
//! observations are sharded, what carries no shard. Here counts of observations are compared with
//! counts of rewards and quarantined documents, range by range; where they differ the range is cut
//! in halves until what is missing is found. A range that adds up costs a read for each thousand
//! documents in it.

mod ids;
mod late;
mod report;
mod requeue;
mod times;

use std::collections::HashMap;

use tokio_util::sync::CancellationToken;

use super::score::ledger::Ledger;
use crate::store::{
    Cached, Changes, Item, Position, REWARD_CONFIG_TTL, ReconcileState, Result, Store, StoredItem,
    Unordered,
};
use f0_learning_core::observation::{MAX_AHEAD_OF_WRITING_MS, MAX_TS, MIN_TS};
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::sharding::{Layout, Shard};
use f0_learning_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
pub use report::ReconcileReport;
pub use requeue::RequeueReport;

/// How the job works; the defaults suit production.
#[derive(Clone, Copy, Debug)]
pub struct ReconcileOptions {
    /// How far back each pass looks, in milliseconds.
    pub recent_ms: i64,
    /// How far back it looks once a day: the longest window of the statistics. Once a week it looks
    /// at everything.
    pub deep_ms: i64,
    /// How long to leave to the score job what has just settled, in milliseconds.
    pub lag_ms: i64,
}

impl Default for ReconcileOptions {
    fn default() -> Self {
        Self { recent_ms: 3 * HOUR_MS, deep_ms: 7 * DAY_MS, lag_ms: MINUTE_MS }
    }
}

/// A range with no more observations than this is read instead of cut further.
const SMALL: u64 = 200;

/// How often a pass begins again because somebody else was first.
const MAX_CONFLICTS: u32 = 5;

#[derive(Debug)]
pub struct ReconcileJob {
    store: Store,
    options: ReconcileOptions,
    config: Cached<RewardConfig>,
    ledger: Ledger,
}

/// What a pass knows when it begins. Cursors only move on, so that what lies behind one of these
/// lies behind it for good.
struct Known {
    now: i64,
    state: ReconcileState,
    layout: Layout,
    cursors: HashMap<Shard, Option<Position>>,
    /// Epoch milliseconds; everything before it that scoring comes by has been scored.
    horizon: i64,
    deep: bool,
    full: bool,
}

impl Known {
    /// Whether a state that does not add up was looked into before, by what it is called and how
    /// it was then.
    fn remembers(&self, name: &str, print: &str) -> bool {
        self.state.settled.get(name).is_some_and(|remembered| remembered == print)
    }

    /// The same of a pair of counts, which add up where they are equal.
    fn is_settled(&self, name: &str, print: &Print) -> bool {
        print.adds_up || self.remembers(name, &print.text)
    }

    /// Remembers a state that does not add up although it was looked into.
    fn settle(&mut self, name: String, print: Print, stop: &CancellationToken) {
        if !print.adds_up && !stop.is_cancelled() {
            self.state.settled.insert(name, print.text);
        }
    }
}

/// A pair of counts, as they are remembered.
struct Print {
    adds_up: bool,
    text: String,
}

fn print_of((found, accounted): (u64, u64)) -> Print {
    Print { adds_up: found == accounted, text: format!("{found} {accounted}") }
}

/// What something is called within a shard.
fn name_in(shard: Shard, name: &str) -> String {
    match shard {
        Shard::All => name.to_owned(),
        Shard::One(number) => format!("{number}/{name}"),
    }
}

impl ReconcileJob {
    pub fn new(store: Store, options: ReconcileOptions) -> Self {
        let config = Cached::new(REWARD_CONFIG_TTL);
        Self { store, options, config, ledger: Ledger::default() }
    }

    /// Looks once; at everything if `full`, else as deep as is due.
    ///
    /// # Errors
    /// What Firestore refused. The next pass goes on from what is stored.
    pub async fn pass(
        &mut self,
        now: i64,
        full: bool,
        stop: &CancellationToken,
    ) -> Result<ReconcileReport> {
        let mut report = ReconcileReport::default();
        let mut conflicts = 0;
        loop {
            match self.run(now, full, stop, &mut report).await {
                Err(error) if error.needs_reread() => {
                    self.ledger.forget();
                    conflicts += 1;
                    if conflicts > MAX_CONFLICTS {
                        return Err(error);
                    }
                    self.store.pause(conflicts).await;
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
        full: bool,
        stop: &CancellationToken,
        report: &mut ReconcileReport,
    ) -> Result<()> {
        // What is kept would only be refused: scoring counts for the same components.
        self.ledger.forget();
        let mut known = self.know(now, full).await?;
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
                self.look_at_times(&mut known, *shard, range, stop, report).await?;
            }
            self.look_at_types(&mut known, *shard, stop, report).await?;
            if known.deep {
                self.look_for_missing_times(&mut known, *shard, stop, report).await?;
            }
        }
        if known.deep && known.layout.shards > 0 {
            self.look_for_nobodys(&mut known, &shards, stop, report).await?;
        }
        if stop.is_cancelled() {
            report.interrupted = true;
            return Ok(());
        }
        self.finish(known).await
    }

    /// Sees to every observation with a `ts` before `before`, and says whether all of them are
    /// accounted for: not so where scoring has not come so far.
    pub(super) async fn settle_before(
        &mut self,
        before: i64,
        now: i64,
        stop: &CancellationToken,
    ) -> Result<bool> {
        self.ledger.forget();
        let mut known = self.know(now, false).await?;
        let mut report = ReconcileReport::default();
        if let Some(batch) = known.state.pending.clone() {
            self.complete(&mut known, batch, &mut report).await?;
        }
        if known.horizon < before {
            return Ok(false);
        }
        #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53")]
        let range = MIN_TS as f64..before as f64;
        for shard in self.shards(&known, true).await? {
            self.look_at_times(&mut known, shard, range.clone(), stop, &mut report).await?;
        }
        Ok(!stop.is_cancelled())
    }

    async fn know(&self, now: i64, full: bool) -> Result<Known> {
        // The state first: a change of layout changes it too, and then nothing is committed that
        // rests on the cursors of before.
        let state = self.store.reconcile_state().await?;
        let layout = self.store.layout().await?.layout;
        let mut horizon = now - self.options.lag_ms;
        let mut cursors = HashMap::new();
        for cursor in self.store.cursors(&layout.shards()).await? {
            let behind = cursor.position.as_ref().map_or(MIN_TS, Position::ts_ms).max(MIN_TS);
            if behind < horizon && self.store.backlog(&cursor, horizon).await? > 0 {
                horizon = behind;
            }
            cursors.insert(cursor.shard, cursor.position);
        }
        let full = full || now - state.full_at >= 7 * DAY_MS;
        let deep = full || now - state.deep_at >= DAY_MS;
        Ok(Known { now, state, layout, cursors, horizon, deep, full })
    }

    /// The shards to look at: those of the layout, and with `others` whatever else observations
    /// carry, which is left of another layout or written by somebody who knows another.
    async fn shards(&self, known: &Known, others: bool) -> Result<Vec<Shard>> {
        let mut shards = known.layout.shards();
        if others && known.layout.shards > 0 {
            let found = self.store.observed_shards().await?;
            shards.extend(found.into_iter().filter(|it| !known.cursors.contains_key(it)));
        }
        Ok(shards)
    }

    /// Where the range of times to look at begins: at a full hour, so that passes see the same
    /// ranges.
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

    /// Remembers what was seen, if there is anything new to remember.
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
            // Somebody else looks, too; what they remember is as good.
            return Ok(());
        }
        self.store.commit_reconcile(&before, next, Changes::default(), known.now).await?;
        Ok(())
    }

    /// Whether an observation that is not accounted for is this job's: no cursor will come by it.
    /// One that is invalid and will be come by is put into quarantine now and counted then.
    fn is_left_to_us(known: &Known, found: &StoredItem) -> bool {
        let is_behind = |reached: Option<&Position>| {
            reached.is_some_and(|reached| !found.position.is_after(reached))
        };
        if !found.position.is_number() {
            return true;
        }
        let ts = found.position.ts_ms();
        if ts > MAX_TS {
            return true;
        }
        match known.layout.shard_of_number(found.shard) {
            Some(shard) => is_behind(known.cursors.get(&shard).and_then(Option::as_ref)),
            None => ts <= known.horizon || matches!(found.item, Item::Invalid(_)),
        }
    }

    /// Sees to what was found in one place.
    async fn see_to(
        &mut self,
        known: &mut Known,
        found: Vec<StoredItem>,
        report: &mut ReconcileReport,
    ) -> Result<()> {
        let (ours, others): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|found| Self::is_left_to_us(known, found));
        let early: Vec<Item> = others
            .into_iter()
            .map(|found| found.item)
            .filter(|item| matches!(item, Item::Invalid(_)))
            .collect();
        if !early.is_empty() {
            super::score::write::quarantine(&self.store, &early, known.now).await?;
            report.early += early.len() as u64;
        }
        if ours.is_empty() {
            return Ok(());
        }
        self.score_late(known, ours, report).await
    }

    /// Observations of a shard whose `ts` is no number.
    async fn look_at_types(
        &mut self,
        known: &mut Known,
        shard: Shard,
        stop: &CancellationToken,
        report: &mut ReconcileReport,
    ) -> Result<()> {
        let kind = Unordered::Type;
        let name = name_in(shard, kind.as_str());
        let print = print_of(self.store.count_unordered(shard, kind).await?);
        if known.is_settled(&name, &print) {
            return Ok(());
        }
        let mut after = None;
        loop {
            let page = self.store.unaccounted_of_type(shard, after.as_ref(), late::PAGE).await?;
            self.see_to(known, page.0, report).await?;
            after = page.1;
            if after.is_none() || stop.is_cancelled() {
                break;
            }
        }
        let print = print_of(self.store.count_unordered(shard, kind).await?);
        known.settle(name, print, stop);
        Ok(())
    }
}
