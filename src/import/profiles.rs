//! Mappings for the exports of known tools.

use super::mapping::{Mapping, MappingError};

/// A tool whose exports have a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::Display, strum::EnumIter)]
#[strum(serialize_all = "lowercase")]
pub enum Profile {
    /// A table whose columns have the names of an observation's fields, or common ones.
    Csv,
    /// LiteLLM: its table of spend logs, or the payload of its logging callbacks
    /// (`StandardLoggingPayload`).
    Litellm,
    /// Langfuse: observations of the API, or those of the export to blob storage.
    Langfuse,
    /// Helicone: requests of its export tool or its API.
    Helicone,
    /// OpenTelemetry: spans with attributes of the semantic conventions for generative AI.
    Otlp,
}

impl Profile {
    /// The mapping as it is shipped, as JSON.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Csv => include_str!("profiles/csv.json"),
            Self::Litellm => include_str!("profiles/litellm.json"),
            Self::Langfuse => include_str!("profiles/langfuse.json"),
            Self::Helicone => include_str!("profiles/helicone.json"),
            Self::Otlp => include_str!("profiles/otlp.json"),
        }
    }

    /// # Errors
    /// The shipped text is not a mapping, which a test rules out.
    pub fn mapping(self) -> Result<Mapping, MappingError> {
        Mapping::parse(self.text())
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator as _;

    use super::*;

    #[test]
    fn every_profile_is_a_mapping_and_is_found_by_its_name() {
        for profile in Profile::iter() {
            profile.mapping().unwrap_or_else(|error| panic!("{profile}: {error}"));
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
    }
}
