//! Limits on index definitions, on the entries of a document, and on a commit with its entries.
//!
//! Source: "Quotas and limits", indexes. Without billing a project may have 200 composite indexes
//! and 200 field configurations; the limits here are those with billing.

use tonic::Status;

use super::Indexes;
use super::entries::{Entries, entries_of};
use crate::model::invalid;
use crate::model::path::DocumentName;
use crate::model::value::document_size;
use crate::proto::Document;

/// The most composite indexes of a database in a project with billing.
pub const MAX_COMPOSITES: usize = 1_000;
/// The most field configurations of a database in a project with billing.
pub const MAX_OVERRIDES: usize = 1_000;
/// The most of either in a project without billing.
pub const MAX_WITHOUT_BILLING: usize = 200;
/// The most fields of a composite index.
pub const MAX_COLUMNS: usize = 100;

/// The most index entries of a document.
const MAX_ENTRIES: u64 = 40_000;
/// The largest index entry.
const MAX_ENTRY_BYTES: u64 = 7_680;
/// The most bytes of all index entries of a document.
const MAX_DOCUMENT_ENTRIES_BYTES: u64 = 8 << 20;
/// The most bytes of a commit: its documents with their index entries.
const MAX_COMMIT_BYTES: u64 = 10 << 20;

/// Checks a document that a write leaves. Returns its bytes with its index entries.
pub fn check_document(
    name: &DocumentName,
    document: &Document,
    indexes: &Indexes,
) -> Result<u64, Status> {
    let Entries { count, bytes, largest } = entries_of(name, &document.fields, indexes);
    if count > MAX_ENTRIES {
        // Google's words.
        return Err(invalid!("too many index entries for entity /{}", name.segments().join("/")));
    }
    if largest > MAX_ENTRY_BYTES {
        return Err(invalid!(
            "Index entry is too large: one of {name} has {largest} bytes, at most \
             {MAX_ENTRY_BYTES} are allowed"
        ));
    }
    if bytes > MAX_DOCUMENT_ENTRIES_BYTES {
        return Err(invalid!(
            "The index entries of {name} have {bytes} bytes, at most \
             {MAX_DOCUMENT_ENTRIES_BYTES} are allowed"
        ));
    }
    Ok(bytes + document_size(name, &document.fields) as u64)
}

/// Checks the bytes of all documents of a commit with their index entries.
pub fn check_commit(bytes: u64) -> Result<(), Status> {
    if bytes > MAX_COMMIT_BYTES {
        return Err(invalid!(
            "Transaction too big. Decrease transaction size. The documents and their index entries \
             have {bytes} bytes, at most {MAX_COMMIT_BYTES} are allowed"
        ));
    }
    Ok(())
}
