//! The documents of scoring: observations, rewards and quarantine, and in `ops_state` the cursors,
//! series and tallies that make counting exact.

mod admission;
mod change_layout;
pub(in crate::store) mod checkpoint;
pub(in crate::store) mod counts;
pub(in crate::store) mod cursor;
pub(in crate::store) mod observations;
pub(in crate::store) mod parked;
mod parking;
pub(in crate::store) mod quarantine;
pub(in crate::store) mod ranges;
pub(in crate::store) mod reconcile;
pub(in crate::store) mod rewards;
mod sample;
pub(in crate::store) mod series;
pub(in crate::store) mod stats;
pub(in crate::store) mod stored_fields;
pub(in crate::store) mod versions;

pub use admission::Admission;
pub use checkpoint::Changes;
pub use cursor::{Checkpoint, Cursor, Pending, Position, StoredLayout};
pub use observations::{Chunk, Invalid, Item, SCORED_FIELDS, StoredItem};
pub use parked::Unparked;
pub use parking::Parked;
pub use quarantine::{QuarantineFilter, Quarantined};
pub use ranges::{Counted, Group, IdCount, IdRange, RangeCount, Unordered};
pub use reconcile::{LATE_AT_ONCE, LateBatch, ReconcileState};
pub use rewards::{Announced, StoredReward};
pub use sample::MAX_SAMPLE;
pub use series::{ComponentSeries, ExpiredPage};
pub use stats::ComponentStats;
pub use versions::VersionTally;
