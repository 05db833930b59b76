//! What came of the decisions on a policy: its trail and what its versions earned, brought
//! together for `domain::effectiveness`.

use std::collections::BTreeSet;

use crate::store::Result;
use crate::store::{GUARD, Store, TUNER};
use f0_learning_core::audit::AuditEntry;
use f0_learning_core::effectiveness::{Effectiveness, effectiveness};
use f0_learning_core::time::DAY_MS;

pub const DEFAULT_EFFECT_DAYS: u32 = 30;
pub const MAX_EFFECT_DAYS: u32 = 365;

/// How much further back to look for the proposals that were decided on within the time.
const EARLIER_PROPOSALS_MS: i64 = 30 * DAY_MS;

impl Store {
    /// Over the last `days` up to `now`.
    pub async fn effectiveness(&self, id: &str, days: u32, now: i64) -> Result<Effectiveness> {
        let since = now - i64::from(days) * DAY_MS;
        let trail = self.trail(id, Some(since - EARLIER_PROPOSALS_MS)).await?;
        let entries: Vec<AuditEntry> = trail.into_iter().map(|record| record.entry).collect();
        let named: BTreeSet<_> =
            entries.iter().flat_map(|entry| &entry.changes).map(|change| &change.version).collect();
        let earned = self.earned(id, named).await?;
        Ok(effectiveness(&entries, &earned, &[TUNER, GUARD], since, now))
    }
}
