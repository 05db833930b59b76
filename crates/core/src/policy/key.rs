//! The key of a policy version, `{id}@{version}`, which is also the id of its document.

use std::fmt;
use std::str::FromStr;

use semver::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::names::{NameError, check_document_id};

/// The most bytes that the id of a policy may have.
pub const MAX_ID_BYTES: usize = 200;
/// The most bytes that a version may have. Together with the policy's id this is well below the
/// 1,500 bytes that Firestore allows for the id of a document.
pub const MAX_VERSION_BYTES: usize = 200;

/// The id of a policy and one of its versions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyKey {
    pub id: String,
    pub version: Version,
}

/// Why a text is not a policy key, or not the id of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PolicyKeyError {
    #[error("there is no @ between id and version")]
    NoVersion,
    #[error("the id is {bytes} bytes long, must be 1 to {MAX_ID_BYTES}")]
    IdLength { bytes: usize },
    #[error("the id contains {0:?}, must contain only letters, digits, '.', '_' and '-'")]
    IdCharacter(char),
    #[error("the id must not begin with '.'")]
    IdLeadingDot,
    #[error("the id {0}")]
    IdName(NameError),
    #[error("the version is {bytes} bytes long, must be at most {MAX_VERSION_BYTES}")]
    VersionLength { bytes: usize },
    #[error("the version is not a semantic version: {0}")]
    Version(String),
}

impl PolicyKey {
    /// # Errors
    /// An id or a version that cannot name a document.
    pub fn new(id: &str, version: Version) -> Result<Self, PolicyKeyError> {
        Self::check_id(id)?;
        check_version_length(version.to_string().len())?;
        Ok(Self { id: id.to_owned(), version })
    }

    /// Whether a policy may have this id.
    ///
    /// # Errors
    /// The first rule that the id breaks.
    pub fn check_id(id: &str) -> Result<(), PolicyKeyError> {
        if !(1..=MAX_ID_BYTES).contains(&id.len()) {
            return Err(PolicyKeyError::IdLength { bytes: id.len() });
        }
        let allowed = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-');
        if let Some(other) = id.chars().find(|it| !allowed(*it)) {
            return Err(PolicyKeyError::IdCharacter(other));
        }
        if id.starts_with('.') {
            return Err(PolicyKeyError::IdLeadingDot);
        }
        check_document_id(id).map_err(PolicyKeyError::IdName)
    }
}

fn check_version_length(bytes: usize) -> Result<(), PolicyKeyError> {
    if bytes <= MAX_VERSION_BYTES { Ok(()) } else { Err(PolicyKeyError::VersionLength { bytes }) }
}

impl fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.version)
    }
}

impl FromStr for PolicyKey {
    type Err = PolicyKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, version) = text.split_once('@').ok_or(PolicyKeyError::NoVersion)?;
        check_version_length(version.len())?;
        let not_semantic = |error: semver::Error| PolicyKeyError::Version(error.to_string());
        Self::new(id, version.parse().map_err(not_semantic)?)
    }
}

impl Serialize for PolicyKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PolicyKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_parses_from_its_own_text() {
        let key: PolicyKey = "router-core@1.0.2".parse().unwrap();
        assert_eq!((key.id.as_str(), &key.version), ("router-core", &Version::new(1, 0, 2)));
        assert_eq!(key.to_string(), "router-core@1.0.2");
        assert_eq!(serde_json::to_value(&key).unwrap(), "router-core@1.0.2");
    }

    #[test]
    fn an_invalid_key_names_its_mistake() {
        let error = |text: &str| text.parse::<PolicyKey>().unwrap_err();
        assert_eq!(error("router-core"), PolicyKeyError::NoVersion);
        assert_eq!(error("@1.0.0"), PolicyKeyError::IdLength { bytes: 0 });
        assert_eq!(
            error(&format!("{}@1.0.0", "a".repeat(201))),
            PolicyKeyError::IdLength { bytes: 201 }
        );
        assert_eq!(error("a/b@1.0.0"), PolicyKeyError::IdCharacter('/'));
        assert_eq!(error(".a@1.0.0"), PolicyKeyError::IdLeadingDot);
        assert_eq!(error("__a__@1.0.0"), PolicyKeyError::IdName(NameError::Reserved));
        assert!(matches!(error("a@1.0"), PolicyKeyError::Version(_)));
        assert!(matches!(error("a@1.0.0@2"), PolicyKeyError::Version(_)));
    }

    proptest! {
        #[test]
        fn every_text_is_rejected_or_prints_as_it_was_read(text in ".{0,40}") {
            if let Ok(key) = text.parse::<PolicyKey>() {
                prop_assert_eq!(key.to_string(), text);
            }
        }
    }
}
