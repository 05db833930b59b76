//! Writes, each with the precondition that makes it safe.

use firestore::gcloud_sdk::google::firestore::v1::{
    CommitResponse, Document, DocumentMask, Precondition, Write, precondition::ConditionType,
    write::Operation,
};
use prost_types::Timestamp;

use crate::value::Fields;

fn put(name: String, fields: Fields, condition: Option<ConditionType>) -> Write {
    let document = Document { name, fields, create_time: None, update_time: None };
    Write {
        operation: Some(Operation::Update(document)),
        current_document: condition.and_then(self::condition),
        ..Write::default()
    }
}

fn condition(kind: ConditionType) -> Option<Precondition> {
    Some(Precondition { condition_type: Some(kind) })
}

/// Creates the document; refused with ALREADY_EXISTS if it exists.
pub fn create(name: String, fields: Fields) -> Write {
    put(name, fields, Some(ConditionType::Exists(false)))
}

/// Writes the whole document, without a precondition.
pub fn set(name: String, fields: Fields) -> Write {
    put(name, fields, None)
}

/// Writes the whole document if its update time is still this one, or, with `None`, if it does not
/// exist.
pub fn set_if_unchanged(name: String, fields: Fields, update_time: Option<Timestamp>) -> Write {
    put(name, fields, Some(unchanged(update_time)))
}

/// Changes only these fields, if the document's update time is still this one.
pub fn patch_if_unchanged(name: String, fields: Fields, update_time: Timestamp) -> Write {
    patch_and_clear_if_unchanged(name, fields, &[], update_time)
}

/// The same, and removes the fields in `cleared` that are not in `fields`.
pub fn patch_and_clear_if_unchanged(
    name: String,
    fields: Fields,
    cleared: &[&str],
    update_time: Timestamp,
) -> Write {
    let cleared = cleared.iter().filter(|field| !fields.contains_key(**field));
    let mut field_paths: Vec<_> = cleared.map(|field| (*field).to_owned()).collect();
    field_paths.extend(fields.keys().cloned());
    let mut write = put(name, fields, Some(ConditionType::UpdateTime(update_time)));
    write.update_mask = Some(DocumentMask { field_paths });
    write
}

pub fn delete(name: String) -> Write {
    Write { operation: Some(Operation::Delete(name)), ..Write::default() }
}

/// Deletes the document if its update time is still this one.
pub fn delete_if_unchanged(name: String, update_time: Timestamp) -> Write {
    Write { current_document: condition(ConditionType::UpdateTime(update_time)), ..delete(name) }
}

/// The update time of the document after write number `index` of a commit; `None` after a delete.
/// Firestore returns one for every other write (`WriteResult.update_time`).
pub fn update_time(response: &CommitResponse, index: usize) -> Option<Timestamp> {
    response.write_results.get(index).and_then(|result| result.update_time)
}

/// The size of a document in the protocol's encoding, in bytes.
pub fn encoded_len(document: &Document) -> usize {
    firestore::gcloud_sdk::prost::Message::encoded_len(document)
}

/// The size of a write in the protocol's encoding, in bytes.
pub(crate) fn encoded_write_len(write: &Write) -> usize {
    firestore::gcloud_sdk::prost::Message::encoded_len(write)
}

fn unchanged(update_time: Option<Timestamp>) -> ConditionType {
    update_time.map_or(ConditionType::Exists(false), ConditionType::UpdateTime)
}
