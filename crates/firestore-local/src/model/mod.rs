//! Firestore's semantics as pure functions over the protocol's types: no IO, no clock, no state.
//! Errors have the status codes that Firestore uses.

pub mod aggregate;
pub mod field_path;
pub mod index_entries;
pub mod path;
pub mod query;
pub mod time;
pub mod value;
pub mod write;

use std::collections::HashMap;

use crate::proto::Value;

/// The fields of a document or of a map value.
pub type Fields = HashMap<String, Value>;

/// Creates an INVALID_ARGUMENT status with a formatted message.
macro_rules! invalid {
    ($($message:tt)*) => { tonic::Status::invalid_argument(format!($($message)*)) };
}
pub(crate) use invalid;
