//! A record of a file, why it cannot be read, and the bound of its bytes.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use serde_json::{Map, Value as Json};
use thiserror::Error;

/// A record of a file, with its fields by name.
pub type Record = Map<String, Json>;

/// The largest record. Firestore documents are at most 1 MiB; a batch of spans is larger than one.
const MAX_RECORD_BYTES: u64 = 16 << 20;

/// Why a record, or the rest of the file, cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    #[error("invalid record: expected at most {MAX_RECORD_BYTES} bytes")]
    TooLong,
    #[error("invalid record: expected UTF-8")]
    NotUtf8,
    #[error("invalid record: expected a JSON object")]
    NotObject,
    #[error("invalid row: expected at most {expected} columns, got {got}")]
    Columns { expected: usize, got: usize },
    #[error("cannot read the CSV: {0}")]
    Csv(#[from] csv::Error),
    #[error("cannot read the JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// The bytes that may still be read for the current record.
#[derive(Clone, Default)]
pub struct Bound {
    read: Rc<Cell<u64>>,
    exceeded: Rc<Cell<bool>>,
}

impl Bound {
    pub fn limit<R: Read>(&self, reader: R) -> Limited<R> {
        Limited { reader, bound: self.clone() }
    }

    /// A record ended.
    pub fn restart(&self) {
        self.read.set(0);
    }

    /// The error of a reader, which is this bound's if it was exceeded.
    pub fn explain(&self, error: ReadError) -> ReadError {
        if self.exceeded.get() { ReadError::TooLong } else { error }
    }
}

/// A reader that fails once a record is too long.
pub struct Limited<R> {
    reader: R,
    bound: Bound,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.bound.read.get() > MAX_RECORD_BYTES {
            self.bound.exceeded.set(true);
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a record is too long"));
        }
        let read = self.reader.read(into)?;
        self.bound.read.set(self.bound.read.get() + read as u64);
        Ok(read)
    }
}
