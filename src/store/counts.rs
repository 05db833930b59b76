//! How many documents there are: what a person compares when in doubt.

use super::Store;
use super::collection::{QUARANTINE, REWARDS};
use super::error::Result;
use super::query::Query;

impl Store {
    /// Rewards, and observations in quarantine. Firestore bills a read for each 1,000.
    pub async fn counts(&self) -> Result<(u64, u64)> {
        let rewards = self.count(REWARDS, Query::of(REWARDS).build()).await?;
        let quarantined = self.count(QUARANTINE, Query::of(QUARANTINE).build()).await?;
        Ok((rewards, quarantined))
    }
}
