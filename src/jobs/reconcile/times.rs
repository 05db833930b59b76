//! Ranges of times: counted, and halved where the counts differ.

use std::ops::Range;

use tokio_util::sync::CancellationToken;

use super::{Known, MANY_MISSING, ReconcileJob, ReconcileReport, SMALL, is_due, late, name_in};
use crate::store::{RangeCount, Result, StoredItem};
use f0_learning_core::sharding::Shard;
use f0_learning_core::time::HOUR_MS;

impl ReconcileJob {
    pub(super) async fn check_times(
        &mut self,
        known: &mut Known,
        shard: Shard,
        range: Range<f64>,
        stop: &CancellationToken,
        report: &mut ReconcileReport,
    ) -> Result<()> {
        let mut search = Search { open: vec![Step::Check(range, None)], ..Search::default() };
        while let Some(step) = search.open.pop() {
            let (range, counted) = match step {
                Step::Check(range, counted) => (range, counted),
                Step::Close { range, counted, found_before, names_before } => {
                    if search.found == found_before && !stop.is_cancelled() {
                        close(known, shard, &range, &counted, &mut search.names, names_before);
                    }
                    continue;
                }
            };
            if stop.is_cancelled() || range.start >= range.end {
                continue;
            }
            let counted = match counted {
                Some(counted) => counted,
                None => self.store.count_range(shard, range.clone()).await?,
            };
            report.ranges += 1;
            let settled = counted.is_settled();
            if settled == Some(true) {
                continue;
            }
            if known.remembers(&name_of(shard, &range), &counted.fingerprint()) {
                search.names.push(name_of(shard, &range));
                continue;
            }
            let is_unreached = !range.start.is_finite() || !range.end.is_finite();
            let accounted = counted.rewards.n + counted.quarantined.n;
            if is_unreached && !is_due(known, counted.observations.n, accounted) {
                continue;
            }
            if let Some(at) = time_of_only_missing(&counted).filter(|at| range.contains(&at.start))
            {
                let read = self.read_through(known, shard, &at, &mut search, stop, report).await?;
                if read.makes_up(&counted) || stop.is_cancelled() {
                    continue;
                }
                self.handle_found(known, &mut search, report).await?;
            }
            // Reading a few observations costs no more than counting.
            let is_long = is_longer_than_an_hour(&range);
            let small = if is_long { SMALL / 4 } else { SMALL };
            let missing = counted.observations.n.saturating_sub(accounted);
            let is_mostly_missing = missing * MANY_MISSING >= counted.observations.n.max(1);
            let is_large =
                (counted.observations.n > small && !is_mostly_missing) || settled.is_none();
            if let Some((low, high)) = halves(&range).filter(|_| is_large) {
                let parts = self.count_halves(shard, &low, &counted).await?;
                if !is_long {
                    let (found_before, names_before) = (search.found, search.names.len());
                    search.open.push(Step::Close { range, counted, found_before, names_before });
                }
                search.open.extend([Step::Check(high, parts.1), Step::Check(low, parts.0)]);
                continue;
            }
            let read = self.read_through(known, shard, &range, &mut search, stop, report).await?;
            if read.makes_up(&counted) || stop.is_cancelled() {
                continue;
            }
            self.handle_found(known, &mut search, report).await?;
            let left = self.store.count_range(shard, range.clone()).await?;
            if left.is_settled() == Some(true) || stop.is_cancelled() {
                continue;
            }
            // The rest are rewards without an observation at their time: it was deleted, or moved to
            // another time. They are remembered by the hour, with the counts from before the range was
            // read: an observation that was written since changes the counts, and is looked for.
            match halves(&range).filter(|_| is_long) {
                Some((low, high)) => {
                    search.open.extend([Step::Check(high, None), Step::Check(low, None)]);
                }
                None if read.n > 0 => {}
                None => {
                    report.orphans += counted.orphans();
                    search.names.push(remember(known, shard, &range, &counted));
                }
            }
        }
        self.handle_found(known, &mut search, report).await
    }

    /// The counts of both halves of a range at the moment at which it was counted: those of the lower
    /// one, and what they leave of the whole. `None` where a half must be counted anew.
    async fn count_halves(
        &self,
        shard: Shard,
        low: &Range<f64>,
        whole: &RangeCount,
    ) -> Result<(Option<RangeCount>, Option<RangeCount>)> {
        let low = self.store.count_part(shard, low, whole).await?;
        Ok((low, low.and_then(|low| whole.without(&low))))
    }

    /// Reads the observations in a range that are not accounted for. They are handled together at the
    /// end of the search, or as soon as they make up a batch.
    async fn read_through(
        &mut self,
        known: &mut Known,
        shard: Shard,
        range: &Range<f64>,
        search: &mut Search,
        stop: &CancellationToken,
        report: &mut ReconcileReport,
    ) -> Result<Read> {
        let (mut after, mut read) = (None, Read::default());
        loop {
            let page =
                self.store.unaccounted(shard, range.clone(), after.as_ref(), late::PAGE).await?;
            read.add(&page.0);
            search.found += page.0.len();
            search.late.extend(page.0);
            if search.late.len() >= late::PAGE {
                self.handle_found(known, search, report).await?;
            }
            after = page.1;
            if after.is_none() || stop.is_cancelled() {
                return Ok(read);
            }
        }
    }

