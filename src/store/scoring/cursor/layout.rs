//! `ops_state/layout`: the number of shards that the active cursors cover, which may differ from the
//! number that `config/scoring` requests.

use std::collections::BTreeMap;

use firestore_kit::proto::{Document, Write};
use firestore_kit::{Query, Timestamp};

use crate::store::{Result, StoreError};
use crate::store::{Store, collection::STATE};
use f0_learning_core::sharding::{Layout, MAX_SHARDS};
use firestore_kit::{value, write};

pub(in crate::store) const LAYOUT: &str = "layout";

/// The range of ids that contains those of the cursors of shards.
const CURSOR_IDS: [&str; 2] = ["cursor|", "cursor}"];

/// The active layout, with the update time that a change must find unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StoredLayout {
    pub layout: Layout,
    update_time: Option<Timestamp>,
}

const PATH: &str = "ops_state/layout";

impl StoredLayout {
    /// # Errors
    /// The document cannot be read.
    pub(in crate::store) fn of(document: &Document) -> Result<Self> {
        let shards = value::as_whole(&document.fields, "shards");
        let shards = shards.and_then(|shards| u32::try_from(shards).ok());
        let Some(shards) = shards.filter(|shards| *shards <= MAX_SHARDS) else {
            let detail = format!("shards must be a whole number from 0 to {MAX_SHARDS}");
            return Err(StoreError::decode(PATH, "a layout of shards", detail));
        };
        Ok(Self { layout: Layout { shards }, update_time: document.update_time })
    }

    /// Whether both were read from the same state of the document.
    pub(in crate::store) fn is_same(&self, other: &Self) -> bool {
        self.layout == other.layout && self.update_time == other.update_time
    }
}

impl Store {
    /// # Errors
    /// It cannot be read, or is missing although shards have cursors: one cursor of all observations
    /// would count them again.
    pub async fn layout(&self) -> Result<StoredLayout> {
        if let Some(document) = self.db.get(STATE, LAYOUT).await? {
            return StoredLayout::of(&document);
        }
        if !self.shards_with_cursors().await?.is_empty() {
            // Another worker may have changed it since.
            if let Some(document) = self.db.get(STATE, LAYOUT).await? {
                return StoredLayout::of(&document);
            }
            let detail = "it is missing, although shards have cursors";
            return Err(StoreError::decode(PATH, "a layout of shards", detail));
        }
        Ok(StoredLayout::default())
    }

    /// The shards that have a cursor, and whether it is retired; one that cannot be read is not.
    pub(in crate::store) async fn shards_with_cursors(&self) -> Result<BTreeMap<u32, bool>> {
        let [first, end] = CURSOR_IDS.map(|id| value::reference(self.db.name(STATE, id)));
        let query = Query::of(STATE).at_least("__name__", first).below("__name__", end);
        let query = query.select(&["retired"]).ascending("__name__");
        let documents = self.db.query_all("ops_state by name", query.build()).await?;
        let shard = |document: &Document| {
            let number = value::document_id(document).strip_prefix("cursor|")?.parse().ok()?;
            Some((number, value::as_bool(&document.fields, "retired") == Some(true)))
        };
        Ok(documents.iter().filter_map(shard).collect())
    }

    /// The write that replaces the active layout, refused if it changed since it was read.
    pub(in crate::store) fn layout_write(&self, from: &StoredLayout, to: Layout) -> Write {
        let fields = value::fields([("shards", value::int(i64::from(to.shards)))]);
        write::set_if_unchanged(self.db.name(STATE, LAYOUT), fields, from.update_time)
    }
}
