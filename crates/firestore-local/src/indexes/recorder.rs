//! The record of a run: each shape of query once, as a line of JSON.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::Shape;
use crate::locks::lock;

/// The most shapes of a record. A program has some hundreds.
const MAX_SHAPES: usize = 10_000;
/// The most bytes of a record.
const MAX_BYTES: u64 = 64 << 20;

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("cannot use the record of queries {file}: {source}")]
    File { file: PathBuf, source: io::Error },
    #[error("cannot use the record of queries {file}: it has more than {MAX_BYTES} bytes")]
    Size { file: PathBuf },
    #[error("invalid record of queries {file}, line {line}: {source}")]
    Line { file: PathBuf, line: usize, source: serde_json::Error },
}

/// Keeps the shapes of a run, in memory and in a file if there is one.
#[derive(Debug)]
pub struct Recorder(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    shapes: BTreeSet<Shape>,
    file: Option<File>,
    bytes: u64,
    is_full: bool,
}

/// Reads the shapes of a record.
///
/// # Errors
/// If the file cannot be read, or has a line that is not the shape of a query.
pub fn read(file: &Path) -> Result<BTreeSet<Shape>, RecordError> {
    let failed = |source| RecordError::File { file: file.to_owned(), source };
    if std::fs::metadata(file).map_err(failed)?.len() > MAX_BYTES {
        return Err(RecordError::Size { file: file.to_owned() });
    }
    let text = std::fs::read_to_string(file).map_err(failed)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(position, line)| {
            serde_json::from_str(line).map_err(|source| RecordError::Line {
                file: file.to_owned(),
                line: position + 1,
                source,
            })
        })
        .collect()
}

impl Recorder {
    pub fn in_memory() -> Self {
        Self(Mutex::default())
    }

    /// Adds to a file, which may have the shapes of earlier runs.
    pub fn open(file: &Path) -> Result<Self, RecordError> {
        let failed = |source| RecordError::File { file: file.to_owned(), source };
        let opened = OpenOptions::new().create(true).append(true).open(file).map_err(failed)?;
        let shapes = read(file)?;
        let bytes = opened.metadata().map_err(failed)?.len();
        Ok(Self(Mutex::new(State { shapes, file: Some(opened), bytes, is_full: false })))
    }

    pub fn record(&self, shape: &Shape) {
        let mut state = lock(&self.0);
        if state.shapes.contains(shape) || state.is_full {
            return;
        }
        if let Err(reason) = state.add(shape) {
            state.is_full = true;
            tracing::error!(reason, "the record of queries is incomplete from here on");
        }
    }

    pub fn shapes(&self) -> BTreeSet<Shape> {
        lock(&self.0).shapes.clone()
    }
}

impl State {
    fn add(&mut self, shape: &Shape) -> Result<(), String> {
        if self.shapes.len() >= MAX_SHAPES {
            return Err(format!("it has {MAX_SHAPES} shapes of queries"));
        }
        let mut line = serde_json::to_vec(shape).map_err(|error| error.to_string())?;
        line.push(b'\n');
        self.bytes += line.len() as u64;
        if self.bytes > MAX_BYTES {
            return Err(format!("it has {MAX_BYTES} bytes"));
        }
        if let Some(file) = &mut self.file {
            // One call, so that servers that share the file do not mix their lines.
            file.write_all(&line).map_err(|error| error.to_string())?;
        }
        self.shapes.insert(shape.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that an earlier version wrote.
    const STORED: &str = concat!(
        r#"{"collectionGroup":"c","queryScope":"COLLECTION","alternatives":[{"equal":["a"],"#,
        r#""contains":["t"]}],"orderBy":[{"fieldPath":"b","descending":true}],"#,
        r#""nameDescending":true,"aggregated":["n"]}"#,
        "\n",
        r#"{"collectionGroup":null,"queryScope":"COLLECTION_GROUP","alternatives":[{"equal":[],"#,
        r#""contains":[]}],"orderBy":[],"nameDescending":false,"aggregated":[]}"#,
        "\n",
    );

    #[test]
    fn a_record_is_continued_and_keeps_each_shape_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("queries.jsonl");
        std::fs::write(&file, STORED).unwrap();
        let recorder = Recorder::open(&file).unwrap();
        let shapes: Vec<Shape> = recorder.shapes().into_iter().collect();
        assert_eq!(shapes.len(), 2);
        shapes.iter().for_each(|shape| recorder.record(shape));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), STORED);
        let other = Shape { name_descending: false, ..shapes[1].clone() };
        recorder.record(&other);
        assert_eq!(read(&file).unwrap().len(), 3);
        std::fs::write(&file, "{}\n").unwrap();
        let error = Recorder::open(&file).unwrap_err().to_string();
        assert!(error.contains("line 1: missing field"), "{error}");
    }

    #[test]
    fn a_full_record_takes_no_more_shapes() {
        let recorder = Recorder::in_memory();
        let shape: Shape = serde_json::from_str(STORED.lines().next().unwrap()).unwrap();
        for n in 0..MAX_SHAPES + 5 {
            recorder.record(&Shape { collection_group: Some(format!("c{n}")), ..shape.clone() });
        }
        assert_eq!(recorder.shapes().len(), MAX_SHAPES);
    }
}
