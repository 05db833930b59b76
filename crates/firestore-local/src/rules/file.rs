//! The rules file on disk. It is read again when it changes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::{Ruleset, SyntaxError};
use crate::locks::lock;

#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    #[error("cannot read the rules {file}: {source}")]
    Read { file: PathBuf, source: io::Error },
    #[error("invalid rules {file}: {source}")]
    Syntax { file: PathBuf, source: SyntaxError },
}

/// When a file was modified, and its length.
type Version = Option<(SystemTime, u64)>;

/// The rules in a file.
#[derive(Debug)]
pub struct RulesFile {
    file: PathBuf,
    state: Mutex<(Version, Arc<Ruleset>)>,
}

fn version(file: &Path) -> Version {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn load(file: &Path) -> Result<Ruleset, RulesError> {
    let text = std::fs::read_to_string(file)
        .map_err(|source| RulesError::Read { file: file.to_owned(), source })?;
    Ruleset::parse(&text).map_err(|source| RulesError::Syntax { file: file.to_owned(), source })
}

impl RulesFile {
    /// Reads the rules.
    ///
    /// # Errors
    /// If the file cannot be read, or is not valid.
    pub fn open(file: impl Into<PathBuf>) -> Result<Self, RulesError> {
        let file = file.into();
        let version = version(&file);
        let ruleset = load(&file)?;
        Ok(Self { file, state: Mutex::new((version, Arc::new(ruleset))) })
    }

    /// The rules as the file is now. While the file is missing or invalid, the previous rules stay
    /// active.
    pub fn current(&self) -> Arc<Ruleset> {
        let mut state = lock(&self.state);
        let now = version(&self.file);
        if now != state.0 {
            state.0 = now;
            match load(&self.file) {
                Ok(ruleset) => {
                    state.1 = Arc::new(ruleset);
                    tracing::info!(file = %self.file.display(), "the rules were reloaded");
                }
                Err(error) => {
                    tracing::error!(%error, "the rules changed; the previous rules stay active");
                }
            }
        }
        Arc::clone(&state.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(condition: &str) -> String {
        format!(
            "service cloud.firestore {{ match /{{path=**}} {{ allow read: if {condition}; }} }}"
        )
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_keeps_the_previous_rules() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("firestore.rules");
        std::fs::write(&file, rules("false")).unwrap();
        let opened = RulesFile::open(&file).unwrap();
        let first = opened.current();
        assert!(Arc::ptr_eq(&first, &opened.current()));
        std::fs::write(&file, rules("request.auth != null")).unwrap();
        let second = opened.current();
        assert!(second.source.contains("auth"));
        std::fs::write(&file, "service cloud.firestore {").unwrap();
        assert!(Arc::ptr_eq(&second, &opened.current()));
        std::fs::remove_file(&file).unwrap();
        assert!(Arc::ptr_eq(&second, &opened.current()));
        std::fs::write(&file, rules("true && true")).unwrap();
        assert!(!Arc::ptr_eq(&second, &opened.current()));
    }

    #[test]
    fn a_broken_file_is_refused_at_the_start_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("firestore.rules");
        assert!(matches!(RulesFile::open(&file), Err(RulesError::Read { .. })));
        std::fs::write(&file, "rules_version = '2';\nservice storage {}").unwrap();
        let error = RulesFile::open(&file).unwrap_err().to_string();
        let expected = "line 2, column 9: expected `cloud.firestore`, got `storage`";
        assert!(error.contains(expected), "{error}");
    }
}
