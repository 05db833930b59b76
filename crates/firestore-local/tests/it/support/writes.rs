//! Builders for writes.

use prost_types::Timestamp;

use super::v1::document_transform::FieldTransform;
use super::v1::document_transform::field_transform::{ServerValue, TransformType};
use super::v1::precondition::ConditionType;
use super::v1::write::Operation;
use super::v1::{Document, DocumentMask, Precondition, Value, Write};
use super::values::{Fields, list};

/// Replaces a document.
pub fn put(name: impl Into<String>, fields: Fields) -> Write {
    let document = Document { name: name.into(), fields, ..Document::default() };
    Write { operation: Some(Operation::Update(document)), ..Write::default() }
}

/// Changes the fields in `paths`.
pub fn patch<const N: usize>(name: impl Into<String>, fields: Fields, paths: [&str; N]) -> Write {
    Write { update_mask: Some(mask(paths)), ..put(name, fields) }
}

pub fn remove(name: impl Into<String>) -> Write {
    Write { operation: Some(Operation::Delete(name.into())), ..Write::default() }
}

/// Applies only transforms, in the form that the SDKs send.
pub fn transform<const N: usize>(name: impl Into<String>, by: [FieldTransform; N]) -> Write {
    Write { update_transforms: by.into(), ..patch(name, Fields::new(), []) }
}

pub fn mask<const N: usize>(paths: [&str; N]) -> DocumentMask {
    DocumentMask { field_paths: paths.map(str::to_owned).into() }
}

pub trait When {
    fn when(self, condition: ConditionType) -> Write;
}

impl When for Write {
    fn when(self, condition: ConditionType) -> Write {
        Write { current_document: Some(precondition(condition)), ..self }
    }
}

pub fn precondition(condition: ConditionType) -> Precondition {
    Precondition { condition_type: Some(condition) }
}

pub fn exists(wanted: bool) -> ConditionType {
    ConditionType::Exists(wanted)
}

pub fn updated_at(time: Timestamp) -> ConditionType {
    ConditionType::UpdateTime(time)
}

fn field(path: &str, by: TransformType) -> FieldTransform {
    FieldTransform { field_path: path.to_owned(), transform_type: Some(by) }
}

pub fn increment(path: &str, by: Value) -> FieldTransform {
    field(path, TransformType::Increment(by))
}

pub fn maximum(path: &str, with: Value) -> FieldTransform {
    field(path, TransformType::Maximum(with))
}

pub fn minimum(path: &str, with: Value) -> FieldTransform {
    field(path, TransformType::Minimum(with))
}

pub fn union<const N: usize>(path: &str, elements: [Value; N]) -> FieldTransform {
    field(path, TransformType::AppendMissingElements(list(elements)))
}

pub fn without<const N: usize>(path: &str, elements: [Value; N]) -> FieldTransform {
    field(path, TransformType::RemoveAllFromArray(list(elements)))
}

pub fn server_time(path: &str) -> FieldTransform {
    field(path, TransformType::SetToServerValue(ServerValue::RequestTime.into()))
}
