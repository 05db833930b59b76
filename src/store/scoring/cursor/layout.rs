//! `ops_state/layout`: the number of shards that the active cursors cover, which may differ from the
//! number that `config/scoring` requests.

use firestore_kit::Timestamp;
use firestore_kit::proto::Write;

use crate::store::{Result, StoreError};
use crate::store::{Store, collection::STATE};
use f0_learning_core::sharding::{Layout, MAX_SHARDS};
use firestore_kit::{value, write};

const LAYOUT: &str = "layout";

/// The active layout, with the update time that a change must find unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StoredLayout {
    pub layout: Layout,
    update_time: Option<Timestamp>,
}

impl Store {
    pub async fn layout(&self) -> Result<StoredLayout> {
        let Some(document) = self.db.get(STATE, LAYOUT).await? else {
            return Ok(StoredLayout::default());
        };
        let shards = value::as_whole(&document.fields, "shards");
        let shards = shards.and_then(|shards| u32::try_from(shards).ok());
        let Some(shards) = shards.filter(|shards| *shards <= MAX_SHARDS) else {
            let detail = format!("shards must be a whole number from 0 to {MAX_SHARDS}");
            return Err(StoreError::decode("ops_state/layout", "a layout of shards", detail));
        };
        Ok(StoredLayout { layout: Layout { shards }, update_time: document.update_time })
    }

    /// The write that replaces the active layout, refused if it changed since it was read.
    pub(in crate::store) fn layout_write(&self, from: &StoredLayout, to: Layout) -> Write {
        let fields = value::fields([("shards", value::int(i64::from(to.shards)))]);
        write::set_if_unchanged(self.db.name(STATE, LAYOUT), fields, from.update_time)
    }
}
