//! How many documents there are: what a person compares when in doubt.

use crate::store::Result;
use crate::store::Store;
use crate::store::collection::{QUARANTINE, REWARDS};
use firestore_kit::Query;

impl Store {
    /// Rewards, and observations in quarantine. Firestore bills a read for each 1,000.
    pub async fn counts(&self) -> Result<(u64, u64)> {
        let rewards = self.db.count(REWARDS, Query::of(REWARDS).build()).await?;
        let quarantined = self.db.count(QUARANTINE, Query::of(QUARANTINE).build()).await?;
        Ok((rewards, quarantined))
    }
}
