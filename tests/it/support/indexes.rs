//! The index files of the repository.

use firestore_local::indexes::Indexes;

pub const PLAIN: &str = include_str!("../../../firestore.indexes.json");
pub const SHARDED: &str = include_str!("../../../deploy/firestore.indexes.sharded.json");
pub const RESHARDING: &str = include_str!("../../../deploy/firestore.indexes.resharding.json");

/// Of a project without shards.
pub fn plain() -> Indexes {
    Indexes::parse(PLAIN).unwrap()
}

/// Of a project with shards.
pub fn sharded() -> Indexes {
    Indexes::parse(SHARDED).unwrap()
}

/// Of a project whose number of shards changes.
pub fn resharding() -> Indexes {
    Indexes::parse(RESHARDING).unwrap()
}
