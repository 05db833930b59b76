//! Follows the audit trail from the start of the process: the entries before are counted once by
//! Firestore, those after are read as they come.

use std::collections::BTreeMap;

use crate::store::{AUDIT_OVERLAP_MS, AuditFilter, GUARD, Result, Store, TUNER};
use f0_learning_core::audit::{Action, AuditEntry, RENEWED};
use f0_learning_core::intent::Author;

/// Entries read in a pass.
const AT_ONCE: usize = 500;

/// What was seen of the trail.
#[derive(Debug, Default)]
pub struct Trail {
    /// From which `ts` the next pass reads; `None` before the first one.
    from: Option<i64>,
    /// The entries from there on that are counted, by id.
    seen: BTreeMap<String, i64>,
}

type Counts = BTreeMap<(&'static str, Author), u64>;

impl Trail {
    /// The entries since the last pass, by action and who made them. The first pass gives all. Renewals
    /// of drafts are left out.
    pub async fn follow(
        &mut self,
        store: &Store,
        now: i64,
    ) -> Result<Vec<(&'static str, Author, u64)>> {
        let mut counts = match self.from {
            Some(_) => Counts::new(),
            None => before(store).await?,
        };
        let is_first = self.from.is_none();
        let from = self.from.unwrap_or(now - AUDIT_OVERLAP_MS);
        let (records, read) = store.audit_from(from, AT_ONCE).await?;
        let last = records.last().map(|record| record.entry.ts);
        for record in records {
            let is_new = self.seen.insert(record.audit_id, record.entry.ts).is_none();
            if is_new
                && !is_first
                && let Some(key) = key_of(&record.entry)
            {
                *counts.entry(key).or_default() += 1;
            }
        }
        let reached = now - AUDIT_OVERLAP_MS;
        // A full page ends at its last entry. If all of it has one `ts`, the rest is passed over.
        let next = match last {
            Some(last) if read >= AT_ONCE => last.max(from + 1).min(reached.max(from + 1)),
            _ => reached.max(from),
        };
        self.seen.retain(|_, ts| *ts >= next);
        self.from = Some(next);
        Ok(counts.into_iter().map(|((action, by), count)| (action, by, count)).collect())
    }
}

fn key_of(entry: &AuditEntry) -> Option<(&'static str, Author)> {
    if entry.is_renewal() {
        return None;
    }
    let action: Action = entry.action.parse().ok()?;
    Some((action.as_str(), Author::of(&entry.actor)))
}

/// The entries up to now.
async fn before(store: &Store) -> Result<Counts> {
    let mut counts = Counts::new();
    for action in Action::ALL {
        let of = |actor: Option<&str>| AuditFilter {
            action: Some(action.to_string()),
            actor: actor.map(str::to_owned),
            ..AuditFilter::default()
        };
        let all = store.audit_count(&of(None), None).await?;
        let mut left = all;
        for (actor, by) in [(TUNER, Author::Tuner), (GUARD, Author::Guard)] {
            let mut count = match left {
                0 => 0,
                _ => store.audit_count(&of(Some(actor)), None).await?,
            };
            left = left.saturating_sub(count);
            if *action == Action::Propose && count > 0 {
                count -= count.min(store.audit_count(&of(None), Some(RENEWED)).await?);
            }
            counts.insert((action.as_str(), by), count);
        }
        counts.insert((action.as_str(), Author::Person), left);
    }
    Ok(counts)
}
