//! What an import reads: lines with observations, or the records of another tool's export, mapped.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use f0_learning::import::{Format, Mapping, Profile, Record, Unmapped, read};
use serde_json::{Map, Value as Json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::lines::{LineError, next_line};

/// Records that are read ahead of the import.
const READ_AHEAD: usize = 64;

#[derive(Debug, Args)]
pub struct Options {
    /// A file with one observation as JSON a line, or with --profile or --mapping another tool's export; `-` for standard input
    pub file: PathBuf,
    /// The tool that wrote the export: csv, litellm, langfuse, helicone or otlp
    #[arg(long, value_parser = profile, conflicts_with = "mapping")]
    pub profile: Option<Profile>,
    /// A file that says how the fields of a record become those of an observation
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// The component instead of that of the profile, with fields in braces: `router:{model}`
    #[arg(long, value_name = "TEMPLATE")]
    pub component: Option<String>,
    /// Show the mapping and what would be refused, and import nothing
    #[arg(long)]
    pub dry_run: bool,
}

fn profile(text: &str) -> Result<Profile, String> {
    text.parse().map_err(|_| "expected csv, litellm, langfuse, helicone or otlp".to_owned())
}

/// One record, as an observation that was not checked.
pub struct Item {
    /// Of the line, or of the record.
    pub number: u64,
    pub bytes: usize,
    pub record: Result<Map<String, Json>, LineError>,
    /// The field of the record that each field of the observation comes from.
    pub from: Vec<(&'static str, String)>,
}

pub enum Source {
    Lines {
        reader: Box<dyn BufRead + Send>,
        number: u64,
    },
    /// Records that another thread reads, and the error that ended the file.
    Mapped {
        records: mpsc::Receiver<Result<Item>>,
        number: u64,
        is_table: bool,
    },
}

impl Options {
    /// The file to read, and its size in bytes; 0 if it is unknown.
    pub fn open(&self) -> Result<(Source, u64)> {
        let mapping = self.mapping()?;
        let (mut reader, bytes): (Box<dyn BufRead + Send>, u64) = if self.file == Path::new("-") {
            (Box::new(BufReader::new(io::stdin())), 0)
        } else {
            let cannot = || format!("cannot open {}", self.file.display());
            let file = File::open(&self.file).with_context(cannot)?;
            let bytes = file.metadata()?.len();
            (Box::new(BufReader::with_capacity(1 << 16, file)), bytes)
        };
        let Some(mapping) = mapping else {
            return Ok((Source::Lines { reader, number: 0 }, bytes));
        };
        let format = match mapping.format {
            Some(format) => format,
            None => format_of(&self.file, &mut reader)?,
        };
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        std::thread::spawn(move || mapped(format, reader, &mapping, &sender));
        let is_table = format == Format::Csv;
        Ok((Source::Mapped { records: receiver, number: 0, is_table }, bytes))
    }

    /// The mapping that is asked for; `None` if the file has observations.
    fn mapping(&self) -> Result<Option<Mapping>> {
        let mapping = match (&self.mapping, self.profile) {
            (Some(file), _) => {
                let cannot = || format!("cannot read {}", file.display());
                let text = std::fs::read_to_string(file).with_context(cannot)?;
                Some(Mapping::parse(&text).with_context(|| file.display().to_string())?)
            }
            (None, Some(profile)) => Some(profile.mapping()?),
            (None, None) => None,
        };
        match (mapping, &self.component) {
            (Some(mapping), Some(component)) => {
                Ok(Some(Mapping { component: component.clone(), ..mapping }))
            }
            (None, Some(_)) => bail!("invalid --component: pass --profile or --mapping, too"),
            (mapping, None) => Ok(mapping),
        }
    }
}

/// A table if its name ends in `.csv` or it does not start like JSON.
fn format_of(file: &Path, reader: &mut impl BufRead) -> Result<Format> {
    if file.extension().is_some_and(|it| it.eq_ignore_ascii_case("csv")) {
        return Ok(Format::Csv);
    }
    let start = reader.fill_buf().context("cannot read the file")?;
    let first = start.iter().find(|byte| !byte.is_ascii_whitespace());
    Ok(if matches!(first, Some(b'{' | b'[')) { Format::Json } else { Format::Csv })
}

fn mapped(
    format: Format,
    reader: impl BufRead,
    mapping: &Mapping,
    to: &mpsc::Sender<Result<Item>>,
) {
    let done = read(format, reader, &mut |number, record| {
        to.blocking_send(Ok(item(number, record.map_err(Into::into), mapping))).is_ok()
    });
    if let Err(error) = done {
        // The receiver is gone only if the import failed.
        let _ = to.blocking_send(Err(error.into()));
    }
}

fn item(number: u64, record: Result<Record, LineError>, mapping: &Mapping) -> Item {
    let bytes = record.as_ref().map_or(0, size);
    let mapped = record.and_then(|record| {
        let mut mapped = mapping.apply(&record)?;
        let observation = &mut mapped.observation;
        if observation.get("id").is_none() {
            let text = Json::Object(record).to_string();
            observation.insert("id".to_owned(), line_id(number, &text).into());
        }
        Ok(mapped)
    });
    match mapped {
        Ok(mapped) => Item { number, bytes, record: Ok(mapped.observation), from: mapped.from },
        Err(error) => Item { number, bytes, record: Err(error), from: Vec::new() },
    }
}

/// About the bytes of a record in its file.
fn size(record: &Record) -> usize {
    fn of(value: &Json) -> usize {
        match value {
            Json::String(text) => text.len() + 2,
            Json::Array(values) => values.iter().map(|it| of(it) + 1).sum(),
            Json::Object(fields) => size(fields),
            _ => 6,
        }
    }
    record.iter().map(|(name, value)| name.len() + 4 + of(value)).sum()
}

impl From<Unmapped> for LineError {
    fn from(error: Unmapped) -> Self {
        match error {
            Unmapped::LeftOut { .. } => Self::LeftOut(error.to_string()),
            other => Self::Unmapped(other),
        }
    }
}

impl Source {
    /// What its numbers count: the rows of a table are lines, too.
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Lines { .. } | Self::Mapped { is_table: true, .. } => "line",
            Self::Mapped { .. } => "record",
        }
    }

    /// How many lines, or records, were read.
    pub fn read(&self) -> u64 {
        match self {
            Self::Lines { number, .. } | Self::Mapped { number, .. } => *number,
        }
    }

    /// The next record that is not empty; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Item>> {
        match self {
            Self::Mapped { records, number, .. } => {
                *number += 1;
                records.recv().await.transpose()
            }
            Self::Lines { reader, number } => loop {
                let line = next_line(reader).context("cannot read the next line")?;
                let Some(line) = line else { return Ok(None) };
                *number += 1;
                let bytes = line.as_ref().map_or(0, String::len) + 1;
                let record = match line {
                    Ok(text) if text.trim().is_empty() => continue,
                    Ok(text) => observation(*number, &text),
                    Err(error) => Err(error),
                };
                return Ok(Some(Item { number: *number, bytes, record, from: Vec::new() }));
            },
        }
    }
}

/// The observation of a line. One without an id gets one.
fn observation(number: u64, text: &str) -> Result<Map<String, Json>, LineError> {
    let json: Json =
        serde_json::from_str(text).map_err(|error| LineError::NotJson(error.to_string()))?;
    let Json::Object(mut observation) = json else { return Err(LineError::NotObject) };
    if observation.get("id").is_none_or(Json::is_null) {
        observation.insert("id".to_owned(), line_id(number, text).into());
    }
    Ok(observation)
}

/// The id of a record without one: the same for the same record of the same file, so that an import
/// that failed can be repeated.
fn line_id(number: u64, text: &str) -> String {
    let name = format!("{number}:{}", text.trim());
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_id_gets_the_same_one_at_every_import() {
        let id = |number| observation(number, r#"{"ts":1}"#).unwrap()["id"].clone();
        assert_eq!(id(1), id(1));
        assert_ne!(id(1), id(2), "the same line twice is two observations");
    }

    #[test]
    fn a_line_that_is_no_object_is_refused_with_its_error() {
        for (line, expected) in [("{", "invalid JSON"), ("[1]", "expected a JSON object")] {
            let error = observation(1, line).unwrap_err().to_string();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
