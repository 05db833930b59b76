//! Documents in the archive: what identifies a state of one, and what a file of them holds.

use serde::{Deserialize, Serialize};

/// Identifies one stored state of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentKey {
    pub id: String,
    /// Epoch milliseconds.
    pub ts: i64,
    /// When Firestore last changed the document, in microseconds since the epoch.
    pub updated: i64,
}

/// The content of an archive file, stored next to it and verified before anything is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The path of the file in the archive.
    pub path: String,
    pub count: u64,
    /// Epoch milliseconds.
    pub min_ts: i64,
    pub max_ts: i64,
    pub bytes: u64,
    pub sha256: String,
}
