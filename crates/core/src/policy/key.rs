//! The name of a policy's version, `{id}@{version}`: the id of its document.

use std::fmt;
use std::str::FromStr;

use semver::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

pub const MAX_ID_BYTES: usize = 200;
/// Room for any version people write; with the id, well within the 1,500 bytes of a document id.
pub const MAX_VERSION_BYTES: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyKey {
    pub id: String,
    pub version: Version,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PolicyKeyError {
    #[error("no @ between id and version")]
    NoVersion,
    #[error("the id is {bytes} bytes long, must be 1 to {MAX_ID_BYTES}")]
    IdLength { bytes: usize },
    #[error("the id holds {0:?}, must hold only letters, digits, '.', '_' and '-'")]
    IdCharacter(char),
    #[error("the id begins with '.'")]
    IdLeadingDot,
    #[error("the id has the form __x__, which Firestore keeps for itself")]
    IdReserved,
    #[error("the version is {bytes} bytes long, must be at most {MAX_VERSION_BYTES}")]
    VersionLength { bytes: usize },
    #[error("the version is not semantic: {0}")]
    Version(String),
}

impl PolicyKey {
    /// A key that may name a document.
    pub fn new(id: &str, version: Version) -> Result<Self, PolicyKeyError> {
        Self::check_id(id)?;
        check_version_length(version.to_string().len())?;
        Ok(Self { id: id.to_owned(), version })
    }

    /// Whether a policy may be called so.
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
        if id.len() >= 4 && id.starts_with("__") && id.ends_with("__") {
            return Err(PolicyKeyError::IdReserved);
        }
        Ok(())
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
    fn a_key_reads_as_it_prints() {
        let key: PolicyKey = "router-core@1.0.2".parse().unwrap();
        assert_eq!((key.id.as_str(), &key.version), ("router-core", &Version::new(1, 0, 2)));
        assert_eq!(key.to_string(), "router-core@1.0.2");
        assert_eq!(serde_json::to_value(&key).unwrap(), "router-core@1.0.2");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| text.parse::<PolicyKey>().unwrap_err();
        assert_eq!(error("router-core"), PolicyKeyError::NoVersion);
        assert_eq!(error("@1.0.0"), PolicyKeyError::IdLength { bytes: 0 });
        assert_eq!(
            error(&format!("{}@1.0.0", "a".repeat(201))),
            PolicyKeyError::IdLength { bytes: 201 }
        );
        assert_eq!(error("a/b@1.0.0"), PolicyKeyError::IdCharacter('/'));
        assert_eq!(error(".a@1.0.0"), PolicyKeyError::IdLeadingDot);
        assert_eq!(error("__a__@1.0.0"), PolicyKeyError::IdReserved);
        assert!(matches!(error("a@1.0"), PolicyKeyError::Version(_)));
        assert!(matches!(error("a@1.0.0@2"), PolicyKeyError::Version(_)));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in ".{0,40}") {
            if let Ok(key) = text.parse::<PolicyKey>() {
                prop_assert_eq!(key.to_string(), text);
            }
        }
    }
}
