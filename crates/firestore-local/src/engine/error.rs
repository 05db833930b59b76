//! The store's errors, as clients and callers that open it see them.

use std::io;
use std::path::{Path, PathBuf};

use tonic::Status;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot create the data folder {folder}: {source}")]
    Folder { folder: PathBuf, source: io::Error },
    #[error("the data folder {folder} is not a folder")]
    NotAFolder { folder: PathBuf },
    #[error("{file} is in use by another process")]
    InUse { file: PathBuf },
    #[error("cannot open {file}: the disk is full: {source}")]
    Full { file: PathBuf, source: io::Error },
    #[error("cannot open {file}: {detail}")]
    Open { file: PathBuf, detail: String },
    #[error(
        "{file} is damaged: its last commit is at {last}, but commits up to {acknowledged} \
         (microseconds since 1970) were acknowledged; restore the folder from a backup, or remove \
         {marker} to continue with the remaining data"
    )]
    Lost { file: PathBuf, marker: PathBuf, last: i64, acknowledged: i64 },
    #[error("cannot start the committer thread: {source}")]
    Thread { source: io::Error },
}

impl OpenError {
    pub fn failed(file: &Path, error: redb::Error) -> Self {
        let file = file.to_owned();
        match error {
            redb::Error::DatabaseAlreadyOpen => Self::InUse { file },
            redb::Error::Io(source) if is_full(&source) => Self::Full { file, source },
            other => Self::Open { file, detail: other.to_string() },
        }
    }

    /// The status that clients receive while the store cannot be reopened.
    pub fn status(&self) -> Status {
        match self {
            Self::Full { source, .. } => full(source),
            other => internal(other),
        }
    }
}

fn full(error: &io::Error) -> Status {
    Status::resource_exhausted(format!("the disk is full: {error}"))
}

/// An error that must not occur in normal operation.
pub fn internal(error: impl std::fmt::Display) -> Status {
    Status::internal(format!("the store failed: {error}"))
}

/// A store error as the client sees it.
pub fn failed(error: impl Into<redb::Error>) -> Status {
    match error.into() {
        redb::Error::Io(error) if is_full(&error) => full(&error),
        redb::Error::PreviousIo | redb::Error::DatabaseClosed => {
            Status::unavailable("the store is being reopened after a disk error; try again")
        }
        error => internal(error),
    }
}

/// Whether the error means that there is no space left.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | FileTooLarge | QuotaExceeded)
}
