//! The effects of the decisions on a policy, computed from its audit trail and the rewards of its
//! versions (see `f0_learning_core::effectiveness`).

use std::collections::BTreeSet;

use crate::store::lifecycle::{GUARD, TUNER};
use crate::store::{Result, Store};
use f0_learning_core::audit::AuditEntry;
use f0_learning_core::effectiveness::{Effectiveness, effectiveness};
use f0_learning_core::time::DAY_MS;

pub const DEFAULT_EFFECT_DAYS: u32 = 30;
pub const MAX_EFFECT_DAYS: u32 = 365;

/// How much earlier the proposals of decisions within the period may be.
const EARLIER_PROPOSALS_MS: i64 = 30 * DAY_MS;

impl Store {
    /// The effects of the last `days` before `now`.
    pub async fn effectiveness(&self, id: &str, days: u32, now: i64) -> Result<Effectiveness> {
        let since = now - i64::from(days) * DAY_MS;
        let trail = self.changes(id, Some(since - EARLIER_PROPOSALS_MS)).await?;
        let entries: Vec<AuditEntry> = trail.into_iter().map(|record| record.entry).collect();
        let versions: BTreeSet<_> =
            entries.iter().flat_map(|entry| &entry.changes).map(|change| &change.version).collect();
        let earned = self.earned(id, versions).await?;
        Ok(effectiveness(&entries, &earned, &[TUNER, GUARD], since, now))
    }
}
