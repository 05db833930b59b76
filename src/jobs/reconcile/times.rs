//! Ranges of times: counted, and halved where the counts differ.

use std::ops::Range;

use tokio_util::sync::CancellationToken;

use super::{Known, MANY_MISSING, ReconcileJob, ReconcileReport, SMALL, is_due, late, name_in};
use crate::store::{RangeCount, Result};
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
        let mut open = vec![Step::Check(range)];
        // What was found, and the names that were remembered, in the parts that are done.
        let (mut found, mut names) = (0, Vec::new());
        while let Some(step) = open.pop() {
            let range = match step {
                Step::Check(range) => range,
                Step::Close { range, counted, found_before, names_before } => {
                    if found == found_before && !stop.is_cancelled() {
                        close(known, shard, &range, &counted, &mut names, names_before);
                    }
                    continue;
                }
            };
            if stop.is_cancelled() || range.start >= range.end {
                continue;
            }
            let counted = self.store.count_range(shard, range.clone()).await?;
            report.ranges += 1;
            let settled = counted.is_settled();
            if settled == Some(true) {
                continue;
            }
            if known.remembers(&name_of(shard, &range), &counted.fingerprint()) {
                names.push(name_of(shard, &range));
                continue;
            }
            let is_unreached = !range.start.is_finite() || !range.end.is_finite();
            let accounted = counted.rewards.n + counted.quarantined.n;
            if is_unreached && !is_due(known, counted.observations.n, accounted) {
                continue;
            }
            // Reading a few observations costs no more than counting both halves.
            let is_long = is_longer_than_an_hour(&range);
            let small = if is_long { SMALL / 4 } else { SMALL };
            let missing = counted.observations.n.saturating_sub(accounted);
            let is_mostly_missing = missing * MANY_MISSING >= counted.observations.n.max(1);
            let is_large =
                (counted.observations.n > small && !is_mostly_missing) || settled.is_none();
            if let Some((low, high)) = halves(&range).filter(|_| is_large) {
                if !is_long {
                    let (found_before, names_before) = (found, names.len());
                    open.push(Step::Close { range, counted, found_before, names_before });
                }
                open.extend([Step::Check(high), Step::Check(low)]);
                continue;
            }
            let found_here = self.read_through(known, shard, &range, stop, report).await?;
            found += found_here;
            let left = self.store.count_range(shard, range.clone()).await?;
            if left.is_settled() == Some(true) || stop.is_cancelled() {
                continue;
            }
            // The rest are rewards without an observation at their time: it was deleted, or moved to
            // another time. They are remembered by the hour, with the counts from before the range was
            // read: an observation that was written since changes the counts, and is looked for.
            match halves(&range).filter(|_| is_long) {
                Some((low, high)) => open.extend([Step::Check(high), Step::Check(low)]),
                None if found_here > 0 => {}
                None => {
                    report.orphans += counted.orphans();
                    names.push(remember(known, shard, &range, &counted));
                }
            }
        }
        Ok(())
    }

    /// Handles the observations in a range that are not accounted for, and returns how many there were.
    async fn read_through(
        &mut self,
        known: &mut Known,
        shard: Shard,
        range: &Range<f64>,
        stop: &CancellationToken,
        report: &mut ReconcileReport,
    ) -> Result<usize> {
        let (mut after, mut found) = (None, 0);
        loop {
            let page =
                self.store.unaccounted(shard, range.clone(), after.as_ref(), late::PAGE).await?;
            found += page.0.len();
            self.handle(known, page.0, report).await?;
            after = page.1;
            if after.is_none() || stop.is_cancelled() {
                return Ok(found);
            }
        }
    }
}

/// What is left to do in a pass over ranges.
enum Step {
    Check(Range<f64>),
    /// Both halves of a range have been checked.
    Close {
        range: Range<f64>,
        counted: RangeCount,
        found_before: usize,
        names_before: usize,
    },
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
