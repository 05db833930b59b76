//! Export of the metrics by OTLP over HTTP (protobuf), for those who do not scrape `/metrics`.
//!
//! There is one set of instruments: what is exported is the text of `/metrics`, read back, with the same
//! names. Values are cumulative, so that an export that failed needs no repetition: the next one holds its
//! changes. Format and variables: OpenTelemetry Protocol 1.x and "OpenTelemetry Protocol Exporter".

mod exporter;
mod exposition;
mod message;
mod settings;

pub use exporter::{ExportError, Exporter};
pub use settings::{Settings, SettingsError};