    async fn handle_found(
        &mut self,
        known: &mut Known,
        search: &mut Search,
        report: &mut ReconcileReport,
    ) -> Result<()> {
        match std::mem::take(&mut search.late) {
            late if late.is_empty() => Ok(()),
            late => self.handle(known, late, report).await,
        }
    }
}

/// What is left to do in a pass over ranges.
enum Step {
    /// With the counts of the range if they are known.
    Check(Range<f64>, Option<RangeCount>),
    /// Both halves of a range have been checked.
    Close { range: Range<f64>, counted: RangeCount, found_before: usize, names_before: usize },
}

/// A search of a range for observations that are not accounted for.
#[derive(Default)]
struct Search {
    open: Vec<Step>,
    /// How many were found in the parts that are done.
    found: usize,
    /// Those of them that are not handled yet.
    late: Vec<StoredItem>,
    /// The names that were remembered in the parts that are done.
    names: Vec<String>,
}

/// The observations that were read in a range and are not accounted for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Read {
    n: u64,
    /// Of their times.
    sum: f64,
}

impl Read {
    fn add(&mut self, found: &[StoredItem]) {
        self.n += found.len() as u64;
        self.sum += found.iter().map(|it| it.position.ts_number()).sum::<f64>();
    }

    /// Whether they are exactly what is missing in a range, so that nothing else is.
    fn makes_up(&self, counted: &RangeCount) -> bool {
        counted.missing().is_some_and(|(n, sum)| n == self.n && (sum - self.sum).abs() < 0.5)
    }
}

/// The millisecond of the only observation that is missing in a range, which the sums of times tell.
fn time_of_only_missing(counted: &RangeCount) -> Option<Range<f64>> {
    let (_, ts) = counted.missing().filter(|(missing, _)| *missing == 1)?;
    Some(ts.floor()..ts.floor() + 1.0)
}

/// Remembers a range of at most an hour in which nothing was found, so that the next pass need not
/// cut it again. A full hour replaces its parts.
fn close(
    known: &mut Known,
    shard: Shard,
    range: &Range<f64>,
    counted: &RangeCount,
    names: &mut Vec<String>,
    names_before: usize,
) {
    let parts = names.split_off(names_before.min(names.len()));
    if is_an_hour(range) {
        for name in parts {
            known.state.settled.remove(&name);
        }
    }
    names.push(remember(known, shard, range, counted));
}

/// Remembers a range, and returns its name.
fn remember(known: &mut Known, shard: Shard, range: &Range<f64>, counted: &RangeCount) -> String {
    let name = name_of(shard, range);
    known.state.settled.insert(name.clone(), counted.fingerprint());
    name
}

/// The name of a range; the same in every pass, because ranges are halved at the same places.
fn name_of(shard: Shard, range: &Range<f64>) -> String {
    let name = match (range.start.is_finite(), range.end.is_finite()) {
        (true, true) => format!("{:013}+{}", range.start, range.end - range.start),
        (false, _) => "past".to_owned(),
        (_, false) => "future".to_owned(),
    };
    name_in(shard, &name)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn is_longer_than_an_hour(range: &Range<f64>) -> bool {
    range.start.is_finite() && range.end.is_finite() && range.end - range.start > HOUR_MS as f64
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn is_an_hour(range: &Range<f64>) -> bool {
    let hour = HOUR_MS as f64;
    (range.end - range.start - hour).abs() < 0.5 && range.start % hour < 0.5
}

/// Two parts of a range, cut at a multiple of a power of two of milliseconds, so that passes at
/// different times cut at the same places; `None` for a millisecond or a range without bounds.
fn halves(range: &Range<f64>) -> Option<(Range<f64>, Range<f64>)> {
    if !range.start.is_finite() || !range.end.is_finite() || range.end - range.start <= 1.0 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "both are whole and far below 2^53")]
    let (start, end) = (range.start as i64, range.end as i64);
    let mut step = if end - start > HOUR_MS { HOUR_MS } else { 1 };
    while step * 2 < end - start {
        step *= 2;
    }
    let mut middle = (start.div_euclid(step) + 1) * step;
    if middle <= start || middle >= end {
        middle = start + (end - start) / 2;
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let middle = middle as f64;
    Some((range.start..middle, middle..range.end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn halves_make_up_the_range_and_halving_ends(
            start in 0_i64..4_102_444_800_000, length in 1_i64..4_102_444_800_000,
        ) {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            let mut open = start as f64..(start + length) as f64;
            let mut cuts = 0;
            while let Some((low, high)) = halves(&open) {
                prop_assert!(low.start == open.start && low.end == high.start && high.end == open.end);
                prop_assert!(low.start < low.end && high.start < high.end);
                open = if (high.end - high.start) > (low.end - low.start) { high } else { low };
                cuts += 1;
                prop_assert!(cuts < 100, "{open:?}");
            }
        }
    }
}
