//! Exports of other tools as observations: what reads a file record by record, and how the fields of a
//! record become those of an observation. Nothing here knows Firestore.

mod csv;
mod json;
mod mapping;
mod otlp;
mod profiles;
mod records;
mod times;

pub use mapping::{Mapped, Mapping, MappingError, Unmapped};
pub use profiles::Profile;
pub use records::{Format, ReadError, Record, read};
