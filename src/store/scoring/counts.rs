//! The numbers of documents, for people who compare them.

use crate::store::Result;
use crate::store::Store;
use crate::store::collection::{QUARANTINE, REWARDS};
use firestore_kit::Query;

impl Store {
    /// The numbers of rewards and of quarantined observations. Firestore bills one read for each 1,000.
    pub async fn counts(&self) -> Result<(u64, u64)> {
        let rewards = self.db.count(REWARDS, Query::of(REWARDS).build()).await?;
        let quarantined = self.db.count(QUARANTINE, Query::of(QUARANTINE).build()).await?;
        Ok((rewards, quarantined))
    }
}
