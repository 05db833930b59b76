//! The tables of the store.

use redb::TableDefinition;

/// Document key to encoded document.
pub const DOCUMENTS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("documents");
/// Index id and entry to document key.
pub const ENTRIES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("index_entries");
/// Index id to its definition.
pub const INDEXES: TableDefinition<u32, &[u8]> = TableDefinition::new("indexes");
/// Single values: the last commit time.
pub const META: TableDefinition<&str, i64> = TableDefinition::new("meta");
pub const LAST_COMMIT: &str = "last_commit_micros";
