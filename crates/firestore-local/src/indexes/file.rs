//! The index file on disk. It is read again when it changes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::limits::MAX_WITHOUT_BILLING;
use super::{Indexes, InvalidIndexes};
use crate::locks::lock;

/// The largest file. 1,000 indexes with all their fields fit.
const MAX_BYTES: u64 = 16 << 20;

#[derive(Debug, thiserror::Error)]
pub enum IndexesError {
    #[error("cannot read the indexes {file}: {source}")]
    Read { file: PathBuf, source: io::Error },
    #[error("cannot read the indexes {file}: it has {bytes} bytes, at most {MAX_BYTES} are read")]
    Size { file: PathBuf, bytes: u64 },
    #[error("invalid indexes {file}: {source}")]
    Invalid { file: PathBuf, source: InvalidIndexes },
}

/// When a file was modified, and its length.
type Version = Option<(SystemTime, u64)>;

/// The indexes in a file.
#[derive(Debug)]
pub struct IndexesFile {
    file: PathBuf,
    state: Mutex<(Version, Arc<Indexes>)>,
}

fn version(file: &Path) -> Version {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn load(file: &Path) -> Result<Indexes, IndexesError> {
    let failed = |source| IndexesError::Read { file: file.to_owned(), source };
    let bytes = std::fs::metadata(file).map_err(failed)?.len();
    if bytes > MAX_BYTES {
        return Err(IndexesError::Size { file: file.to_owned(), bytes });
    }
    let text = std::fs::read_to_string(file).map_err(failed)?;
    let indexes = Indexes::parse(&text)
        .map_err(|source| IndexesError::Invalid { file: file.to_owned(), source })?;
    let most = indexes.composites.len().max(indexes.overrides.len());
    if most > MAX_WITHOUT_BILLING {
        tracing::warn!(
            file = %file.display(),
            "only a project with billing can have more than {MAX_WITHOUT_BILLING} indexes or overrides"
        );
    }
    Ok(indexes)
}

impl IndexesFile {
    /// Reads the indexes.
    ///
    /// # Errors
    /// If the file cannot be read, or is not valid.
    pub fn open(file: impl Into<PathBuf>) -> Result<Self, IndexesError> {
        let file = file.into();
        let version = version(&file);
        let indexes = load(&file)?;
        Ok(Self { file, state: Mutex::new((version, Arc::new(indexes))) })
    }

    pub fn path(&self) -> &Path {
        &self.file
    }

    /// The indexes as the file is now. While the file is missing or invalid, the previous indexes
    /// stay active.
    pub fn current(&self) -> Arc<Indexes> {
        let mut state = lock(&self.state);
        let now = version(&self.file);
        if now != state.0 {
            state.0 = now;
            match load(&self.file) {
                Ok(indexes) => {
                    state.1 = Arc::new(indexes);
                    tracing::info!(file = %self.file.display(), "the indexes were reloaded");
                }
                Err(error) => {
                    tracing::error!(%error, "the indexes changed; the previous ones stay active");
                }
            }
        }
        Arc::clone(&state.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_keeps_the_previous_indexes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("firestore.indexes.json");
        std::fs::write(&file, r#"{"indexes": []}"#).unwrap();
        let opened = IndexesFile::open(&file).unwrap();
        let first = opened.current();
        assert!(Arc::ptr_eq(&first, &opened.current()));
        let exempt = r#"{"collectionGroup": "c", "fieldPath": "f", "indexes": []}"#;
        let text = format!(r#"{{"indexes": [], "fieldOverrides": [{exempt}]}}"#);
        std::fs::write(&file, text).unwrap();
        let second = opened.current();
        assert_eq!(second.overrides.len(), 1);
        std::fs::write(&file, "{").unwrap();
        assert!(Arc::ptr_eq(&second, &opened.current()));
        std::fs::remove_file(&file).unwrap();
        assert!(Arc::ptr_eq(&second, &opened.current()));
    }
}
