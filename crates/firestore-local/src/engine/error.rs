//! How the store fails, as clients and whoever opens it see it.

use std::io;
use std::path::{Path, PathBuf};

use tonic::Status;

use super::store::is_full;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot create the data folder {folder}: {source}")]
    Folder { folder: PathBuf, source: io::Error },
    #[error("the data folder {folder} is not a folder")]
    NoFolder { folder: PathBuf },
    #[error("{file} is in use by another process")]
    InUse { file: PathBuf },
    #[error("cannot open {file}: the disk is full: {source}")]
    Full { file: PathBuf, source: io::Error },
    #[error("cannot open {file}: {detail}")]
    Open { file: PathBuf, detail: String },
    #[error(
        "{file} is damaged: its last commit is of {last}, and commits up to {acknowledged} \
         (microseconds since 1970) were acknowledged; restore the folder from a copy, or remove \
         {marker} to go on with what is left"
    )]
    Lost { file: PathBuf, marker: PathBuf, last: i64, acknowledged: i64 },
    #[error("cannot start the thread that commits: {source}")]
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

    /// What clients are told where the store cannot be opened again.
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

/// Something that should not be.
pub fn internal(error: impl std::fmt::Display) -> Status {
    Status::internal(format!("the store failed: {error}"))
}

/// An error of the store itself, as the client sees it.
pub fn failed(error: impl Into<redb::Error>) -> Status {
    match error.into() {
        redb::Error::Io(error) if is_full(&error) => full(&error),
        redb::Error::PreviousIo | redb::Error::DatabaseClosed => {
            Status::unavailable("the store is being opened again after an error of the disk")
        }
        error => internal(error),
    }
}
