//! The values that `__name__` can be compared with.

use tonic::Status;

use crate::model::invalid;
use crate::model::path::{Database, DocumentName};
use crate::proto::{Value, value::ValueType};

/// Parses a reference to a document of the database.
pub fn reference(database: &Database, value: &Value) -> Result<DocumentName, Status> {
    match &value.value_type {
        Some(ValueType::ReferenceValue(name)) => {
            let name = DocumentName::parse(name)?;
            if name.database() == database {
                Ok(name)
            } else {
                Err(invalid!("{name} is not in database {database}"))
            }
        }
        _ => Err(invalid!("__name__ can only be compared with a document reference")),
    }
}
