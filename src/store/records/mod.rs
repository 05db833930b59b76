//! The audit trail, and the documents that are old enough for the archive.

pub(in crate::store) mod audit;
mod counts;
mod notices;
pub(in crate::store) mod retention;

pub use audit::{AuditFilter, AuditRecord};
pub use counts::AUDIT_OVERLAP_MS;
pub use notices::{NotifyState, PendingNotice};
pub(in crate::store) use retention::RETENTION;
pub use retention::{
    Archived, ArchivedBefore, MIN_KEPT_DAYS, OldDocuments, Part, PendingFile, RetentionState,
};
