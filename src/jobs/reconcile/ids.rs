//! Ranges of ids: the only order that finds observations without `ts` and, where observations are
//! sharded, without a shard. Rewards and quarantined documents have the same ids, so that the counts
//! of a range show whether anything in it is not accounted for.

use tokio_util::sync::CancellationToken;

use super::{Known, ReconcileJob, ReconcileReport, SMALL, late, print_of};
use crate::store::{Group, IdRange, Result};
use f0_learning_core::sharding::Shard;

/// Passes, one a day, in which the ids of all observations are compared once.
const DAYS: u64 = 30;

/// Bytes of an id that its place depends on: seven bits each, as ids are mostly ASCII.
const DIGITS: u32 = 8;
const BITS: u32 = 7;

impl ReconcileJob {
    /// Checks the observations that carry none of these shards' numbers.
    pub(super) async fn check_unsharded(
        &mut self,
        known: &mut Known,
        shards: &[Shard],
        stop: &CancellationToken,
        report: &mut ReconcileReport,
    ) -> Result<()> {
        let name = "nobodys".to_owned();
        let print = print_of(self.store.count_unsharded(shards).await?);
        if known.is_settled(&name, &print) {
            return Ok(());
        }
        self.walk(known, &Group::Unsharded(shards), stop, report).await?;
        let count = self.store.count_unsharded(shards).await?;
        // Observations that are left may be due later, and are looked for again. Rewards without
        // an observation stay as they are, and are remembered.
        let left = print_of(count);
        if count.0 < count.1 && left == print {
            known.settle(name, left, stop);
        }
        Ok(())
    }

    /// Compares the ids of observations with those of rewards and quarantine, in the order of ids, and
    /// handles those that are in neither. A pass continues where the last one stopped, and reads about
    /// two documents for each observation: at most [`compared`](super::ReconcileOptions::compared) or a
    /// thirtieth of all observations, and all of them if that was asked for.
    pub(super) async fn compare_ids(
        &mut self,
        known: &mut Known,
        stop: &CancellationToken,
        report: &mut ReconcileReport,
    ) -> Result<()> {
        let mut left = match known.all_ids {
            true => u64::MAX,
            false => self.options.compared.max(self.store.count_observations().await? / DAYS),
        };
        // All of them are compared from the first one.
        let compared = known.state.compared.clone().filter(|_| !known.all_ids);
        let mut from = compared.map(|id| format!("{id}\0"));
        while left > 0 && !stop.is_cancelled() {
            let range = IdRange { from, until: None };
            let limit = late::PAGE.min(usize::try_from(left).unwrap_or(usize::MAX));
            let (found, next, read) = self.store.found_by_id(&Group::Any, &range, limit).await?;
            self.handle(known, found, report).await?;
            left = left.saturating_sub(read as u64);
            from = next;
            if from.is_none() {
                break;
            }
        }
        known.state.compared = from.map(|id| id.trim_end_matches('\0').to_owned());
        Ok(())
    }

    /// Halves the range of ids until the observations that are not accounted for are found.
    pub(super) async fn walk(
        &mut self,
        known: &mut Known,
        group: &Group<'_>,
        stop: &CancellationToken,
        report: &mut ReconcileReport,
    ) -> Result<()> {
        let mut open = vec![IdRange::default()];
        while let Some(range) = open.pop() {
            if stop.is_cancelled() {
                return Ok(());
            }
            let count = self.store.count_ids(group, &range).await?;
            report.ranges += 1;
            if count.observations <= count.accounted {
                continue;
            }
            match halves(&range) {
                Some((low, high)) if count.documents > SMALL => open.extend([high, low]),
                _ => self.read_ids(known, group, range, stop, report).await?,
            }
        }
        Ok(())
    }

    async fn read_ids(
        &mut self,
        known: &mut Known,
        group: &Group<'_>,
        mut range: IdRange,
        stop: &CancellationToken,
        report: &mut ReconcileReport,
    ) -> Result<()> {
        loop {
            let (found, next, _) = self.store.found_by_id(group, &range, late::PAGE).await?;
            self.handle(known, found, report).await?;
            if next.is_none() || stop.is_cancelled() {
                return Ok(());
            }
            range.from = next;
        }
    }
}

/// The place of an id in the order of all ids, by its first bytes.
fn place(id: &str) -> u64 {
    let bytes = id.bytes().map(|byte| u64::from(byte.min(127))).chain(std::iter::repeat(0));
    bytes.take(DIGITS as usize).fold(0, |place, byte| (place << BITS) | byte)
}

/// The shortest id at a place; `None` where its bytes are not a valid id.
fn id_at(place: u64) -> Option<String> {
    let digits = (0..DIGITS).rev().map(|digit| ((place >> (digit * BITS)) & 127) as u8);
    let bytes: Vec<u8> = digits.collect();
    let end = bytes.iter().rposition(|byte| *byte != 0)? + 1;
    let bytes = &bytes[..end];
    // A byte that Firestore does not allow in an id is replaced by the next one that it allows.
    let bytes = bytes.iter().map(|byte| match byte {
        0..=32 => b'!',
        b'/' => b'0',
        127 => b'~',
        other => *other,
    });
    String::from_utf8(bytes.collect()).ok().filter(|id| id != "." && id != "..")
}

fn halves(range: &IdRange) -> Option<(IdRange, IdRange)> {
    let low = range.from.as_deref().map_or(0, |from| place(from.trim_end_matches('\0')));
    let high = range.until.as_deref().map_or(1 << (DIGITS * BITS), place);
    let middle = id_at(low + high.checked_sub(low)? / 2)?;
    let is_within = range.from.as_deref().is_none_or(|from| from < middle.as_str())
        && range.until.as_deref().is_none_or(|until| middle.as_str() < until);
    is_within.then(|| {
        let cut = Some(middle);
        (
            IdRange { from: range.from.clone(), until: cut.clone() },
            IdRange { from: cut, until: range.until.clone() },
        )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contains(range: &IdRange, id: &str) -> bool {
        range.from.as_deref().is_none_or(|from| from <= id)
            && range.until.as_deref().is_none_or(|until| id < until)
    }

    proptest! {
        #[test]
        fn every_id_is_in_exactly_one_half_and_halving_ends(id in "[!-.0-~]{1,20}|[a-zé-ü]{1,5}") {
            let mut open = IdRange::default();
            let mut cuts = 0;
            while let Some((low, high)) = halves(&open) {
                prop_assert!(contains(&low, &id) != contains(&high, &id), "{id} {low:?} {high:?}");
                open = if contains(&low, &id) { low } else { high };
                cuts += 1;
                prop_assert!(cuts < 200, "{open:?}");
            }
            prop_assert!(cuts >= 5, "{open:?} after {cuts}");
        }
    }
}
