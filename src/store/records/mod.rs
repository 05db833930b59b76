//! What people read: the audit trail, the statistics of components, and documents that are old enough
//! for the archive.

pub(in crate::store) mod audit;
pub(in crate::store) mod retention;
pub(in crate::store) mod stats;

pub use audit::{AuditFilter, AuditRecord};
pub use retention::{Archived, OldDocuments, Part, PendingFile, RetentionState};
pub use stats::ComponentStats;
