//! Exports of other tools as observations: what reads a file record by record, and how the fields of a
//! record become those of an observation. Nothing here knows Firestore.

mod csv;
mod json;
mod mapping;
mod otlp;
mod profiles;
mod record;
mod records;
mod times;

pub use mapping::{Mapped, Mapping, MappingError, Unmapped};
pub use profiles::Profile;
pub use record::{ReadError, Record};
pub use records::{Format, read};
