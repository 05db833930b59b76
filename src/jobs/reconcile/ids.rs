//! Ranges of ids: the only order in which observations without `ts` can be found. Rewards and
//! quarantined documents have the same ids, so that counts of a range tell whether anything in it
//! is unaccounted for.

use tokio_util::sync::CancellationToken;

use super::{Known, ReconcileJob, ReconcileReport, late};
use crate::store::{IdRange, Result, Unordered};

/// A range with no more observations than this is read instead of cut further.
const SMALL: u64 = 200;

/// Bytes of an id that decide where it is cut: seven bits each, as ids mostly hold ASCII.
const DIGITS: u32 = 8;
const BITS: u32 = 7;

impl ReconcileJob {
    /// Observations without `ts`.
    pub(super) async fn look_for_missing_times(
        &mut self,
        known: &mut Known,
        stop: &CancellationToken,
        report: &mut ReconcileReport,
    ) -> Result<()> {
        let (found, quarantined) = self.store.count_unordered(Unordered::Missing).await?;
        let print = format!("{found} {quarantined}");
        if found == quarantined || known.state.settled.get("missing") == Some(&print) {
            return Ok(());
        }
        let mut open = vec![IdRange::default()];
        while let Some(range) = open.pop() {
            if stop.is_cancelled() {
                return Ok(());
            }
            let (observations, accounted) = self.store.count_ids(&range).await?;
            report.ranges += 1;
            if observations <= accounted {
                continue;
            }
            match halves(&range) {
                Some((low, high)) if observations > SMALL => open.extend([high, low]),
                _ => self.read_ids(known, range, stop, report).await?,
            }
        }
        let (found, quarantined) = self.store.count_unordered(Unordered::Missing).await?;
        if found != quarantined {
            known.state.settled.insert("missing".to_owned(), format!("{found} {quarantined}"));
        }
        Ok(())
    }

    async fn read_ids(
        &mut self,
        known: &mut Known,
        mut range: IdRange,
        stop: &CancellationToken,
        report: &mut ReconcileReport,
    ) -> Result<()> {
        loop {
            let (found, next) = self.store.without_ts(&range, late::PAGE).await?;
            self.see_to(known, found, report).await?;
            if next.is_none() || stop.is_cancelled() {
                return Ok(());
            }
            range.from = next;
        }
    }
}

/// Where an id stands among all, by its first bytes.
fn place(id: &str) -> u64 {
    let bytes = id.bytes().map(|byte| u64::from(byte.min(127))).chain(std::iter::repeat(0));
    bytes.take(DIGITS as usize).fold(0, |place, byte| (place << BITS) | byte)
}

/// The shortest id at a place; none where its bytes make no id.
fn id_at(place: u64) -> Option<String> {
    let digits = (0..DIGITS).rev().map(|digit| (place >> (digit * BITS)) as u8 & 127);
    let bytes: Vec<u8> = digits.collect();
    let end = bytes.iter().rposition(|byte| *byte != 0)? + 1;
    let bytes = &bytes[..end];
    // What Firestore refuses in an id is passed over for the next byte that it takes.
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
        fn every_id_is_in_one_half_and_cutting_comes_to_an_end(id in "[!-.0-~]{1,20}|[a-zé-ü]{1,5}") {
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
