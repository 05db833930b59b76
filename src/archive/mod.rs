//! Where documents go when they are too old to keep in Firestore: Parquet files in a folder or a
//! bucket, a partition for each day. Nothing here knows Firestore.

mod parquet;
mod place;
mod table;

pub use parquet::{File, Row, keys as read_keys, rows as read_rows};
pub use place::{Archive, ArchiveError, Manifest};
pub use table::{Column, Key, Table, Values};
